package prove

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/sql"
)

// scenario is a state of a set, and the work on it that is interrupted.
type scenario struct {
	name string
	// tables is SQL that makes the set.
	tables string
	// config is the set's configuration; {{archive}} is the archive's URL.
	config string
	// id is the column by which rows are known.
	id string
	// passes are what made the state: SQL, and then a pass; and state is SQL without one.
	passes []string
	state  string
	// restore has the work be a restore of all that is archived.
	restore bool
	// s3 has the archive be in an S3 server.
	s3 bool
	// then is what retention does with rows of the month -14 and before.
	then partition.Then
	// few is how many points CI tries.
	few int
}

const seedSet = "[[set]]\nparent = \"public.chat_master\"\nkey = \"created_at\"\n"

const eventSet = "[[set]]\nparent = \"public.events\"\nkey = \"at\"\n"

// rowsOf fills months of a set from one before the present to another, with numbers
// from a first one on.
func rowsOf(table, columns, from, to string, first int) string {
	return fmt.Sprintf(`INSERT INTO %[1]s (%[2]s) SELECT %[5]d + row_number() OVER (), date_trunc('month', localtimestamp) + make_interval(months => m, hours => 5 * i)
		FROM generate_series(%[3]s, %[4]s) m, generate_series(1, 20) i;`, table, columns, from, to, first)
}

// lateRows are of a month that was archived.
var lateRows = rowsOf("events", "id, at", "-13", "-13", 2000)

const archiving = eventSet + `retention = { keep = "12 months", then = "archive", archive = "{{archive}}", max_share = 1, late_grace = "0s" }`

const events = `CREATE TABLE events (id bigint, at timestamp, body text DEFAULT 'x'); CREATE INDEX ON events (at);`

// scenarios cover each action at least once: create, adopt and constrain, align,
// index, route, sweep, archive, detach, drop, analyze and restore.
var scenarios = []scenario{
	{name: "adopt and archive", id: "user_id", few: 40, then: partition.Archive,
		tables: sql.Text("seed.sql") + rowsOf("chat_master", "user_id, created_at", "-14", "-13", 0) + rowsOf("chat_master", "user_id, created_at", "-1", "0", 1000),
		config: seedSet + `retention = { keep = "12 months", then = "archive", archive = "{{archive}}", max_share = 1, late_grace = "0s" }`},
	{name: "sweep", id: "id", few: 25, then: partition.Keep,
		tables: events + rowsOf("events", "id, at", "-2", "1", 0),
		config: eventSet + `sweep_batch = 17`},
	{name: "detach", id: "id", few: 15, then: partition.Detach, passes: []string{""},
		tables: "CREATE SCHEMA old;" + events + rowsOf("events", "id, at", "-14", "-12", 0) + rowsOf("events", "id, at", "0", "0", 1000),
		config: eventSet + `retention = { keep = "12 months", then = "detach", schema = "old", max_share = 1 }`},
	{name: "drop", id: "id", few: 15, then: partition.Drop, passes: []string{""},
		tables: events + rowsOf("events", "id, at", "-14", "-12", 0) + rowsOf("events", "id, at", "0", "0", 1000),
		config: eventSet + `retention = { keep = "12 months", then = "drop", max_share = 1 }`},
	{name: "late rows", id: "id", few: 20, then: partition.Archive, passes: []string{""}, state: lateRows,
		tables: events + rowsOf("events", "id, at", "-13", "-13", 0) + rowsOf("events", "id, at", "0", "0", 1000), config: archiving},
	{name: "archive to S3", id: "id", few: 25, then: partition.Archive, s3: true,
		tables: events + rowsOf("events", "id, at", "-13", "-13", 0) + rowsOf("events", "id, at", "0", "0", 1000), config: archiving},
	{name: "restore", id: "id", few: 25, then: partition.Archive, restore: true, passes: []string{"", lateRows},
		tables: events + rowsOf("events", "id, at", "-13", "-13", 0) + rowsOf("events", "id, at", "0", "0", 1000), config: archiving},
}

// TestCrashAtEveryStep kills a process that works on a set, at points all over its
// work, while a client writes. Right after it is dead each row that a client was told
// is committed is found once, in the set or in the archive; one pass later that is
// still so, and nothing is left to do.
func TestCrashAtEveryStep(t *testing.T) {
	t.Parallel()
	var tried atomic.Int64
	t.Cleanup(func() { t.Logf("killed at %d points", tried.Load()) })
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, s)
			count := l.count(t)
			points := choose(count, s.few)
			for _, at := range points {
				l.crash(t, at)
				tried.Add(1)
			}
			t.Logf("killed at %d of %d points", len(points), count)
		})
	}
}

// choose spreads so many points over all that there are.
func choose(count, few int) []int64 {
	if all || few > count {
		few = count
	}
	var out []int64
	for i := range few {
		out = append(out, int64(1+i*count/few))
	}
	return out
}
