package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// TestRemovalLooksAgain changes something between the plan and the removal, each
// of which must keep the table and its rows where they are.
func TestRemovalLooksAgain(t *testing.T) {
	t.Parallel()
	for i, test := range []struct {
		name   string
		change func(a *applied, snap *partition.Snapshot, act *partition.Action)
		want   error
		// rows are left under the name afterwards.
		rows string
	}{
		{"another table has the name", sqlChange(`ALTER TABLE event_2018_11 RENAME TO elsewhere;
			CREATE TABLE event_2018_11 (CONSTRAINT partition_bounds CHECK (created_at >= '2018-11-01' AND created_at < '2018-12-01')) INHERITS (event_master);
			INSERT INTO event_2018_11 (created_at) VALUES ('2018-11-02')`), ErrChangedMeanwhile, "1"},
		{"the name is gone", sqlChange("ALTER TABLE event_2018_11 RENAME TO elsewhere; CREATE VIEW event_2018_11 AS SELECT * FROM elsewhere"), nil, "100"},
		{"it has lost its CHECK", sqlChange("ALTER TABLE event_2018_11 DROP CONSTRAINT partition_bounds"), ErrChangedMeanwhile, "100"},
		{"its CHECK is wider", sqlChange(`ALTER TABLE event_2018_11 DROP CONSTRAINT partition_bounds,
			ADD CONSTRAINT partition_bounds CHECK (created_at >= '2018-11-01' AND created_at < '2038-12-01')`), ErrChangedMeanwhile, "100"},
		{"its CHECK is not validated", sqlChange(`ALTER TABLE event_2018_11 DROP CONSTRAINT partition_bounds;
			ALTER TABLE event_2018_11 ADD CONSTRAINT partition_bounds CHECK (created_at >= '2018-11-01' AND created_at < '2018-12-01') NOT VALID`), ErrChangedMeanwhile, "100"},
		{"it is no longer the parent's", sqlChange("ALTER TABLE event_2018_11 NO INHERIT event_master"), ErrChangedMeanwhile, "100"},
		{"the pass lock is gone", func(a *applied, _ *partition.Snapshot, _ *partition.Action) {
			a.exec(fmt.Sprintf("SELECT pg_terminate_backend(%d, 10000)", a.lock.pid))
		}, ErrLockLost, "100"},
		{"the clock went back", func(_ *applied, snap *partition.Snapshot, _ *partition.Action) {
			snap.Server.Now = snap.Server.Now.Add(time.Hour)
		}, ErrChangedMeanwhile, "100"},
		{"the plan's clock was wrong", func(a *applied, _ *partition.Snapshot, act *partition.Action) {
			act.Bounds.To = partition.At(time.Now().AddDate(0, -11, 0))
		}, ErrChangedMeanwhile, "100"},
		{"the retention was lengthened", func(a *applied, _ *partition.Snapshot, _ *partition.Action) {
			a.set.Retention.Keep = partition.Interval{N: 100, Unit: partition.Year}
		}, ErrChangedMeanwhile, "100"},
		{"a session makes a partition", func(a *applied, snap *partition.Snapshot, _ *partition.Action) {
			a.hold(fmt.Sprintf("SELECT pg_advisory_xact_lock(%d, %d)", setLockClass, int32(snap.Parent.OID)))
		}, errBusy, "100"},
	} {
		then := []partition.Then{partition.Drop, partition.Detach, partition.Archive}[i%3]
		t.Run(test.name+", "+string(then), func(t *testing.T) {
			t.Parallel()
			a := newApplied(t, twoMonths)
			a.set.Retention.Then = then
			snap, act := a.planned(partition.Retire, "event_2018_11")
			test.change(a, &snap, &act)
			_, err := a.apply(snap, act)
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			want(t, "rows", a.one("SELECT count(*) FROM event_2018_11"), test.rows)
			want(t, "the other month", a.one("SELECT count(*) FROM event_2018_12"), "100")
		})
	}
}

// TestMadeMeanwhile has the partition come, or a stranger of its name, between the plan
// and its creation. The first is what was wanted.
func TestMadeMeanwhile(t *testing.T) {
	t.Parallel()
	for sql, code := range map[string]string{
		"CREATE TABLE %s () INHERITS (event_master)": "",
		"CREATE TABLE %s (LIKE event_master)":        "42P07",
	} {
		a := newApplied(t, twoMonths)
		snap := a.observe()
		plan := partition.Make(a.set, snap)
		i := slices.IndexFunc(plan.Actions, func(act partition.Action) bool { return act.Kind == partition.Create })
		if i < 0 {
			t.Fatalf("nothing to create in %v", plan.Actions)
		}
		a.exec(fmt.Sprintf(sql, quoteName(plan.Actions[i].Table)))
		_, err := a.apply(snap, plan.Actions[i])
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr); code == "" && err != nil || code != "" && (pgErr == nil || pgErr.Code != code) {
			t.Errorf("after %s: %v, want %q", sql, err, code)
		}
	}
}

