package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// wasNear installs a routing function that has a near branch for an old month, as
// one that was made when the month was young, and returns what is seen then.
func (a *applied) wasNear(table string) partition.Snapshot {
	a.t.Helper()
	snap, act := a.planned(partition.RouteRows, a.set.Parent.Local)
	route := *act.Route
	for _, c := range snap.Partitions {
		if c.Name.Local == table {
			route.Near = []partition.Branch{{Bounds: c.Bounds, Table: c.Name}}
		}
	}
	act.Route = &route
	if _, err := a.apply(snap, act); err != nil {
		a.t.Fatal(err)
	}
	return a.observe()
}

// actionOf returns the plan's action of a kind on a table.
func (a *applied) actionOf(snap partition.Snapshot, kind partition.Kind, table string) partition.Action {
	a.t.Helper()
	plan := partition.Make(a.set, snap)
	i := slices.IndexFunc(plan.Actions, func(act partition.Action) bool { return act.Kind == kind && act.Table.Local == table })
	if i < 0 {
		a.t.Fatalf("no %s of %s in %v", kind, table, plan.Actions)
	}
	return plan.Actions[i]
}

// TestRemovalLeavesTheRoute removes a month that the routing function writes to
// without a lock of its own: the branch has to go first, and whoever was writing to
// the parent then is waited for, and named.
func TestRemovalLeavesTheRoute(t *testing.T) {
	t.Parallel()
	a := newApplied(t, twoMonths)
	snap := a.wasNear("event_2018_11")
	oid := child(t, snap, "event_2018_11").OID
	if direct := snap.Parent.Routing.Direct; !slices.Equal(direct, []uint32{oid}) {
		t.Fatalf("the direct branches are %v, want %d", direct, oid)
	}
	route := a.actionOf(snap, partition.RouteRows, "event_master")
	retire := a.actionOf(snap, partition.Retire, "event_2018_11")
	if _, err := a.apply(snap, retire); !errors.Is(err, ErrStillRouted) {
		t.Errorf("a removal before the new route ends with %v", err)
	}
	writer := a.Conn(t)
	want(t, "writer", code(t, writer, "BEGIN"), "")
	want(t, "writer", code(t, writer, "INSERT INTO event_master (created_at) VALUES ('2018-12-05')"), "")
	if _, err := a.apply(snap, route); err != nil {
		t.Fatal(err)
	}
	out, err := a.apply(snap, retire)
	if !errors.Is(err, errWriting) || len(out.Blockers) != 1 || out.Blockers[0].PID != int32(writer.PgConn().PID()) || out.Retries != a.set.Limits.Retries {
		t.Errorf("beside a writer a removal ends with %v after %d retries, with the blockers %v", err, out.Retries, out.Blockers)
	}
	want(t, "writer", code(t, writer, "INSERT INTO event_master (created_at) VALUES ('2018-11-05')"), "")
	want(t, "writer", code(t, writer, "COMMIT"), "")
	want(t, "rows", a.one("SELECT count(*) FROM event_2018_11"), "101")
	// Who comes later is not waited for.
	want(t, "writer", code(t, writer, "BEGIN"), "")
	want(t, "writer", code(t, writer, "INSERT INTO event_master (created_at) VALUES ('2018-12-05')"), "")
	if _, err := a.apply(a.observe(), retire); err != nil {
		t.Error(err)
	}
	want(t, "table", a.one("SELECT to_regclass('event_2018_11') IS NULL"), "true")
	want(t, "writer", code(t, writer, "COMMIT"), "")
	a.converge()
}

// TestRemovalAmongDirectWriters has sessions write rows of a month by a near branch
// while it leaves the route and is removed, again and again. No row may fail.
func TestRemovalAmongDirectWriters(t *testing.T) {
	t.Parallel()
	const sessions, rounds = 6, 12
	a := newApplied(t, twoMonths)
	a.set.Limits.Retries = 50
	a.wasNear("event_2018_11")
	stop, finish := context.WithCancel(t.Context())
	defer finish()
	var writers errgroup.Group
	work := context.WithoutCancel(stop)
	for range sessions {
		writers.Go(func() error {
			conn, err := pgx.Connect(work, a.URL)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close(work) }()
			for n := 0; stop.Err() == nil; n++ {
				if _, err := conn.Exec(work, "INSERT INTO event_master (created_at) VALUES ($1)", fmt.Sprintf("2018-1%d-05", 1+n%2)); err != nil {
					return fmt.Errorf("insert: %w", err)
				}
			}
			return nil
		})
	}
	for range rounds {
		snap := a.observe()
		if !slices.ContainsFunc(snap.Partitions, func(c partition.Partition) bool { return c.Name.Local == "event_2018_11" }) {
			continue // No row has come since.
		}
		snap = a.wasNear("event_2018_11")
		for _, act := range []partition.Action{a.actionOf(snap, partition.RouteRows, "event_master"), a.actionOf(snap, partition.Retire, "event_2018_11")} {
			if _, err := a.apply(snap, act); err != nil {
				t.Errorf("%s: %v", act, err)
			}
		}
	}
	finish()
	if err := writers.Wait(); err != nil {
		t.Error(err)
	}
}
