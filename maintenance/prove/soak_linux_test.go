package prove

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// soakConfig has what late rows make be archived at once, so that there is always
// something to archive, and now and then something that changes meanwhile.
const soakConfig = eventSet + `ahead = 2
retention = { keep = "2 months", then = "archive", archive = "{{archive}}", max_share = 1, late_grace = "0s" }`

// soaked are the ways of partitioning.
var soaked = []struct {
	name, tables string
	declarative  bool
}{
	{"inheritance", events, false},
	{"declarative", `CREATE TABLE events (id bigint, at timestamp NOT NULL, body text DEFAULT 'x') PARTITION BY RANGE (at); CREATE INDEX ON events (at);`, true},
}

// TestSoak lets a daemon for each way of partitioning live for as long as
// PARTITIOND_SOAK says, by a clock whose months take a minute, or a tenth of that time
// if it is less. Clients write all the time, and in the first half of each month also
// rows of a month that was archived; months go to S3, and every other month one is
// restored beside the set. No insert may fail, and no pass leave anything undone but
// what [soak.unexplained] expects of late rows and of a clock that jumps. In the end
// each row is there once and nothing is left to do. Memory, goroutines and connections
// have to stay as they were.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("PARTITIOND_SOAK"))
	if err != nil {
		t.Skip("PARTITIOND_SOAK does not say how long, such as 10m; see make soak")
	}
	s := &soak{server: newShifted(t), base: time.Now().UTC()}
	month := min(time.Minute, length/10)
	var lives []*life
	for _, way := range soaked {
		l := newLabOn(t, scenario{id: "id", then: partition.Archive, s3: true, tables: way.tables, config: soakConfig,
			passes: []string{"", rowsOf("events", "id, at", "-2", "0", 0)}}, s.server.Server)
		lives = append(lives, &life{lab: l, name: way.name, declarative: way.declarative, w: l.world(t, l.template, l.directory)})
	}
	s.turn(t, 0)
	ended := make(chan struct{})
	var group errgroup.Group
	began := time.Now()
	for _, l := range lives {
		l.w.m.Clock = s.server.clock
		l.daemon = startDaemon(t, s, l)
		for i := range l.written {
			group.Go(func() error { return l.client(t.Context(), s, i, ended) })
		}
		group.Go(func() error { return l.watch(t.Context(), began, ended) })
	}
	for n := 0; n == 0 || time.Since(began) < length; n++ {
		if n > 0 {
			s.turn(t, n)
		}
		s.rain(n)
		await(t, began.Add(time.Duration(n)*month+month/2))
		s.dry()
		for _, l := range lives {
			if n%2 == 1 {
				l.restoreOne(t)
			}
		}
		await(t, began.Add(time.Duration(n+1)*month))
	}
	s.stopping.Store(true)
	close(ended)
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	var samples [][]sample
	var names []string
	for _, l := range lives {
		l.daemon.stop(t)
		l.account(t)
		names, samples = append(names, l.name), append(samples, l.samples)
	}
	report(t, names, samples, month)
}

// await lets the months go by: it paces the load, and nothing relies on it.
func await(t *testing.T, until time.Time) {
	t.Helper()
	select {
	case <-time.After(time.Until(until)):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// soak is the clock that all live by, and what disturbs passes.
type soak struct {
	server *shifted
	// base is when it began.
	base     time.Time
	stopping atomic.Bool

	// late is held for reading while a row is written that may be late.
	late    sync.RWMutex
	raining bool

	mu    sync.Mutex
	waves []wave
	turns []span
}

// span is a time by this machine's clock; to is zero while it lasts.
type span struct{ from, to time.Time }

func (s span) meets(other span) bool {
	return s.from.Before(other.to) && (s.to.IsZero() || other.from.Before(s.to))
}

// wave is a time in which rows come for a month that was archived.
type wave struct {
	span
	table string
}

// middle is that of the n-th month.
func (s *soak) middle(n int) time.Time {
	return time.Date(s.base.Year(), s.base.Month()+time.Month(n), 15, 12, 0, 0, 0, time.UTC)
}

// turn has the server's clock jump to the n-th month.
func (s *soak) turn(t *testing.T, n int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.server.shift(t, s.middle(n).Sub(now))
	s.turns = append(s.turns, span{now, time.Now()})
}

// lateBy is how many months late a row is: it belongs to one that has left by then.
const lateBy = 3

// rain begins the late rows of the n-th month, and dry ends them: when it returns all
// of them are committed.
func (s *soak) rain(n int) {
	s.mu.Lock()
	s.waves = append(s.waves, wave{span{from: time.Now()}, "public.events_" + s.middle(n-lateBy).Format("2006_01")})
	s.mu.Unlock()
	s.late.Lock()
	s.raining = true
	s.late.Unlock()
}

func (s *soak) dry() {
	s.late.Lock()
	s.raining = false
	s.late.Unlock()
	s.mu.Lock()
	s.waves[len(s.waves)-1].to = time.Now()
	s.mu.Unlock()
}

// disturbed tells what disturbed a pass: the tables that got late rows in its time, and
// whether the clock jumped.
func (s *soak) disturbed(pass span) (tables []string, turned bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.waves {
		if w.meets(pass) {
			tables = append(tables, w.table)
		}
	}
	return tables, slices.ContainsFunc(s.turns, pass.meets)
}

// unexplained is what a pass left undone, but for what had to be expected. While rows
// come for a month that was archived, each pass archives the table that they make. It is
// right to end with a table to do that they made after it looked, and with statistics to
// renew after that; and by inheritance not to drop a table that has got more rows since
// its export, each time that it tries, whereas a declarative partition gets no more
// rows once it is out of its parent. When the clock jumps in the middle of a pass, those
// of the server and of this machine may differ by a month for a moment, for they are read
// one after the other, and a month becomes due that was not. The next pass does what is
// left: with no late rows nothing may be.
func (s *soak) unexplained(t told, declarative bool) (out []string) {
	tell := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if t.Error != "" {
		tell("it failed: %s", t.Error)
	}
	tables, turned := s.disturbed(span{t.Report.Began, t.Report.Began.Add(time.Duration(t.Report.Seconds * float64(time.Second)))})
	late := func(text string) bool {
		return slices.ContainsFunc(tables, func(table string) bool { return strings.Contains(text, table) })
	}
	for _, r := range t.Report.Sets {
		if r.Error != "" || r.Status == maintenance.Skipped || r.Status == maintenance.Stopped && !s.stopping.Load() {
			tell("%s: %s", r.Status, r.Error)
		}
		for _, a := range r.Actions {
			if a.Failed() && !(!declarative && late(a.Table) && a.Action == string(partition.Archive) && strings.Contains(a.Error, postgres.ErrRowsChanged.Error())) {
				tell("%s %s: %s", a.Action, a.Table, a.Error)
			}
		}
		for _, p := range r.Problems {
			if !turned || p.Kind != string(partition.ProblemClock) {
				tell("problem %s: %s: %s", p.Kind, p.Table, p.Text)
			}
		}
		for _, d := range append(r.Due, r.Withheld...) {
			if !turned && !late(d) && !(len(tables) > 0 && strings.HasPrefix(d, string(partition.Analyze))) {
				tell("still due: %s", d)
			}
		}
	}
	return out
}
