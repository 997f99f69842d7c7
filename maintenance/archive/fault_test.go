package archive

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// newNoise makes a table of some megabytes that hardly compress.
func newNoise(t *testing.T, root string) (*fixture, *pgtest.Database) {
	t.Helper()
	db := pgtest.New(t)
	f := fixtureOn(t, db.Conn(t), root, "noise", "at timestamp, body text")
	f.exec("INSERT INTO " + f.sql() + ` SELECT '2018-11-01', (SELECT string_agg(md5(i::text || j::text), '') FROM generate_series(1, 30) j)
		FROM generate_series(1, 3000) i`)
	return f, db
}

// wantUntouched asserts that a failed export has left neither files nor traces in the table.
func (f *fixture) wantUntouched() {
	f.t.Helper()
	if got := f.files(); len(got) != 0 {
		f.t.Errorf("left %q", got)
	}
	var rows, locks int
	err := f.conn.QueryRow(f.t.Context(), `SELECT (SELECT count(*) FROM `+f.sql()+`),
		(SELECT count(*) FROM pg_locks WHERE relation = $1 AND pid <> pg_backend_pid())`, f.spec.OID).Scan(&rows, &locks)
	if err != nil || rows != 3000 || locks != 0 {
		f.t.Errorf("the table has %d rows and %d locks, %v", rows, locks, err)
	}
}

// TestConnectionCut ends the server process in the middle of COPY, and after it.
func TestConnectionCut(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"table locked", "row", "copied"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			f, db := newNoise(t, t.TempDir())
			victim := db.Conn(t)
			pid, cut := victim.PgConn().PID(), false
			j := job{Spec: f.spec, reuse: true, hook: func(step string) {
				if step != at || cut {
					return
				}
				// With a timeout, it returns once the process has ended.
				err := f.conn.QueryRow(context.Background(), "SELECT pg_terminate_backend($1, 60000)", pid).Scan(&cut)
				if err != nil || !cut {
					t.Errorf("the backend was not ended: %v", err)
					cut = true
				}
			}}
			if _, err := j.run(t.Context(), victim); err == nil || !cut {
				t.Errorf("got %v; cut is %t", err, cut)
			}
			f.wantUntouched()
			f.wantFound(f.ensure())
		})
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	f, db := newNoise(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	j := job{Spec: f.spec, reuse: true, hook: func(step string) {
		if step == "row" {
			cancel()
		}
	}}
	victim := db.Conn(t)
	if _, err := j.run(ctx, victim); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// The server's side ends by itself, some time after the connection has gone.
	f.exec("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE pid = " + itoa(victim.PgConn().PID()))
	f.wantUntouched()
	f.wantFound(f.ensure())
}

// TestLockTimeout asserts that the session's limits hold, and are reported.
func TestLockTimeout(t *testing.T) {
	t.Parallel()
	f, db := newNoise(t, t.TempDir())
	g := *f
	g.conn = db.Conn(t)
	g.exec("SET lock_timeout = '1ms'")
	f.exec("BEGIN; LOCK TABLE " + f.sql() + " IN ACCESS EXCLUSIVE MODE")
	if _, err := Ensure(t.Context(), g.conn, g.spec); err == nil || !strings.Contains(err.Error(), "55P03") {
		t.Errorf("got %v", err)
	}
	f.exec("COMMIT")
	g.wantUntouched()
	g.wantFound(g.ensure()) // on the same connection
}

// TestFileTooLarge has write(2) fail in the middle of the data.
func TestFileTooLarge(t *testing.T) {
	t.Parallel()
	f, _ := newNoise(t, t.TempDir())
	if c := f.spawn(task{FileSize: 1 << 20}); c.Err == nil || !strings.Contains(c.Output, syscall.EFBIG.Error()) {
		t.Errorf("got %v: %s", c.Err, c.Output)
	}
	f.exec("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	f.wantUntouched()
	f.wantFound(f.ensure())
}

func TestUnwritable(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	f, _ := newNoise(t, root)
	if err := os.Chmod(root, 0o555); err != nil {
		t.Fatal(err)
	}
	var k task
	if os.Geteuid() == 0 { // who may write anyway
		k.User = 65534
	}
	if c := f.spawn(k); c.Err == nil || !strings.Contains(c.Output, syscall.EACCES.Error()) {
		t.Errorf("got %v: %s", c.Err, c.Output)
	}
	f.wantUntouched()
	if err := os.Chmod(root, 0o700); err != nil {
		t.Fatal(err)
	}
	f.wantFound(f.ensure())
}
