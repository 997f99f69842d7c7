package prove

import (
	"fmt"
	"slices"
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
	// more makes what SQL and passes do not, between the two.
	more func(t *testing.T, l *lab, w *world)
	work work
	// s3 has the archive be in an S3 server.
	s3 bool
	// then is what retention does with rows of the month -14 and before.
	then partition.Then
	// months are those that a client writes in, from the present one; none is that alone.
	months []int
	// late is a month that leaves the set, in which the client now and then writes a row.
	late int
	// edit is the column that the client changes, if he changes and deletes his rows, too.
	edit string
	// roams has him do so to rows that were there before, too.
	roams bool
	// few is how many points CI tries.
	few int
}

const seedSet = "[[set]]\nparent = \"public.chat_master\"\nkey = \"created_at\"\n"

const eventSet = "[[set]]\nparent = \"public.events\"\nkey = \"at\"\n"

// scenarios are all that there are.
var scenarios = slices.Concat(inherited, declared, converted, drained)

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

// inherited covers each action on sets by inheritance at least once: create, adopt and
// constrain, align, index, route, sweep, archive, detach, drop, analyze and restore.
var inherited = []scenario{
	{name: "adopt and archive", id: "user_id", few: 40, then: partition.Archive, late: -14,
		tables: sql.Text("seed.sql") + rowsOf("chat_master", "user_id, created_at", "-14", "-13", 0) + rowsOf("chat_master", "user_id, created_at", "-1", "0", 1000),
		config: seedSet + `retention = { keep = "12 months", then = "archive", archive = "{{archive}}", max_share = 1, late_grace = "0s" }`},
	{name: "sweep", id: "id", edit: "body", few: 25, then: partition.Keep,
		tables: events + rowsOf("events", "id, at", "-2", "1", 0),
		config: eventSet + `sweep_batch = 17`},
	{name: "detach", id: "id", edit: "body", few: 15, then: partition.Detach, passes: []string{""},
		tables: "CREATE SCHEMA old;" + events + rowsOf("events", "id, at", "-14", "-12", 0) + rowsOf("events", "id, at", "0", "0", 1000),
		config: eventSet + `retention = { keep = "12 months", then = "detach", schema = "old", max_share = 1 }`},
	{name: "drop", id: "id", edit: "body", few: 15, then: partition.Drop, passes: []string{""},
		tables: events + rowsOf("events", "id, at", "-14", "-12", 0) + rowsOf("events", "id, at", "0", "0", 1000),
		config: eventSet + `retention = { keep = "12 months", then = "drop", max_share = 1 }`},
	{name: "late rows", id: "id", edit: "body", few: 20, then: partition.Archive, late: -13, passes: []string{""}, state: lateRows,
		tables: events + rowsOf("events", "id, at", "-13", "-13", 0) + rowsOf("events", "id, at", "0", "0", 1000), config: "[archive]\nformat = \"csv\"\n" + archiving},
	{name: "archive to S3", id: "id", edit: "body", few: 25, then: partition.Archive, late: -13, s3: true,
		tables: events + rowsOf("events", "id, at", "-13", "-13", 0) + rowsOf("events", "id, at", "0", "0", 1000), config: archiving},
	{name: "restore", id: "id", edit: "body", few: 25, then: partition.Archive, work: restoring, passes: []string{"", lateRows},
		tables: events + rowsOf("events", "id, at", "-13", "-13", 0) + rowsOf("events", "id, at", "0", "0", 1000), config: archiving},
}
