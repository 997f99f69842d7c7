package prove

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

const declaredEvents = `CREATE TABLE events (id bigint, at timestamp, body text DEFAULT 'x', PRIMARY KEY (id, at)) PARTITION BY RANGE (at); CREATE INDEX ON events (at);`

const defaultPartition = `CREATE TABLE events_default PARTITION OF events DEFAULT;`

// partitionsOf makes the partitions of some months.
func partitionsOf(from, to int) string {
	return fmt.Sprintf(`DO $$ BEGIN FOR m IN %d..%d LOOP
		EXECUTE format('CREATE TABLE %%I PARTITION OF events FOR VALUES FROM (%%L) TO (%%L)', to_char(date_trunc('month', localtimestamp) + make_interval(months => m), '"events_"YYYY_MM'),
			date_trunc('month', localtimestamp) + make_interval(months => m), date_trunc('month', localtimestamp) + make_interval(months => m + 1));
		END LOOP; END $$;`, from, to)
}

// oldEvents are of months that retention does away with.
var oldEvents = partitionsOf(-14, -13) + rowsOf("events", "id, at", "-14", "-13", 2000)

// newEvents are a set that has all it needs after one pass.
var newEvents = declaredEvents + partitionsOf(0, 2) + rowsOf("events", "id, at", "0", "0", 0)

// withoutDefault has partitions be taken out by DETACH CONCURRENTLY.
const withoutDefault = "\ndefault_partition = false"

// declared covers what is done otherwise to declarative sets: create, repair, the
// default partition and both ways to move its rows, all that retires, by either kind of
// DETACH, what an interrupted one leaves, and restore.
var declared = []scenario{
	{name: "declarative: create and repair", id: "id", edit: "body", few: 12, then: partition.Keep,
		tables: declaredEvents + partitionsOf(-1, 0) + rowsOf("events", "id, at", "-1", "0", 0) + "CREATE INDEX ON ONLY events (body); GRANT SELECT ON events TO pg_monitor",
		config: eventSet},
	{name: "declarative: few rows wait", id: "id", edit: "body", few: 12, then: partition.Keep, months: []int{-1, -2, 0, -3},
		tables: declaredEvents + partitionsOf(0, 0) + defaultPartition + rowsOf("events", "id, at", "-2", "0", 0),
		config: eventSet},
	{name: "declarative: many rows wait", id: "id", edit: "body", few: 20, then: partition.Keep, months: []int{-1, -2, 0},
		tables: declaredEvents + partitionsOf(0, 0) + defaultPartition + rowsOf("events", "id, at", "-2", "0", 0),
		config: eventSet + "sweep_batch = 15\n"},
	{name: "declarative: archive", id: "id", edit: "body", few: 14, then: partition.Archive, late: -14, passes: []string{""}, state: oldEvents,
		tables: newEvents, config: archiving + withoutDefault},
	{name: "declarative: archive beside a default partition", id: "id", edit: "body", few: 8, then: partition.Archive, late: -14, passes: []string{""}, state: oldEvents,
		tables: newEvents, config: archiving},
	{name: "declarative: drop", id: "id", edit: "body", few: 8, then: partition.Drop, passes: []string{""}, state: oldEvents,
		tables: newEvents, config: eventSet + `retention = { keep = "12 months", then = "drop", max_share = 1 }` + withoutDefault},
	{name: "declarative: detach", id: "id", edit: "body", few: 8, then: partition.Detach, passes: []string{""}, state: oldEvents,
		tables: "CREATE SCHEMA old;" + newEvents, config: eventSet + `retention = { keep = "12 months", then = "detach", schema = "old", max_share = 1 }`},
	{name: "declarative: finalize", id: "id", edit: "body", few: 8, then: partition.Archive, passes: []string{""}, more: detachBesideReader,
		tables: newEvents, config: archiving + withoutDefault},
	{name: "declarative: restore", id: "id", edit: "body", few: 12, then: partition.Archive, work: restoring, passes: []string{"", partitionsOf(-13, -13) + rowsOf("events", "id, at", "-13", "-13", 1000), lateRows},
		tables: newEvents, config: archiving},
}

// detachBesideReader has a pass take partitions out while somebody reads who does not
// end: what DETACH CONCURRENTLY has begun stays so.
func detachBesideReader(t *testing.T, l *lab, w *world) {
	t.Helper()
	w.exec(w.super, oldEvents, pgx.QueryExecModeSimpleProtocol)
	reader, err := connect(t.Context(), l.server.URL(w.super.Config().Database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close(t.Context()) }()
	// He does not look at the old partitions, by a constant, and so does not keep them
	// from being marked.
	month := w.strings("SELECT date_trunc('month', localtimestamp)::text")[0]
	w.exec(reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM events WHERE at >= '"+month+"'", pgx.QueryExecModeSimpleProtocol)
	hasty := w.set
	hasty.Retention.Then = partition.Drop // What a copy of the database finds in the archive is another's.
	hasty.Limits.LockTimeout, hasty.Limits.Retries, hasty.Limits.RetryWait = 50*time.Millisecond, 1, time.Millisecond
	report, err := w.m.Pass(t.Context(), nil, []partition.Set{hasty})
	if err != nil || report.Status() != maintenance.Partly {
		t.Fatalf("beside the reader the pass is %s, %v: %+v", report.Status(), err, report)
	}
	if n := w.strings("SELECT count(*)::text FROM pg_inherits WHERE inhdetachpending")[0]; n != "1" {
		t.Fatalf("%s partitions are being detached", n)
	}
}
