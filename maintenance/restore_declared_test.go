package maintenance_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance"
)

// TestRestoreWhileRowsCome restores a month of a declarative set, while a row of that
// month comes that PostgreSQL would send to the default partition: the restore waits
// for that, and the row for the restore, and both are done.
func TestRestoreWhileRowsCome(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.section("set.toml", fmt.Sprintf(restoreSet, s.archive))
	s.sets[0].Limits.LockTimeout = time.Minute
	s.section("parent.sql", "CREATE TABLE events (id int, at timestamp NOT NULL) PARTITION BY RANGE (at)")
	s.mustPass(maintenance.Done)
	const insert = "INSERT INTO events VALUES (%d, date_trunc('month', localtimestamp) - interval '14 months' + interval '1 day')"
	s.section("old.sql", fmt.Sprintf(insert, 1))
	s.mustPass(maintenance.Done)

	reader, client := s.db.Conn(t), s.db.Conn(t)
	if _, err := reader.PgConn().Exec(t.Context(), "BEGIN; LOCK TABLE events_default IN ACCESS SHARE MODE").ReadAll(); err != nil {
		t.Fatal(err)
	}
	waiting := func(n string) {
		t.Helper()
		for s.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IN ('events'::regclass, 'events_default'::regclass)") != n {
			if err := t.Context().Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	restored, came := make(chan error, 1), make(chan error, 1)
	request := s.request()
	go func() {
		_, err := s.m.Restore(t.Context(), request)
		restored <- err
	}()
	waiting("1")
	go func() {
		_, err := client.Exec(t.Context(), fmt.Sprintf(insert, 2))
		came <- err
	}()
	waiting("2")
	if _, err := reader.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-restored; err != nil {
		t.Errorf("the restore: %v", err)
	}
	if err := <-came; err != nil {
		t.Errorf("the row that came meanwhile: %v", err)
	}
	if got := s.text("SELECT string_agg(id::text, ' ' ORDER BY id), count(DISTINCT tableoid) FROM events WHERE tableoid <> 'events_default'::regclass"); got != "1 2 | 1" {
		t.Errorf("in the restored month are %q", got)
	}
}

// TestRestoreBesideRowsThatWait: a row of the month that waits in the default partition,
// where no pass can move it since the periods are others now, keeps the month from being
// restored, with words that say so; and when it is gone the month comes back.
func TestRestoreBesideRowsThatWait(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.section("set.toml", fmt.Sprintf(restoreSet, s.archive))
	s.section("parent.sql", "CREATE TABLE events (id int, at timestamp NOT NULL) PARTITION BY RANGE (at)")
	s.mustPass(maintenance.Done)
	const insert = "INSERT INTO events VALUES (%d, date_trunc('month', localtimestamp) - interval '14 months' + interval '1 day')"
	s.section("old.sql", fmt.Sprintf(insert, 1))
	s.mustPass(maintenance.Done)
	s.section("late.sql", fmt.Sprintf(insert, 2))
	request := s.request()
	was := s.text("SELECT count(*) FROM pg_class")
	_, err := s.m.Restore(t.Context(), request)
	if !errors.Is(err, maintenance.ErrNoPlace) || !strings.Contains(err.Error(), "wait in the default partition public.events_default") {
		t.Errorf("beside a row that waits: %v, want ErrNoPlace, and where it waits", err)
	}
	if got := s.text("SELECT count(*) FROM pg_class"); got != was {
		t.Errorf("%s relations, before %s", got, was)
	}
	s.section("gone.sql", "DELETE FROM events WHERE id = 2")
	if _, err := s.m.Restore(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if got := s.text("SELECT id, tableoid <> 'events_default'::regclass FROM events"); got != "1 | t" {
		t.Errorf("after the restore the set has %q", got)
	}
}