func sqlChange(sql string) func(*applied, *partition.Snapshot, *partition.Action) {
	return func(a *applied, _ *partition.Snapshot, _ *partition.Action) { a.exec(sql) }
}

// TestRemovalExportsAgain has rows come between the export and the lock: the
// month is exported again, and again, and given up if it never rests.
func TestRemovalExportsAgain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		tables             string
		disturbed, exports int
		rows               string
	}{
		{twoMonths, 0, 1, "100"}, {twoMonths, 1, 2, "100"}, {twoMonths, 2, 3, "100"}, {twoMonths, 99, maxExports, "203"},
		// Of a declarative set it is out of its parent by the second time.
		{twoMonthsDeclared, 1, 2, "100"}, {twoMonthsDeclared, 2, 3, "100"}, {twoMonthsDeclared, 99, maxExports, "100"},
		{twoMonthsDeclared + "CREATE TABLE event_default PARTITION OF event_master DEFAULT;", 1, 2, "100"},
	} {
		t.Run(fmt.Sprintf("disturbed %d times", test.disturbed), func(t *testing.T) {
			t.Parallel()
			a := newApplied(t, test.tables)
			a.set.Retention.Then = partition.Archive
			exports := 0
			a.export = func(ctx context.Context, conn *pgx.Conn, _ partition.Set, _ partition.Snapshot, act partition.Action) (Archived, error) {
				exports++
				count := func(q interface {
					QueryRow(context.Context, string, ...any) pgx.Row
				}) (n int64, err error) {
					err = q.QueryRow(ctx, "SELECT count(*) FROM "+quoteName(act.Table)).Scan(&n)
					return n, err
				}
				// Its waits are bounded like those of any step.
				var timeout string
				if err := conn.QueryRow(ctx, "SHOW lock_timeout").Scan(&timeout); err != nil || timeout != "100ms" {
					t.Errorf("the export's lock_timeout is %s, %v", timeout, err)
				}
				before, err := count(conn)
				if exports <= test.disturbed {
					a.exec("INSERT INTO event_2018_11 (created_at) VALUES ('2018-11-03')")
				}
				return Archived{Location: fmt.Sprintf("export %d", exports), Rows: before, StillEqual: func(_ context.Context, tx pgx.Tx) error {
					if now, err := count(tx); err != nil || now != before {
						return errors.Join(err, ErrRowsChanged)
					}
					return nil
				}}, err
			}
			snap, act := a.planned(partition.Retire, "event_2018_11")
			out, err := a.apply(snap, act)
			if lost := test.exports <= test.disturbed; lost != errors.Is(err, ErrRowsChanged) || !lost && err != nil {
				t.Errorf("got %v", err)
			}
			want(t, "exports", fmt.Sprint(exports), fmt.Sprint(test.exports))
			want(t, "location", out.Archive, fmt.Sprintf("export %d", test.exports))
			want(t, "rows", a.one("SELECT count(*) FROM event_master"), test.rows)
		})
	}
}

// twoMonthsDeclared are [twoMonths] of a declarative set.
const twoMonthsDeclared = `CREATE TABLE event_master (id bigserial, body text, created_at timestamp NOT NULL) PARTITION BY RANGE (created_at);
	CREATE TABLE event_2018_11 PARTITION OF event_master FOR VALUES FROM ('2018-11-01') TO ('2018-12-01');
	CREATE TABLE event_2018_12 PARTITION OF event_master FOR VALUES FROM ('2018-12-01') TO ('2019-01-01');
	INSERT INTO event_master (created_at) SELECT timestamp '2018-11-01' + i * interval '1 hour' FROM generate_series(0, 99) i;
	INSERT INTO event_master (created_at) SELECT timestamp '2018-12-01' + i * interval '1 hour' FROM generate_series(0, 99) i;`

