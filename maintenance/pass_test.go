package maintenance_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// twoOldMonths makes a set in which two months are due to be dropped, after one
// pass that has made all the rest.
func twoOldMonths(t *testing.T) *scenario {
	t.Helper()
	s := newScenario(t)
	s.section("set.toml", `[[set]]
parent = "public.chat_master"
key = "created_at"
limits = { lock_timeout = "50ms", retries = 2, retry_wait = "1ms", max_retry_wait = "2ms" }
retention = { keep = "12 months", then = "drop", max_share = 1 }`)
	s.section("parent.sql", "CREATE TABLE chat_master (id serial, created_at timestamp, body text)")
	s.section("pass", passedText(s, "done", "create 0", "create 1", "create 2", "route", "analyze"))
	s.section("late.sql", `INSERT INTO chat_master (created_at) SELECT date_trunc('month', localtimestamp) - make_interval(months => 13 + i % 2) FROM generate_series(1, 10) i`)
	return s
}

func (s *scenario) name(text string) string {
	var b strings.Builder
	if err := s.template(text).Execute(&b, nil); err != nil {
		s.t.Fatal(err)
	}
	return b.String()
}

// TestBlockedPass has a reader on one month that is due: the pass does all the
// rest, says who was in the way, and is not a success; the next one finishes.
func TestBlockedPass(t *testing.T) {
	t.Parallel()
	s := twoOldMonths(t)
	reader := s.db.Conn(t)
	if _, err := reader.PgConn().Exec(t.Context(), s.name(`BEGIN; SET application_name = 'dashboard'; SELECT FROM chat_{{month -13 "2006_01"}}`)).ReadAll(); err != nil {
		t.Fatal(err)
	}
	report, err := s.m.Pass(t.Context(), nil, s.sets)
	if err != nil {
		t.Fatal(err)
	}
	s.compare("blocked", passedText(s, "partly", "drop -14", "failed drop -13", "analyze"), passed(report))
	i := slices.IndexFunc(report.Sets[0].Actions, func(a maintenance.ActionReport) bool { return a.Error != "" })
	a := report.Sets[0].Actions[i]
	if a.Retries != 2 || !slices.ContainsFunc(a.Blockers, func(b maintenance.BlockerReport) bool {
		return b.Application == "dashboard" && b.PID == int32(reader.PgConn().PID()) && b.AgeSeconds > 0 && !b.Since.IsZero() && !b.QueryBegan.Before(b.Since)
	}) {
		t.Errorf("the action tells of %d retries and %+v", a.Retries, a.Blockers)
	}
	if len(report.Sets[0].Due) != 2 { // The month, and statistics after it.
		t.Errorf("still due is %q", report.Sets[0].Due)
	}
	s.query = "SELECT count(*) FROM chat_master"
	s.section("result", "5")
	if _, err := reader.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	s.section("pass", passedText(s, "done", "drop -13", "analyze"))
	s.section("left", "")
}

// TestRoutingFailureKeepsPartitions has a routing function that cannot be
// renewed. It may still have a branch for what is to go, so nothing goes.
func TestRoutingFailureKeepsPartitions(t *testing.T) {
	t.Parallel()
	s := twoOldMonths(t)
	keeper, owner, stranger := s.db.Role(t, "keeper"), s.db.Role(t, "owner"), s.db.Role(t, "stranger")
	s.section("owners.sql", fmt.Sprintf(`GRANT %[2]s TO %[1]s; GRANT USAGE, CREATE ON SCHEMA public TO %[2]s; ALTER TABLE chat_master OWNER TO %[2]s;
		DO $$ DECLARE c regclass; BEGIN FOR c IN SELECT inhrelid FROM pg_inherits LOOP EXECUTE format('ALTER TABLE %%s OWNER TO %[2]s', c); END LOOP; END $$;
		DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc WHERE proname LIKE 'chat_insert%%' LOOP EXECUTE format('ALTER FUNCTION %%s OWNER TO %[2]s', f); END LOOP; END $$;
		ALTER FUNCTION chat_insert_function() OWNER TO %[3]s`, keeper, owner, stranger))
	s.m.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, s.db.URLAs(keeper)) }
	report, err := s.m.Pass(t.Context(), nil, s.sets)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range report.Sets[0].Actions {
		switch a.Action {
		case "route":
			if a.Error == "" {
				t.Error("the routing function was renewed")
			}
		case "drop":
			if !a.Skipped {
				t.Errorf("%s %s was not skipped: %q", a.Action, a.Table, a.Error)
			}
		}
	}
	if !strings.Contains(passed(report), "drop") || report.Status() == maintenance.Done {
		t.Errorf("the pass is %s", passed(report))
	}
	s.query = "SELECT count(*) FROM chat_master"
	s.section("result", "10")
	s.section("mended.sql", fmt.Sprintf(`ALTER FUNCTION chat_insert_function() OWNER TO %s`, owner))
	if report, err = s.m.Pass(t.Context(), nil, s.sets); err != nil || report.Status() != maintenance.Done {
		t.Errorf("%s %v", passed(report), err)
	}
	s.section("result", "0")
	s.section("left", "")
}

