package maintenance_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
)

// TestRestoreHoldsNobodyUp lets others work on the set while rows are loaded.
func TestRestoreHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := archivedMonth(t, archive.CSV)
	s.mustPass(maintenance.Done)
	request := s.request()
	during := func(sql string) {
		once := false
		request.Progress = func(archive.Progress) {
			if once {
				return
			}
			once = true
			if _, err := s.conn.PgConn().Exec(t.Context(), "SET lock_timeout = '5s'; "+sql).ReadAll(); err != nil {
				t.Errorf("while rows are loaded: %s: %v", sql, err)
			}
		}
	}
	// A late row for the very month makes it, and there is no place any more.
	during(fmt.Sprintf(oldRows, 1))
	if _, err := s.m.Restore(t.Context(), request); !errors.Is(err, maintenance.ErrNoPlace) {
		t.Errorf("with a late row meanwhile: %v, want ErrNoPlace", err)
	}
	s.query = "SELECT count(*) FROM events"
	s.section("result", "1")
	s.section("drop.sql", s.name(`DROP TABLE events_{{month -14 "2006_01"}}`))
	s.nothingLeft()
	// Another month does not matter; and nobody who wants the parent for himself waits,
	// nor does a removal, which wants the holds to stay as they are.
	during("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE; COMMIT; BEGIN; LOCK TABLE partitiond.hold IN SHARE MODE; COMMIT; INSERT INTO events (at) VALUES (now() - interval '5 months')")
	if _, err := s.m.Restore(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	s.section("result", "301")
	s.heldLeft()
	// Who holds a lock on the parent for a while is waited for.
	s.section("drop.sql", s.name(`DROP TABLE events_{{month -14 "2006_01"}}`))
	s.mustPass(maintenance.Done)
	request.Set.Limits.LockTimeout = 20 * time.Millisecond
	blocked := make(chan error, 1)
	request.Progress = func(archive.Progress) {
		if request.Progress == nil {
			return
		}
		request.Progress = nil
		blocker, waiting := s.db.Conn(t), s.db.Conn(t)
		if _, err := blocker.Exec(t.Context(), "BEGIN"); err != nil {
			t.Error(err)
		}
		if _, err := blocker.Exec(t.Context(), "LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE"); err != nil {
			t.Error(err)
		}
		go func() {
			// It ends when the restore has waited for it.
			for n := 0; n == 0; {
				if err := waiting.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass").Scan(&n); err != nil {
					blocked <- err
					return
				}
			}
			_, err := blocker.Exec(t.Context(), "COMMIT")
			blocked <- err
		}()
	}
	if _, err := s.m.Restore(t.Context(), request); err != nil {
		t.Error(err)
	}
	if err := <-blocked; err != nil {
		t.Error(err)
	}
	s.section("result", "301")
}

// TestRestoreCancelled ends a restore, and its connection, after the first file.
func TestRestoreCancelled(t *testing.T) {
	t.Parallel()
	s := archivedMonth(t, archive.Parquet)
	s.mustPass(maintenance.Done)
	request := s.request()
	ctx, cancel := context.WithCancel(t.Context())
	request.Progress = func(archive.Progress) { cancel() }
	if _, err := s.m.Restore(ctx, request); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	s.alone("")
	s.nothingLeft()
	request.Progress = func(archive.Progress) {
		s.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' AND backend_xid IS NOT NULL")
	}
	if _, err := s.m.Restore(t.Context(), request); err == nil {
		t.Error("a restore whose connection was ended succeeds")
	}
	s.alone("")
	s.nothingLeft()
	s.section("left", "")
}

// alone waits until the server has noticed that other sessions of the name are gone.
func (s *scenario) alone(application string) {
	s.t.Helper()
	for s.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = '"+application+"'") != "0" {
	}
}
