package maintenance_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// doomed is the environment variable that makes [TestDoomedPass] work: the
// database, the number of the event at which to die, and the configuration.
const doomed = "PARTITIOND_TEST_DOOMED"

// killPoints is how many points of a pass TestKillMinus9 tries.
const killPoints = 10

// TestKillMinus9 kills a process that makes a pass, at points all over the pass:
// each statement that it sends and each line that it logs is one. After each
// death no row is missing, and another pass finishes the work.
func TestKillMinus9(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	set := fmt.Sprintf("[[set]]\nparent = \"public.events\"\nkey = \"at\"\nretention = { keep = \"12 months\", then = \"archive\", archive = \"file://%s\", max_share = 1, late_grace = \"0s\" }\n", s.archive)
	s.section("set.toml", set)
	s.section("parent.sql", "CREATE TABLE events (id serial, at timestamp, what text); CREATE INDEX ON events (at)")
	if report, err := s.m.Pass(t.Context(), nil, s.sets); err != nil || report.Status() != maintenance.Done {
		t.Fatalf("the first pass: %+v, %v", report, err)
	}
	written := 0
	work := func(round int) {
		t.Helper()
		// Late rows, rows in the parent, a month by hand, and one without its index.
		s.section("work.sql", fmt.Sprintf(`
			INSERT INTO events (at, what) SELECT date_trunc('month', localtimestamp) - make_interval(months => 13 + i %% 2, hours => -i), 'late' FROM generate_series(1, 40) i;
			ALTER TABLE events DISABLE TRIGGER insert_events_trigger;
			INSERT INTO events (at, what) SELECT date_trunc('month', localtimestamp) - make_interval(months => 15, hours => -i), 'stray' FROM generate_series(1, 10) i;
			ALTER TABLE events ENABLE TRIGGER insert_events_trigger;
			CREATE TABLE by_hand_%[1]d (CHECK (date_trunc('day', at) >= date '2000-01-01' + %[1]d AND date_trunc('day', at) < date '2000-01-01' + %[1]d + 1)) INHERITS (events);
			INSERT INTO by_hand_%[1]d (at) VALUES (date '2000-01-01' + %[1]d);
			DO $$ BEGIN EXECUTE (SELECT format('DROP INDEX %%s', indexrelid::regclass) FROM pg_index WHERE indrelid = (SELECT min(inhrelid) FROM pg_inherits)); END $$`, round))
		written += 51
	}
	where := func() []string {
		ids := strings.Fields(rows(t, s.conn, "SELECT id FROM events"))
		for _, p := range readArchive(t, s.archive) {
			ids = append(ids, p.column("id")...)
		}
		slices.Sort(ids)
		return ids
	}
	// The history has each row that is gone, and no other.
	recorded := func() {
		t.Helper()
		const query = `SELECT coalesce(sum(rows), 0) + (SELECT count(*) FROM events) || ' ' || count(*) FILTER (WHERE partition_oid IN (SELECT oid FROM pg_class)) FROM partitiond.history`
		if got, want := strings.TrimSpace(rows(t, s.conn, query)), fmt.Sprintf("%d 0", written); got != want {
			t.Fatalf("rows in the history and the set, and removals of tables that are there: %s, want %s", got, want)
		}
	}
	finish := func() {
		t.Helper()
		report, err := s.m.Pass(t.Context(), nil, s.sets)
		if err != nil || report.Status() != maintenance.Done && report.Status() != maintenance.Idle {
			t.Fatalf("the pass after: %+v, %v", report, err)
		}
		s.section("left", "")
		if ids := where(); len(ids) != written || len(slices.Compact(ids)) != written {
			t.Fatalf("%d rows were written, %d are there, %d different", written, len(ids), len(slices.Compact(ids)))
		}
		recorded()
	}
	work(0)
	events := s.doom(t, "TestDoomedPass", set, 0)
	finish()
	for i := range killPoints {
		work(i + 1)
		at := 1 + i*events/killPoints
		s.doom(t, "TestDoomedPass", set, at)
		if ids := slices.Compact(where()); len(ids) != written {
			t.Fatalf("killed at event %d of about %d: %d of %d rows are there", at, events, len(ids), written)
		}
		recorded()
		finish()
	}
	t.Logf("killed at %d points of a pass with %d", killPoints, events)
}

// doom runs a doomed test in a process of its own, which dies at its n-th event,
// or lives to tell how many there are if n is 0. It returns when the server has noticed.
func (s *scenario) doom(t *testing.T, test, set string, n int) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s\n%d\n%s", doomed, s.db.URL, n, set))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	events := 0
	var all []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		all = append(all, lines.Text())
		if text, ok := strings.CutPrefix(lines.Text(), "events "); ok {
			events, _ = strconv.Atoi(text)
		}
	}
	err = cmd.Wait()
	killed := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	if n == 0 && (err != nil || events == 0) || n > 0 && !killed {
		t.Fatalf("the process ended with %v:\n%s", err, strings.Join(all, "\n"))
	}
	s.alone("doomed")
	return events
}

// TestDoomedPass is no test: TestKillMinus9 runs it in a process of its own.
func TestDoomedPass(t *testing.T) {
	m, sets, tell := doomedWork(t)
	if m == nil {
		return
	}
	// Its other formats and stores have a crash test of their own.
	m.Archiving.Format = archive.CSV
	report, err := m.Pass(t.Context(), nil, sets)
	if err != nil || report.Status() != maintenance.Done {
		t.Fatalf("%+v, %v", report, err)
	}
	tell()
}

// doomedWork returns what a doomed test works with, and what it calls if it has
// come to its end; or nil where it is not in a process of its own.
func doomedWork(t *testing.T) (*maintenance.Maintainer, []partition.Set, func()) {
	t.Helper()
	work := os.Getenv(doomed)
	if work == "" {
		return nil, nil, nil
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
	var sets []partition.Set
	for _, s := range c.Databases[0].Sets {
		sets = append(sets, s.Set)
	}
	m := &maintenance.Maintainer{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, options) },
		Log:     slog.New(slog.NewTextHandler(counter, nil)),
	}
	return m, sets, func() { fmt.Printf("\nevents %d\n", counter.n.Load()) }
}

// deathAt counts events and kills the process at the last.
type deathAt struct {
	n    atomic.Int64
	last int64
}

func (d *deathAt) event() {
	if d.n.Add(1) == d.last {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // Until the signal is there.
	}
}

// Write counts a line of the log.
func (d *deathAt) Write(p []byte) (int, error) {
	d.event()
	return len(p), nil
}

// TraceQueryStart counts a statement.
func (d *deathAt) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	d.event()
	return ctx
}

// TraceQueryEnd counts a statement's end: the server has done it, and nobody here knows.
func (d *deathAt) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) { d.event() }