// TestStoppedPass asks for a stop when the first of two months has gone.
func TestStoppedPass(t *testing.T) {
	t.Parallel()
	s := twoOldMonths(t)
	stop := make(chan struct{})
	log := s.m.Log
	s.m.Log = slog.New(atMessage{log.Handler(), "drop", func() { close(stop) }})
	report, err := s.m.Pass(t.Context(), stop, s.sets)
	if err != nil {
		t.Fatal(err)
	}
	s.compare("stopped", passedText(s, "stopped", "drop -14"), passed(report))
	s.query = "SELECT count(*) FROM chat_master"
	s.section("result", "5")
	s.m.Log = log
	s.section("pass", passedText(s, "done", "drop -13", "analyze"))
	s.section("left", "")
}

// TestCancelledPass ends the context in the middle: the pass is over at once and
// the next finishes.
func TestCancelledPass(t *testing.T) {
	t.Parallel()
	s := twoOldMonths(t)
	ctx, cancel := context.WithCancel(t.Context())
	log := s.m.Log
	s.m.Log = slog.New(atMessage{log.Handler(), "drop", cancel})
	report, err := s.m.Pass(ctx, nil, s.sets)
	if err != nil && !errors.Is(err, context.Canceled) || err == nil && report.Status() != maintenance.Partly && report.Status() != maintenance.Failed {
		t.Errorf("the pass is %s, %v", passed(report), err)
	}
	s.query = "SELECT count(*) FROM chat_master"
	s.section("result", "5")
	s.m.Log = log
	for running := 1; running > 0; { // The server closes the sessions one by one.
		if err := s.conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(&running); err != nil {
			t.Fatal(err)
		}
	}
	s.section("pass", passedText(s, "done", "drop -13", "analyze"))
	s.section("left", "")
}

// atMessage calls do once the message has been logged for the first time.
type atMessage struct {
	slog.Handler
	message string
	do      func()
}

func (h atMessage) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Message == h.message {
		h.do()
	}
	return err
}

func (h atMessage) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atMessage{h.Handler.WithAttrs(attrs), h.message, h.do}
}

// TestTwoInstances has one instance at work on one of two sets: the other does
// the other set, and says of the first that it was skipped.
func TestTwoInstances(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.section("parents.sql", "CREATE TABLE a (at timestamp); CREATE TABLE b (at timestamp)")
	s.section("set.toml", "[[set]]\nparent = \"public.a\"\nkey = \"at\"\nahead = 0\n[[set]]\nparent = \"public.b\"\nkey = \"at\"\nahead = 0\n")
	lock, err := postgres.AcquirePassLock(t.Context(), s.db.Conn(t), s.sets[:1])
	if err != nil {
		t.Fatal(err)
	}
	s.section("pass", s.name("skipped\ndone\ncreate public.b_{{month 0 \"2006_01\"}}\nroute public.b\nanalyze public.b"))
	report, err := s.m.Pass(t.Context(), nil, s.sets)
	if err != nil || report.Status() != maintenance.Skipped {
		t.Errorf("%s is %s, %v", passed(report), report.Status(), err)
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.section("pass", s.name("done\ncreate public.a_{{month 0 \"2006_01\"}}\nroute public.a\nanalyze public.a\nnothing to do"))
	s.section("left", "")
}

// TestPassLockLost ends the session that holds the pass lock when the pass has
// begun: nothing more is removed.
func TestPassLockLost(t *testing.T) {
	t.Parallel()
	s := twoOldMonths(t)
	log := s.m.Log
	s.m.Log = slog.New(atMessage{log.Handler(), "drop", func() {
		if _, err := s.conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1885434484
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); err != nil {
			t.Error(err)
		}
	}})
	report, err := s.m.Pass(t.Context(), nil, s.sets)
	if err != nil {
		t.Fatal(err)
	}
	s.compare("lost", passedText(s, "partly", "drop -14", "failed drop -13", "analyze"), passed(report))
	s.query = "SELECT count(*) FROM chat_master"
	s.section("result", "5")
	s.m.Log = log
	s.section("pass", passedText(s, "done", "drop -13", "analyze"))
}
