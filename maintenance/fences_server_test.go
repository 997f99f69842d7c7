package maintenance_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// libfaketime returns where the library is that shifts a program's clock. Without it
// the test is skipped.
func libfaketime(t *testing.T) string {
	t.Helper()
	for _, pattern := range []string{"/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib64/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1", "/usr/local/lib/faketime/libfaketime.so.1"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return found[0]
		}
	}
	t.Skip("there is no libfaketime, which shifts a server's clock (Debian: apt-get install faketime)")
	return ""
}

// TestFenceServerClock has a server whose clock is ten years ahead, by which all that
// there is would be due, and no share that would stop it.
func TestFenceServerClock(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t, pgtemp.Options{Environment: []string{"LD_PRELOAD=" + libfaketime(t), "FAKETIME=+3652d"}})
	s := scenarioIn(t, pgtest.On(t, server))
	var now time.Time
	if err := s.conn.QueryRow(t.Context(), "SELECT now()").Scan(&now); err != nil || now.Year() != time.Now().AddDate(0, 0, 3652).Year() {
		t.Fatalf("by the server it is %s, %v", now, err)
	}
	s.section("parent.sql", "CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY, at timestamp, what text)")
	s.section("set.toml", eventsSet(`keep = "12 months", then = "drop", max_share = 1`))
	problem(t, s.pass(maintenance.Partly), "clock") // What is made is made all the same.
	s.section("rows.sql", "INSERT INTO events (at) SELECT localtimestamp - interval '3652 days' - make_interval(months => i) FROM generate_series(0, 5) i")
	report := s.pass(maintenance.Partly)
	pr := problem(t, report, "clock")
	if pr.Text != "the server's clock and this machine's differ by 87648h0m0s" || !strings.HasPrefix(pr.Hint, "set the clocks") || len(report.Withheld) != 6 {
		t.Errorf("the problem is %+v, and %d are withheld", pr, len(report.Withheld))
	}
	s.events(6)
	// Where both are wrong, as on one host, the share is what is left.
	planned, err := s.m.Plan(t.Context(), s.sets)
	if err != nil || planned[0].Err != nil {
		t.Fatal(err, planned)
	}
	snap, set := planned[0].Snapshot, s.sets[0]
	snap.Server.Skew, set.Retention.MaxShare = 0, 0.5
	plan := partition.Make(set, snap)
	if len(plan.Problems) != 1 || plan.Problems[0].Kind != partition.ProblemShare || len(plan.Withheld) != 6 {
		t.Errorf("with both clocks wrong the plan is %+v", plan)
	}
	for _, a := range plan.Actions {
		if a.Destructive() {
			t.Errorf("with both clocks wrong: %s", a)
		}
	}
	s.pass(maintenance.Partly)
	s.events(6)
}

// TestFenceTimeZone has nobody agree on the time zone: the server, the database, the
// role and the set each have another one. A table that ended 31 days ago goes after 30
// days, one that ended 28 days ago does not, as it is in UTC.
func TestFenceTimeZone(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"timestamp", "timestamptz", "date"} {
		for _, zone := range []string{"Pacific/Kiritimati", "America/Los_Angeles"} { // UTC+14, and UTC-8 or -7.
			t.Run(key+" in "+zone, func(t *testing.T) {
				t.Parallel()
				s := newScenario(t)
				keeper := s.db.Role(t, "keeper")
				s.section("children.sql", `SET TimeZone = 'UTC'; CREATE TABLE events (id int, at `+key+`, what text);
					DO $$ BEGIN EXECUTE format('CREATE TABLE gone (CHECK (at < %L)) INHERITS (events)', (current_date - 31)::`+key+`);
						EXECUTE format('CREATE TABLE kept (CHECK (at >= %L AND at < %L)) INHERITS (events)', (current_date - 31)::`+key+`, (current_date - 28)::`+key+`); END $$;
					INSERT INTO gone (at) VALUES (current_date - 32); INSERT INTO kept (at) VALUES (current_date - 30)`)
				s.section("zones.sql", `GRANT pg_read_all_stats TO `+keeper+`; ALTER ROLE `+keeper+` SET TimeZone = 'Asia/Kathmandu'; ALTER DATABASE `+s.db.Name+` SET TimeZone = 'Pacific/Pago_Pago';
					GRANT ALL ON SCHEMA public TO `+keeper+`; ALTER TABLE events OWNER TO `+keeper+`; ALTER TABLE gone OWNER TO `+keeper+`; ALTER TABLE kept OWNER TO `+keeper)
				s.m.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, s.db.URLAs(keeper)) }
				s.section("set.toml", "[[set]]\nparent = \"public.events\"\nkey = \"at\"\ninterval = \"1 day\"\ntime_zone = \""+zone+"\"\nretention = { keep = \"30 days\", then = \"drop\" }\n")
				s.pass(maintenance.Done)
				s.query = "SELECT to_regclass('gone'), to_regclass('kept'), (SELECT count(*) FROM events)"
				s.section("result", "| kept | 1")
				s.section("left", "")
			})
		}
	}
}

