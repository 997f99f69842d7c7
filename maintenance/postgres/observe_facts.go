package postgres

import (
	"slices"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// property adds a property to the tables whose OIDs are the row's first value.
func (o *observation) property(r *row, kind partition.PropertyKind, name, value string) {
	fact := o.fact(kind, name, value)
	for _, oid := range r.oids(0) {
		t := o.tables[oid]
		t.facts = append(t.facts, fact)
	}
}

// columnProperty adds a property of the column that has the number in each table.
func (o *observation) columnProperty(r *row, kind partition.PropertyKind, number int64, value string) {
	for _, oid := range r.oids(0) {
		t := o.tables[oid]
		if c := t.layout.numbered(number); c != nil {
			t.facts = append(t.facts, o.fact(kind, c.name, value))
		}
	}
}

func (o *observation) addComment(r *row) {
	if number := r.int(1); number != 0 {
		o.columnProperty(r, partition.PropColumnComment, number, r.text(2))
		return
	}
	o.property(r, partition.PropComment, "", r.text(2))
}

// constraintKinds are the words of [partition.Property] for pg_constraint.contype.
var constraintKinds = map[string]string{"p": "primary key", "u": "unique constraint", "x": "exclude"}

func (o *observation) addIndex(r *row) {
	x := rawIndex{name: r.text(2), valid: r.flag(3), identity: r.flag(4), constraint: constraintKinds[r.text(5)], digest: r.text(8), parts: r.text(9)}
	if r.flag(6) && x.constraint != "exclude" {
		x.constraint += " deferrable"
		if r.flag(7) {
			x.constraint += " initially deferred"
		}
	}
	number := uint32(len(o.indexes))
	o.indexes = append(o.indexes, x)
	tables := slices.Clone(r.oids(0))
	for i, index := range r.oids(1) {
		t := o.tables[tables[i]]
		t.indexes = append(t.indexes, number)
		kind := x.kind(t.layout)
		info := o.indexKinds[kind]
		if info == nil {
			info = &indexKindInfo{}
			o.indexKinds[kind] = info
		}
		// Deparsing may open the table: let that be the same one as for all else.
		if info.oid == 0 || t.oid == t.layout.alike {
			info.oid = index
		}
	}
}

// beforeInsertRow are the bits of pg_trigger.tgtype for ROW, BEFORE and INSERT
// (PostgreSQL's catalog/pg_trigger.h); others say that it fires for more.
const beforeInsertRow = 1 | 2 | 4

// addTrigger notes a trigger of a parent or a partition.
func (o *observation) addTrigger(r *row) {
	t := o.tables[r.oid(0)]
	name, kind, enabled := r.text(1), r.int(2), r.flag(3)
	if i, ok := o.defaultOf[t.oid]; ok {
		o.addNotify(i, r)
	}
	if kind&beforeInsertRow == beforeInsertRow && enabled {
		t.triggers = true
	}
	for _, i := range o.setsOf[t.oid] {
		routing := &o.parents[i].seen.Routing
		switch s := o.sets[i]; {
		case name != s.Trigger:
			if enabled && kind&beforeInsertRow == beforeInsertRow {
				routing.Others = append(routing.Others, name)
			}
		case kind == beforeInsertRow && !r.flag(4) && r.text(5) == s.Function.Schema && r.text(6) == s.Function.Local:
			routing.Trigger, routing.Disabled = true, !enabled
		default:
			routing.TriggerOther = r.text(8)
		}
	}
}

// checkOf is a CHECK of partitions that have that key.
type checkOf struct {
	check *rawCheck
	key   string
	kind  partition.KeyType
}

// checkRead is what was understood of it, and in the end what bounds that is.
type checkRead struct {
	checkRange
	is checkBounds
}

// literals returns the constants of all CHECKs and bounds, each once, but for those
// that need no server to be understood.
func (o *observation) literals() []literal {
	seen := map[literal]bool{}
	var out []literal
	want := func(l literal) {
		switch {
		case seen[l]:
		case l.kind.Coded():
			if e, err := l.kind.Decode(l.text); err == nil {
				o.values[l] = e
			}
		default:
			out = append(out, l)
		}
		seen[l] = true
	}
	for i, s := range o.sets {
		p := o.parents[i]
		if p == nil || p.seen.Key == "" {
			continue
		}
		for _, t := range o.family[i] {
			if d, ok := readDeclared(t.bound, p.seen.Key); ok {
				for _, l := range d.literals() {
					want(l)
				}
			}
			for _, c := range t.checks {
				of := checkOf{c, s.Key, p.seen.Key}
				if o.reads[of] != nil {
					continue
				}
				read := &checkRead{checkRange: readCheck(c.definition, s.Key, p.seen.Key)}
				o.reads[of] = read
				for _, cmp := range read.comparisons {
					want(cmp.value)
				}
			}
		}
	}
	return out
}
