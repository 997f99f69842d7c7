package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// declaredKinds are the kinds of actions that only declarative sets have; the tests
// of all others leave them to those of this file.
var declaredKinds = []partition.Kind{partition.Finalize, partition.Attach, partition.AttachIndex, partition.CreateDefault, partition.Notify, partition.TidyDefault}

const declaredMonths = `CREATE TABLE event_master (id bigint, body text, created_at timestamp NOT NULL) PARTITION BY RANGE (created_at);
	CREATE TABLE event_2018_11 PARTITION OF event_master FOR VALUES FROM ('2018-11-01') TO ('2018-12-01');
	CREATE TABLE event_2018_12 PARTITION OF event_master FOR VALUES FROM ('2018-12-01') TO ('2019-01-01');
	INSERT INTO event_master SELECT i, 'x', '2018-11-01'::timestamp + i * interval '1 hour' FROM generate_series(1, 100) i;
	CREATE SCHEMA old; CREATE INDEX whole ON ONLY event_master (body); CREATE INDEX ON event_2018_11 (body); CREATE INDEX ON event_2018_12 (body);`

const withDefault = "CREATE TABLE rest PARTITION OF event_master DEFAULT; INSERT INTO event_master VALUES (0, 'rest', now())"

// interrupted is what is left of a move of rows out of a default partition.
const interrupted = `CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER partitiond_log AFTER INSERT ON rest FOR EACH ROW EXECUTE FUNCTION f()`

// takenOut is what a pass leaves that was killed before the last of its steps.
var takenOut = fmt.Sprintf(`ALTER TABLE event_2018_11 ADD CONSTRAINT %s CHECK (created_at IS NOT NULL AND created_at >= '2018-11-01' AND created_at < '2018-12-01');
	ALTER TABLE event_master DETACH PARTITION event_2018_11;`, partition.RetireMark(partition.Name{Schema: "public", Local: "event_master"}))

// TestDeclaredLockLevels holds the locks of what is done to declarative sets to what
// a dry run prints.
func TestDeclaredLockLevels(t *testing.T) {
	t.Parallel()
	forever := partition.Interval{}
	seen := map[partition.Kind]bool{}
	var tests []func()
	for _, test := range []struct {
		name, sql string
		kind      partition.Kind
		table     string
		then      partition.Then
	}{
		{"create", declaredMonths, partition.Create, "now", ""},
		{"create beside the default", declaredMonths + withDefault, partition.Create, "now", ""},
		{"drop", declaredMonths, partition.Retire, "event_2018_11", partition.Drop},
		{"drop beside the default", declaredMonths + withDefault, partition.Retire, "event_2018_11", partition.Drop},
		{"detach", declaredMonths + withDefault, partition.Retire, "event_2018_11", partition.Detach},
		{"attach", declaredMonths + takenOut, partition.Attach, "event_2018_11", ""},
		{"attach beside the default", declaredMonths + withDefault + ";" + takenOut, partition.Attach, "event_2018_11", ""},
		{"attach an index", declaredMonths, partition.AttachIndex, "event_master", ""},
		{"finalize", declaredMonths, partition.Finalize, "event_2018_11", ""},
		{"create the default", declaredMonths, partition.CreateDefault, "event_default", ""},
		{"tidy", declaredMonths + withDefault + "; " + interrupted, partition.TidyDefault, "rest", ""},
		{"notify", declaredMonths + withDefault, partition.Notify, "rest", ""},
	} {
		seen[test.kind] = true
		tests = append(tests, func() {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				a := newApplied(t, test.sql)
				if a.set.Retention.Then = test.then; test.then == "" {
					a.set.Retention.Then, a.set.Retention.Keep = partition.Keep, forever
				}
				a.set.Retention.Schema, a.set.DefaultPartition = "old", test.kind == partition.CreateDefault || test.kind == partition.Notify
				if test.kind == partition.Finalize {
					a.interruptDetach("event_2018_11")
				}
				table := test.table
				if table == "now" {
					table = time.Now().UTC().Format("event_2006_01")
				}
				snap, act := a.planned(test.kind, table)
				for _, step := range Render(a.set, snap, act) {
					if step.Alone && strings.HasSuffix(step.Statements[0].SQL, " CONCURRENTLY") {
						a.exec(step.Statements[0].SQL) // Whom it waits for TestDetachBesideReader tells.
						continue
					}
					a.checkLocks(step)
				}
			})
		})
	}
	for _, kind := range declaredKinds {
		if !seen[kind] {
			t.Errorf("there is no action of kind %q", kind)
		}
	}
	for _, run := range tests {
		run()
	}
}

