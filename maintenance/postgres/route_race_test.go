package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// months are the months that the races are about.
const months = 60

// monthName is the table of the n-th of them.
func monthName(n int) string { return fmt.Sprintf("event_%d_%02d", 2014+n/12, n%12+1) }

// write inserts rows of random months, each transaction so many. After each it
// gives a tick to whoever takes one.
func write(ctx context.Context, uri string, random *rand.Rand, transactions, rows int, ticks chan<- struct{}) error {
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for range transactions {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			for range rows {
				n := random.IntN(months)
				at := fmt.Sprintf("%d-%02d-%02d", 2014+n/12, n%12+1, random.IntN(28)+1)
				if _, err := tx.Exec(ctx, "INSERT INTO event_master (program_id, created_at) VALUES ($1, $2::text::timestamp)", monthName(n), at); err != nil {
					return fmt.Errorf("insert a row of %s: %w, %s", at, err, where(err))
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		select {
		case ticks <- struct{}{}:
		default:
		}
	}
	return nil
}

// where tells in which line of which function an error arose.
func where(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Where
	}
	return ""
}

func TestRouteRacesForNewMonths(t *testing.T) {
	t.Parallel()
	const sessions, transactions = 32, 50
	for _, rows := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d rows a transaction", rows), func(t *testing.T) {
			t.Parallel()
			r := newRouted(t, eventParent, eventRoute())
			writers, ctx := errgroup.WithContext(t.Context())
			for i := range sessions {
				random := rand.New(rand.NewPCG(uint64(rows), uint64(i)))
				writers.Go(func() error { return write(ctx, r.URL, random, transactions, rows, nil) })
			}
			if err := writers.Wait(); err != nil {
				t.Fatal(err)
			}
			all := fmt.Sprint(sessions * transactions * rows)
			want(t, "rows, ids, rows in their tables", r.rows(t,
				"SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE tableoid::regclass::text = program_id) FROM event_master"), all+" "+all+" "+all)
			want(t, "tables", r.rows(t, "SELECT count(*) FROM pg_inherits"), fmt.Sprint(months))
		})
	}
}

