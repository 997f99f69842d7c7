package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// holdJSON is a hold for machines. From and To have no offset where the key has none.
type holdJSON struct {
	ID     int64      `json:"id"`
	Set    string     `json:"set"`
	From   *string    `json:"from"`
	To     *string    `json:"to"`
	Until  *time.Time `json:"until"`
	Active bool       `json:"active"`
	Kind   string     `json:"kind"`
	Table  uint32     `json:"table_oid,omitempty"`
	Reason string     `json:"reason"`
	MadeBy string     `json:"made_by"`
	MadeAt time.Time  `json:"made_at"`
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

func (o *options) listHolds(ctx context.Context) error {
	c, conn, err := o.connected(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	sets, err := o.sets(c)
	if err != nil {
		return err
	}
	var only partition.Name
	if o.set != "" {
		only = sets[0].Parent
	}
	holds, err := postgres.Holds(ctx, conn, only)
	if err != nil {
		return exitError{exitFailed, err}
	}
	// A set that cannot be looked at has its holds listed all the same.
	snaps, err := postgres.Observe(ctx, conn, sets)
	if failed := (postgres.SetErrors)(nil); err != nil && !errors.As(err, &failed) {
		return exitError{exitFailed, fmt.Errorf("observe: %w", err)}
	}
	places := map[partition.Name]place{}
	for i, s := range sets {
		places[s.Parent] = placeOf(s, snaps[i])
	}
	var now time.Time
	if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		return exitError{exitFailed, fmt.Errorf("read the server's clock: %w", err)}
	}
	if o.json {
		list := make([]holdJSON, 0, len(holds))
		for _, h := range holds {
			list = append(list, describeHold(h, places, now))
		}
		return printJSON(o.stdout, list)
	}
	if len(holds) == 0 {
		fmt.Fprintln(o.stdout, "no holds")
		return nil
	}
	w := tabwriter.NewWriter(o.stdout, 0, 0, 2, ' ', 0)
	for _, h := range holds {
		p := known(places, h.Parent)
		state := "active"
		if !h.Active(now) {
			state = "expired"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\tby %s on %s\n", h.ID, h.Parent, p.bounds(h.Bounds), state, h.In(p.wall), h.Kind, h.MadeBy, h.MadeAt.In(p.wall).Format(time.DateOnly))
	}
	return flushed(w, "holds")
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
