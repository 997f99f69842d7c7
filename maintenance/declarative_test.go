package maintenance_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
)

// declaredEvents is a declarative set with a year and a half of rows.
const declaredEvents = `CREATE TABLE events (id int GENERATED ALWAYS AS IDENTITY, at timestamp NOT NULL, what text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
	CREATE FUNCTION make(low int, high int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
	  FOR m IN low..high LOOP
	    EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)', to_char(date_trunc('month', localtimestamp) + make_interval(months => m), '"events_"YYYY_MM'),
	      date_trunc('month', localtimestamp) + make_interval(months => m), date_trunc('month', localtimestamp) + make_interval(months => m + 1));
	    INSERT INTO events (at, what) SELECT date_trunc('month', localtimestamp) + make_interval(months => m, hours => i), 'old' FROM generate_series(1, 10) i;
	  END LOOP;
	END $$;`

// TestDetachBesideReader takes a partition out while a transaction that has read the
// set stays open: the wait ends in vain, nobody waits behind it, and a later pass
// brings it to its end.
func TestDetachBesideReader(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.section("set.toml", "[[set]]\nparent = \"public.events\"\nkey = \"at\"\nahead = 0\ndefault_partition = false\nretention = { keep = \"12 months\", then = \"drop\" }\nlimits = { lock_timeout = \"50ms\", retries = 1, retry_wait = \"10ms\" }")
	s.section("parent.sql", declaredEvents+"SELECT make(-14, -14), make(0, 0); ANALYZE events")
	reader := s.db.Conn(t)
	tx, err := reader.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	// He has not looked at the old partition, and so does not keep it from being marked.
	const younger = "SELECT count(*) FROM events WHERE at >= "
	month := "'" + strings.TrimSpace(rows(t, s.conn, "SELECT date_trunc('month', localtimestamp)")) + "'"
	if got := rows(t, reader, younger+month); got != "10\n" {
		t.Fatalf("the reader sees %s", got)
	}
	report, err := s.m.Pass(t.Context(), nil, s.sets)
	if err != nil {
		t.Fatal(err)
	}
	old := "public.events_" + strings.TrimSpace(rows(t, s.conn, "SELECT to_char(date_trunc('month', localtimestamp) - interval '14 months', 'YYYY_MM')"))
	if got, want := passed(report), fmt.Sprintf("partly\nfailed drop %s\nanalyze public.events\nfailed finalize %[1]s\n", old); got != want {
		t.Errorf("beside the reader: got\n%swant\n%s", got, want)
	}
	// It waits for him alone.
	if got := rows(t, s.conn, "SELECT count(*) FROM events"); got != "10\n" {
		t.Errorf("others see %s", got)
	}
	if got := rows(t, reader, "SELECT count(*) FROM events"); got != "20\n" {
		t.Errorf("the reader sees %s", got)
	}
	if err := tx.Rollback(context.Background()); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
		t.Fatal(err)
	}
	s.section("pass", fmt.Sprintf("done\nfinalize %s\ndrop %[1]s\nanalyze public.events", old))
	s.section("left", "")
}

// TestDeclarativeByMember makes passes, moves waiting rows in both ways, archives and
// restores by a role that is no more than a member of the owner.
func TestDeclarativeByMember(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.m.Archiving = maintenance.Archiving{Format: archive.Parquet}
	s.section("set.toml", fmt.Sprintf(restoreSet, s.archive))
	s.section("parent.sql", `CREATE TABLE kinds (kind text PRIMARY KEY);
		CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL DEFAULT now(), what text COLLATE "C" CHECK (what <> 'never'),
			kind text REFERENCES kinds, twice text GENERATED ALWAYS AS (what || what) STORED, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE INDEX ON events (at); ALTER TABLE events ALTER what SET STORAGE EXTERNAL; COMMENT ON COLUMN events.what IS 'that'`)
	keeper := s.keeper()
	s.section("schema.sql", "ALTER TABLE kinds OWNER TO "+s.text("SELECT relowner::regrole FROM pg_class WHERE relname = 'events'")+"; CREATE SCHEMA partitiond AUTHORIZATION "+keeper)
	s.mustPass(maintenance.Done)
	s.section("left", "")
	const insert = `INSERT INTO events (at, what) SELECT date_trunc('month', now()) - interval '%d months' + i * interval '1 hour', 'row' || i FROM generate_series(1, %d) i`
	s.section("few and many.sql", fmt.Sprintf(insert, 2, 3)+";"+fmt.Sprintf(insert, 3, 300)+";"+fmt.Sprintf(insert, 14, 300))
	s.sets[0].SweepBatch = 10
	before := s.text("SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY id, at)) FROM events t WHERE at < now() - interval '12 months'")
	s.mustPass(maintenance.Done)
	s.section("left", "")
	if got := s.text("SELECT count(*), count(DISTINCT tableoid), (SELECT count(*) FROM events_default), (SELECT sum(rows) FROM partitiond.history) FROM events"); got != "303 | 2 | 0 | 300" {
		t.Errorf("rows, their partitions, those in the default one and those in the history: %s", got)
	}
	if got := s.text("SELECT count(DISTINCT relowner) FROM pg_class WHERE relname ~ '^events' AND relkind IN ('r', 'p')"); got != "1" {
		t.Errorf("the tables have %s owners", got)
	}
	done, err := s.m.Restore(t.Context(), s.request())
	if err != nil || len(done.Left) != 0 || done.Rows != 300 {
		t.Fatalf("%+v, %v", done, err)
	}
	if got := s.text("SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY id, at)) FROM events t WHERE at < now() - interval '12 months'"); got != before {
		t.Errorf("restored %s, want %s", got, before)
	}
	s.likeSibling(done.Table, s.name(`public.events_{{month 0 "2006_01"}}`))
	s.heldLeft()
	s.mustPass(maintenance.Idle)
}

