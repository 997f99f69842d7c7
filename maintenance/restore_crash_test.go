package maintenance_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/partition"
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

// doomedRestore is the environment variable that makes [TestDoomedRestore] work:
// the database, the number of the event at which to die, and the configuration.
const doomedRestore = "PARTITIOND_TEST_DOOMED_RESTORE"

// TestRestoreKillMinus9 kills a process that restores, at points all over it:
// there is all of it, or nothing.
func TestRestoreKillMinus9(t *testing.T) {
	t.Parallel()
	s := archivedMonth(t, archive.Parquet)
	before := s.text(fmt.Sprintf(digestOf, "events"))
	s.mustPass(maintenance.Done)
	run := func(n int) (events int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDoomedRestore$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s\n%d\n%s", doomedRestore, s.db.URL, n, fmt.Sprintf(restoreSet, s.archive)))
		out, err := cmd.Output()
		killed := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if i := strings.Index(string(out), "\nevents "); i >= 0 {
			events, _ = strconv.Atoi(strings.Fields(string(out)[i:])[1])
		}
		if n == 0 && (err != nil || events == 0) || n > 0 && !killed {
			t.Fatalf("the process ended with %v:\n%s", err, out)
		}
		s.alone("doomed")
		return events
	}
	remove := s.name(`DROP TABLE events_{{month -14 "2006_01"}}; TRUNCATE partitiond.restored; DO $$ BEGIN IF to_regclass('partitiond.hold') IS NOT NULL THEN DELETE FROM partitiond.hold; END IF; END $$`)
	run(0) // What only the first one does is not counted.
	s.section("remove.sql", remove)
	events := run(0)
	s.section("remove.sql", remove)
	const points = 9
	outcomes := map[bool]int{}
	for i := range points {
		at := 1 + i*(events-6)/(points-1)
		run(at)
		there := s.text("SELECT count(*) FROM events") != "0"
		outcomes[there]++
		if !there {
			s.nothingLeft()
			continue
		}
		if got := s.text(fmt.Sprintf(digestOf, "events")); got != before {
			t.Errorf("killed at event %d of %d: the rows are %s, want %s", at, events, got, before)
		}
		if got := s.text("SELECT count(*) FROM partitiond.restored"); got != "1" {
			t.Errorf("there are %s notes of it", got)
		}
		s.section("remove.sql", remove)
	}
	t.Logf("of %d restores %d happened and %d did not", points, outcomes[true], outcomes[false])
	if len(outcomes) != 2 {
		t.Error("the points were not all over it")
	}
}

// TestDoomedRestore is no test: TestRestoreKillMinus9 runs it in a process of its own.
func TestDoomedRestore(t *testing.T) {
	work := os.Getenv(doomedRestore)
	if work == "" {
		return
	}
	parts := strings.SplitN(work, "\n", 3)
	last, err := strconv.Atoi(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("set.toml", []byte(parts[2]))
	if err != nil {
		t.Fatal(err)
	}
	counter := &deathAt{last: int64(last)}
	options, err := pgx.ParseConfig(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	options.RuntimeParams["application_name"] = "doomed"
	options.Tracer = counter
	s := &scenario{t: t, sets: []partition.Set{c.Sets[0].Set}, m: &maintenance.Maintainer{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, options) },
		Log:     slog.New(slog.NewTextHandler(counter, nil)),
	}}
	if _, err := s.m.Restore(t.Context(), s.request()); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\nevents %d\n", counter.n.Load())
}
