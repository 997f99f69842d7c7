package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/pgtemp"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestFleetOfOddMembers has a database whose password is wrong and one that is a hot
// standby among others: these are served, each tells what it is, by verbs and by the
// daemon, and nobody the password. The daemon tries the one again until its file has
// the right password, and serves the other when it has been promoted.
func TestFleetOfOddMembers(t *testing.T) {
	t.Parallel()
	primary, locked := pgtest.Server(t, pgtemp.Options{}), pgtest.Server(t, pgtemp.Options{Password: "right"})
	connect := func(url string) *pgx.Conn {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(t.Context()) })
		return conn
	}
	s := &secrets{cli: &cli{t: t, conn: connect(locked.URL("postgres")), file: filepath.Join(t.TempDir(), "config.toml")}}
	s.exec(haTables)
	s.conn = connect(primary.URL("postgres"))
	s.exec(haTables)
	s.exec("CREATE DATABASE last TEMPLATE template0")
	standby := startStandby(t, primary)
	until(t, s.conn, `SELECT count(*) > 0 FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_insert_lsn()`)
	last := &cli{t: t, conn: connect(primary.URL("last"))}
	last.exec(haTables)

	password := filepath.Join(filepath.Dir(s.file), "password")
	setPassword := func(word string) {
		t.Helper()
		if err := os.WriteFile(password, []byte(word+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	setPassword(marker)
	s.writeAll(member("first", primary.URL("postgres")) + member("wrong", locked.URLAs("postgres", "postgres")) + fmt.Sprintf("password_file = %q\n", password) +
		member("standby", fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", standby)) + member("last", primary.URL("last")) +
		"[monitor]\nlisten = \"127.0.0.1:0\"\n" + haSet)
	show := func(want int, args ...string) string {
		t.Helper()
		out, log := s.cli.run(want, args...)
		s.see(fmt.Sprint(args), out+log)
		return out
	}

	expect(t, show(exitPartly, "--run-now"), "first public.events: done (create 3, ", "drop 2", "last public.events: done (create 3, ",
		"wrong public.events: failed\n  error: could not connect to PostgreSQL", "password authentication failed",
		"standby public.events: partly\n  problem: standby: ")
	var report struct {
		Sets []struct {
			Database, Status string
			Actions          []any
		}
	}
	if err := json.Unmarshal([]byte(show(exitPartly, "--run-now", "--json")), &report); err != nil || len(report.Sets) != 4 {
		t.Fatalf("%+v, %v", report, err)
	}
	for i, want := range []string{"first nothing to do", "wrong failed", "standby partly", "last nothing to do"} {
		if s := report.Sets[i]; s.Database+" "+s.Status != want || len(s.Actions) != 0 {
			t.Errorf("%+v, want %s and no action", s, want)
		}
	}
	expect(t, show(exitFound, "check"), "first public.events: healthy", "wrong public.events: NOT HEALTHY", "standby public.events: NOT HEALTHY", "last public.events: healthy")
	expect(t, show(exitOK, "status"), "first public.events: healthy", "wrong public.events: NOT HEALTHY", "standby public.events: NOT HEALTHY", "last public.events: healthy")
	show(exitPartly, "--run-now", "--database", "standby")
	show(exitConnect, "--run-now", "--database", "wrong")
	show(exitPartly, "history")

	d := startDaemon(t, s.file)
	var address string
	// next reads the log up to a line of that database with that message.
	next := func(database, msg string) (line map[string]any) {
		t.Helper()
		for d.lines.Scan() {
			s.see("the log", d.lines.Text())
			line = map[string]any{}
			if err := json.Unmarshal(d.lines.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			if line["msg"] == "the monitor listens" {
				address, _ = line["address"].(string)
			}
			if line["database"] == database && line["msg"] == msg {
				return line
			}
		}
		t.Fatalf("the log ended before %q of %s", msg, database)
		return nil
	}
	if line := next("standby", "the pass ended"); line["status"] != "partly" {
		t.Errorf("%v", line)
	}
	next("wrong", "no pass yet")
	status, ready := get(t, address, "/readyz", "", "")
	if status != http.StatusServiceUnavailable || ready != "not ready: 1 of 4 databases cannot be looked at\n" {
		t.Errorf("%d %s", status, ready)
	}
	_, metrics := get(t, address, "/metrics", "", "")
	expect(t, metrics, `partitiond_up{database="first"} 1`, `partitiond_up{database="wrong"} 0`, `partitiond_up{database="standby"} 1`, `partitiond_up{database="last"} 1`,
		`partitiond_set_healthy{database="first",set="public.events"} 1`, `partitiond_set_healthy{database="standby",set="public.events"} 0`,
		`partitiond_set_healthy{database="last",set="public.events"} 1`)
	if strings.Contains(metrics, `partitiond_set_healthy{database="wrong"`) {
		t.Error("metrics know of a set that nobody could look at")
	}
	for _, path := range []string{"/", "/status.json", "/metrics"} {
		_, text := get(t, address, path, "", "")
		s.see(path, text)
	}
	setPassword("right")
	for {
		if line := next("wrong", "the pass ended"); line["status"] == "done" {
			break
		}
	}
	promoted := &cli{t: t, conn: connect(fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", standby))}
	promoted.exec("SELECT pg_promote()")
	d.stop()
	expect(t, show(exitOK, "--run-now"), "standby public.events: ")
	if out := show(exitOK, "--run-now", "--dry-run"); strings.Count(out, ": nothing to do\n") != 4 {
		t.Error(out)
	}
}
