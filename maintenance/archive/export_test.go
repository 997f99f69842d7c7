package archive

import (
	"context"
	"encoding/csv"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/archive/parquetfile"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestRoundTrip archives values that have been lost by others, loads them back
// and has the server compare. The session's own settings would spoil them.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	conn := db.Conn(t)
	f := &fixture{t: t, conn: conn}
	for _, sql := range []string{
		`CREATE SCHEMA "Sch.ema"`,
		`CREATE TYPE "Sch.ema"."Mood" AS ENUM ('so so', 'ha"ppy')`,
		`CREATE TYPE pair AS (a int, b text)`,
		`CREATE DOMAIN positive AS int CHECK (VALUE > 0)`,
		`CREATE TABLE "Sch.ema"."Event 2018"",11" (
			gone int, t text, "At, ""quoted""" timestamp, also_gone text, "two
lines" text, instant timestamptz, day date, i interval, b bytea, n numeric, f8 float8, f4 float4, j json, jb jsonb, x xml,
			texts text[], grid int[], pairs pair[], p point, mood "Sch.ema"."Mood", pos positive, m money, r tstzrange,
			u uuid, c char(5), net inet, bits bit varying, reg regclass, ts tsvector, one "char",
			twice numeric GENERATED ALWAYS AS (n * 2) STORED)`,
		`ALTER TABLE "Sch.ema"."Event 2018"",11" DROP gone, DROP also_gone`,
		`INSERT INTO "Sch.ema"."Event 2018"",11" VALUES (
			E'comma, "quote", ''single'', back\\slash,\ttab,\r\nline\n\\.\nend', '2018-11-01 00:00:00.000001', '', '2018-11-01 02:30+01', '2018-11-30',
			'-1 year 2 mons -3 days 04:05:06.789', '\x00ff0a225c', 'NaN', 0.1::float8 + 0.2, 'NaN', '{"a" : 1,  "b":"\n", "a":2}', '{"é": null}',
			'bare <a>,"</a>', ARRAY['', NULL, 'NULL', 'a,b', 'q"', E'\n'], '[2:3][0:1]={{1,NULL},{3,4}}', ARRAY[ROW(1, 'x,"'), ROW(NULL, '')]::pair[],
			'(0.1,-0)', 'ha"ppy', 7, '-1234.56', '["2018-11-01 00:00+00",)', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'ab', '::1/64', B'0101',
			'"Sch.ema"."Event 2018"",11"', 'a fat cat', 'x')`,
		`INSERT INTO "Sch.ema"."Event 2018"",11" (t) VALUES (NULL), (''), ('NULL'), ('\N'), ('\.'), (' padded '), (E'\n'), ('"'), ('日本語 🙂 é')`,
		`INSERT INTO "Sch.ema"."Event 2018"",11" ("At, ""quoted""", instant, day, n, f8, f4, i, m) VALUES
			('infinity', '-infinity', 'infinity', '1.10', '-0', 'infinity', '1 day', '0.01'),
			('-infinity', 'infinity', '4713-01-01 BC', '1e-30', '-infinity', 1e-10, '24 hours', '92233720368547758.07'),
			('294276-12-31 23:59:59.999999', '2018-11-01 12:34:56.789', '5874897-12-31', 'infinity', 1e-300, '-0', '0', NULL)`,
		`INSERT INTO "Sch.ema"."Event 2018"",11" SELECT * FROM (SELECT t, '2018-11-15'::timestamp AS at FROM "Sch.ema"."Event 2018"",11") AS again`, // equal rows
		`SET DateStyle = 'German'`, `SET TimeZone = 'America/New_York'`, `SET extra_float_digits = -5`, `SET bytea_output = 'escape'`,
		`SET IntervalStyle = 'iso_8601'`, `SET search_path = "Sch.ema", public`, `SET xmloption = document`,
	} {
		f.exec(sql)
	}
	f.spec = Spec{
		Place: Place{Parent: partition.Name{Schema: "Sch.ema", Local: `Event",`}, Bounds: november},
		Store: NewDirectory(t.TempDir()), Options: Options{Format: CSV},
		Table: partition.Name{Schema: "Sch.ema", Local: `Event 2018",11`},
		Key:   `At, "quoted"`,
	}
	f.identify()
	m := f.ensure()

	if m.Content.Rows != 26 || m.Content.Method != HashText {
		t.Errorf("archived %+v", m.Content)
	}
	if m.KeyColumn != (Key{Column: `At, "quoted"`, Type: "timestamp without time zone", Min: "-infinity", Max: "infinity"}) {
		t.Errorf("the key is %+v", m.KeyColumn)
	}
	if len(m.Generated) != 1 || m.Generated[0].Name != "twice" || !strings.Contains(m.Generated[0].Generated, "n * ") {
		t.Errorf("generated are %+v", m.Generated)
	}
	// Another reader of CSV sees the same rows, whatever is in them.
	all, err := csv.NewReader(strings.NewReader(f.csv(m))).ReadAll()
	if err != nil || int64(len(all)-1) != m.Content.Rows || len(all[0]) != len(m.Columns) || all[0][2] != m.Columns[2].Name {
		t.Errorf("read %d records of %q: %v", len(all), all[0], err)
	}
	for _, want := range []string{
		`2018-11-01 00:00:00.000001`, `2018-11-01 01:30:00+00`, `-10 mons -3 days +04:05:06.789`, `\x00ff0a225c`, `0.30000000000000004`,
		`-$1,234.56`, `"""Sch.ema"".""Event 2018"""",11"""`, `4713-01-01 BC`, `294276-12-31 23:59:59.999999`, `-infinity`,
	} {
		if !strings.Contains(f.csv(m), want) {
			t.Errorf("the CSV lacks %s", want)
		}
	}
	var zone string
	if err := conn.QueryRow(t.Context(), "SHOW TimeZone").Scan(&zone); err != nil || zone != "America/New_York" {
		t.Errorf("the session's time zone is now %q, %v", zone, err)
	}
	back := partition.Name{Schema: "public", Local: "back"}
	f.restore(f.sql(), back, m)
	if got, want := f.digest(back), f.digest(f.spec.Table); got != want {
		t.Errorf("loaded %s, the table has %s", got, want)
	}
	// The hash looks at everything but the generated column; that follows from the rest.
	var differ int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM back WHERE twice IS DISTINCT FROM n * 2`).Scan(&differ); err != nil || differ != 0 {
		t.Errorf("%d generated values differ, %v", differ, err)
	}
}

func TestRoundTripOfFastHash(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "id integer NOT NULL, program_id varchar, dialogue varchar(10000), at timestamp")
	f.spec.Format = Parquet
	f.exec(`INSERT INTO ` + f.sql() + ` SELECT i, NULLIF('p' || i % 7, 'p0'), CASE WHEN i % 5 > 0 THEN repeat(E'"\n', i % 50) END,
		'2018-11-01'::timestamp + i * interval '1 minute' FROM generate_series(1, 5000) i`)
	m := f.ensure()
	if m.Content.Method != HashRecord || m.Content.Rows != 5000 {
		t.Errorf("archived %+v", m.Content)
	}
	back := partition.Name{Schema: "public", Local: "back"}
	f.restore(f.sql(), back, m)
	if got, want := f.digest(back), f.digest(f.spec.Table); got != want {
		t.Errorf("loaded %s, the table has %s", got, want)
	}
}

// TestOneColumn has rows that are empty lines in CSV.
func TestOneColumn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "at date")
	f.exec("INSERT INTO " + f.sql() + " VALUES (NULL), ('2018-11-01'), (NULL)")
	m := f.ensure()
	if got := f.csv(m); m.Content.Rows != 3 || got != "at\n\n2018-11-01\n\n" {
		t.Errorf("archived %d rows as %q", m.Content.Rows, got)
	}
	back := partition.Name{Schema: "public", Local: "back"}
	f.restore(f.sql(), back, m)
	if got, want := f.digest(back), f.digest(f.spec.Table); got != want {
		t.Errorf("loaded %s, the table has %s", got, want)
	}
}

func TestNoRows(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "at timestamp, n numeric")
	m := f.ensure()
	if m.Content.Rows != 0 || m.Content.Hash != "0" || m.KeyColumn.Min != "" || m.KeyColumn.Max != "" || f.csv(m) != "at,n\n" {
		t.Errorf("archived %+v, key %+v", m.Content, m.KeyColumn)
	}
	f.wantFound(m)
	if err := f.drop(m); err != nil {
		t.Error(err)
	}
}

// TestFilesArePrivate asserts what others may do with an archive.
func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "at timestamp")
	f.ensure()
	err := filepath.WalkDir(f.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == f.root {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[e.IsDir()]; info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestOnlyOwnRows asserts that tables that inherit from the partition are left out.
func TestOnlyOwnRows(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "at timestamp")
	f.exec("CREATE TABLE grandchild () INHERITS (" + f.sql() + ")")
	f.exec("INSERT INTO " + f.sql() + " VALUES ('2018-11-01')")
	f.exec("INSERT INTO grandchild VALUES ('2018-11-02')")
	if m := f.ensure(); m.Content.Rows != 1 || f.csv(m) != "at\n2018-11-01 00:00:00\n" {
		t.Errorf("archived %d rows: %s", m.Content.Rows, f.csv(m))
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "at timestamp")
	f.exec("INSERT INTO " + f.sql() + " VALUES ('2018-11-01'), ('2018-11-02')")
	f.exec("CREATE VIEW v AS SELECT * FROM " + f.sql())
	refused := func(name string, change func(*Spec), match func(error) bool) {
		t.Helper()
		spec := f.spec
		change(&spec)
		if _, err := Ensure(t.Context(), f.conn, spec); err == nil || !match(err) {
			t.Errorf("%s: got %v", name, err)
		}
		if got := f.files(); len(got) != 0 {
			t.Errorf("%s: left %q", name, got)
		}
		if status := f.conn.PgConn().TxStatus(); status != 'I' {
			t.Errorf("%s: left a transaction, status %c", name, status)
		}
	}
	says := func(text string) func(error) bool {
		return func(err error) bool { return strings.Contains(err.Error(), text) }
	}
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	refused("another OID", func(s *Spec) { s.OID++ }, is(ErrOtherTable))
	refused("a missing table", func(s *Spec) { s.Table.Local = "missing" }, says("42P01"))
	refused("a view", func(s *Spec) { s.Table.Local = "v" }, says("relkind"))
	refused("no such key", func(s *Spec) { s.Key = "when" }, says(`no column "when"`))
	refused("a root that is not there", func(s *Spec) { s.Store = NewDirectory(f.root + "/missing") }, is(fs.ErrNotExist))
	refused("a format that is not known", func(s *Spec) { s.Format = "xml" }, says("xml"))

	f.exec("BEGIN")
	if _, err := Ensure(t.Context(), f.conn, f.spec); err == nil || !strings.Contains(err.Error(), "in a transaction") {
		t.Errorf("in a transaction: got %v", err)
	}
	f.exec("ROLLBACK")
}

// TestNoCharacters has a byte that is no character, which PostgreSQL 15 and later print
// as an escape. Older ones would not take back what they print.
func TestNoCharacters(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `at timestamp, c "char"`)
	f.exec("INSERT INTO " + f.sql() + ` VALUES ('2018-11-01', 'a'), ('2018-11-02', (-1)::"char")`)
	var escaped bool
	if err := f.conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int >= 150000").Scan(&escaped); err != nil {
		t.Fatal(err)
	}
	if escaped {
		f.restore(f.sql(), partition.Name{Schema: "public", Local: "back"}, f.ensure())
		return
	}
	if _, err := Ensure(t.Context(), f.conn, f.spec); !errors.Is(err, parquetfile.ErrNoCharacters) || len(f.files()) != 0 {
		t.Errorf("archived with %v, left %q", err, f.files())
	}
}

// TestHiddenRows asserts that rows which the role cannot see make an error: an
// archive without them would pass every other check.
func TestHiddenRows(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	f := fixtureOn(t, db.Conn(t), t.TempDir(), "event", "at timestamp, secret boolean")
	role := db.Role(t, "reader")
	f.exec("INSERT INTO " + f.sql() + " VALUES ('2018-11-01', true), ('2018-11-01', false)")
	f.exec("ALTER TABLE " + f.sql() + " ENABLE ROW LEVEL SECURITY")
	f.exec("CREATE POLICY visible ON " + f.sql() + " USING (NOT secret)")
	f.exec("GRANT SELECT ON " + f.sql() + " TO " + role)
	f.conn = db.ConnAs(t, role)
	_, err := Ensure(t.Context(), f.conn, f.spec)
	if pe, ok := errors.AsType[*pgconn.PgError](err); !ok || pe.Code != "42501" {
		t.Errorf("got %v", err)
	}
	if got := f.files(); len(got) != 0 {
		t.Errorf("left %q", got)
	}
}

// TestLockBeforeSnapshot has a row committed while the export waits for its lock.
func TestLockBeforeSnapshot(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	f := fixtureOn(t, db.Conn(t), t.TempDir(), "event", "at timestamp")
	writer := &fixture{t: t, conn: db.Conn(t)}
	writer.exec("BEGIN")
	writer.exec("LOCK TABLE " + f.sql() + " IN ACCESS EXCLUSIVE MODE")
	var m Manifest
	done := make(chan error)
	go func() {
		ms, err := Ensure(t.Context(), f.conn, f.spec)
		if err == nil {
			m = ms[0]
		}
		done <- err
	}()
	for waiting := false; !waiting; {
		err := writer.conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = $1 AND NOT granted)", f.spec.OID).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	writer.exec("INSERT INTO " + f.sql() + " VALUES ('2018-11-01')")
	writer.exec("COMMIT")
	if err := <-done; err != nil || m.Content.Rows != 1 {
		t.Errorf("archived %d rows, %v", m.Content.Rows, err)
	}
}

// TestNeverOverwrites asserts what the names rest on.
func TestNeverOverwrites(t *testing.T) {
	t.Parallel()
	d := NewDirectory(t.TempDir())
	put := func(text string) error {
		f, err := d.Temp(t.Context(), "a/b")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		return d.Put(t.Context(), f, "a/b/part")
	}
	if err := put("first"); err != nil {
		t.Fatal(err)
	}
	if err := put("second"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	if text, err := content(t.Context(), d, "a/b/part"); err != nil || string(text) != "first" {
		t.Errorf("the part is now %q, %v", text, err)
	}
	if left, err := filepath.Glob(filepath.Join(d.root, "a", "b", ".*")); err != nil || len(left) != 0 {
		t.Errorf("left %q, %v", left, err)
	}
}

// TestRoundTripOfParquet has the values of [TestRoundTrip] that Parquet has no form
// for, in a table that is exported twice for their sake.
func TestRoundTripOfParquet(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "at timestamp, instant timestamptz, day date, n numeric(20,4), any_n numeric, f8 float8, b bytea, j jsonb, texts text[], u uuid, net inet, big int8")
	f.spec.Format = Parquet
	f.exec(`INSERT INTO ` + f.sql() + ` VALUES
		('infinity', '-infinity', 'infinity', 'NaN', '1.10', '-0', '\x00ff', '{"a": 1.0}', ARRAY['', NULL, 'NULL'], 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::1/64', -9223372036854775808),
		('2018-11-01 00:00:00.000001', '2018-11-01 00:00+00', '4713-01-01 BC', '-1234567890123456.7890', 'infinity', 'NaN', '', 'null', '[2:2]={x}', NULL, NULL, 9223372036854775807),
		(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`)
	m := f.ensure()
	text := map[string]bool{}
	for _, c := range m.Parquet {
		text[c.Name] = c.AsText
	}
	for name, want := range map[string]bool{"at": true, "instant": true, "day": true, "n": true, "any_n": true, "texts": true, "net": true, "f8": false, "b": false, "j": false, "u": false, "big": false} {
		if text[name] != want {
			t.Errorf("the manifest has %s as text: %t, want %t", name, text[name], want)
		}
	}
	f.wantFound(m) // and nothing of the first attempt
	back := partition.Name{Schema: "public", Local: "back"}
	f.restore(f.sql(), back, m)
	if got, want := f.digest(back), f.digest(f.spec.Table); got != want {
		t.Errorf("loaded %s, the table has %s", got, want)
	}
	if err := f.drop(m); err != nil {
		t.Error(err)
	}
}

// TestParts has an export of several files, in both formats.
func TestParts(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		f := newFixture(t, "at timestamp, body text")
		f.spec.Format, f.spec.PartBytes = format, 1<<20
		// A row group of Parquet is 8 MiB.
		f.exec(`INSERT INTO ` + f.sql() + ` SELECT '2018-11-01', (SELECT string_agg(md5(i::text || j::text), '') FROM generate_series(1, 160) j)
			FROM generate_series(1, 6000) i`)
		var last Progress
		f.spec.Progress = func(p Progress) { last = p }
		m := f.ensure()
		if len(m.Parts) < 3 || m.Content.Rows != 6000 || m.Digest.Rows != 6000 {
			t.Errorf("%s: %d parts, %s", format, len(m.Parts), m.Digest)
		}
		if last.Bytes < 20<<20 || last.Rows < 4000 {
			t.Errorf("%s: the last progress was %+v", format, last)
		}
		f.wantFound(m)
		back := partition.Name{Schema: "public", Local: "back"}
		f.restore(f.sql(), back, m)
		if got, want := f.digest(back), f.digest(f.spec.Table); got != want {
			t.Errorf("%s: loaded %s, the table has %s", format, got, want)
		}
		f.exec("INSERT INTO back SELECT * FROM back LIMIT 1")
		err := pgx.BeginFunc(t.Context(), f.conn, func(tx pgx.Tx) error { return EqualRows(t.Context(), tx, []Manifest{m}, back) })
		if !errors.Is(err, ErrChanged) {
			t.Errorf("%s: with a row twice: got %v", format, err)
		}
	}
}

// TestLimit asserts that a limit makes the stream wait: its bucket is empty then.
func TestLimit(t *testing.T) {
	t.Parallel()
	limiter := newLimiter(1 << 20)
	p := &paced{ctx: t.Context(), w: io.Discard, limiter: limiter}
	for range 10 {
		if _, err := p.Write(make([]byte, 20<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if tokens := limiter.Tokens(); tokens > pace/2 || p.owed >= pace {
		t.Errorf("%g bytes are free, %d are owed", tokens, p.owed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.ctx = ctx
	if _, err := p.Write(make([]byte, 1<<20)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if newLimiter(0) != nil {
		t.Error("no limit is one")
	}
}
