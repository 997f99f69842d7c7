package maintenance_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// oldRows makes rows of the month -14, with values of types that Parquet has no
// form for.
const oldRows = `INSERT INTO events (at, what, amount, tags)
	SELECT date_trunc('month', now()) - interval '14 months' + i * interval '1 hour',
		CASE i %% 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE E'a "b", c''d\n\\. \\N \t\u00e9' || i END, (i / 7.0)::numeric, ARRAY['x', NULL, i::text]
	FROM generate_series(1, %d) i`

const restoreSet = "[[set]]\nparent = \"public.events\"\nkey = \"at\"\nlimits = { retry_wait = \"1ms\", max_retry_wait = \"2ms\" }\n" +
	"retention = { keep = \"12 months\", then = \"archive\", archive = \"file://%s\", max_share = 1, late_grace = \"0s\" }\n"

// archivedMonth makes a set with all that a partition can have from its parent,
// and archives the month -14 of it, with 300 rows.
func archivedMonth(t *testing.T, format archive.Format) *scenario {
	t.Helper()
	s := newScenario(t)
	s.m.Archiving = maintenance.Archiving{Format: format, PartBytes: 4 << 10}
	s.section("set.toml", fmt.Sprintf(restoreSet, s.archive))
	reader := s.db.Role(t, "reader")
	s.section("parent.sql", fmt.Sprintf(`
		CREATE TABLE events (id bigserial, gone int, at timestamptz NOT NULL DEFAULT now(), what text COLLATE "C" CHECK (what <> 'never'),
			amount numeric, tags text[], twice numeric GENERATED ALWAYS AS (amount * 2) STORED, PRIMARY KEY (id, at)) WITH (fillfactor = 90);
		ALTER TABLE events DROP COLUMN gone; ALTER TABLE events ALTER what SET STORAGE EXTERNAL;
		CREATE INDEX ON events (at); CREATE INDEX ON events (lower(what)) WHERE amount > 1;
		COMMENT ON COLUMN events.what IS 'that'; GRANT SELECT ON events TO %[1]s; GRANT INSERT (what) ON events TO %[1]s;
		ALTER TABLE events ENABLE ROW LEVEL SECURITY; CREATE POLICY all_of_it ON events USING (true)`, reader))
	s.mustPass(maintenance.Done)
	s.section("old.sql", fmt.Sprintf(oldRows, 300))
	return s
}

func (s *scenario) mustPass(want maintenance.Status) {
	s.t.Helper()
	if report, err := s.m.Pass(s.t.Context(), nil, s.sets); err != nil || report.Status() != want {
		s.t.Fatalf("the pass is %s, want %s: %+v, %v", report.Status(), want, report, err)
	}
}

// request asks for all that there is in the archive, held for a month.
func (s *scenario) request() maintenance.RestoreRequest {
	s.t.Helper()
	store, err := s.m.OpenStore(s.sets[0])
	if err != nil {
		s.t.Fatal(err)
	}
	all, err := archive.List(s.t.Context(), store, s.sets[0].Parent)
	if err != nil {
		s.t.Fatal(err)
	}
	r := maintenance.RestoreRequest{Set: s.sets[0], HoldUntil: time.Now().Add(30 * 24 * time.Hour)}
	for _, e := range all {
		if !e.Superseded {
			r.Manifests = append(r.Manifests, e.Manifest)
		}
	}
	return r
}

// heldLeft asserts that nothing is to be done but what the hold of the restored
// month keeps from happening.
func (s *scenario) heldLeft() {
	s.t.Helper()
	s.section("left", s.name(`held archive public.events_{{month -14 "2006_01"}}`))
}

func (s *scenario) text(query string) string {
	s.t.Helper()
	return strings.TrimSpace(rows(s.t, s.conn, query))
}

const digestOf = `SELECT count(*), md5(coalesce(string_agg(t::text, E'\n' ORDER BY id, at), '')) FROM %s t`

