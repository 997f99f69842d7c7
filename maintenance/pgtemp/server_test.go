package pgtemp_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/pgtemp"
)

// home is a short directory to make servers in, which the user postgres can
// reach, unlike t.TempDir's.
func home(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, options pgtemp.Options) *pgtemp.Server {
	t.Helper()
	server, err := pgtemp.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// ask runs a query that answers with one text.
func ask(t *testing.T, conn *pgx.Conn, query string) string {
	t.Helper()
	var answer string
	if err := conn.QueryRow(t.Context(), query).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 0 {
		t.Errorf("left behind: %s", left)
	}
}

// postmaster is the process id in the first line of postmaster.pid.
func postmaster(t *testing.T, server *pgtemp.Server) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(server.DataDir(), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, _, _ := strings.Cut(string(content), "\n")
	return pid
}

// requireNoProcess fails if there is a process with that id.
func requireNoProcess(t *testing.T, pid string) {
	t.Helper()
	id, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(id, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %s is still there (%v)", pid, err)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	server := start(t, pgtemp.Options{})
	conn := connect(t, server.URL("postgres"))
	for query, want := range map[string]string{
		"SELECT current_user":             "postgres",
		"SHOW server_encoding":            "UTF8",
		"SHOW max_connections":            "200",
		"SHOW fsync":                      "off",
		"SHOW synchronous_commit":         "off",
		"SHOW full_page_writes":           "off",
		"SHOW listen_addresses":           "127.0.0.1",
		"SHOW TimeZone":                   "UTC",
		"SHOW server_version_num":         ask(t, conn, "SELECT current_setting('server_version_num')"),
		"SELECT host(inet_server_addr())": "127.0.0.1",
		"SELECT datcollate FROM pg_database WHERE datname = 'template0'": "C.UTF-8",
	} {
		if got := ask(t, conn, query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if got := ask(t, conn, "SHOW server_version"); !strings.HasPrefix(got, server.Version()) {
		t.Errorf("the server is %s, Version says %q", got, server.Version())
	}
	if log := server.LogTail(1); strings.Contains(log, "\n") || !strings.Contains(server.LogTail(1000), "ready to accept connections") {
		t.Errorf("LogTail(1) is %q, and all of the log:\n%s", log, server.LogTail(1000))
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	server := start(t, pgtemp.Options{
		Superuser: "Über boss",
		Password:  "p@ss/wörd",
		Durable:   true,
		Settings:  map[string]string{"application_name": `it's a \ here`, "max_connections": "17", "my.own": "x y"},
	})
	conn := connect(t, server.URL("postgres"))
	for query, want := range map[string]string{
		"SELECT current_user":     "Über boss",
		"SHOW fsync":              "on",
		"SHOW synchronous_commit": "on",
		"SHOW full_page_writes":   "on",
		"SHOW max_connections":    "17",
		"SHOW my.own":             "x y",
		"SELECT reset_val FROM pg_settings WHERE name = 'application_name'": `it's a \ here`,
	} {
		if got := ask(t, conn, query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if _, err := pgx.Connect(t.Context(), server.URLAs("Über boss", "postgres")); err == nil {
		t.Error("a connection over TCP without the password was accepted")
	}
	bySocket := "host=" + server.SocketDir() + " user='Über boss' dbname=postgres port=" + ask(t, conn, "SHOW port")
	if got := ask(t, connect(t, bySocket), "SELECT coalesce(host(inet_server_addr()), 'socket')"); got != "socket" {
		t.Errorf("the socket connection came in at %s", got)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(server.DataDir()), "password*")); len(left) != 0 {
		t.Errorf("the password was left in %s", left)
	}
}

func TestURLOfOddDatabase(t *testing.T) {
	t.Parallel()
	server := start(t, pgtemp.Options{})
	const name = `a/b "c"?d=ä%20`
	conn := connect(t, server.URL("postgres"))
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, connect(t, server.URL(name)), "SELECT current_database()"); got != name {
		t.Errorf("connected to %q, want %q", got, name)
	}
}

func TestStopRestartClose(t *testing.T) {
	t.Parallel()
	dir := home(t)
	server := start(t, pgtemp.Options{Dir: dir})
	url := server.URL("postgres")
	if _, err := connect(t, url).Exec(t.Context(), "CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []pgtemp.Mode{pgtemp.Fast, pgtemp.Immediate, pgtemp.Smart} {
		pid := postmaster(t, server)
		if err := server.Stop(mode); err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		requireNoProcess(t, pid)
		if conn, err := pgx.Connect(t.Context(), url); err == nil {
			t.Fatalf("%s: connected to a stopped server: %v", mode, conn.PgConn().PID())
		}
		if err := server.Stop(mode); err != nil {
			t.Errorf("%s, again: %v", mode, err)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatalf("after %s: %v", mode, err)
		}
		conn := connect(t, url) // the same port
		ask(t, conn, "SELECT count(*)::text FROM kept")
		_ = conn.Close(t.Context()) // the smart shutdown waits for it
	}
	running := postmaster(t, server)
	if err := server.Restart(t.Context()); err != nil { // of a running one
		t.Fatal(err)
	}
	requireNoProcess(t, running)
	last := postmaster(t, server)
	for range 2 {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
	requireNoProcess(t, last)
	requireEmpty(t, dir)
	if err := server.Restart(t.Context()); err == nil {
		t.Error("a closed server started again")
	}
	if err := server.Kill(); err != nil {
		t.Errorf("killing a closed server: %v", err)
	}
}

func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	dir := home(t)
	one, two := start(t, pgtemp.Options{Dir: dir}), start(t, pgtemp.Options{Dir: dir})
	if one.Port() == two.Port() || one.DataDir() == two.DataDir() {
		t.Fatalf("ports %d and %d, directories %s and %s", one.Port(), two.Port(), one.DataDir(), two.DataDir())
	}
	// The second Start has looked for directories to remove, and spared this one.
	if _, err := os.Stat(filepath.Join(one.DataDir(), "PG_VERSION")); err != nil {
		t.Error(err)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	ask(t, connect(t, two.URL("postgres")), "SHOW port")
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	requireEmpty(t, dir)
}

func TestStartFailsCleanly(t *testing.T) {
	t.Parallel()
	dir := home(t)
	_, err := pgtemp.Start(t.Context(), pgtemp.Options{Dir: dir, Settings: map[string]string{"max_connections": "many"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "max_connections"`) {
		t.Errorf("the error does not quote the server's log: %v", err)
	}
	requireEmpty(t, dir)

	gone := errors.New("the caller has left")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := pgtemp.Start(ctx, pgtemp.Options{Dir: dir}); !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}
	requireEmpty(t, dir)

	long := filepath.Join(dir, strings.Repeat("x", 100))
	if err := os.Mkdir(long, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := pgtemp.Start(t.Context(), pgtemp.Options{Dir: long}); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a directory too long for a socket: %v", err)
	}
}

func TestRestartOnTakenPort(t *testing.T) {
	t.Parallel()
	server := start(t, pgtemp.Options{})
	if err := server.Stop(pgtemp.Fast); err != nil {
		t.Fatal(err)
	}
	thief, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: server.Port()})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err == nil || !strings.Contains(err.Error(), "the port is taken") {
		t.Errorf("restarting on a taken port: %v", err)
	}
	if err := thief.Close(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Error(err)
	}
}
