package prove

import (
	"testing"

	"github.com/partitiond/partitiond/maintenance/partition"
)

const convertible = `CREATE TABLE events (id bigint PRIMARY KEY, at timestamp, body text DEFAULT 'x'); CREATE INDEX ON events (at);
	CREATE VIEW seen AS SELECT count(*) FROM events; GRANT SELECT ON events TO pg_monitor;`

var converting = eventSet + `limits = { lock_timeout = "200ms", retries = 100, retry_wait = "5ms", max_retry_wait = "20ms" }`

// strays are rows in the parent itself.
var strays = "ALTER TABLE events DISABLE TRIGGER insert_events_trigger;" + rowsOf("events", "id, at", "-2", "-2", 3000) + "ALTER TABLE events ENABLE TRIGGER insert_events_trigger;"

// converted covers both ways of a conversion, and its end. What the client writes also
// goes to months that no partition is there for.
var converted = []scenario{
	{name: "convert", id: "id", edit: "body", few: 20, then: partition.Keep, work: forward, months: []int{0, -1, -4}, passes: []string{"", rowsOf("events", "id, at", "-2", "0", 0)}, state: strays,
		tables: convertible, config: converting},
	{name: "convert back", id: "id", edit: "body", few: 20, then: partition.Keep, work: back, months: []int{0, -1, -4}, passes: []string{"", rowsOf("events", "id, at", "-2", "0", 0)}, more: isConverted,
		state:  rowsOf("events", "id, at", "-6", "-6", 3000) + partitionsOf(-8, -8) + rowsOf("events", "id, at", "-8", "-8", 4000),
		tables: convertible, config: converting},
	{name: "convert for good", id: "id", edit: "body", few: 6, then: partition.Keep, work: finish, months: []int{0, -1, -4}, passes: []string{"", rowsOf("events", "id, at", "-2", "0", 0)}, more: isConverted,
		tables: convertible, config: converting},
}

// isConverted converts the set, and has the daemon make a pass: the name of the routing
// function is that of the one which tells of rows in the default partition, then.
func isConverted(t *testing.T, l *lab, w *world) {
	t.Helper()
	if r, err := forward.convert(t.Context(), w.m, w.set); err != nil || !r.Swapped {
		t.Fatalf("convert: %v, in the way: %q", err, r.Plan.Stops)
	}
	l.finish(t, w)
}
