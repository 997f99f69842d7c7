package maintenance_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/sql"
)

// oldestMonth and newestMonth are the months from the present that the writers'
// rows are of: some are due, some exist, some have to be made.
const oldestMonth, newestMonth = -20, 6

// TestPassesAmongWriters has many sessions write rows of random months, most of
// them into the parent, while passes create, adopt, archive, detach or drop months and
// renew the routing function over and over. No statement of a writer may fail,
// and afterwards every row is somewhere, and only there.
func TestPassesAmongWriters(t *testing.T) {
	for _, how := range []struct {
		name, retention string
		sessions        int
		prepare         string
	}{
		{"archive", `keep = "12 months", then = "archive", archive = "file://{{archive}}", max_share = 1, late_grace = "0s"`, 32, noTrigger},
		{"detach", `keep = "12 months", then = "detach", schema = "old", max_share = 1`, 8, noTrigger},
		{"drop", `keep = "12 months", then = "drop", max_share = 1`, 8, noTrigger},
		{"adopt", `keep = "12 months", then = "archive", archive = "file://{{archive}}", max_share = 1, late_grace = "0s"`, 8, allMonths},
	} {
		t.Run(how.name, func(t *testing.T) {
			w := newWorld(t, how.retention)
			w.section("prepare.sql", how.prepare)
			w.whole = how.prepare == allMonths
			var writers, passes errgroup.Group
			done := make(chan struct{})
			passes.Go(func() error {
				for {
					err := w.pass()
					select {
					case <-done:
						return err
					default:
					}
					if err != nil {
						return err
					}
				}
			})
			for i := range how.sessions {
				writers.Go(func() error { return w.write(i, how.sessions) })
			}
			err := writers.Wait()
			close(done)
			if err := errors.Join(err, passes.Wait()); err != nil {
				t.Error(err)
			}
			w.settle()
			w.account()
			w.report()
		})
	}
}

// noTrigger begins with rows in the parent; allMonths with all months as the
// seed's own function makes them, which many sessions could not do at once.
const noTrigger = `DROP TRIGGER insert_chat_trigger ON chat_master; DROP FUNCTION chat_insert_function`

var allMonths = fmt.Sprintf(`INSERT INTO chat_master (created_at) SELECT date_trunc('month', localtimestamp) + make_interval(months => m) FROM generate_series(%d, %d) m;
	DELETE FROM chat_master`, oldestMonth, newestMonth)

// laps and writings bound the writers: each makes so many transactions a lap,
// and begins the next lap when a pass has begun and ended since. So passes meet
// the writers at work as well as what they leave behind.
const laps, writings = 4, 8

// world is a set with writers and passes at work.
type world struct {
	*scenario
	mu sync.Mutex
	// written are the numbers of rows whose transaction was committed, with their months.
	written map[int]int
	// actions counts what the passes did, polite those that gave up on a lock.
	actions map[string]int
	polite  map[string]int
	passes  int
	passed  *sync.Cond
	broken  bool
	// whole says that rows may be of all months from the beginning.
	whole bool
	// months are the first moments of the months from the oldest to the newest.
	months []string
}

func newWorld(t *testing.T, retention string) *world {
	w := &world{scenario: newScenario(t), written: map[int]int{}, actions: map[string]int{}, polite: map[string]int{}}
	w.passed = sync.NewCond(&w.mu)
	var text strings.Builder
	set := `[[set]]
parent = "public.chat_master"
key = "created_at"
sweep_batch = 7
limits = { lock_timeout = "200ms", retries = 3, retry_wait = "20ms", max_retry_wait = "100ms" }
retention = { ` + retention + ` }`
	if err := w.template(set).Execute(&text, nil); err != nil {
		t.Fatal(err)
	}
	w.section("set.toml", text.String())
	w.section("seed.sql", sql.Text("seed.sql"))
	w.section("more.sql", `CREATE SCHEMA old;
		CREATE TABLE counters (n integer PRIMARY KEY, rows integer);
		INSERT INTO counters SELECT i, 0 FROM generate_series(0, 9) i`)
	w.months = strings.Fields(rows(t, w.conn, fmt.Sprintf(`SELECT to_char(date_trunc('month', localtimestamp) + make_interval(months => m), 'YYYY-MM-DD"T"HH24:MI:SS')
		FROM generate_series(%d, %d) m`, oldestMonth, newestMonth)))
	return w
}