// TestValidateFails has a row come, after the plan was made, that the CHECK will
// not allow. The CHECK is taken back, so that nobody's updates suffer.
func TestValidateFails(t *testing.T) {
	t.Parallel()
	a := newApplied(t, eventParent+`;
		CREATE TABLE event_2018_11 (CHECK (date_trunc('day', created_at) >= '2018-11-01' AND date_trunc('day', created_at) < '2018-12-01')) INHERITS (event_master);
		INSERT INTO event_2018_11 (id, created_at) VALUES (1, '2018-11-02')`)
	a.set.Retention = partition.Retention{Then: partition.Keep}
	snap, act := a.planned(partition.Constrain, "event_2018_11")
	a.exec(`ALTER TABLE event_2018_11 DROP CONSTRAINT event_2018_11_created_at_check; INSERT INTO event_2018_11 (id, created_at) VALUES (2, '1999-01-01')`)
	if _, err := a.apply(snap, act); pgCode(err) != "23514" {
		t.Errorf("got %v, want a violated CHECK", err)
	}
	want(t, "CHECKs", a.one("SELECT count(*) FROM pg_constraint WHERE conrelid = 'event_2018_11'::regclass AND contype = 'c'"), "0")
	a.exec("UPDATE event_2018_11 SET body = 'still mine' WHERE id = 2")
	plan := partition.Make(a.set, a.observe())
	for _, pr := range plan.Problems {
		if pr.Kind == partition.ProblemUnreadable && pr.Table.Local == "event_2018_11" {
			return
		}
	}
	t.Errorf("no problem in %v", plan.Problems)
}

// TestStop asks the session to stop: it does so before the next transaction, and
// not within one.
func TestStop(t *testing.T) {
	t.Parallel()
	a := newApplied(t, twoMonths)
	a.set.Retention.Then = partition.Archive
	a.export = func(context.Context, *pgx.Conn, partition.Set, partition.Snapshot, partition.Action) (Archived, error) {
		close(a.stop) // While it exports.
		return Archived{StillEqual: func(context.Context, pgx.Tx) error { return nil }}, nil
	}
	snap, act := a.planned(partition.Retire, "event_2018_11")
	if _, err := a.apply(snap, act); !errors.Is(err, ErrStopped) {
		t.Errorf("got %v, want %v", err, ErrStopped)
	}
	snap, act = a.planned(partition.Create, partition.Name{Local: "event_"}.Local+time.Now().UTC().Format("2006_01"))
	if _, err := a.apply(snap, act); !errors.Is(err, ErrStopped) {
		t.Errorf("got %v, want %v", err, ErrStopped)
	}
	want(t, "rows and children", a.one("SELECT (SELECT count(*) FROM event_master) || ' ' || count(*) FROM pg_inherits"), "200 2")
}

// TestStopEndsRetries asks for a stop while the session waits for a lock.
func TestStopEndsRetries(t *testing.T) {
	t.Parallel()
	a := newApplied(t, twoMonths)
	a.set.Limits.Retries = 1 << 30
	a.hold("LOCK TABLE event_2018_11 IN ACCESS SHARE MODE")
	snap, act := a.planned(partition.Retire, "event_2018_11")
	result := make(chan error, 1)
	go func() { _, err := a.apply(snap, act); result <- err }()
	a.wait(a.session.Conn().PgConn().PID())
	close(a.stop)
	if err := <-result; !errors.Is(err, ErrStopped) {
		t.Errorf("got %v, want %v", err, ErrStopped)
	}
}

// TestCancelled ends the context while a statement runs: nothing of it stays.
func TestCancelled(t *testing.T) {
	t.Parallel()
	a := newApplied(t, twoMonths+"; CREATE INDEX ON event_master (created_at)")
	a.set.Retention = partition.Retention{Then: partition.Keep}
	snap, act := a.planned(partition.Index, "event_2018_11")
	// CREATE INDEX CONCURRENTLY waits for this transaction, which has a snapshot.
	release := a.hold("DELETE FROM event_2018_11 WHERE false")
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { _, err := a.session.Apply(ctx, a.set, snap, act); result <- err }()
	a.wait(a.session.Conn().PgConn().PID())
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	release()
	// pgx has closed the connection; the server may take a moment to notice.
	a.gone(a.session.Conn().PgConn().PID())
	a.begin(a.URL)
	a.converge()
	want(t, "indexes", a.one("SELECT count(*) || ' ' || count(*) FILTER (WHERE indisvalid) FROM pg_index WHERE indrelid = 'event_2018_11'::regclass"), "1 1")
}

// gone returns when no session has that process, and gives the set free.
func (a *applied) gone(pid uint32) {
	a.t.Helper()
	if err := a.lock.Release(context.Background()); err != nil {
		a.t.Log(err)
	}
	a.exec(fmt.Sprintf("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid = %d", pid))
}

// converge applies plans until one is empty.
func (a *applied) converge() {
	a.t.Helper()
	for range 4 {
		snap := a.observe()
		plan := partition.Make(a.set, snap)
		if plan.Empty() {
			return
		}
		for _, act := range plan.Actions {
			if _, err := a.apply(snap, act); err != nil {
				a.t.Errorf("%s: %v", act, err)
			}
		}
	}
	a.t.Errorf("the plan never gets empty: %v", partition.Make(a.set, a.observe()))
}