// TestIndexesOfOneDefinition has a parent with several indexes that are the same, made ON
// ONLY it: each needs one of its own on each partition, and gets it.
func TestIndexesOfOneDefinition(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.section("set.toml", "[[set]]\nparent = \"public.events\"\nkey = \"at\"\nahead = 1")
	s.section("parent.sql", "CREATE TABLE events (id int NOT NULL, at timestamp NOT NULL) PARTITION BY RANGE (at)")
	s.mustPass(maintenance.Done)
	for _, sql := range []string{
		"CREATE INDEX first ON ONLY events (id); CREATE INDEX second ON ONLY events (id)",
		"CREATE INDEX third ON ONLY events (id)", // The others are valid by now.
		// An index can be part of one that is no constraint's, too, but not the other way round.
		"ALTER TABLE ONLY events ADD CONSTRAINT whole UNIQUE (id, at); CREATE UNIQUE INDEX beside ON ONLY events (id, at)",
		"ALTER TABLE ONLY events ADD PRIMARY KEY (id, at)",
		"CREATE INDEX fourth ON ONLY events (at); CREATE INDEX fifth ON events (at)",
	} {
		s.section("indexes.sql", sql)
		s.mustPass(maintenance.Done)
		if got := s.text("SELECT string_agg(indexrelid::regclass::text, ' ') FROM pg_index WHERE indrelid = 'events'::regclass AND NOT indisvalid"); got != "" {
			t.Errorf("after %q not valid yet: %s", sql, got)
		}
		s.section("left", "")
	}
	// A partition that is made now has as many.
	s.query = `SELECT DISTINCT count(*) FROM pg_index i JOIN pg_inherits h ON h.inhrelid = i.indrelid WHERE h.inhparent = 'events'::regclass GROUP BY i.indrelid`
	s.section("result", "8")
	s.section("gap.sql", "DO $$ BEGIN EXECUTE format('DROP TABLE %I', to_char(localtimestamp + interval '1 month', '\"events_\"YYYY_MM')); END $$")
	s.mustPass(maintenance.Done)
	s.section("result", "8")
	s.section("left", "")
}

// TestIndexWhoseLastPartLeaves: while the partitions come that have their parts of an
// index which was made ON ONLY the parent, the one that lacks its part leaves. By a pass
// it does not leave without; where a person drops it, nothing makes the index valid.
func TestIndexWhoseLastPartLeaves(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.section("set.toml", "[[set]]\nparent = \"public.events\"\nkey = \"at\"\nahead = 0\nretention = { keep = \"12 months\", then = \"drop\", max_share = 1 }")
	s.section("parent.sql", declaredEvents+"SELECT make(-14, -14)")
	invalid := "SELECT coalesce(string_agg(indexrelid::regclass::text, ' '), 'none') FROM pg_index WHERE indrelid = 'events'::regclass AND NOT indisvalid"
	s.section("index.sql", "CREATE INDEX whole ON ONLY events (what); SELECT make(0, 0)")
	s.mustPass(maintenance.Done)
	if got := s.text(invalid); got != "none" {
		t.Errorf("after a pass not valid: %s", got)
	}
	s.section("left", "")
	s.section("by hand.sql", s.name(`CREATE INDEX never ON ONLY events (at, what); DROP TABLE events_{{month 0 "2006_01"}}, events_default`))
	report, err := s.m.Pass(t.Context(), nil, s.sets)
	if err != nil || report.Status() != maintenance.Partly || len(report.Sets[0].Problems) != 1 || !strings.Contains(report.Sets[0].Problems[0].Text, "its index never is not valid") {
		t.Errorf("the pass is %s, want partly, and words on the index: %+v, %v", report.Status(), report, err)
	}
	s.section("left", "problem unsupported public.events")
	s.section("another.sql", "CREATE INDEX again ON ONLY events (at, what)")
	s.mustPass(maintenance.Partly)
	if got := s.text(invalid); got != "never" {
		t.Errorf("not valid: %s, want the first one", got)
	}
	s.section("drop.sql", "DROP INDEX never")
	s.section("left", "")
}

// TestDefaultNameTaken has another table stand on the name of the default partition: that
// is a problem of the plan, and no action that fails each time.
func TestDefaultNameTaken(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.section("set.toml", "[[set]]\nparent = \"public.events\"\nkey = \"at\"\nahead = 0")
	s.section("parent.sql", "CREATE TABLE events (id int, at timestamp NOT NULL) PARTITION BY RANGE (at); CREATE TABLE events_default ()")
	s.mustPass(maintenance.Partly)
	s.section("left", "problem name taken public.events_default")
	s.section("away.sql", "DROP TABLE events_default")
	s.mustPass(maintenance.Done)
	s.section("left", "")
}