// pass makes one pass. What its actions may fail by is a lock that a writer
// holds, or rows that come faster than they are archived.
func (w *world) pass() error {
	report, err := w.m.Pass(w.t.Context(), nil, w.sets)
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.passed.Broadcast()
	w.passes++
	if err != nil {
		w.broken = true
		return fmt.Errorf("pass: %w", err)
	}
	for _, s := range report.Sets {
		if s.Error != "" {
			w.t.Errorf("the set could not be finished: %s", s.Error)
		}
		for _, a := range s.Actions {
			if a.Error == "" {
				w.actions[a.Action]++
				continue
			}
			w.polite[a.Action]++
			if !slices.ContainsFunc([]string{"(SQLSTATE 55P03)", "rows changed after they were archived", "a session is making a partition"},
				func(s string) bool { return strings.Contains(a.Error, s) }) {
				w.t.Errorf("%s %s: %s", a.Action, a.Table, a.Error)
			}
		}
	}
	return nil
}

// rest waits until a whole pass has been made.
func (w *world) rest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for since := w.passes; w.passes < since+2 && !w.broken; {
		w.passed.Wait()
	}
}

// write makes one writer's transactions, whose rows have numbers that no other
// writer uses.
func (w *world) write(writer, writers int) error {
	ctx := w.t.Context()
	conn, err := pgx.Connect(ctx, w.db.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	random := rand.New(rand.NewPCG(11, uint64(writer)))
	next := writer
	number := func() int { n := next; next += writers; return n }
	lap := 0
	if w.whole {
		lap = laps - 1
	}
	month := func() int {
		if random.IntN(4) == 0 {
			return oldestMonth + random.IntN(8) // It is due.
		}
		// With each lap there are months that were not there before.
		return oldestMonth + 8 + random.IntN((newestMonth-oldestMonth-7)*(lap+1)/laps)
	}
	for i := range laps * writings {
		if i%writings == writings-1 {
			w.rest()
			lap = min(lap+1, laps-1)
		}
		made := map[int]int{}
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if i%5 == 0 {
				// Reads all months first, and keeps them locked against removal.
				if _, err := tx.Exec(ctx, "SELECT count(*) FROM chat_master WHERE user_id = $1", strconv.Itoa(random.IntN(1000))); err != nil {
					return fmt.Errorf("read: %w", err)
				}
			}
			switch i % 4 {
			case 0: // one row a statement, of random months
				for range 1 + random.IntN(3) {
					n, m := number(), month()
					made[n] = m
					if _, err := tx.Exec(ctx, "INSERT INTO chat_master (user_id, created_at, dialogue) VALUES ($1::integer, date_trunc('month', localtimestamp) + make_interval(months => $2, hours => $3), 'x')",
						n, m, random.IntN(600)); err != nil {
						return fmt.Errorf("insert of month %d: %w", m, err)
					}
				}
			case 1: // several rows a statement
				ns, ms := []int{}, []int{}
				for range 5 {
					n, m := number(), month()
					made[n] = m
					ns, ms = append(ns, n), append(ms, m)
				}
				if _, err := tx.Exec(ctx, `INSERT INTO chat_master (user_id, created_at) SELECT n, date_trunc('month', localtimestamp) + make_interval(months => m)
					FROM unnest($1::int[], $2::int[]) AS r (n, m)`, ns, ms); err != nil {
					return fmt.Errorf("insert of months %v: %w", ms, err)
				}
			case 2: // COPY
				var rows []string
				for range 3 {
					n, m := number(), month()
					made[n] = m
					rows = append(rows, fmt.Sprintf("%d\t%s", n, w.months[m-oldestMonth]))
				}
				if _, err := tx.Conn().PgConn().CopyFrom(ctx, strings.NewReader(strings.Join(rows, "\n")), "COPY chat_master (user_id, created_at) FROM STDIN"); err != nil {
					return fmt.Errorf("copy: %w", err)
				}
			case 3: // without parameters, after an update of a row that others update, too
				if _, err := tx.Exec(ctx, "UPDATE counters SET rows = rows + 1 WHERE n = $1", random.IntN(10)); err != nil {
					return fmt.Errorf("update: %w", err)
				}
				n, m := number(), month()
				made[n] = m
				if _, err := tx.Conn().PgConn().Exec(ctx, fmt.Sprintf("INSERT INTO chat_master (user_id, created_at) VALUES (%d, '%s')", n, w.months[m-oldestMonth])).ReadAll(); err != nil {
					return fmt.Errorf("insert of month %d: %w", m, err)
				}
			}
			return nil
		})
		if err != nil {
			var pgErr *pgconn.PgError
			if errors.As(err, &pgErr) {
				err = fmt.Errorf("%w\n%s\n%s", err, pgErr.Detail, pgErr.Where)
			}
			return fmt.Errorf("writer %d: %w", writer, err)
		}
		w.mu.Lock()
		for n, m := range made {
			w.written[n] = m
		}
		w.mu.Unlock()
	}
	return nil
}

