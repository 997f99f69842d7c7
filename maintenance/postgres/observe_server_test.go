package postgres

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// A standby is seen to be one; and what can be done on one writes nothing.
func TestObserveStandby(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t, pgtemp.Options{})
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	runSQL(t, conn, everyKind, "CHECKPOINT")
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(pgtemp.Fast); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(server.DataDir(), "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	// A hot standby says that it is ready once it takes connections.
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err = pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	snaps, err := Observe(t.Context(), conn, []partition.Set{monthly("event_master")})
	if err != nil {
		t.Fatal(err)
	}
	if !snaps[0].Server.Standby {
		t.Error("the standby passes for a primary")
	}
	compare(t, "rows", boundsOf(child(t, snaps[0], "rows")), "rows [2018-10-01, 2018-11-01)")
	compare(t, "strays", straysOf(snaps[0]), "1 of [2018-11-01, 2018-12-01): 2018-11-01 00:00:00")
}

// The catalogs of a database with another encoding are read all the same, and a
// name that it cannot hold is its own set's trouble.
func TestObserveEncoding(t *testing.T) {
	t.Parallel()
	admin := newObserved(t)
	name := admin.Name + "_latin1"
	admin.exec("CREATE DATABASE " + name + " TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'")
	conn, err := pgx.Connect(t.Context(), admin.Server.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close(context.Background())
		drop, err := pgx.Connect(context.Background(), admin.Server.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		defer drop.Close(context.Background())
		if _, err := drop.Exec(context.Background(), "DROP DATABASE "+name); err != nil {
			t.Error(err)
		}
	})
	runSQL(t, conn, "SET client_encoding = 'UTF8'", `CREATE TABLE "Ereignisse für_master" ("zurück" int, created_at timestamp);
		CREATE TABLE "größer" (CHECK (created_at < '2018-11-01')) INHERITS ("Ereignisse für_master"); COMMENT ON TABLE "größer" IS 'Maß';
		CREATE TABLE "Ereignisse für_2018_12" ()`, "RESET client_encoding")
	snaps, err := Observe(t.Context(), conn, []partition.Set{monthly("Ereignisse für_master"), monthly("события_master")})
	failed, ok := err.(SetErrors)
	if !ok || failed[0] != nil || failed[1] == nil || !strings.Contains(failed[1].Error(), "22P05") {
		t.Fatalf("the error: %v", err)
	}
	compare(t, "bounds", boundsOf(child(t, snaps[0], "größer")), "check [-infinity, 2018-11-01)")
	compare(t, "comment", propertyLines(child(t, snaps[0], "größer").Properties, partition.PropComment), "comment:  = Maß")
	compare(t, "column", snaps[0].Parent.Columns[0].Name, "zurück")
	compare(t, "taken", snaps[0].Taken, []partition.Name{{Schema: "public", Local: "Ereignisse für_2018_12"}})
}

// Rows of a foreign table are another server's: a CHECK on it is believed, as
// PostgreSQL does, and nothing else.
func TestObserveForeignTable(t *testing.T) {
	t.Parallel()
	o := newObserved(t, "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere; CREATE TABLE event_master (created_at timestamp)",
		`CREATE FOREIGN TABLE bare () INHERITS (event_master) SERVER nowhere;
		CREATE FOREIGN TABLE checked (CHECK (created_at >= '2018-11-01' AND created_at < '2018-12-01')) INHERITS (event_master) SERVER nowhere;
		CREATE FOREIGN TABLE claimed () INHERITS (event_master) SERVER nowhere; ALTER TABLE claimed ADD CHECK (created_at < '2018-10-01') NOT VALID`)
	var got []string
	for _, c := range o.one("event_master").Partitions {
		got = append(got, fmt.Sprintf("%s: foreign %t, %s", c.Name.Local, c.Foreign, boundsOf(c)))
	}
	compareLines(t, "partitions", strings.Join(got, "\n"), `
		bare: foreign true, unknown [-infinity, infinity) unseen: a foreign table's rows prove nothing
		checked: foreign true, check [2018-11-01, 2018-12-01)
		claimed: foreign true, unknown [-infinity, infinity) unseen: a foreign table's rows prove nothing`)
}

// Another session's temporary table is a partition like others, but for its rows,
// which only that session can see.
func TestObserveTemporary(t *testing.T) {
	t.Parallel()
	o := newObserved(t, "CREATE TABLE event_master (id int, created_at timestamp); CREATE INDEX ON event_master (id)")
	other := o.Conn(t)
	runSQL(t, other, `CREATE TEMPORARY TABLE short () INHERITS (event_master); CREATE INDEX ON short (id); INSERT INTO short VALUES (1, '2018-11-01');
		CREATE TEMPORARY TABLE kept (CHECK (created_at < '2018-11-01')) INHERITS (event_master)`)
	snap := o.one("event_master")
	compare(t, "rows", boundsOf(child(t, snap, "short")), "unknown "+all+" unseen: cannot access temporary tables of other sessions")
	compare(t, "check", boundsOf(child(t, snap, "kept")), "check [-infinity, 2018-11-01)")
	compare(t, "index", propertyLines(child(t, snap, "short").Properties, partition.PropIndex), "index: USING btree (id) =")
	// One's own has a schema of another name in what PostgreSQL prints.
	compare(t, "one's own index", propertyLines(child(t, o.observeBy(other, monthly("event_master"))[0], "short").Properties, partition.PropIndex), "index: USING btree (id) =")
}

// How long it takes, to be read and not asserted: go test -bench Observe.
func BenchmarkObserve(b *testing.B) {
	for _, size := range []struct{ sets, children int }{{1, 63}, {100, 63}, {40, 300}} {
		b.Run(fmt.Sprintf("%dx%d", size.sets, size.children), func(b *testing.B) {
			o := newObserved(b)
			var sets []partition.Set
			for i := range size.sets {
				parent := fmt.Sprintf("p%d_master", i)
				o.exec(family(parent, size.children, " "))
				sets = append(sets, monthly(parent))
			}
			o.exec("VACUUM ANALYZE")
			o.observe(sets...)
			var longest time.Duration
			for b.Loop() {
				began := time.Now()
				o.observe(sets...)
				longest = max(longest, time.Since(began))
			}
			b.ReportMetric(float64(longest.Milliseconds()), "ms-longest")
		})
	}
}