// TestRouteMeetsATableMadeWithoutTheLock has the dynamic trigger function of old
// at work in another session: it makes the table first.
func TestRouteMeetsATableMadeWithoutTheLock(t *testing.T) {
	t.Parallel()
	r := newRouted(t, eventParent, eventRoute())
	other := r.Conn(t)
	if _, err := other.Exec(t.Context(), `BEGIN; CREATE TABLE event_2018_11 (CHECK (date_trunc('day', created_at) >= '2018-11-01'
		AND date_trunc('day', created_at) < '2018-12-01')) INHERITS (event_master)`); err != nil {
		t.Fatal(err)
	}
	err := r.whileBlocked(t, insertNovember, func() {
		if _, err := other.Exec(t.Context(), "COMMIT"); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil {
		t.Error(err)
	}
	want(t, "row", r.rows(t, whereabouts), "event_2018_11 a")
	want(t, "notices", strings.Join(r.notices, "; "), "")
}

// whileBlocked runs SQL on the set's connection, and f once that waits for a lock.
func (r *routed) whileBlocked(t *testing.T, sql string, f func()) error {
	t.Helper()
	watch, pid := r.Conn(t), r.conn.PgConn().PID()
	done := make(chan error, 1)
	go func() {
		_, err := r.conn.Exec(t.Context(), sql)
		done <- err
	}()
	for blocked := false; !blocked; {
		if err := watch.QueryRow(t.Context(), "SELECT cardinality(pg_blocking_pids($1)) > 0", pid).Scan(&blocked); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
	}
	f()
	return <-done
}

// TestRouteWaitsForARemoval has an insert that comes while a month is on its way
// out: once it may go on, the month is no longer the set's.
func TestRouteWaitsForARemoval(t *testing.T) {
	t.Parallel()
	for _, branch := range []bool{true, false} {
		for removal, row := range map[string]string{
			"ALTER TABLE event_2018_11 NO INHERIT event_master": "event_master a",
			"DROP TABLE event_2018_11":                          "event_2018_11 a",
		} {
			t.Run(fmt.Sprintf("branch %v, %s", branch, removal), func(t *testing.T) {
				t.Parallel()
				r := newRouted(t, eventParent, eventRoute())
				r.branch(t, "2018-11-01", false)
				if branch {
					r.install(t)
				}
				r.exec(t, insertNovember+"; DELETE FROM event_master") // Plans are made.
				other := r.Conn(t)
				want(t, "removal", code(t, other, "BEGIN"), "")
				want(t, "removal", code(t, other, removal), "")
				if err := r.whileBlocked(t, insertNovember, func() { want(t, "commit", code(t, other, "COMMIT"), "") }); err != nil {
					t.Error(err)
				}
				want(t, "row", r.rows(t, whereabouts), row)
			})
		}
	}
}

// TestRouteTrustsNearTables has an insert that waits while somebody takes the table
// of a near branch away, which the daemon does not do: it leaves the route first. The
// insert ends as if it had come before, or with an error, and the next one finds its way.
func TestRouteTrustsNearTables(t *testing.T) {
	t.Parallel()
	for removal, c := range map[string]struct{ code, rows string }{
		"ALTER TABLE event_2018_11 NO INHERIT event_master": {"", "event_master b"},
		"DROP TABLE event_2018_11":                          {"42P01", "event_2018_11 b"},
		"ALTER TABLE event_2018_11 RENAME TO renamed":       {"42P01", "renamed b"},
	} {
		t.Run(removal, func(t *testing.T) {
			t.Parallel()
			r := newRouted(t, eventParent, eventRoute())
			r.branch(t, "2018-11-01", true)
			r.install(t)
			r.exec(t, insertNovember+"; DELETE FROM event_master") // Plans are made.
			other := r.Conn(t)
			want(t, "removal", code(t, other, "BEGIN"), "")
			want(t, "removal", code(t, other, removal), "")
			err := r.whileBlocked(t, insertNovember, func() { want(t, "commit", code(t, other, "COMMIT"), "") })
			want(t, "insert", sqlState(t, err), c.code)
			if c.code == "" {
				want(t, "detached table", r.rows(t, "SELECT program_id FROM event_2018_11"), "a")
			}
			r.exec(t, strings.Replace(insertNovember, "'a'", "'b'", 1))
			want(t, "next row", r.rows(t, whereabouts), c.rows)
		})
	}
}

// removal is how a month goes. In both ways the wait for the table is shorter
// than deadlock_timeout, so that a writer is never the victim of a deadlock.
type removal struct {
	name string
	// lock takes the set's lock ($1, $2) and the table's, in some order.
	lock []string
	// remove takes the month out of the set.
	remove string
}

var removals = []removal{
	{"drop, set lock first", []string{"SELECT pg_advisory_xact_lock($1, $2)", "LOCK TABLE ONLY {month} IN ACCESS EXCLUSIVE MODE"}, "DROP TABLE {month}"},
	{"drop, table lock first", []string{"LOCK TABLE ONLY {month} IN ACCESS EXCLUSIVE MODE", "SELECT pg_try_advisory_xact_lock($1, $2)"}, "DROP TABLE {month}"},
	{"detach", []string{"LOCK TABLE ONLY {month} IN ACCESS EXCLUSIVE MODE"}, "ALTER TABLE {month} NO INHERIT event_master; ALTER TABLE {month} RENAME TO kept_{n}"},
}

// keptMonths are the months that stay, every so many of them: only these get near branches.
const keptMonths = 4

// TestRouteRacesWithRemovals has writers, a session that removes months and one
// that replaces the functions, whose branches may have a table or not. No row
// may fail, and none may be lost but with its month.
func TestRouteRacesWithRemovals(t *testing.T) {
	t.Parallel()
	for _, how := range removals {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			const sessions, transactions = 12, 40
			r := newRouted(t, eventParent, eventRoute())
			others, ctx := errgroup.WithContext(t.Context())
			done, finish := context.WithCancel(ctx)
			ticks := make(chan struct{})
			removed, removals, installs := 0, 0, 0
			others.Go(func() (err error) { removed, removals, err = removeMonths(done, r.URL, how, ticks); return err })
			others.Go(func() (err error) { installs, err = replaceFunctions(done, r, ticks); return err })
			writers, ctx := errgroup.WithContext(ctx)
			for i := range sessions {
				random := rand.New(rand.NewPCG(7, uint64(i)))
				writers.Go(func() error { return write(ctx, r.URL, random, transactions, 1+i%3, ticks) })
			}
			err := writers.Wait()
			finish()
			if err := errors.Join(err, others.Wait()); err != nil {
				t.Fatal(err)
			}
			if removals == 0 || installs == 0 {
				t.Errorf("%d removals and %d installations are no race", removals, installs)
			}
			written := sessions / 3 * transactions * (1 + 2 + 3)
			want(t, "rows in tables of their own", r.rows(t,
				"SELECT count(*) FROM event_master WHERE tableoid::regclass::text = program_id"), fmt.Sprint(written-removed))
			want(t, "rows elsewhere", r.rows(t, "SELECT count(*) FROM event_master WHERE tableoid::regclass::text <> program_id"), "0")
			kept := 0
			for _, table := range strings.Fields(strings.ReplaceAll(r.rows(t, "SELECT relname FROM pg_class WHERE relname ~ '^kept_'"), ";", "")) {
				var n int
				if err := r.conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
					t.Fatal(err)
				}
				kept += n
			}
			if how.name == "detach" && kept != removed {
				t.Errorf("%d rows were detached, and %d are there", removed, kept)
			}
			t.Logf("%d rows, %d of them removed with %d tables, %d installations", written, removed, removals, installs)
		})
	}
}

