package prove

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

const (
	// crowd is how many sessions write at once.
	crowd = 32
	// months is how often a month begins while they do, and writings how many
	// transactions each of them makes in a month.
	months, writings = 6, 12
	// daemons is how many there are.
	daemons = 2
)

// TestCrowd has many sessions write while one month begins after the other and two
// daemons make passes, which create, sweep, archive and drop. No insert fails, no
// session is the victim of a deadlock, and each row is there once.
func TestCrowd(t *testing.T) {
	t.Parallel()
	server := newShifted(t)
	// Rows of three months ago are due; the trigger makes what no pass was there for.
	s := scenario{id: "id", then: partition.Archive, passes: []string{""},
		tables: events + rowsOf("events", "id, at", "-2", "0", 0),
		config: eventSet + `ahead = 1
limits = { lock_timeout = "200ms", retries = 3, retry_wait = "20ms", max_retry_wait = "100ms" }
retention = { keep = "2 months", then = "archive", archive = "{{archive}}", max_share = 1, late_grace = "0s" }`}
	l := newLabOn(t, s, server.Server)
	w := l.world(t, l.template, l.directory)
	defer l.leave(w)
	model := maps.Clone(l.model)
	var mu sync.Mutex
	// beginning lets each month begin when all writers are done with the one before, and
	// a pass has been made in it.
	beginning := newGate(crowd, func(month int) {
		server.shift(t, time.Duration(month)*31*24*time.Hour)
	})
	var writers, passes errgroup.Group
	stop := make(chan struct{})
	done, given := map[string]int{}, map[string]int{}
	for i := range daemons {
		m, set, err := maintainer(l.text(l.directory), l.server.URL(l.template), silent)
		if err != nil {
			t.Fatal(err)
		}
		m.Clock = server.clock
		passes.Go(func() error {
			for made := 0; ; made++ {
				select {
				case <-stop:
					return nil
				default:
				}
				report, err := m.Pass(t.Context(), nil, []partition.Set{set})
				if err != nil {
					beginning.giveUp()
					return fmt.Errorf("daemon %d, pass %d: %w", i, made, err)
				}
				mu.Lock()
				tally(t, report, done, given)
				mu.Unlock()
				if report.Status() != maintenance.Skipped {
					beginning.pass()
				}
			}
		})
	}
	for i := range crowd {
		writers.Go(func() error {
			err := l.crowdWriter(t.Context(), i, beginning, func(id string) {
				mu.Lock()
				defer mu.Unlock()
				model[id] = row{}
			})
			beginning.leave()
			return err
		})
	}
	err := writers.Wait()
	close(stop)
	if err := errors.Join(err, passes.Wait()); err != nil {
		t.Error(err)
	}
	w.m.Clock = server.clock
	l.settled(t, w, model, "after all")
	if got := w.strings("SELECT deadlocks::text FROM pg_stat_database WHERE datname = current_database()"); got[0] != "0" {
		t.Errorf("%s deadlocks", got[0])
	}
	if done["archive"] == 0 || done["create"] == 0 || done["skipped"] == 0 {
		t.Errorf("the daemons did %v, which is not all that they were to do", done)
	}
	t.Logf("%d rows by %d sessions, %d months; the daemons did %v and gave up %v", len(model), crowd, months, done, given)
}

// tally counts what a pass did. What it may fail by is a lock that a writer holds, or
// rows that come faster than they are archived.
func tally(t *testing.T, report maintenance.Report, done, given map[string]int) {
	r := report.Sets[0]
	if r.Status == maintenance.Skipped {
		done["skipped"]++
		return
	}
	done["passes"]++
	if r.Error != "" {
		t.Errorf("the set could not be finished: %s", r.Error)
	}
	for _, a := range r.Actions {
		if a.Error == "" {
			done[a.Action]++
			continue
		}
		given[a.Action]++
		if !slices.ContainsFunc([]string{"(SQLSTATE 55P03)", "rows changed after they were archived", "a session is making a partition"},
			func(s string) bool { return strings.Contains(a.Error, s) }) {
			t.Errorf("%s %s: %s", a.Action, a.Table, a.Error)
		}
	}
}

// crowdWriter writes rows of the present and of the months before, and tells of each that is
// committed.
func (l *lab) crowdWriter(ctx context.Context, number int, g *gate, committed func(id string)) error {
	conn, err := connect(ctx, l.server.URL(l.template))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	random := rand.New(rand.NewPCG(7, uint64(number)))
	next := 1_000_000 * (number + 1)
	for range months {
		g.wait()
		for range writings {
			tx, err := conn.Begin(ctx)
			if err != nil {
				return err
			}
			var ids []string
			for range 1 + random.IntN(4) {
				next++
				ids = append(ids, strconv.Itoa(next))
				ago := 0
				if random.IntN(3) == 0 {
					ago = random.IntN(5) // Some are late.
				}
				if _, err := tx.Exec(ctx, "INSERT INTO events (id, at) VALUES ($1::text::bigint, now() - make_interval(months => $2, secs => $3))", ids[len(ids)-1], ago, random.IntN(1000)); err != nil {
					return fmt.Errorf("writer %d: %w", number, err)
				}
			}
			if err := tx.Commit(ctx); err != nil {
				return fmt.Errorf("writer %d: %w", number, err)
			}
			for _, id := range ids {
				committed(id)
			}
		}
	}
	return nil
}

// gate lets so many go on together, time after time.
type gate struct {
	mu      sync.Mutex
	changed *sync.Cond
	all     int
	here    int
	opened  int
	passed  bool
	// broken tells that nobody makes passes any more.
	broken bool
	open   func(times int)
}

// giveUp has nobody wait for a pass any more.
func (g *gate) giveUp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.broken = true
	g.try()
}

// pass notes that a pass has been made.
func (g *gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passed = true
	g.try()
}

func newGate(all int, open func(times int)) *gate {
	g := &gate{all: all, open: open}
	g.changed = sync.NewCond(&g.mu)
	return g
}

// wait returns when all are there, and a pass has been made.
func (g *gate) wait() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.here++
	since := g.opened
	g.try()
	for g.opened == since {
		g.changed.Wait()
	}
}

// leave is for one who does not come again.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	g.try()
}

func (g *gate) try() {
	if g.here == g.all && g.all > 0 && (g.passed || g.broken) {
		g.open(g.opened)
		g.here, g.opened, g.passed = 0, g.opened+1, false
		g.changed.Broadcast()
	}
}