// TestRetireDistributed: of a set that Citus distributes a partition goes by statements
// that Citus knows.
func TestRetireDistributed(t *testing.T) {
	t.Parallel()
	set := monthly("event_master")
	set.Retention.Schema = "old"
	a := partition.Action{Kind: partition.Retire, Table: partition.Name{Schema: "public", Local: "event_2018_11"}, Bounds: november, Then: partition.Detach}
	snap := partition.Snapshot{Parent: &partition.Parent{Declarative: true, Distributed: true, Key: partition.KeyTimestamp}}
	var got []string
	for _, step := range Render(set, snap, a) {
		for _, st := range step.Statements {
			got = append(got, st.SQL)
		}
		got = append(got, "")
	}
	compareLines(t, "the statements", strings.Join(got, "\n"), strings.ReplaceAll(`
		LOCK TABLE ONLY "public"."event_master" IN ACCESS SHARE MODE
		LOCK TABLE ONLY "public"."event_2018_11" IN ACCESS EXCLUSIVE MODE
		ALTER TABLE "public"."event_2018_11" ADD CONSTRAINT "{mark}" CHECK ("created_at" IS NOT NULL AND "created_at" >= '2018-11-01 00:00:00'::timestamp without time zone AND "created_at" < '2018-12-01 00:00:00'::timestamp without time zone) NOT VALID

		ALTER TABLE "public"."event_2018_11" VALIDATE CONSTRAINT "{mark}"

		ALTER TABLE "public"."event_master" DETACH PARTITION "public"."event_2018_11"

		LOCK TABLE ONLY "public"."event_2018_11" IN ACCESS EXCLUSIVE MODE
		ALTER TABLE "public"."event_2018_11" ADD CONSTRAINT partition_bounds CHECK ("created_at" IS NOT NULL AND "created_at" >= '2018-11-01 00:00:00'::timestamp without time zone AND "created_at" < '2018-12-01 00:00:00'::timestamp without time zone) NOT VALID

		ALTER TABLE "public"."event_2018_11" VALIDATE CONSTRAINT partition_bounds

		LOCK TABLE ONLY "public"."event_2018_11" IN ACCESS EXCLUSIVE MODE
		ALTER TABLE "public"."event_2018_11" DROP CONSTRAINT "{mark}"
		ALTER TABLE "public"."event_2018_11" SET SCHEMA "old"`, "{mark}", partition.RetireMark(set.Parent)))
}

