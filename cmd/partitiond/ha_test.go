package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/pgtemp"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestTakeover has two daemons: one works, the other waits. The one that works is
// killed in the middle of its pass, and the other one finishes that long before
// its schedule would come round.
func TestTakeover(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	c := &cli{t: t, db: db, conn: db.Conn(t), file: filepath.Join(t.TempDir(), "worker.toml")}
	c.exec(haTables)
	c.write(db.URL+"&application_name=worker", haSet)
	done := read(t, db.Conn(t))
	worker := startDaemon(t, c.file)
	until(t, c.conn, blocked)
	if n := c.int(children); n != 4 { // Three made, and one dropped.
		t.Errorf("the pass is not in its middle: there are %d partitions", n)
	}
	other := *c
	other.file = filepath.Join(t.TempDir(), "waiter.toml")
	other.write(db.URL+"&application_name=waiter", haSet)
	waiter := startDaemon(t, other.file)
	waiter.await("skipped: another instance holds the lock")
	waiter.passed("skipped")
	worker.kill()
	done()
	waiter.passed("done")
	waiter.stop()
	out, _ := c.run(exitOK, "--run-now", "--dry-run")
	expect(t, out, "public.events: nothing to do")
	if text := c.text("SELECT string_agg(partition_name || ' ' || application, ', ' ORDER BY id) FROM partitiond.history"); text != "events_2018_03 worker, events_2018_04 waiter" {
		t.Errorf("the history tells of %s", text)
	}
}

// TestFailover kills the server in the middle of a pass. The daemon knows of the
// standby, leaves it alone as long as it is one, and finishes there when it has
// been promoted.
func TestFailover(t *testing.T) {
	t.Parallel()
	primary := pgtest.Server(t, pgtemp.Options{})
	port := startStandby(t, primary)
	connect := func(port int, db string) *pgx.Conn {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", port, db))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(t.Context()) })
		return conn
	}
	c := &cli{t: t, conn: connect(primary.Port(), "postgres"), file: filepath.Join(t.TempDir(), "config.toml")}
	c.exec(haTables)
	caughtUp := `SELECT count(*) > 0 FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_insert_lsn()`
	until(t, c.conn, caughtUp)

	// The standby alone is told of, and nothing is tried there.
	standby := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	c.write(standby, haSet)
	out, _ := c.run(exitPartly, "--run-now")
	expect(t, out, "problem: standby: ", "public.events: partly\n")
	c.write(standby+"&target_session_attrs=read-write", haSet)
	_, log := c.run(exitConnect, "--run-now")
	expect(t, log, "could not connect to PostgreSQL")
	c.write(fmt.Sprintf("postgres://postgres@127.0.0.1:1,127.0.0.1:%d/postgres?sslmode=disable", port), haSet)
	_, log = c.run(exitConnect, "--run-now")
	expect(t, log, "it is left alone, as a standby or another server that accepts no writes")

	c.write(fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable&application_name=worker", primary.Port(), port), haSet)
	_ = read(t, connect(primary.Port(), "postgres"))
	d := startDaemon(t, c.file)
	until(t, c.conn, blocked)
	until(t, c.conn, caughtUp)
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	d.await("no pass yet")
	c.conn = connect(port, "postgres")
	if n := c.int(children); n != 4 {
		t.Errorf("the standby has %d partitions, expected what was done so far", n)
	}
	c.exec("SELECT pg_promote()")
	d.passed("done")
	d.stop()
	out, _ = c.run(exitOK, "--run-now", "--dry-run")
	expect(t, out, "public.events: nothing to do")
	out, _ = c.run(exitOK, "history", "2018")
	expect(t, out, "dropped: public.events_2018_03", "dropped: public.events_2018_04")
}

// findPgbouncer returns the program, which Debian has where only root looks.
func findPgbouncer(t *testing.T) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
		file := filepath.Join(dir, "pgbouncer")
		if info, err := os.Stat(file); err == nil && info.Mode()&0o111 != 0 {
			return file
		}
	}
	t.Skip("pgbouncer is not installed: .ci/ensure-pgbouncer does that")
	return ""
}

// TestPooler goes through pgbouncer. Where that shares sessions, whatever its way
// to choose one, nothing is done and the message says what is needed; where it
// does not, a pass finishes.
func TestPooler(t *testing.T) {
	t.Parallel()
	program := findPgbouncer(t)
	for name, settings := range map[string]string{
		"transaction": "pool_mode = transaction",
		"round robin": "pool_mode = transaction\nserver_round_robin = 1",
		"statement":   "pool_mode = statement",
		"session":     "pool_mode = session",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			c := &cli{t: t, db: db, conn: db.Conn(t), file: filepath.Join(t.TempDir(), "config.toml")}
			c.exec(haTables)
			as := account(t)
			dir, port := ownDirectory(t, as), freePort(t)
			for file, text := range map[string]string{
				"users.txt":     "\"postgres\" \"\"\n",
				"pgbouncer.ini": fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%d\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\nauth_type = trust\nauth_file = %s/users.txt\n%s\n", db.Server.Port(), port, dir, settings),
			} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			url := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", port, db.Name)
			serve(t, as, url, program, filepath.Join(dir, "pgbouncer.ini"))
			// Some sessions are there already, and idle.
			var idle []*pgx.Conn
			for range 3 {
				conn, err := pgx.Connect(t.Context(), url)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.PgConn().Exec(t.Context(), "SELECT pg_sleep(0.01)").ReadAll(); err != nil {
					t.Fatal(err)
				}
				idle = append(idle, conn)
			}
			for _, conn := range idle {
				_ = conn.Close(t.Context())
			}
			c.write(url, haSet)
			if name == "session" {
				out, _ := c.run(exitOK, "--run-now")
				expect(t, out, "public.events: done (create 3, ", "drop 2")
				out, _ = c.run(exitOK, "--run-now", "--dry-run")
				expect(t, out, "public.events: nothing to do")
				return
			}
			var out bytes.Buffer
			// To look needs no session, if a transaction is to be had.
			if code := run(t.Context(), []string{"--run-now", "--dry-run", "--config", c.file}, &out, &out); code == exitConnect {
				expect(t, out.String(), "pool_mode = session")
			} else if code != exitOK {
				t.Errorf("the dry run exits with %d: %s", code, &out)
			}
			_, log := c.run(exitConnect, "--run-now")
			expect(t, log, "a pooler shares the connections", "pool_mode = session")
			if n := c.int(children); n != 2 {
				t.Errorf("there are %d partitions, expected the 2 of before", n)
			}
			// The pooler ends its connection to the server when ours is gone, and the
			// server lets go of its locks then: whoever waits for them gets them.
			c.exec(`SET lock_timeout = '1min';
				DO $$ DECLARE l record; BEGIN
					FOR l IN SELECT classid, objid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
						AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) LOOP
						PERFORM pg_advisory_xact_lock(l.classid::bigint::bit(32)::int, l.objid::bigint::bit(32)::int);
					END LOOP;
				END $$;
				RESET lock_timeout`)
		})
	}
}
