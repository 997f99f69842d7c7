package parquetfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestColumnsOfHistory has dropped, generated, renamed and inherited columns.
func TestColumnsOfHistory(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	parent := table(t, tx, "parent", "gone integer, id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, twice bigint GENERATED ALWAYS AS (id * 2) STORED")
	run(t, tx, "ALTER TABLE public.parent DROP COLUMN gone, ADD COLUMN late text NOT NULL DEFAULT 'late'")
	run(t, tx, "ALTER TABLE public.parent RENAME COLUMN at TO \"at\"\"Ö.x\"")
	run(t, tx, `CREATE TABLE public.child (own inet) INHERITS (public.parent)`)
	run(t, tx, `INSERT INTO public.child (id, "at""Ö.x", own) VALUES (3, '2018-11-01', '::1'), (4, '2018-11-02', NULL)`)
	// ONLY: the children's rows are theirs.
	run(t, tx, `INSERT INTO public.parent ("at""Ö.x") VALUES ('2018-11-03'), ('2018-11-04')`)

	plan := columnsOf(t, tx, parent)
	var names []string
	for _, c := range plan {
		names = append(names, c.Name)
	}
	if diff := cmp.Diff([]string{"id", `at"Ö.x`, "late"}, names); diff != "" {
		t.Error(diff)
	}
	if got := sum(roundTrip(t, tx, plan, parent, small)); got.Rows != 2 {
		t.Errorf("the parent itself has %v", got)
	}
	child := columnsOf(t, tx, public("child"))
	if len(child) != 4 || child[3].Name != "own" || !child[3].AsText {
		t.Errorf("%+v", child)
	}
	roundTrip(t, tx, child, public("child"), small)
}

// TestQuotedNames has names that have to be quoted, and differ only in case.
func TestQuotedNames(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	run(t, tx, `CREATE SCHEMA "S. ""1"; CREATE TYPE "S. ""1"."T[]" AS ENUM ('x');
		CREATE TABLE "S. ""1"."ta;ble" ("select" integer, "SELECT" "S. ""1"."T[]", "a.b" text[], "a""b" "S. ""1"."T[]"[], " " integer, "%s" point, "ü🌍" text);
		INSERT INTO "S. ""1"."ta;ble" VALUES (1, 'x', '{a}', '{x}', 2, '(1,2)', 'z')`)
	name := partition.Name{Schema: `S. "1`, Local: "ta;ble"}
	roundTrip(t, tx, columnsOf(t, tx, name), name, small)
}