// interruptDetach begins to detach a partition, and ends while it waits for a reader.
func (a *applied) interruptDetach(table string) {
	a.t.Helper()
	reader, err := a.Conn(a.t).BeginTx(a.t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		a.t.Fatal(err)
	}
	runSQL(a.t, reader.Conn(), "SELECT FROM event_master WHERE created_at > '2100-01-01'")
	conn := a.Conn(a.t)
	runSQL(a.t, conn, "SET lock_timeout = '10ms'")
	if _, err := conn.Exec(a.t.Context(), "ALTER TABLE event_master DETACH PARTITION "+table+" CONCURRENTLY"); err == nil {
		a.t.Fatal("it did not wait for the reader")
	}
	if err := reader.Rollback(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
}

// TestDeclaredHostileNames makes, retires and gives back partitions of a set all of
// whose names are hostile, by the statements of the plan alone.
func TestDeclaredHostileNames(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	role := db.Role(t, "role")
	conn := db.Conn(t)
	q := quoteIdent(hostile)
	pattern, err := partition.ParsePattern(strings.ReplaceAll(hostile, "%", "%%")+"%Y_%m", partition.Interval{N: 1, Unit: partition.Month})
	if err != nil {
		t.Fatal(err)
	}
	set := monthly("x")
	set.Parent, set.Key, set.Pattern = partition.Name{Schema: hostile, Local: hostile}, hostile, pattern
	set.DefaultPartition = true
	set.Trigger, set.Function, set.SweepBatch, set.Grants = hostile, partition.Name{Schema: hostile, Local: hostile}, 10, partition.GrantsExact
	runSQL(t, conn, strings.NewReplacer("{q}", q, "{role}", quoteIdent(role), "{table}", quoteName(set.Parent)).Replace(`
		CREATE SCHEMA {q};
		CREATE TABLE {table} ({q} timestamptz NOT NULL, "order" text, "user" int GENERATED ALWAYS AS (length("order")) STORED, UNIQUE ({q}, "order")) PARTITION BY RANGE ({q});
		CREATE TABLE {q}."%1$s old" PARTITION OF {table} FOR VALUES FROM (MINVALUE) TO ('2001-01-01');
		CREATE TABLE {q}."%1$s rest" PARTITION OF {table} DEFAULT;
		CREATE INDEX "%1$s'""" ON ONLY {table} ("order");
		GRANT SELECT ON {table} TO {role};
		CREATE POLICY {q} ON {table} USING ({q} IS NOT NULL);
		INSERT INTO {table} VALUES (now(), '%1$s'), ('2000-01-01', '')`))
	var kinds []string
	work := func() {
		t.Helper()
		for range 2 {
			snaps, err := Observe(t.Context(), conn, []partition.Set{set})
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range partition.Make(set, snaps[0]).Actions {
				kinds = append(kinds, a.Verb())
				for _, step := range Render(set, snaps[0], a) {
					if step.Alone {
						runSQL(t, conn, step.Statements[0].SQL)
						continue
					}
					tx, err := conn.Begin(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					runAll(t, tx, step)
					if err := tx.Commit(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		snaps, err := Observe(t.Context(), conn, []partition.Set{set})
		if err != nil {
			t.Fatal(err)
		}
		if p := partition.Make(set, snaps[0]); !p.Empty() {
			t.Fatalf("left: %v %v", p.Actions, p.Problems)
		}
	}
	work()
	runSQL(t, conn, fmt.Sprintf(`ALTER TABLE %[1]s."%%1$s old" ADD CONSTRAINT %[2]s CHECK (%[1]s IS NOT NULL AND %[1]s < '2001-01-01'::timestamptz);
		ALTER TABLE %[3]s DETACH PARTITION %[1]s."%%1$s old"`, q, partition.RetireMark(set.Parent), quoteName(set.Parent)))
	work()
	set.Retention = partition.Retention{Keep: partition.Interval{N: 1, Unit: partition.Year}, Then: partition.Drop, MaxShare: 1}
	work()
	want := []string{"align", "create", "align", "index", "index", "attach index", "notify", "analyze", "attach", "drop", "analyze"}
	if !slices.Equal(kinds, want) {
		t.Errorf("done: %q, want %q", kinds, want)
	}
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM "+quoteName(set.Parent)).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// TestIndexBesideForeignTable: an index that was made ON ONLY a parent with a foreign
// table among its partitions never becomes valid, and the plan says so once the others
// have their parts of it, in place of trying again and again.
func TestIndexBesideForeignTable(t *testing.T) {
	t.Parallel()
	a := newApplied(t, declaredMonths+`CREATE FOREIGN DATA WRAPPER none; CREATE SERVER away FOREIGN DATA WRAPPER none;
		CREATE FOREIGN TABLE event_2019_01 PARTITION OF event_master FOR VALUES FROM ('2019-01-01') TO ('2019-02-01') SERVER away`)
	a.set.Retention.Then, a.set.Ahead = partition.Keep, 0
	snap := a.observe()
	for _, act := range partition.Make(a.set, snap).Actions {
		if act.Kind == partition.Analyze {
			continue // There is nobody to ask.
		}
		if _, err := a.apply(snap, act); err != nil {
			t.Errorf("%s: %v", act, err)
		}
	}
	p := partition.Make(a.set, a.observe())
	for _, act := range p.Actions {
		if act.Kind != partition.Analyze {
			t.Errorf("left: %s", act)
		}
	}
	if len(p.Problems) != 1 || !strings.Contains(p.Problems[0].Text, "its index whole is not valid, and cannot become so") {
		t.Errorf("problems: %v", p.Problems)
	}
}
