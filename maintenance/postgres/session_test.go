package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// applied is a set in a database of its own, and a session to apply actions with.
type applied struct {
	*pgtest.Database
	t       *testing.T
	conn    *pgx.Conn
	set     partition.Set
	lock    *PassLock
	session *Session
	stop    chan struct{}
	// export is what the session exports by.
	export Export
}

// twoMonths are a parent and two old months of it, by hand.
const twoMonths = `CREATE TABLE event_master (id bigserial, body text, created_at timestamp);
	CREATE TABLE event_2018_11 (CONSTRAINT partition_bounds CHECK (created_at >= '2018-11-01' AND created_at < '2018-12-01')) INHERITS (event_master);
	CREATE TABLE event_2018_12 (CONSTRAINT partition_bounds CHECK (created_at >= '2018-12-01' AND created_at < '2019-01-01')) INHERITS (event_master);
	INSERT INTO event_2018_11 (created_at, body) SELECT timestamp '2018-11-01' + i * interval '1 hour', 'b' || i FROM generate_series(0, 99) i;
	INSERT INTO event_2018_12 (created_at, body) SELECT timestamp '2018-12-01' + i * interval '1 hour', 'b' || i FROM generate_series(0, 99) i`

func newApplied(t *testing.T, sql string) *applied {
	t.Helper()
	month := partition.Interval{N: 1, Unit: partition.Month}
	pattern, err := partition.ParsePattern("event_%Y_%m", month)
	if err != nil {
		t.Fatal(err)
	}
	a := &applied{Database: pgtest.New(t), t: t, stop: make(chan struct{}), set: partition.Set{
		Parent: partition.Name{Schema: "public", Local: "event_master"}, Key: "created_at", Interval: month, Pattern: pattern,
		Location: time.UTC, Ahead: 1, Trigger: "insert_event_trigger", Function: partition.Name{Schema: "public", Local: "event_insert_function"},
		Window:    eventRoute().Window,
		Retention: partition.Retention{Keep: partition.Interval{N: 1, Unit: partition.Year}, Then: partition.Drop, MaxShare: 1},
		Indexes:   true, Grants: partition.GrantsAdd, SweepBatch: 10,
		Limits: partition.Limits{LockTimeout: 100 * time.Millisecond, ConcurrentTimeout: time.Minute, Retries: 2,
			RetryWait: time.Millisecond, MaxRetryWait: 2 * time.Millisecond},
	}}
	a.export = func(context.Context, *pgx.Conn, partition.Set, partition.Snapshot, partition.Action) (Archived, error) {
		return Archived{Location: "nowhere", StillEqual: func(context.Context, pgx.Tx) error { return nil }}, nil
	}
	a.conn = a.Conn(t)
	a.exec(sql)
	a.begin(a.URL)
	return a
}

