package prove

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/convert"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// wideEvents is an ordinary table with so many rows that they are not all copied at once.
var wideEvents = `CREATE TABLE events (id bigint, at timestamp, body text DEFAULT repeat('x', 400), PRIMARY KEY (id, at)); CREATE INDEX ON events (at);` +
	rowsOf("events", "id, at", "-4", "0", 0) + rowsOf("events", "id, at", "-4", "0", 100)

const draining = eventSet + "sweep_batch = 7\n"

// drained covers a drain, and one that finds what an earlier one has left, which does not
// fit any more. The client also writes what was there before, and so on both sides of
// where the copy is.
var drained = []scenario{
	{name: "drain", id: "id", edit: "body", roams: true, few: 10, work: drain, months: []int{0, -1, -2}, more: isWide,
		tables: wideEvents, config: draining},
	{name: "drain anew", id: "id", edit: "body", roams: true, few: 3, work: drain, months: []int{0, -1, -2}, more: isHalfDrained,
		tables: wideEvents, config: draining, state: "ALTER TABLE events ADD more int DEFAULT 7"},
}

// isWide makes the table the only partition of a set that has rows.
func isWide(t *testing.T, l *lab, w *world) {
	t.Helper()
	r, err := convert.Run(t.Context(), nil, w.m.Connect, w.set, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
		return convert.Whole(ctx, conn, w.set, time.Time{}, convert.Options{Bound: eternity})
	}, silent)
	if err != nil || !r.Swapped {
		t.Fatalf("partition: %v, in the way: %q", err, r.Plan.Stops)
	}
	l.finish(t, w)
}

// isHalfDrained stops a drain of it when the first rows are copied.
func isHalfDrained(t *testing.T, l *lab, w *world) {
	t.Helper()
	isWide(t, l, w)
	stop, copies := make(chan struct{}), 0
	_, err := convert.RunDrain(t.Context(), stop, w.m.Connect, w.set, convert.DrainOptions{Options: convert.Options{Bound: eternity}, Progress: func(convert.Copied) {
		if copies++; copies == 1 {
			close(stop)
		}
	}}, silent)
	if !errors.Is(err, postgres.ErrStopped) {
		t.Fatalf("stopped: %v", err)
	}
}

// redrain has the drain come to its end while a client writes, and returns the ledger
// with that. The wide partition is whole until then, or gone, and gone after it.
func (l *lab) redrain(t *testing.T, w *world, model ledger, label string) ledger {
	t.Helper()
	if there := w.strings("SELECT DISTINCT tableoid::regclass::text FROM events"); len(there) > 1 && slices.Contains(there, "events_first") {
		t.Fatalf("%s: the rows are in %v", label, there)
	}
	if l.serial.Load()%2 == 0 { // The daemon goes on, whether a person comes back or not.
		l.pass(t, w, model, label+", a pass")
	}
	model, stop := l.write(t, w, model, firstAgain)
	_, err := l.work.convert(t.Context(), w.m, w.set)
	stop()
	if err != nil {
		t.Fatalf("%s: drain again: %v", label, err)
	}
	l.account(t, w, model, label+", drain again")
	if wide := w.strings("SELECT tableoid::regclass::text FROM events WHERE tableoid::regclass::text <> 'events_' || to_char(at, 'YYYY_MM')"); len(wide) > 0 {
		t.Fatalf("%s: after it was drained again there are %d rows in %s", label, len(wide), wide[0])
	}
	return model
}
