package convert_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/convert"
)

// doomed is the environment variable that makes [TestDoomedConversion] work: the
// database, the number of the event at which to die, and which way to go.
const doomed = "PARTITIOND_TEST_DOOMED"

// TestKillMinus9 kills a process that converts a set after each statement, while rows
// come in. After each death the set takes rows under the same name; in the end it is
// converted, and has all that were ever written. The same on the way back.
func TestKillMinus9(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ALTER TABLE chat_master ALTER created_at DROP NOT NULL; ALTER TABLE chat_master ADD PRIMARY KEY (id)")
	w := f.write()
	for _, way := range []string{"forward", "back"} {
		n, kind := 0, "r"
		for done := false; !done; {
			n++
			if n > 500 {
				t.Fatal("it comes to no end")
			}
			done = f.doom(way, n)
			if way == "back" {
				kind = "p"
			}
			if got := f.query("SELECT relkind::text FROM pg_class WHERE oid = 'chat_master'::regclass"); !done && got != kind {
				// Killed after the swap was committed: then all of it is.
				done = true
			}
			f.exec("INSERT INTO chat_master (dialogue, created_at) VALUES ('after', localtimestamp)")
			w.more(1)
		}
		t.Logf("%s: killed after %d statements", way, n-1)
		f.want("SELECT count(*) FROM pg_class WHERE relname LIKE '%_partitioned'", "0")
		// In between the daemon serves the set, whatever that makes of its functions.
		f.pass()
	}
	w.stop()
	f.want("SELECT count(*) FROM chat_master", strconv.Itoa(600+w.written))
	f.pass()
	f.want("SELECT count(*) FROM ONLY chat_master", "0")
	f.want("SELECT count(*) FROM chat_master", strconv.Itoa(600+w.written))
}

// writer inserts row after row, and counts them.
type writer struct {
	f       *fixture
	written int
	end     func()
	ended   sync.WaitGroup
	mu      sync.Mutex
}

func (w *writer) more(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written += n
}

// write begins to insert, on a connection of its own.
func (f *fixture) write() *writer {
	f.t.Helper()
	conn := f.db.Conn(f.t)
	ctx, end := context.WithCancel(f.t.Context())
	w := &writer{f: f, end: end}
	f.t.Cleanup(w.stop)
	w.ended.Go(func() {
		pace := time.NewTicker(5 * time.Millisecond)
		defer pace.Stop()
		for ctx.Err() == nil {
			<-pace.C
			_, err := conn.Exec(context.WithoutCancel(ctx), "INSERT INTO chat_master (dialogue, created_at) SELECT 'meanwhile', localtimestamp - make_interval(days => i) FROM generate_series(0, 60, 20) i")
			if err != nil {
				f.t.Errorf("an insert failed: %v", err)
				return
			}
			w.more(4)
		}
	})
	return w
}

func (w *writer) stop() {
	w.end()
	w.ended.Wait()
}

// killed is how many of the attempts are processes that are killed; the others lose
// their connections at the same points, which is all that the server sees of a death.
const killed = 8

// doom converts, and dies after its n-th statement. It tells whether it lived to its
// end, and returns when the server has noticed.
func (f *fixture) doom(way string, n int) (lived bool) {
	f.t.Helper()
	if n%killed == 0 {
		cmd := exec.CommandContext(f.t.Context(), os.Args[0], "-test.run=^TestDoomedConversion$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s\n%d\n%s", doomed, f.db.URL, n, way))
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
		err := f.attempt(f.db.URL, way, death)
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

// TestDoomedConversion is no test: TestKillMinus9 runs it in a process of its own.
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
	f.configure(seedSet)
	if parts[2] == "drain" {
		f.configure(drainedSet)
	}
	err = f.attempt(parts[0], parts[2], &deathAt{last: last, die: func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // Until the signal is there.
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// attempt converts, or goes back, under the eyes of death.
func (f *fixture) attempt(url, way string, death *deathAt) error {
	cc, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	cc.RuntimeParams["application_name"] = "doomed"
	cc.Tracer = death
	o := options
	o.WidenKeys = true
	connect := func(ctx context.Context) (*pgx.Conn, error) {
		if death.n >= death.last {
			return nil, errors.New("the dead do not connect")
		}
		conn, err := pgx.ConnectConfig(ctx, cc)
		death.conns = append(death.conns, conn)
		return conn, err
	}
	if way == "drain" {
		_, err = convert.RunDrain(f.t.Context(), nil, connect, f.set, convert.DrainOptions{Options: o}, f.m.Log)
		return err
	}
	_, err = convert.Run(f.t.Context(), nil, connect, f.set, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
		if way == "back" {
			return convert.Back(ctx, conn, f.set, o)
		}
		return convert.Forward(ctx, conn, f.set, o)
	}, f.m.Log)
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
