package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/pgtemp"
)

// program is the environment variable that makes [TestProgram] the program itself.
const program = "PARTITIOND_TEST_CONFIG"

// TestProgram is no test: others run it as the program, in a process of its own.
func TestProgram(*testing.T) {
	if file := os.Getenv(program); file != "" {
		os.Args = []string{"partitiond", "--config", file}
		main()
	}
}

// daemon is one in a process of its own.
type daemon struct {
	logs
	cmd *exec.Cmd
}

// patience stands for "never": a daemon that does not do what is awaited is killed
// then, and its log ends.
const patience = 3 * time.Minute

// startDaemon starts one that goes by the file, and kills it when the test ends.
func startDaemon(t *testing.T, file string) *daemon {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	d := &daemon{cmd: exec.CommandContext(ctx, os.Args[0], "-test.run=^TestProgram$")}
	d.cmd.Env = append(os.Environ(), program+"="+file)
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait()
	})
	d.logs = logs{t, bufio.NewScanner(stderr)}
	return d
}

// passed waits for the end of a pass with that status.
func (d *daemon) passed(status string) {
	d.t.Helper()
	for d.await("the pass ended")["status"] != status {
	}
}

// kill ends it without a chance to tidy up.
func (d *daemon) kill() {
	d.t.Helper()
	if err := d.cmd.Process.Kill(); err != nil {
		d.t.Fatal(err)
	}
	_ = d.cmd.Wait()
}

// stop ends it in order.
func (d *daemon) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	d.await("stopped")
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("the daemon ends with %v", err)
	}
}

// haSet has two old months to drop, in that order after all else, and goes on trying.
const haSet = eventsSet + `retention = { keep = "12 months", then = "drop", max_share = 1 }
limits = { retries = 100, retry_wait = "50ms", max_retry_wait = "200ms" }
[schedule]
cron = "@yearly"
`

const haTables = `CREATE TABLE public.events (id bigserial, at timestamptz, what text);
	CREATE TABLE events_2018_03 (CHECK (at >= '2018-03-01 00:00+00' AND at < '2018-04-01 00:00+00')) INHERITS (events);
	CREATE TABLE events_2018_04 (CHECK (at >= '2018-04-01 00:00+00' AND at < '2018-05-01 00:00+00')) INHERITS (events);
	INSERT INTO events_2018_03 (at) VALUES ('2018-03-05'); INSERT INTO events_2018_04 (at) VALUES ('2018-04-05')`

// until asks a server until the answer is yes.
func until(t *testing.T, conn *pgx.Conn, question string) {
	t.Helper()
	for yes := false; !yes; {
		if err := conn.QueryRow(t.Context(), question).Scan(&yes); err != nil {
			t.Fatalf("%s: %v", question, err)
		}
	}
}

// blocked asks whether a pass has come to the month that somebody reads.
const blocked = `SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
	WHERE NOT l.granted AND l.relation = 'events_2018_04'::regclass AND a.application_name = 'worker'`

// read reads a month in a transaction, and returns what ends that.
func read(t *testing.T, conn *pgx.Conn) (done func()) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM events_2018_04"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// account is whom servers run as, who are not to be root; nil is the present user.
func account(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	found, err := user.Lookup("postgres")
	if err != nil {
		if found, err = user.Lookup("nobody"); err != nil {
			t.Fatal(err)
		}
	}
	uid, err := strconv.ParseUint(found.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(found.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// ownDirectory makes a directory for a server of the account.
func ownDirectory(t *testing.T, as *syscall.Credential) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "partitiond-ha-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if as != nil {
		if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// serve runs a server until the test ends, and returns when it can be connected to.
func serve(t *testing.T, as *syscall.Credential, url, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true, Pdeathsig: syscall.SIGQUIT}
	cmd.Dir = "/"
	log, err := os.CreateTemp(t.TempDir(), filepath.Base(name))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tell := func() string { text, _ := os.ReadFile(log.Name()); return string(text) }
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		<-ended
		_ = log.Close()
		if t.Failed() {
			t.Logf("the log of %s:\n%s", name, tell())
		}
	})
	for {
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			_ = conn.Close(context.WithoutCancel(t.Context()))
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended with %v:\n%s", name, err, tell())
		case <-time.After(20 * time.Millisecond): // Nothing tells when it is up.
		}
	}
}

// startStandby makes a standby of a server that streams from it, and returns its port.
// It copies the files itself (PostgreSQL documentation, 26.3.4 Making a Base Backup
// Using the Low Level API), since not all servers come with pg_basebackup.
func startStandby(t *testing.T, primary *pgtemp.Server) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), primary.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var version int
	var from, label string
	if err := conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int, current_setting('data_directory')").Scan(&version, &from); err != nil {
		t.Fatal(err)
	}
	start, stop := "SELECT pg_backup_start('standby', true)", "SELECT labelfile FROM pg_backup_stop(false)"
	if version < 150000 {
		start, stop = "SELECT pg_start_backup('standby', true, false)", "SELECT labelfile FROM pg_stop_backup(false, false)"
	}
	as := account(t)
	dir := ownDirectory(t, as)
	data := filepath.Join(dir, "data")
	if _, err := conn.Exec(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	copyCluster(t, from, data)
	if err := conn.QueryRow(t.Context(), stop).Scan(&label); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"backup_label": label, "standby.signal": "", "postgresql.auto.conf": "primary_conninfo = '" + primary.URL("") + "'\n"} {
		if err := os.WriteFile(filepath.Join(data, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if as != nil {
		err := filepath.WalkDir(data, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Chown(path, int(as.Uid), int(as.Gid)))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	port := freePort(t)
	serve(t, as, fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port), primary.Binaries().Path("postgres"),
		"-D", data, "-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(port), "-c", "unix_socket_directories="+dir)
	return port
}

// copyCluster copies a server's files, but for its WAL and what says that it runs.
func copyCluster(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		name, relErr := filepath.Rel(from, path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // It is gone since its directory was read.
			return nil
		case err != nil || relErr != nil:
			return errors.Join(err, relErr)
		case d.IsDir():
			return os.Mkdir(filepath.Join(to, name), 0o700)
		case strings.HasPrefix(name, "postmaster.") || filepath.Dir(name) == "pg_wal":
			return nil
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return errors.Join(err, os.WriteFile(filepath.Join(to, name), content, 0o600))
	})
	if err != nil {
		t.Fatal(err)
	}
}