// await takes n ticks; false means that ctx has ended.
func await(ctx context.Context, ticks <-chan struct{}, n int) bool {
	for range n {
		select {
		case <-ticks:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// removeMonths removes random months until ctx ends, and counts them and their rows.
func removeMonths(ctx context.Context, uri string, how removal, ticks <-chan struct{}) (rows, tables int, err error) {
	work := context.WithoutCancel(ctx)
	conn, err := pgx.Connect(work, uri)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = conn.Close(work) }()
	random := rand.New(rand.NewPCG(3, 4))
	for await(ctx, ticks, 3) {
		month := random.IntN(months)
		if month%keptMonths == 0 {
			continue
		}
		name := monthName(month)
		var n int
		err := pgx.BeginFunc(work, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(work, "SET LOCAL lock_timeout = '100ms'"); err != nil {
				return err
			}
			var parent uint32
			if err := tx.QueryRow(work, "SELECT 'event_master'::regclass::oid").Scan(&parent); err != nil {
				return err
			}
			for _, lock := range how.lock {
				var args []any
				if strings.Contains(lock, "$1") {
					args = []any{setLockClass, int32(parent)}
				} else {
					lock = strings.Replace(lock, "{month}", name, 1)
				}
				if _, err := tx.Exec(work, lock, args...); err != nil {
					return err
				}
			}
			if err := tx.QueryRow(work, "SELECT count(*) FROM "+name).Scan(&n); err != nil {
				return err
			}
			_, err := tx.Conn().PgConn().Exec(work, strings.NewReplacer("{month}", name, "{n}", fmt.Sprint(tables)).Replace(how.remove)).ReadAll()
			return err
		})
		var pgErr *pgconn.PgError
		switch {
		case err == nil:
			rows, tables = rows+n, tables+1
		case errors.As(err, &pgErr) && (pgErr.Code == "42P01" || pgErr.Code == "55P03" || pgErr.Code == "40P01"):
		default:
			return rows, tables, fmt.Errorf("remove %s: %w", name, err)
		}
	}
	return rows, tables, nil
}

// replaceFunctions installs functions with random branches until ctx ends.
func replaceFunctions(ctx context.Context, r *routed, ticks <-chan struct{}) (n int, err error) {
	work := context.WithoutCancel(ctx)
	conn, err := pgx.Connect(work, r.URL)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(work) }()
	random := rand.New(rand.NewPCG(5, 6))
	for ; await(ctx, ticks, 20); n++ {
		route := r.route
		for i := range months {
			b := partition.Branch{Table: partition.Name{Schema: "public", Local: monthName(i)}, Bounds: monthBounds(i)}
			switch random.IntN(4) {
			case 0, 1:
				if i%keptMonths != 0 {
					route.Rest = append(route.Rest, b)
				} else {
					route.Near = append(route.Near, b)
				}
			case 2:
				route.Rest = append(route.Rest, b)
			}
		}
		err := pgx.BeginFunc(work, conn, func(tx pgx.Tx) (err error) {
			if route.Near, err = r.known(work, conn, route.Near); err != nil {
				return err
			}
			for _, statement := range routeFunctions(route) {
				if _, err := tx.Exec(work, statement); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return n, fmt.Errorf("install: %w", err)
		}
	}
	return n, nil
}

func monthBounds(n int) partition.Bounds {
	start := time.Date(2014+n/12, time.Month(n%12+1), 1, 0, 0, 0, 0, time.UTC)
	return eventRoute().Interval.PeriodOf(start, time.UTC).Bounds()
}