// TestFencePublication has a subscriber that is behind when a month goes: it still
// gets the rows that were written, and is not told to delete any.
func TestFencePublication(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t, pgtemp.Options{Settings: map[string]string{"wal_level": "logical"}})
	s := fenced(t, scenarioIn(t, pgtest.On(t, server)))
	s.section("publication.sql", "CREATE PUBLICATION events FOR TABLE events")
	s.section("slot.sql", "SELECT pg_create_logical_replication_slot('subscriber', 'pgoutput')")
	t.Cleanup(func() {
		_, _ = s.conn.Exec(context.WithoutCancel(t.Context()), "SELECT pg_drop_replication_slot('subscriber')")
	})
	s.older()
	s.section("publish.sql", "ALTER PUBLICATION events SET TABLE events; INSERT INTO events (at, what) SELECT date_trunc('month', localtimestamp) - make_interval(months => 14), 'not read yet'")
	s.pass(maintenance.Done)
	s.events(13)
	s.query = `SELECT chr(get_byte(data, 0)), count(*) FILTER (WHERE position('not read yet'::bytea IN data) > 0) FROM pg_logical_slot_get_binary_changes('subscriber', NULL, NULL, 'proto_version', '1', 'publication_names', 'events')
		WHERE chr(get_byte(data, 0)) IN ('I', 'U', 'D', 'T') GROUP BY 1`
	s.section("result", "I | 1")
	s.query = "SELECT count(*) FROM pg_publication_tables"
	s.section("result", "16") // The parent, and all that is left.
	s.section("left", "")
	// A detached table is still published: whoever reads it may be the reason to keep it.
	s.older()
	s.section("published.sql", "ALTER PUBLICATION events SET TABLE events")
	s.section("set.toml", eventsSet(`keep = "12 months", then = "detach"`))
	s.pass(maintenance.Done)
	s.query = "SELECT count(*) FROM pg_publication_tables"
	s.section("result", "18")
	s.section("left", "")
}

// TestFencePrepared has a transaction in the way that was prepared and then forgotten:
// there is no session to end, so it is called by the name by which it can be.
func TestFencePrepared(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t, pgtemp.Options{Settings: map[string]string{"max_prepared_transactions": "2"}})
	for _, then := range []string{`"drop"`, `"archive", archive = "file://{{archive}}"`} {
		t.Run(strings.Trim(strings.Fields(then)[0], `",`), func(t *testing.T) {
			s := fenced(t, scenarioIn(t, pgtest.On(t, server)))
			s.older()
			s.section("set.toml", s.name(eventsSet(`keep = "12 months", then = `+then)))
			s.section("prepare.sql", s.name(`BEGIN; INSERT INTO events (at, what) VALUES ('{{month -14 "2006-01-02"}}', 'in doubt'); PREPARE TRANSACTION 'bill''s'`))
			t.Cleanup(func() { _, _ = s.conn.Exec(context.WithoutCancel(t.Context()), "ROLLBACK PREPARED 'bill''s'") })
			if then != `"drop"` { // Not even a restart ends it.
				if err := errors.Join(server.Stop(pgtemp.Fast), server.Restart(t.Context())); err != nil {
					t.Fatal(err)
				}
				s.conn = s.db.Conn(t)
			}
			report := s.pass(maintenance.Partly)
			failed := 0
			for _, a := range report.Actions {
				if a.Error == "" {
					continue
				}
				failed++
				if a.Table != s.name(`public.events_{{month -14 "2006_01"}}`) || !strings.Contains(a.Error, "55P03") || len(a.Blockers) != 1 {
					t.Fatalf("the failure is %+v", a)
				}
				if b := a.Blockers[0]; b.PID != 0 || b.Prepared != "bill's" || b.User != "postgres" || b.State != "prepared" || b.Since.IsZero() || b.Mode != "RowExclusiveLock" {
					t.Errorf("the blocker is %+v", b)
				}
			}
			if failed != 1 {
				t.Errorf("%d actions failed, expected the one", failed)
			}
			s.events(14)
			s.section("commit.sql", "COMMIT PREPARED 'bill''s'")
			s.events(15)
			s.pass(maintenance.Done)
			s.events(13)
			if then != `"drop"` {
				n := 0
				for _, p := range readArchive(t, s.archive) {
					n += len(p.column("id"))
				}
				if n != 3 {
					t.Errorf("the archive has %d rows, expected the one that was in doubt, too", n)
				}
			}
			s.section("left", "")
		})
	}
}

// TestFenceStandby makes a pass over a standby, which is left alone until it is one no
// more.
func TestFenceStandby(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t, pgtemp.Options{})
	// Not one that is dropped when the test ends: it is a standby for a while.
	s := fenced(t, scenarioIn(t, &pgtest.Database{URL: server.URL("postgres"), Name: "postgres", Server: server}))
	s.older()
	if err := server.Stop(pgtemp.Fast); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(server.DataDir(), "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	pr := problem(t, s.pass(maintenance.Partly), "standby")
	if !strings.Contains(pr.Hint, "connect to the primary") {
		t.Errorf("the hint is %q", pr.Hint)
	}
	s.conn = s.db.Conn(t)
	s.events(15)
	s.section("promote.sql", "SELECT pg_promote()")
	s.pass(maintenance.Done)
	s.events(13)
	s.section("left", "")
}
