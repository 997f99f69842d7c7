package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// holdJSON is a hold for machines. From and To have no offset where the key has none.
type holdJSON struct {
	Database string     `json:"database,omitempty"`
	ID       int64      `json:"id"`
	Set      string     `json:"set"`
	From     *string    `json:"from"`
	To       *string    `json:"to"`
	Until    *time.Time `json:"until"`
	Active   bool       `json:"active"`
	Kind     string     `json:"kind"`
	Table    uint32     `json:"table_oid,omitempty"`
	Reason   string     `json:"reason"`
	MadeBy   string     `json:"made_by"`
	MadeAt   time.Time  `json:"made_at"`
}

// place is how a set's times are read: where its boundaries are midnights, where
// its clock hangs, and whether the key's values are instants.
type place struct {
	calendar, wall *time.Location
	instants       bool
}

// unknownPlace is that of holds on tables that are no set here.
var unknownPlace = place{calendar: time.UTC, wall: time.UTC, instants: true}

func placeOf(set partition.Set, snap partition.Snapshot) place {
	if snap.Parent == nil || snap.Parent.Key == "" {
		return unknownPlace
	}
	key := snap.Parent.Key
	return place{calendar: set.Calendar(key), wall: set.Location, instants: key.Instant()}
}

// bounds are those in the set's terms, by its calendar.
func (p place) bounds(b partition.Bounds) partition.Bounds {
	in := func(e partition.Edge) partition.Edge {
		if e.Inf == 0 {
			e.Time = e.Time.In(p.calendar)
		}
		return e
	}
	return partition.Bounds{From: in(b.From), To: in(b.To)}
}

func (p place) text(e partition.Edge) *string {
	if e.Inf != 0 {
		return nil
	}
	layout := "2006-01-02T15:04:05.999999"
	if p.instants {
		layout = time.RFC3339Nano
	}
	text := e.Time.In(p.calendar).Format(layout)
	return &text
}

// heldIn are the holds of a database.
type heldIn struct {
	holds  []postgres.SetHold
	places map[partition.Name]place
	// now is by the server's clock.
	now time.Time
}

func (o *options) listHolds(ctx context.Context) error {
	t, err := o.ready(newConsole(o.stderr))
	if err != nil {
		return err
	}
	lists, errs := make([]heldIn, len(t.all)), make([]error, len(t.all))
	t.fleet().Each(func(i int, _ maintenance.Member) { lists[i], errs[i] = o.holdsOf(ctx, t.all[i]) })
	outcome := t.asked(errs)
	if len(errs) == 1 && outcome != nil {
		return outcome
	}
	list := []holdJSON{}
	w := newTable(o.stdout, t.several())
	for i, l := range lists {
		database := t.all[i].Database
		for _, h := range l.holds {
			described := describeHold(h, l.places, l.now)
			described.Database = database
			list = append(list, described)
			p := known(l.places, h.Parent)
			state := "active"
			if !h.Active(l.now) {
				state = "expired"
			}
			if !o.json {
				w.row(database, "%d\t%s\t%s\t%s\t%s\t%s\tby %s on %s", h.ID, h.Parent, p.bounds(h.Bounds), state, h.In(p.wall), h.Kind, h.MadeBy, h.MadeAt.In(p.wall).Format(time.DateOnly))
			}
		}
	}
	switch {
	case o.json:
		err = printJSON(o.stdout, list)
	case len(list) == 0 && outcome == nil:
		fmt.Fprintln(o.stdout, "no holds")
	default:
		err = flushed(w.Writer, "holds")
	}
	if err != nil {
		return err
	}
	return outcome
}

// holdsOf reads the holds of a database, and what it takes to tell of them.
func (o *options) holdsOf(ctx context.Context, d target) (heldIn, error) {
	var l heldIn
	conn, err := d.connect(ctx)
	if err != nil {
		return l, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	sets := plain(d.sets)
	var only partition.Name
	if o.set != "" {
		only = sets[0].Parent
	}
	if l.holds, err = postgres.Holds(ctx, conn, only); err != nil {
		return l, exitError{exitFailed, err}
	}
	// A set that cannot be looked at has its holds listed all the same.
	snaps, err := postgres.Observe(ctx, conn, sets)
	if failed := (postgres.SetErrors)(nil); err != nil && !errors.As(err, &failed) {
		return l, exitError{exitFailed, fmt.Errorf("observe: %w", err)}
	}
	l.places = map[partition.Name]place{}
	for i, s := range sets {
		l.places[s.Parent] = placeOf(s, snaps[i])
	}
	if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&l.now); err != nil {
		return l, exitError{exitFailed, fmt.Errorf("read the server's clock: %w", err)}
	}
	return l, nil
}

func known(places map[partition.Name]place, parent partition.Name) place {
	if p, ok := places[parent]; ok {
		return p
	}
	return unknownPlace
}

func describeHold(h postgres.SetHold, places map[partition.Name]place, now time.Time) holdJSON {
	p := known(places, h.Parent)
	out := holdJSON{ID: h.ID, Set: h.Parent.String(), From: p.text(h.Bounds.From), To: p.text(h.Bounds.To), Active: h.Active(now),
		Kind: string(h.Kind), Table: h.OID, Reason: h.Reason, MadeBy: h.MadeBy, MadeAt: h.MadeAt}
	if !h.Until.IsZero() {
		until := h.Until.In(p.wall)
		out.Until = &until
	}
	return out
}
