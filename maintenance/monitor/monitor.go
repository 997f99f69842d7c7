package monitor

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// Monitor watches passes and serves what it knows. Make one with [New].
type Monitor struct {
	version string
	log     *slog.Logger
	metrics *metrics
	// ctx ends with the monitor.
	ctx    context.Context
	cancel context.CancelFunc
	looks  sync.WaitGroup
	flight singleflight.Group

	server serving
	access atomic.Pointer[access]
	mux    *http.ServeMux

	// mu guards all that follows.
	mu     sync.Mutex
	source Source
	// turn counts the beginnings and ends of passes; one is running where it is odd.
	turn   uint64
	tables map[string]*tables
	last   map[string]Last
	// attempted and succeeded are when passes last ended for a set.
	attempted, succeeded map[string]time.Time
	// failed is what kept the last pass from happening.
	failed error
	reload reload
	seen   *seen
	stale  bool
	// archives is what stores listed, by set.
	archives map[string]listed
}

// Source is what there is to watch.
type Source struct {
	Maintainer *maintenance.Maintainer
	Sets       []Set
}

// reload is how the configuration was read last.
type reload struct {
	ok bool
	at time.Time // of the last success
}

// New returns a monitor that does not serve yet. The version is the program's.
func New(version string, log *slog.Logger) *Monitor {
	m := &Monitor{version: version, log: log, tables: map[string]*tables{}, last: map[string]Last{},
		attempted: map[string]time.Time{}, succeeded: map[string]time.Time{}, archives: map[string]listed{}}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.metrics = newMetrics(m)
	m.mux = m.routes()
	return m
}

var _ maintenance.Watcher = (*Monitor)(nil)

// Use tells the monitor what there is to watch, as the configuration says that was
// just read, and has it watch what the maintainer does.
func (m *Monitor) Use(s Source) {
	s.Maintainer.Watchers = append(s.Maintainer.Watchers, m)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.source, m.seen, m.stale = s, nil, true
	m.reload = reload{ok: true, at: time.Now()}
	for _, set := range s.Sets {
		m.metrics.begin(set.Parent.String())
	}
}

// ReloadFailed tells the monitor that the configuration could not be read again.
func (m *Monitor) ReloadFailed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reload.ok = false
}

// Close stops serving and looking, and waits for both until ctx ends.
func (m *Monitor) Close(ctx context.Context) error {
	m.mu.Lock()
	m.cancel() // From here on nobody begins a look.
	m.mu.Unlock()
	err := m.server.close(ctx)
	m.looks.Wait() // Their context has ended.
	return err
}

// PassBegan implements [maintenance.Watcher].
func (m *Monitor) PassBegan(planned []maintenance.Planned) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn |= 1
	for _, p := range planned {
		m.compare(p)
	}
}

// Removing implements [maintenance.Watcher]; the monitor has nothing against it.
func (m *Monitor) Removing(context.Context, partition.Set, partition.Action) error { return nil }

// Acted implements [maintenance.Watcher].
func (m *Monitor) Acted(set partition.Set, a partition.Action, r maintenance.ActionReport) {
	m.metrics.acted(set.Parent.String(), r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.Kind == partition.Create && r.Error == "" {
		m.tablesOf(set).made[a.Table] = true
	}
	if a.Kind == partition.Retire {
		delete(m.archives, set.Parent.String())
	}
}

// SetEnded implements [maintenance.Watcher].
func (m *Monitor) SetEnded(p maintenance.Planned, r maintenance.SetReport) {
	m.metrics.ended(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.compare(p)
	now := time.Now()
	m.last[r.Set] = Last{Ended: now, Report: r}
	m.attempted[r.Set] = now
	if r.Status == maintenance.Idle || r.Status == maintenance.Done {
		m.succeeded[r.Set] = now
	}
}

// PassEnded implements [maintenance.Watcher].
func (m *Monitor) PassEnded(r maintenance.Report, err error) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn = (m.turn | 1) + 1
	m.failed, m.stale = err, true
	if err != nil {
		m.metrics.failures.Inc()
		return
	}
	for _, s := range r.Sets {
		if s.Status == maintenance.Skipped { // Of these no end was told.
			m.metrics.ended(s)
			m.last[s.Set], m.attempted[s.Set] = Last{Ended: now, Report: s}, now
		}
	}
}

// tables is what is known of a set's partitions, to tell those that no pass made.
type tables struct {
	// oids are those seen last, nil before the first look.
	oids map[uint32]bool
	// made are those that passes made and that no look has seen yet.
	made map[partition.Name]bool
}

func (m *Monitor) tablesOf(set partition.Set) *tables {
	t := m.tables[set.Parent.String()]
	if t == nil {
		t = &tables{made: map[partition.Name]bool{}}
		m.tables[set.Parent.String()] = t
	}
	return t
}

// compare counts the partitions that are new since the last look and that neither a
// pass nor a restore has made: then a row did, since nothing was there for it.
// It must not be given what was seen while a pass made tables.
func (m *Monitor) compare(p maintenance.Planned) {
	if p.Err != nil || p.Snapshot.Parent == nil {
		return
	}
	t := m.tablesOf(p.Set)
	restored := map[uint32]bool{}
	for _, h := range p.Snapshot.Holds {
		if h.Kind == partition.HoldRestore {
			restored[h.OID] = true
		}
	}
	oids, familiar, fresh := map[uint32]bool{}, 0, 0
	for _, c := range p.Snapshot.Partitions {
		oids[c.OID] = true
		switch {
		case t.oids[c.OID]:
			familiar++
		case t.made[c.Name]:
			delete(t.made, c.Name)
		case !restored[c.OID]:
			fresh++
		}
	}
	// Where all that was there is gone, it is another database by now.
	if t.oids != nil && (familiar > 0 || len(t.oids) == 0) {
		m.metrics.safetyNet.WithLabelValues(p.Set.Parent.String()).Add(float64(fresh))
	}
	t.oids = oids
}
