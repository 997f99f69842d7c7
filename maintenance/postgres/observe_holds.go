package postgres

import "github.com/partitiond/partitiond/maintenance/partition"

// holdTable is the table of holds, as far as the catalog tells of it.
type holdTable struct{ mayRead, mayLock bool }

func (o *observation) addHoldTable(r *row) {
	o.holdTable = &holdTable{mayRead: r.flag(1), mayLock: r.flag(2)}
	switch {
	case r.char(0) != 'r':
		o.holdsUnseen = "it is not a table"
	case !o.holdTable.mayRead:
		o.holdsUnseen = "the role may not read it"
	}
}

// addHolds queues the holds, after the transaction that has read the catalogs:
// what is wrong with that one table keeps no set from being looked at. The
// statements are a transaction of their own, up to the end of the batch
// (PostgreSQL documentation, 55.2.4 Pipelining).
func (o *observation) addHolds(b *batch) {
	if o.holdTable == nil || o.holdsUnseen != "" {
		return
	}
	b.mayFail(func(why string) {
		for i := range o.snaps {
			o.snaps[i].Holds = nil
		}
		o.holdsUnseen = why
	})
	b.add("settings", nil, milliseconds(o.lockTimeout), milliseconds(catalogTimeout))
	b.add("holds", func(r *row) {
		snap := &o.snaps[r.int(0)]
		h := partition.Hold{ID: r.int(1), Bounds: partition.Everywhere, Kind: partition.HoldKind(r.text(5)),
			OID: r.oid(6), Reason: r.text(7), MadeBy: r.text(8), MadeAt: r.time(9)}
		if !r.null(2) {
			h.Bounds.From = r.edge(2)
		}
		if !r.null(3) {
			h.Bounds.To = r.edge(3)
		}
		if !r.null(4) {
			h.Until = r.edge(4).Time
		}
		snap.Holds = append(snap.Holds, h)
	}, o.wanted...)
}