// TestKilled ends the session's connection in the middle of each kind of action,
// while it waits for a lock that somebody holds. A new session finishes what was
// begun, and no row is lost.
func TestKilled(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Format("event_2006_01")
	for _, test := range []struct {
		name, hold string
		kind       partition.Kind
		table      string
		then       partition.Then
	}{
		{"create, at the set's lock", "SELECT pg_advisory_xact_lock(%d, %d)", partition.Create, now, partition.Keep},
		{"create, at the parent", "LOCK TABLE ONLY event_master IN SHARE UPDATE EXCLUSIVE MODE", partition.Create, now, partition.Keep},
		{"constrain, at the new CHECK", "LOCK TABLE event_2018_11 IN ACCESS SHARE MODE", partition.Constrain, "event_2018_11", partition.Keep},
		{"constrain, at its validation", "LOCK TABLE event_2018_12 IN SHARE UPDATE EXCLUSIVE MODE", partition.Constrain, "event_2018_12", partition.Keep},
		{"align", "LOCK TABLE event_2018_11 IN ACCESS SHARE MODE", partition.Align, "event_2018_11", partition.Keep},
		{"index", "DELETE FROM event_2018_11 WHERE false", partition.Index, "event_2018_11", partition.Keep},
		{"route, at the trigger", "LOCK TABLE ONLY event_master IN ROW EXCLUSIVE MODE", partition.RouteRows, "event_master", partition.Keep},
		{"sweep", "LOCK TABLE event_2018_11 IN SHARE MODE", partition.Sweep, "event_2018_11", partition.Keep},
		{"drop", "LOCK TABLE event_2018_11 IN ACCESS SHARE MODE", partition.Retire, "event_2018_11", partition.Drop},
		{"detach", "LOCK TABLE event_2018_11 IN ACCESS SHARE MODE", partition.Retire, "event_2018_11", partition.Detach},
		{"archive", "LOCK TABLE event_2018_11 IN ROW EXCLUSIVE MODE", partition.Retire, "event_2018_11", partition.Archive},
		{"analyze", "LOCK TABLE event_master IN SHARE UPDATE EXCLUSIVE MODE", partition.Analyze, "event_master", partition.Keep},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := newApplied(t, twoMonths+`; CREATE INDEX ON event_master (created_at); COMMENT ON TABLE event_master IS 'x'; ALTER TABLE event_master REPLICA IDENTITY FULL;
				INSERT INTO event_master (created_at) SELECT '2018-11-30' FROM generate_series(1, 25); ANALYZE event_2018_11`)
			a.set.Limits.LockTimeout = time.Minute
			if test.then == partition.Keep {
				a.set.Retention = partition.Retention{Then: partition.Keep}
				a.exec(`ALTER TABLE event_2018_11 DROP CONSTRAINT partition_bounds, ADD CONSTRAINT old CHECK (date_trunc('day', created_at) >= '2018-11-01' AND date_trunc('day', created_at) < '2018-12-01');
					ALTER TABLE event_2018_12 DROP CONSTRAINT partition_bounds;
					ALTER TABLE event_2018_12 ADD CONSTRAINT partition_bounds CHECK (created_at >= '2018-12-01' AND created_at < '2019-01-01') NOT VALID`)
			}
			a.set.Retention.Then = test.then
			snap, act := a.planned(test.kind, test.table)
			hold := test.hold
			if test.kind == partition.Create && hold[:6] == "SELECT" {
				hold = fmt.Sprintf(hold, setLockClass, int32(snap.Parent.OID))
			}
			release := a.hold(hold)
			result := make(chan error, 1)
			go func() { _, err := a.apply(snap, act); result <- err }()
			pid := a.session.Conn().PgConn().PID()
			a.wait(pid)
			a.gone(pid)
			if err := <-result; err == nil {
				t.Error("the action was done all the same")
			}
			rows := "SELECT (SELECT count(*) FROM event_master) || ' ' || count(*) FROM pg_inherits"
			want(t, "rows and children in between", a.one(rows), "225 2")
			release()
			a.begin(a.URL)
			a.converge()
			switch test.then {
			case partition.Keep:
				want(t, "rows and children", a.one(rows), "225 4")
				want(t, "invalid indexes and constraints", a.one("SELECT (SELECT count(*) FROM pg_index WHERE NOT indisvalid) || ' ' || count(*) FROM pg_constraint WHERE NOT convalidated"), "0 0")
			default:
				want(t, "rows and children", a.one(rows), "0 2")
			}
		})
	}
}
