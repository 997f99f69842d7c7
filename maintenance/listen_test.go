package maintenance_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
)

// TestListener: a row without a partition makes one at once, also where the listener
// had to connect again, and the row is in it.
func TestListener(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.section("set.toml", "[[set]]\nparent = \"public.events\"\nkey = \"at\"\nahead = 0")
	s.section("parent.sql", "CREATE TABLE events (at date) PARTITION BY RANGE (at)")
	listener := maintenance.NewListener(slog.New(slog.NewTextHandler(t.Output(), nil)))
	s.m.Watchers = []maintenance.Watcher{listener}
	passes := make(chan string)
	connect := func(ctx context.Context) (*pgx.Conn, error) {
		c, err := pgx.ParseConfig(s.db.URL)
		if err != nil {
			return nil, err
		}
		c.RuntimeParams["application_name"] = "listener"
		return pgx.ConnectConfig(ctx, c)
	}
	listener.Follow(connect, func(parent string, done func()) {
		go func() {
			defer done()
			if _, err := s.m.Pass(t.Context(), nil, s.sets); err != nil && t.Context().Err() == nil {
				t.Error(err)
			}
			select {
			case passes <- parent:
			case <-t.Context().Done():
			}
		}()
	})
	ended := make(chan struct{})
	ctx, end := context.WithCancel(t.Context())
	go func() { listener.Run(ctx); close(ended) }()
	s.mustPass(maintenance.Done)
	hears := func() {
		t.Helper()
		select {
		case parent := <-passes:
			if parent != "public.events" {
				t.Fatalf("%s was told of", parent)
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing was heard")
		}
	}
	homeless := func() string {
		t.Helper()
		return rows(t, s.conn, "SELECT count(*) FROM ONLY events_default")
	}
	hears() // It has just connected.
	insert := func(months int) {
		t.Helper()
		s.section("row.sql", fmt.Sprintf("INSERT INTO events VALUES (current_date + %d * interval '1 month')", months))
		hears()
		if got := homeless(); got != "0\n" {
			t.Errorf("%s rows are in the default partition", got)
		}
	}
	insert(3)
	s.section("broken.sql", "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'listener' AND datname = current_database()")
	hears() // It has connected again.
	insert(-7)
	s.section("query", "SELECT count(*), count(DISTINCT tableoid) FROM events")
	s.section("result", "2 | 2")
	s.section("left", "")
	end()
	<-ended
}