func TestColumnsAsTheyAreKept(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	run(t, tx, "CREATE DOMAIN public.cents AS numeric(12,2); CREATE DOMAIN public.price AS public.cents; CREATE TYPE public.mood AS ENUM ('fine')")
	plan := columnsOf(t, tx, table(t, tx, "t", "a public.price NOT NULL, m public.mood, x varchar(7)[]"))
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"name":"a","type":"public.price"`, `"base_oid":1700,"typmod":786438,"domain":true,"parquet":"decimal(12,2)"}`,
		`"type":"public.mood"`, `"enum":true,"parquet":"string","as_text":true`, `"type":"character varying(7)[]"`, `"array":true`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	var back Plan
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plan, back); diff != "" {
		t.Error(diff)
	}
}

func TestColumnsNeedSettings(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	name := table(t, tx, "t", "a interval")
	for _, s := range []string{"DateStyle = 'SQL, DMY'", "IntervalStyle = 'iso_8601'", "TimeZone = 'Europe/Vienna'", "client_encoding = 'LATIN1'",
		"extra_float_digits = 0", "search_path = public"} {
		run(t, tx, "SET LOCAL "+s)
		if _, err := Columns(t.Context(), tx, name); err == nil || !strings.Contains(err.Error(), strings.Fields(s)[0]) {
			t.Errorf("with %s: %v", s, err)
		}
		if _, err := NewLoader(t.Context(), tx, nil, name); err == nil {
			t.Errorf("with %s a loader is made", s)
		}
		if err := Configure(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
	}
	columnsOf(t, tx, name)
	if _, err := Columns(t.Context(), tx, public("nobody")); err == nil {
		t.Error("a table that is not there has columns")
	}
	if _, err := Columns(t.Context(), tx, table(t, tx, "empty", "")); err == nil {
		t.Error("a table without columns has some")
	}
}

// TestUnvalidatedNotNull is about a constraint that some rows do not meet.
func TestUnvalidatedNotNull(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Since(t, 18, "NOT NULL that does not hold for all rows")
	tx := begin(t, db.Conn(t))
	name := table(t, tx, "t", "a integer", "(NULL)", "(1)")
	run(t, tx, "ALTER TABLE public.t ADD CONSTRAINT n NOT NULL a NOT VALID")
	files := mustExport(t, tx, columnsOf(t, tx, name), name, small)
	if got := sum(files); got.Rows != 2 {
		t.Errorf("%v", got)
	}
}

// TestNoCharacters has bytes that are no characters, which PostgreSQL 15 and later
// print as an escape and older ones as they are.
func TestNoCharacters(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	escapes := ask[int](t, tx, "SELECT current_setting('server_version_num')::int") >= 150000
	for i, values := range []string{`((-1)::"char", NULL)`, `('a', ARRAY[(-128)::"char"])`} {
		name := table(t, tx, fmt.Sprintf("t%d", i), `c "char", a "char"[]`, values)
		plan := columnsOf(t, tx, name)
		if escapes {
			roundTrip(t, tx, plan, name, small)
			continue
		}
		run(t, tx, "SAVEPOINT before")
		if _, err := export(t.Context(), tx, plan, name, small); !errors.Is(err, ErrNoCharacters) {
			t.Errorf("%s: exported with %v", values, err)
		}
		run(t, tx, "ROLLBACK TO before")
	}
}

// TestLossyCast has a type whose cast to text, and from it, is somebody's own.
func TestLossyCast(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	run(t, tx, `CREATE TYPE public.secret AS (a integer, b text);
		CREATE FUNCTION public.hide(public.secret) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'hidden' $$;
		CREATE FUNCTION public.guess(text) RETURNS public.secret LANGUAGE sql IMMUTABLE AS $$ SELECT ROW(0, 'guessed')::public.secret $$;
		CREATE CAST (public.secret AS text) WITH FUNCTION public.hide(public.secret) AS IMPLICIT;
		CREATE CAST (text AS public.secret) WITH FUNCTION public.guess(text) AS IMPLICIT`)
	name := table(t, tx, "t", "v public.secret", "('(1,one)')", "(ROW(NULL, NULL))", "(NULL)")
	if got := ask[string](t, tx, "SELECT v::text FROM public.t LIMIT 1"); got != "hidden" {
		t.Fatalf("the cast gives %q", got)
	}
	roundTrip(t, tx, columnsOf(t, tx, name), name, small)
	if got := ask[string](t, tx, "SELECT string_agg(coalesce(format('%s', v), 'NULL') || num_nulls(v), ' ') FROM public.t_restored"); got != "(1,one)0 (,)0 1" {
		t.Errorf("restored is %q", got)
	}
}

// TestWithoutEncoding has text that is not UTF-8, in a database that does not care.
func TestWithoutEncoding(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	name := db.Name + "_ascii"
	admin := db.Conn(t)
	if _, err := admin.Exec(t.Context(), "CREATE DATABASE "+name+" ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), db.Server.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close(context.Background())
		if _, err := admin.Exec(context.WithoutCancel(t.Context()), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	tx := begin(t, conn)
	tab := table(t, tx, "t", "v text, a text[], d timestamp", `(E'\xff\xfe', ARRAY[E'\xff'], '2018-11-01')`, "('', '{}', NULL)")
	plan := columnsOf(t, tx, tab)
	if plan[0].Parquet != Binary || plan[1].Parquet != Binary || !plan[1].AsText || plan[2].Parquet != Timestamp {
		t.Errorf("%+v", plan)
	}
	roundTrip(t, tx, plan, tab, small)
}