// nothingLeft asserts that a restore that did not happen has left no table and no word.
func (s *scenario) nothingLeft() {
	s.t.Helper()
	if got := s.text(`SELECT count(*) FROM pg_class WHERE relname LIKE 'partitiond\_%' AND relpersistence = 'p' OR relname LIKE 'events_' || to_char(now() - interval '14 months', 'YYYY') || '%'
		AND relname LIKE '%' || to_char(date_trunc('month', now()) - interval '14 months', 'MM')`); got != "0" {
		s.t.Errorf("%s tables were left", got)
	}
	if there := s.text("SELECT to_regclass('partitiond.restored') IS NOT NULL"); there == "t" {
		if got := s.text("SELECT count(*) FROM partitiond.restored"); got != "0" {
			s.t.Errorf("%s notes of a restore were left", got)
		}
	}
	if there := s.text("SELECT to_regclass('partitiond.hold') IS NOT NULL"); there == "t" {
		if got := s.text("SELECT count(*) FROM partitiond.hold"); got != "0" {
			s.t.Errorf("%s holds were left", got)
		}
	}
}

// TestRestore archives a month and brings it back: the same rows, in a table
// like those that a pass makes, with nothing left to do, and not retired again.
func TestRestore(t *testing.T) {
	t.Parallel()
	for _, format := range []archive.Format{archive.Parquet, archive.CSV} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			s := archivedMonth(t, format)
			before := s.text(fmt.Sprintf(digestOf, "events"))
			s.mustPass(maintenance.Done)
			if got := s.text("SELECT count(*) FROM events"); got != "0" {
				t.Fatalf("%s rows are left, want them archived", got)
			}
			request := s.request()
			var told archive.Progress
			request.Progress = func(p archive.Progress) { told = p }
			done, err := s.m.Restore(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if want := s.name(`public.events_{{month -14 "2006_01"}}`); done.Table != want || done.Rows != 300 || len(done.Left) != 0 || done.Hold == 0 {
				t.Errorf("restored %+v, want 300 rows in %s, a hold, and nothing left", done, want)
			}
			if told.Rows != 300 || told.TotalRows != 300 {
				t.Errorf("the progress ended with %+v", told)
			}
			if got := s.text(fmt.Sprintf(digestOf, "events")); got != before {
				t.Errorf("the rows are %s, archived were %s", got, before)
			}
			s.likeSibling(done.Table, s.name(`public.events_{{month 0 "2006_01"}}`))
			var oid uint32
			if err := s.conn.QueryRow(t.Context(), "SELECT $1::text::regclass::oid", done.Table).Scan(&oid); err != nil {
				t.Fatal(err)
			}
			if keys, err := postgres.RestoredFrom(t.Context(), s.conn, oid); err != nil || len(keys) != 1 || keys[0] != request.Manifests[0].Key {
				t.Errorf("it was restored from %q (%v), want %q", keys, err, request.Manifests[0].Key)
			}
			s.heldLeft()
			s.mustPass(maintenance.Idle)
			if got := s.text(fmt.Sprintf(digestOf, "ONLY "+done.Table)); got != before {
				t.Errorf("after the next pass the rows are %s, want %s", got, before)
			}
			if _, err := s.m.Restore(t.Context(), request); !errors.Is(err, maintenance.ErrNoPlace) || !strings.Contains(err.Error(), done.Table) {
				t.Errorf("a second restore gives %v, want ErrNoPlace", err)
			}
		})
	}
}

// likeSibling compares a restored table with one that a pass has made.
func (s *scenario) likeSibling(table, sibling string) {
	s.t.Helper()
	for what, query := range map[string]string{
		"columns": `SELECT attnum, attname, format_type(atttypid, atttypmod), attislocal, attinhcount, attnotnull, attstorage, attgenerated, attcollation::regcollation,
			(SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum), attacl, col_description(attrelid, attnum)
			FROM pg_attribute WHERE attrelid = '%[1]s'::regclass AND attnum > 0 ORDER BY 1`,
		"constraints": `SELECT replace(conname, '%[2]s', 'table'), contype, conislocal, coninhcount, convalidated,
			CASE WHEN conname = 'partition_bounds' THEN '' ELSE pg_get_constraintdef(oid) END FROM pg_constraint WHERE conrelid = '%[1]s'::regclass ORDER BY 1`,
		"indexes":  `SELECT replace(pg_get_indexdef(indexrelid), '%[2]s', 'table') FROM pg_index WHERE indrelid = '%[1]s'::regclass AND indisvalid ORDER BY 1`,
		"table":    `SELECT relowner, relacl, reloptions, relrowsecurity, relforcerowsecurity, relreplident FROM pg_class WHERE oid = '%[1]s'::regclass`,
		"policies": `SELECT polname, pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = '%[1]s'::regclass`,
		"parents":  `SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = '%[1]s'::regclass`,
	} {
		of := func(name string) string {
			return s.text(fmt.Sprintf(query, name, strings.TrimPrefix(name, "public.")))
		}
		s.compare(what, of(sibling), of(table))
	}
	if s.text(fmt.Sprintf("SELECT count(*) FROM pg_stats WHERE schemaname || '.' || tablename = '%s' AND NOT inherited", table)) == "0" {
		s.t.Errorf("%s was not analyzed", table)
	}
}