// begin locks the set and opens the session, for the role of the URL.
func (a *applied) begin(url string) {
	a.t.Helper()
	open := func() *pgx.Conn {
		conn, err := pgx.Connect(a.t.Context(), url)
		if err != nil {
			a.t.Fatal(err)
		}
		a.t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	var err error
	if a.lock, err = AcquirePassLock(a.t.Context(), open(), []partition.Set{a.set}); err != nil {
		a.t.Fatal(err)
	}
	export := func(ctx context.Context, conn *pgx.Conn, set partition.Set, snap partition.Snapshot, act partition.Action) (Archived, error) {
		return a.export(ctx, conn, set, snap, act)
	}
	if a.session, err = NewSession(a.t.Context(), open(), a.lock, export, a.stop); err != nil {
		a.t.Fatal(err)
	}
}

func (a *applied) exec(sql string) {
	a.t.Helper()
	if _, err := a.conn.PgConn().Exec(a.t.Context(), sql).ReadAll(); err != nil {
		a.t.Fatalf("%v in %s", err, sql)
	}
}

// one returns a query's only value.
func (a *applied) one(query string) string {
	a.t.Helper()
	var value string
	if err := a.conn.QueryRow(a.t.Context(), "SELECT ("+query+")::text").Scan(&value); err != nil {
		a.t.Fatalf("%v in %s", err, query)
	}
	return value
}

func (a *applied) observe() partition.Snapshot {
	a.t.Helper()
	snaps, err := Observe(a.t.Context(), a.conn, []partition.Set{a.set})
	if err != nil {
		a.t.Fatal(err)
	}
	return snaps[0]
}

// planned returns what was seen, and the plan's action of that kind on that table.
func (a *applied) planned(kind partition.Kind, table string) (partition.Snapshot, partition.Action) {
	a.t.Helper()
	snap := a.observe()
	plan := partition.Make(a.set, snap)
	i := slices.IndexFunc(plan.Actions, func(act partition.Action) bool { return act.Kind == kind && act.Table.Local == table })
	if i < 0 {
		a.t.Fatalf("nothing to %s on %s in %v, problems %v", kind, table, plan.Actions, plan.Problems)
	}
	return snap, plan.Actions[i]
}

func (a *applied) apply(snap partition.Snapshot, act partition.Action) (Outcome, error) {
	return a.session.Apply(a.t.Context(), a.set, snap, act)
}

// wait returns when the session with that process waits for somebody else's lock.
func (a *applied) wait(pid uint32) {
	a.t.Helper()
	for blocked := false; !blocked; {
		if err := a.conn.QueryRow(a.t.Context(), "SELECT cardinality(pg_blocking_pids($1)) > 0", int32(pid)).Scan(&blocked); err != nil {
			a.t.Fatal(err)
		}
	}
}

// hold runs SQL in a transaction that stays open until the test ends or the
// returned function is called.
func (a *applied) hold(sql string) (release func()) {
	a.t.Helper()
	conn := a.Conn(a.t)
	if _, err := conn.PgConn().Exec(a.t.Context(), "BEGIN; SET application_name = 'holder'; "+sql).ReadAll(); err != nil {
		a.t.Fatal(err)
	}
	return func() {
		a.t.Helper()
		if _, err := conn.Exec(a.t.Context(), "ROLLBACK"); err != nil {
			a.t.Fatal(err)
		}
	}
}

// TestStepSettings asks the session, from within its steps, what its timeouts are.
func TestStepSettings(t *testing.T) {
	t.Parallel()
	a := newApplied(t, twoMonths)
	a.set.Limits = partition.Limits{LockTimeout: 123 * time.Millisecond, ConcurrentTimeout: 456 * time.Second, StatementTimeout: 789 * time.Second}
	a.exec("CREATE TABLE seen (step text, lock_timeout text, statement_timeout text, idle text, role text, isolation text)")
	owner := a.Role(t, "owner")
	a.exec("GRANT INSERT ON seen TO " + owner + "; GRANT USAGE ON SCHEMA public TO " + owner)
	note := func(name string) []Statement {
		return []Statement{{SQL: fmt.Sprintf(`INSERT INTO public.seen SELECT '%s', current_setting('lock_timeout'), current_setting('statement_timeout'),
			current_setting('idle_in_transaction_session_timeout'), current_user, current_setting('transaction_isolation')`, name)}}
	}
	a.exec("ALTER DATABASE " + a.Name + " SET default_transaction_isolation = 'serializable'")
	a.begin(a.URL)
	snap := a.observe()
	for _, step := range []Step{
		{Statements: note("alone"), Alone: true},
		{Statements: note("alone, waits"), Alone: true, Waits: true},
		{Statements: note("alone again"), Alone: true},
		{Statements: note("in a transaction")},
		{Statements: note("under the lock"), SetLock: true},
		{Statements: note("as the owner"), Role: owner},
		{Statements: note("alone, as the owner"), Role: owner, Alone: true},
	} {
		if err := a.session.runStep(t.Context(), a.set, snap, step, &Outcome{}); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := a.conn.Query(t.Context(), "SELECT concat_ws(' ', step || ':', lock_timeout, statement_timeout, idle, CASE role WHEN 'postgres' THEN 'self' ELSE 'owner' END, isolation) FROM seen")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want(t, "settings", strings.Join(got, "\n"), `alone: 123ms 789s 1min self serializable
alone, waits: 456s 789s 1min self serializable
alone again: 123ms 789s 1min self serializable
in a transaction: 123ms 789s 1min self read committed
under the lock: 123ms 789s 1min self read committed
as the owner: 123ms 789s 1min owner read committed
alone, as the owner: 123ms 789s 1min owner serializable`)
	want(t, "the role afterwards", func() (role string) {
		if err := a.session.Conn().QueryRow(t.Context(), "SELECT current_user").Scan(&role); err != nil {
			t.Fatal(err)
		}
		return role
	}(), "postgres")
}

// TestLockTimeout has a reader on a month that is due: the session gives up
// after its retries, names the reader and leaves everything as it was; when the
// reader is gone it succeeds.
func TestLockTimeout(t *testing.T) {
	t.Parallel()
	a := newApplied(t, twoMonths)
	release := a.hold("LOCK TABLE event_2018_11 IN ACCESS SHARE MODE")
	snap, act := a.planned(partition.Retire, "event_2018_11")
	out, err := a.apply(snap, act)
	if code := pgCode(err); code != "55P03" {
		t.Errorf("got %v (%s), want a lock timeout", err, code)
	}
	if out.Retries != a.set.Limits.Retries {
		t.Errorf("%d retries, want %d", out.Retries, a.set.Limits.Retries)
	}
	if !slices.ContainsFunc(out.Blockers, func(b Blocker) bool {
		return b.Application == "holder" && b.Mode == "AccessShareLock" && b.Table == "public.event_2018_11" && b.State == "idle in transaction" && b.User == "postgres" && !b.Since.IsZero()
	}) {
		t.Errorf("the holder is not among the blockers: %+v", out.Blockers)
	}
	want(t, "rows", a.one("SELECT count(*) FROM event_master"), "200")
	// No lock stays behind.
	want(t, "locks", a.one(fmt.Sprintf("SELECT count(*) FROM pg_locks WHERE pid = %d AND locktype IN ('relation', 'advisory')", a.session.Conn().PgConn().PID())), "0")
	release()
	if out, err = a.apply(snap, act); err != nil || out.Retries != 0 {
		t.Errorf("with nobody in the way: %+v, %v", out, err)
	}
	want(t, "rows", a.one("SELECT count(*) FROM event_master"), "100")
}

// TestLockComesDuringRetries has the reader go away between two tries.
func TestLockComesDuringRetries(t *testing.T) {
	t.Parallel()
	a := newApplied(t, twoMonths)
	a.set.Limits.Retries = 1000
	release := a.hold("LOCK TABLE event_2018_11 IN ACCESS SHARE MODE")
	snap, act := a.planned(partition.Retire, "event_2018_11")
	result := make(chan error, 1)
	var out Outcome
	go func() {
		var err error
		out, err = a.apply(snap, act)
		result <- err
	}()
	a.wait(a.session.Conn().PgConn().PID())
	a.wait(a.session.Conn().PgConn().PID())
	release()
	if err := <-result; err != nil {
		t.Errorf("got %v after %d retries", err, out.Retries)
	}
	want(t, "rows", a.one("SELECT count(*) FROM event_master"), "100")
}

// TestRemovalNeverMakesVictims has a session that has read the month, and then
// writes to it while the removal holds it against writers. It waits for the
// removal; if the removal waited for it, the server would end one of them.
func TestRemovalNeverMakesVictims(t *testing.T) {
	t.Parallel()
	a := newApplied(t, twoMonths)
	a.set.Retention.Then = partition.Archive
	a.set.Limits.Retries = 0
	other := a.Conn(t)
	if _, err := other.PgConn().Exec(t.Context(), "BEGIN; SELECT count(*) FROM event_2018_11").ReadAll(); err != nil {
		t.Fatal(err)
	}
	inserted := make(chan error, 1)
	a.export = func(context.Context, *pgx.Conn, partition.Set, partition.Snapshot, partition.Action) (Archived, error) {
		return Archived{StillEqual: func(context.Context, pgx.Tx) error {
			go func() {
				_, err := other.Exec(context.WithoutCancel(t.Context()), "INSERT INTO event_2018_11 (created_at) VALUES ('2018-11-30')")
				inserted <- err
			}()
			a.wait(other.PgConn().PID())
			return nil
		}}, nil
	}
	snap, act := a.planned(partition.Retire, "event_2018_11")
	if _, err := a.apply(snap, act); pgCode(err) != "55P03" {
		t.Errorf("got %v, want a lock timeout", err)
	}
	if err := <-inserted; err != nil {
		t.Errorf("the other session's insert failed: %v", err)
	}
	if _, err := other.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	want(t, "rows", a.one("SELECT count(*) FROM event_2018_11"), "101")
}

// TestRemovalQueuesInTheEnd has readers on the month that follow each other
// without a gap: only who joins the queue ever gets past them.
func TestRemovalQueuesInTheEnd(t *testing.T) {
	t.Parallel()
	a := newApplied(t, twoMonths)
	a.set.Retention.Then = partition.Archive
	a.set.Limits.LockTimeout, a.set.Limits.Retries = 500*time.Millisecond, 100
	release := a.hold("SELECT count(*) FROM event_2018_11")
	snap, act := a.planned(partition.Retire, "event_2018_11")
	result := make(chan error, 1)
	go func() { _, err := a.apply(snap, act); result <- err }()
	a.wait(a.session.Conn().PgConn().PID())
	release()
	if err := <-result; err != nil {
		t.Error(err)
	}
	want(t, "rows", a.one("SELECT count(*) FROM event_master"), "100")
}

func pgCode(err error) string {
	var pgErr interface{ SQLState() string }
	if errors.As(err, &pgErr) {
		return pgErr.SQLState()
	}
	return ""
}