// settle lets passes run to their end now that nobody is in the way.
func (w *world) settle() {
	w.t.Helper()
	report, err := w.m.Pass(w.t.Context(), nil, w.sets)
	if err != nil {
		w.t.Fatal(err)
	}
	if s := report.Status(); s != maintenance.Done && s != maintenance.Idle {
		w.t.Errorf("the last pass is %s: %s", s, passed(report))
	}
	w.section("left", "")
}

// account finds every row that was written, once.
func (w *world) account() {
	t := w.t
	t.Helper()
	seen := map[int][]string{}
	note := func(where, n string) {
		number, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		seen[number] = append(seen[number], where)
	}
	query := `SELECT tableoid::regclass, user_id, to_char(created_at, 'YYYY_MM') FROM chat_master`
	for _, old := range strings.Fields(rows(t, w.conn, `SELECT oid::regclass FROM pg_class WHERE relnamespace = 'old'::regnamespace AND relkind = 'r'`)) {
		query += ` UNION ALL SELECT tableoid::regclass, user_id, to_char(created_at, 'YYYY_MM') FROM ` + old
	}
	for _, line := range strings.Split(strings.TrimSpace(rows(t, w.conn, query)), "\n") {
		f := strings.Split(line, " | ")
		note(f[0], f[1])
		if !strings.Contains(f[0], f[2]) {
			t.Errorf("row %s of %s is in %s", f[1], f[2], f[0])
		}
	}
	for _, p := range readArchive(t, w.archive) {
		for _, n := range p.column("user_id") {
			note(p.path, n)
		}
	}
	lost, doubled, strange := 0, 0, 0
	for n, m := range w.written {
		switch dropped := w.sets[0].Retention.Then == "drop" && m < -12; {
		case len(seen[n]) == 0 && !dropped:
			lost++
		case len(seen[n]) > 1:
			doubled++
		}
	}
	for n := range seen {
		if _, ok := w.written[n]; !ok {
			strange++
		}
	}
	if lost+doubled+strange > 0 {
		t.Errorf("of %d rows %d are lost and %d are there more than once; %d are there that were not committed", len(w.written), lost, doubled, strange)
	}
}

func (w *world) report() {
	w.query = `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`
	w.section("result", "0")
	w.t.Logf("%d rows, %d passes, done %v, given up %v", len(w.written), w.passes, w.actions, w.polite)
}
