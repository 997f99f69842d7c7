package pgtemp_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/pgtemp"
)

func TestKillRecovers(t *testing.T) {
	t.Parallel()
	server := start(t, pgtemp.Options{Durable: true})
	conn := connect(t, server.URL("postgres"))
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 7 AS n"); err != nil {
		t.Fatal(err)
	}
	// A busy backend does not notice by itself that the postmaster is gone.
	busy := connect(t, server.URL("postgres"))
	ended := keepBusy(busy)
	awaitBusy(t, conn)

	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, ended, "the busy session's end"); err == nil {
		t.Error("the busy session ended well")
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, connect(t, server.URL("postgres")), "SELECT n::text FROM kept"); got != "7" {
		t.Errorf("kept %s", got)
	}
	if log := server.LogTail(100); !strings.Contains(log, "automatic recovery in progress") {
		t.Errorf("the server did not crash:\n%s", log)
	}
	if err := server.Kill(); err != nil { // and Close of a killed one
		t.Fatal(err)
	}
}

// receive waits for what is sure to come, and says so if it does not.
func receive(t *testing.T, from chan error, what string) error {
	t.Helper()
	select {
	case err := <-from:
		return err
	case <-time.After(time.Minute):
		t.Fatalf("gave up waiting for %s", what)
		return nil
	}
}

const busyQuery = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"

// keepBusy runs a query that takes longer than any test, and nothing but the
// processor.
func keepBusy(conn *pgx.Conn) (ended chan error) {
	ended = make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), busyQuery)
		ended <- err
	}()
	return ended
}

// awaitBusy returns once another session runs that query.
func awaitBusy(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	for ask(t, conn, `SELECT count(*)::text FROM pg_stat_activity
		WHERE state = 'active' AND query LIKE '%generate_series(1, 100000) b' AND pid <> pg_backend_pid()`) != "1" {
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
}

// A process that is killed cannot clean up: the kernel ends its server, busy or
// not, and the next Start removes its directory.
func TestParentKilled(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("there is no parent death signal on " + runtime.GOOS)
	}
	dir := home(t)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	parent := exec.Command(program)
	parent.Env = append(os.Environ(), envVictim+"="+dir)
	parent.Stdout, parent.Stderr = in, os.Stderr
	// Another copy, as 4: the server inherits it, while 3 is the package's own.
	parent.ExtraFiles = []*os.File{in, in}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = parent.Process.Kill() }()
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(out)
	url, err := reader.ReadString('\n')
	if err != nil {
		t.Fatalf("the parent started no server: %v", err)
	}
	url = strings.TrimSpace(url)
	ended := keepBusy(connect(t, url))
	awaitBusy(t, connect(t, url))

	if err := parent.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // "signal: killed"
	if err := receive(t, ended, "the busy session's end"); err == nil {
		t.Error("the busy session ended well")
	}
	// The end of the pipe comes when the last server process is gone.
	gone := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, reader)
		gone <- err
	}()
	if err := receive(t, gone, "the end of all server processes"); err != nil {
		t.Fatal(err)
	}
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		t.Errorf("the server survived; process %d answers", conn.PgConn().PID())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "partitiond-pg-*")); len(left) != 1 {
		t.Errorf("directories left by the parent: %v, want one", left)
	}
	next := start(t, pgtemp.Options{Dir: dir})
	if left, _ := filepath.Glob(filepath.Join(dir, "partitiond-pg-*")); len(left) != 1 || !strings.HasPrefix(next.DataDir(), left[0]) {
		t.Errorf("there are %v, want only the next server's, for %s", left, next.DataDir())
	}
}
