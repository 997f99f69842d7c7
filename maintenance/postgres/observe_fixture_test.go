package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// observed is a database to look at.
type observed struct {
	*pgtest.Database
	t       testing.TB
	conn    *pgx.Conn
	version int
}

func newObserved(t testing.TB, sql ...string) *observed {
	t.Helper()
	return observedOn(t, pgtest.New(t), sql...)
}

func observedOn(t testing.TB, db *pgtest.Database, sql ...string) *observed {
	t.Helper()
	o := &observed{Database: db, t: t, conn: db.Conn(t)}
	if err := o.conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&o.version); err != nil {
		t.Fatal(err)
	}
	o.exec(sql...)
	return o
}

func (o *observed) exec(sql ...string) {
	o.t.Helper()
	runSQL(o.t, o.conn, sql...)
}

func runSQL(t testing.TB, conn *pgx.Conn, sql ...string) {
	t.Helper()
	for _, s := range sql {
		if _, err := conn.PgConn().Exec(t.Context(), s).ReadAll(); err != nil {
			t.Fatalf("%v in %s", err, s)
		}
	}
}

// since skips what the server's version does not have, and says so.
func (o *observed) since(major int, what string) bool {
	if o.version/10000 < major {
		o.t.Logf("PostgreSQL %d has no %s", o.version/10000, what)
		return false
	}
	return true
}

// monthly is a set by month with the key created_at, whose names follow from
// the parent's in the schema public, as in event_2018_11.
func monthly(parent string) partition.Set {
	month := partition.Interval{N: 1, Unit: partition.Month}
	name := partition.Name{Schema: "public", Local: parent}
	base := partition.BaseName(name)
	pattern, err := partition.ParsePattern(strings.ReplaceAll(base, "%", "%%")+"_%Y_%m", month)
	if err != nil {
		panic(err)
	}
	return partition.Set{Parent: name, Key: "created_at", Interval: month, Pattern: pattern, Location: time.UTC,
		Trigger: "insert_" + base + "_trigger", Function: partition.Name{Schema: "public", Local: base + "_insert_function"},
		Window: eventRoute().Window, Grants: partition.GrantsAdd, Indexes: true,
		Limits: partition.Limits{LockTimeout: 20 * time.Second}}
}

// observe looks as the superuser and fails the test where that is not possible.
func (o *observed) observe(sets ...partition.Set) []partition.Snapshot {
	o.t.Helper()
	return o.observeBy(o.conn, sets...)
}

func (o *observed) observeBy(conn *pgx.Conn, sets ...partition.Set) []partition.Snapshot {
	o.t.Helper()
	snaps, err := Observe(o.t.Context(), conn, sets)
	if err != nil {
		o.t.Fatal(err)
	}
	if status := conn.PgConn().TxStatus(); status != 'I' {
		o.t.Fatalf("the connection is left in transaction status %c", status)
	}
	return snaps
}

// one looks at one monthly set.
func (o *observed) one(parent string) partition.Snapshot {
	o.t.Helper()
	snap := o.observe(monthly(parent))[0]
	if snap.Parent == nil {
		o.t.Fatalf("%s was not found", parent)
	}
	return snap
}

// child returns the partition of that name.
func child(t testing.TB, snap partition.Snapshot, local string) partition.Partition {
	t.Helper()
	i := slices.IndexFunc(snap.Partitions, func(c partition.Partition) bool { return c.Name.Local == local })
	if i < 0 {
		t.Fatalf("no partition %s among %d", local, len(snap.Partitions))
	}
	return snap.Partitions[i]
}

// boundsOf describes how a partition's bounds are known.
func boundsOf(c partition.Partition) string {
	s := fmt.Sprintf("%s %s", c.Known, c.Bounds)
	if c.Empty {
		s += " empty"
	}
	if c.Unseen != "" {
		s += " unseen: " + c.Unseen
	}
	if v := c.Violation; v != nil {
		s += fmt.Sprintf(" violated by %d, %d null: %s", v.Rows, v.Nulls, strings.Join(v.Examples, ", "))
	}
	return s
}

// checksOf describes the CHECKs that bound the key.
func checksOf(c partition.Partition) string {
	var lines []string
	for _, ch := range c.Checks {
		line := ch.Name + " " + ch.Bounds.String()
		if ch.Validated {
			line += " validated"
		}
		if ch.Plain {
			line += " plain"
		}
		if ch.Local {
			line += " local"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

// propertyLines lists those of the kinds, or all but CHECKs, a line each.
func propertyLines(ps []partition.Property, kinds ...partition.PropertyKind) string {
	var lines []string
	for _, p := range ps {
		if len(kinds) == 0 && p.Kind != partition.PropCheck || slices.Contains(kinds, p.Kind) {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: %s = %s", p.Kind, strings.ReplaceAll(p.Name, "\t", " "), p.Value)))
		}
	}
	return strings.Join(lines, "\n")
}

func compare(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// compareLines compares texts by their lines, without the white space around
// each and without empty ones.
func compareLines(t testing.TB, what, got, want string) {
	t.Helper()
	lines := func(s string) []string {
		var out []string
		for line := range strings.Lines(s) {
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, line)
			}
		}
		return out
	}
	compare(t, what, lines(got), lines(want))
}
