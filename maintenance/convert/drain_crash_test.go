package convert_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/convert"
)

// doomed is the environment variable that makes [TestDoomedConversion] work: the
// database, and the number of the event at which to die.
const doomed = "PARTITIOND_TEST_DOOMED"

// killed is how many of the attempts are processes that are killed; the others lose
// their connections at the same points, which is all that the server sees of a death.
const killed = 8

// doom drains, and dies after its n-th statement. It tells whether it lived to its
// end, and returns when the server has noticed.
func (f *fixture) doom(n int) (lived bool) {
	f.t.Helper()
	if n%killed == 0 {
		cmd := exec.CommandContext(f.t.Context(), os.Args[0], "-test.run=^TestDoomedConversion$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s\n%d", doomed, f.db.URL, n))
		out, err := cmd.CombinedOutput()
		lived = cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL
		if err != nil && lived {
			f.t.Fatalf("the process ended with %v:\n%s", err, out)
		}
	} else {
		death := &deathAt{last: n}
		death.die = func() {
			for _, c := range death.conns {
				_ = c.PgConn().Conn().Close()
			}
		}
		err := f.attempt(f.db.URL, death)
		if lived = death.n < n; lived && err != nil {
			f.t.Fatal(err)
		}
	}
	for running := 1; running > 0; { // The server closes the sessions one by one.
		if err := f.conn.QueryRow(f.t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'doomed' AND datname = current_database()").Scan(&running); err != nil {
			f.t.Fatal(err)
		}
	}
	return lived
}

// TestDoomedConversion is no test: TestDrainResumes runs it in a process of its own.
func TestDoomedConversion(t *testing.T) {
	work := os.Getenv(doomed)
	if work == "" {
		return
	}
	parts := strings.Split(work, "\n")
	last, err := strconv.Atoi(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t}
	f.configure(drainedSet)
	err = f.attempt(parts[0], &deathAt{last: last, die: func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // Until the signal is there.
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// attempt drains under the eyes of death.
func (f *fixture) attempt(url string, death *deathAt) error {
	cc, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	cc.RuntimeParams["application_name"] = "doomed"
	cc.Tracer = death
	connect := func(ctx context.Context) (*pgx.Conn, error) {
		if death.n >= death.last {
			return nil, errors.New("the dead do not connect")
		}
		conn, err := pgx.ConnectConfig(ctx, cc)
		death.conns = append(death.conns, conn)
		return conn, err
	}
	_, err = convert.RunDrain(f.t.Context(), nil, connect, f.set, convert.DrainOptions{Options: options}, f.m.Log)
	return err
}

// deathAt counts statements that the server has done, and dies at the last.
type deathAt struct {
	n, last int
	die     func()
	conns   []*pgx.Conn
}

// TraceQueryStart does nothing: before a statement is after the one before.
func (d *deathAt) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd counts a statement: the server has done it, and nobody here knows.
func (d *deathAt) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {
	if d.n++; d.n == d.last {
		d.die()
	}
}
