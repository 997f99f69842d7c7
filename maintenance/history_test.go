package maintenance_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// statements counts what is sent.
type statements struct{ n atomic.Int64 }

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.n.Add(1)
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestIdlePassIsWrittenDownCheaply: where there is a history, a pass that finds
// nothing to do sends one statement more, and there is one row for all of those.
func TestIdlePassIsWrittenDownCheaply(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.section("set.toml", "[[set]]\nparent = \"public.events\"\nkey = \"at\"\n")
	s.section("parent.sql", "CREATE TABLE events (id serial, at timestamp)")
	options, err := pgx.ParseConfig(s.db.URL)
	if err != nil {
		t.Fatal(err)
	}
	count := new(statements)
	options.Tracer = count
	s.m.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, options) }
	s.m.Log = slog.New(slog.DiscardHandler)
	pass := func(want maintenance.Status) int64 {
		t.Helper()
		count.n.Store(0)
		report, err := s.m.Pass(t.Context(), nil, s.sets)
		if err != nil || report.Status() != want {
			t.Fatalf("%s %v", passed(report), err)
		}
		return count.n.Load()
	}
	pass(maintenance.Done)
	without := pass(maintenance.Idle)
	if strings.TrimSpace(rows(t, s.conn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'partitiond'")) != "0" {
		t.Error("an idle pass makes the history")
	}
	if err := postgres.InstallTables(t.Context(), s.conn); err != nil {
		t.Fatal(err)
	}
	s.section("work.sql", "INSERT INTO events (at) VALUES ('2018-03-05')")
	pass(maintenance.Done)
	for i := range 3 {
		if with := pass(maintenance.Idle); with != without+1 {
			t.Errorf("idle pass %d sends %d statements, and %d without a history", i, with, without)
		}
	}
	if got := strings.TrimSpace(rows(t, s.conn, "SELECT string_agg(status || ' ' || passes, ', ' ORDER BY id) FROM partitiond.pass")); got != "done 1, nothing to do 3" {
		t.Errorf("the passes are %s", got)
	}
}