// restoredTwo archives the month in two exports, 320 rows in all, and restores it.
func restoredTwo(t *testing.T) *scenario {
	t.Helper()
	s := archivedMonth(t, archive.Parquet)
	s.mustPass(maintenance.Done)
	s.section("late.sql", fmt.Sprintf(oldRows, 20))
	s.mustPass(maintenance.Done)
	request := s.request()
	if len(request.Manifests) != 2 || request.Manifests[0].Late || !request.Manifests[1].Late {
		t.Fatalf("the exports are %+v, want two and the second late", request.Manifests)
	}
	if _, err := s.m.Restore(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRestoreLate brings back what was archived in several parts, as one.
func TestRestoreLate(t *testing.T) {
	t.Parallel()
	s := restoredTwo(t)
	s.query = "SELECT count(*), count(DISTINCT id) FROM events"
	s.section("result", "320 | 320")
	s.heldLeft()
}

// TestRestoredIsNotArchivedTwice lets retention have the restored month again: as
// long as its rows are the archived ones, nothing is added to the archive.
func TestRestoredIsNotArchivedTwice(t *testing.T) {
	t.Parallel()
	s := restoredTwo(t)
	s.section("release.sql", "DELETE FROM partitiond.hold")
	s.mustPass(maintenance.Done)
	if got := s.text("SELECT count(*) FROM events"); got != "0" {
		t.Errorf("%s rows are left, want them archived", got)
	}
	if again := s.request(); len(again.Manifests) != 2 {
		t.Errorf("there are %d exports, before there were 2", len(again.Manifests))
	}
}

// TestRestoredAndChanged deletes rows of a restored month. Its new export counts
// instead of those that it was restored from, whose files stay.
func TestRestoredAndChanged(t *testing.T) {
	t.Parallel()
	s := restoredTwo(t)
	old := s.request().Manifests
	s.section("change.sql", "DELETE FROM events WHERE id <= 10; DELETE FROM partitiond.hold")
	s.mustPass(maintenance.Done)
	request := s.request()
	if len(request.Manifests) != 1 || request.Manifests[0].Late || len(request.Manifests[0].RestoredFrom) != 2 {
		t.Fatalf("the exports that count are %+v, want one restored from two", request.Manifests)
	}
	store, err := s.m.OpenStore(s.sets[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range old {
		if err := archive.Verify(t.Context(), store, m, nil); err != nil {
			t.Errorf("the earlier export: %v", err)
		}
	}
	if _, err := s.m.Restore(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	s.query = "SELECT count(*), min(id) FROM events"
	s.section("result", "310 | 11")
}

// TestRestoreInto makes a plain table, while another instance is at work on the set.
func TestRestoreInto(t *testing.T) {
	t.Parallel()
	s := archivedMonth(t, archive.Parquet)
	before := s.text(fmt.Sprintf(digestOf, "(SELECT id, at, what, amount, tags FROM events)"))
	s.mustPass(maintenance.Done)
	lock, err := postgres.AcquirePassLock(t.Context(), s.db.Conn(t), s.sets)
	if err != nil || !lock.Held(0) {
		t.Fatalf("the lock: %v", err)
	}
	request := s.request()
	if _, err := s.m.Restore(t.Context(), request); !errors.Is(err, maintenance.ErrBusy) {
		t.Errorf("beside another instance: %v, want ErrBusy", err)
	}
	request.Into = partition.Name{Schema: "public", Local: `Old "rows"`}
	if _, err := s.m.Restore(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if got := s.text(fmt.Sprintf(digestOf, `"Old ""rows"""`)); got != before {
		t.Errorf("the rows are %s, archived were %s", got, before)
	}
	s.query = `SELECT (SELECT count(*) FROM pg_inherits WHERE inhrelid = c.oid), (SELECT count(*) FROM pg_attribute WHERE attrelid = c.oid AND attnotnull AND attnum > 0) FROM pg_class c WHERE relname = 'Old "rows"'`
	s.section("result", "0 | 2")
	if _, err := s.m.Restore(t.Context(), request); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("into a table that exists: %v", err)
	}
	request.Into.Local = "injected"
	request.Manifests[0].Columns[1].Type = `text); DROP TABLE "Old ""rows"""; SELECT (1`
	if _, err := s.m.Restore(t.Context(), request); err == nil {
		t.Error("a type that is none was accepted")
	}
	s.query = `SELECT to_regclass('"Old ""rows"""') IS NOT NULL, to_regclass('injected') IS NULL`
	s.section("result", "t | t")
}

// TestRestoreRefuses has parents that the rows do not fit any more. Nothing is left of it.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ sql, want string }{
		"dropped column": {"ALTER TABLE events DROP COLUMN tags", `column "tags" is not in`},
		"other type":     {"ALTER TABLE events ALTER id TYPE integer", `column "id" is of type bigint`},
		"overlap": {`DO $$ BEGIN EXECUTE format('CREATE TABLE wide (CHECK (at >= %L::timestamptz AND at < %L::timestamptz)) INHERITS (events)',
			now() - interval '16 months', now() - interval '13 months'); END $$`, "public.wide"},
		"late rows": {fmt.Sprintf(oldRows, 1), "late rows have made it anew"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := archivedMonth(t, archive.CSV)
			s.mustPass(maintenance.Done)
			s.section("change.sql", c.sql)
			was := s.text("SELECT count(*) FROM pg_class")
			_, err := s.m.Restore(t.Context(), s.request())
			if !errors.Is(err, maintenance.ErrNoPlace) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrNoPlace and %q", err, c.want)
			}
			if got := s.text("SELECT count(*) FROM pg_class"); got != was {
				t.Errorf("%s relations, before %s", got, was)
			}
		})
	}
	t.Run("new column", func(t *testing.T) {
		t.Parallel()
		s := archivedMonth(t, archive.CSV)
		s.mustPass(maintenance.Done)
		s.section("change.sql", "ALTER TABLE events ADD added integer NOT NULL DEFAULT 7, ADD free text")
		if _, err := s.m.Restore(t.Context(), s.request()); err != nil {
			t.Fatal(err)
		}
		s.query = "SELECT count(*), min(added), max(added), count(free) FROM events"
		s.section("result", "300 | 7 | 7 | 0")
		s.heldLeft()
	})
}

// TestRestoreDamaged has an archive with one byte changed, and one without its
// last file. Neither leaves anything.
func TestRestoreDamaged(t *testing.T) {
	t.Parallel()
	s := archivedMonth(t, archive.Parquet)
	s.mustPass(maintenance.Done)
	var last string
	err := filepath.WalkDir(s.archive, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".parquet" {
			last = path
		}
		return err
	})
	if err != nil || last == "" {
		t.Fatalf("there is no file: %v", err)
	}
	text, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := errors.Join(os.Chmod(last, 0o600), os.WriteFile(last, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	into := s.request()
	into.Into = partition.Name{Schema: "public", Local: "beside"}
	for _, request := range []maintenance.RestoreRequest{s.request(), into} {
		if _, err := s.m.Restore(t.Context(), request); !isDamaged(err) {
			t.Errorf("with a damaged file: %v", err)
		}
	}
	s.nothingLeft()
	if err := os.Remove(last); err != nil {
		t.Fatal(err)
	}
	if _, err := s.m.Restore(t.Context(), s.request()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	s.nothingLeft()
	s.query = "SELECT to_regclass('beside')"
	s.section("result", "")
	// A manifest that tells of other rows than its files have is caught by the count.
	other := s.request()
	other.Manifests[0].Parts, other.Manifests[0].Content.Hash = other.Manifests[0].Parts[:len(other.Manifests[0].Parts)-1], "1"
	if _, err := s.m.Restore(t.Context(), other); !errors.Is(err, archive.ErrChanged) {
		t.Errorf("with fewer rows than the manifest says: %v", err)
	}
	s.nothingLeft()
}

func isDamaged(err error) bool {
	_, ok := errors.AsType[*archive.DamagedError](err)
	return ok
}

// keeper lets passes be made by a role that is no more than a member of the
// owner, and returns it.
func (s *scenario) keeper() string {
	s.t.Helper()
	owner, keeper := s.db.Role(s.t, "owner"), s.db.Role(s.t, "keeper")
	s.section("owners.sql", fmt.Sprintf(`GRANT %[1]s TO %[2]s; REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT USAGE, CREATE ON SCHEMA public TO %[1]s;
		ALTER TABLE events OWNER TO %[1]s;
		DO $$ DECLARE c text; BEGIN FOR c IN SELECT inhrelid::regclass FROM pg_inherits LOOP EXECUTE 'ALTER TABLE ' || c || ' OWNER TO %[1]s'; END LOOP;
			FOR c IN SELECT oid::regprocedure FROM pg_proc WHERE proname LIKE 'events\_insert\_%%' LOOP EXECUTE 'ALTER FUNCTION ' || c || ' OWNER TO %[1]s'; END LOOP; END $$`, owner, keeper))
	s.m.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, s.db.URLAs(keeper)) }
	return keeper
}

// TestRestorePrivileges restores as a role that is no more than a member of the
// owner: all that it needs beside is the schema for its notes.
func TestRestorePrivileges(t *testing.T) {
	t.Parallel()
	s := archivedMonth(t, archive.Parquet)
	s.mustPass(maintenance.Done)
	s.section("none.sql", "DROP SCHEMA partitiond CASCADE") // As if the role had done all that.
	keeper := s.keeper()
	if _, err := s.m.Restore(t.Context(), s.request()); !errors.Is(err, postgres.ErrHoldsMissing) {
		t.Errorf("without the schema: %v", err)
	}
	s.nothingLeft()
	s.section("schema.sql", "CREATE SCHEMA partitiond AUTHORIZATION "+keeper)
	done, err := s.m.Restore(t.Context(), s.request())
	if err != nil || len(done.Left) != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	s.query = "SELECT count(*) FROM events"
	s.section("result", "300")
	s.likeSibling(done.Table, s.name(`public.events_{{month 0 "2006_01"}}`))
	s.heldLeft()
}

// TestRestoredAndAltered gives the parent another column, or takes one away, while a
// month is restored. What retention then archives has the columns of that day: an
// earlier export has nothing of the new one's values.
func TestRestoredAndAltered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		late        bool
		sql, column string
		want        int
	}{
		"added":        {false, "ALTER TABLE events ADD added text; UPDATE events SET added = 'new'", "added", 300},
		"added, late":  {true, "ALTER TABLE events ADD added text; UPDATE events SET added = 'new'", "added", 320},
		"taken":        {false, "ALTER TABLE events DROP tags", "id", 300},
		"taken, late":  {true, "ALTER TABLE events DROP tags", "id", 320},
		"another type": {true, "ALTER TABLE events ALTER what TYPE varchar", "id", 320},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s *scenario
			if c.late {
				s = restoredTwo(t)
			} else {
				s = archivedMonth(t, archive.Parquet)
				s.mustPass(maintenance.Done)
				if _, err := s.m.Restore(t.Context(), s.request()); err != nil {
					t.Fatal(err)
				}
			}
			s.section("change.sql", c.sql+"; DELETE FROM partitiond.hold")
			s.mustPass(maintenance.Done)
			request := s.request()
			if len(request.Manifests) != 1 {
				t.Fatalf("%d exports count, want one with the columns of the day", len(request.Manifests))
			}
			request.Into = partition.Name{Schema: "public", Local: "beside"}
			if _, err := s.m.Restore(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			if got := s.text("SELECT count(" + c.column + ") FROM beside"); got != fmt.Sprint(c.want) {
				t.Errorf("the archive has %s values of %s, want %d", got, c.column, c.want)
			}
			s.section("left", "")
		})
	}
}
