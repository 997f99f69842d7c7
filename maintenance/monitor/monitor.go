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
	mu        sync.Mutex
	databases []*database
	// slots has room for as many looks as may be under way at once.
	slots  chan struct{}
	reload reload
}

// Source is what there is to watch.
type Source struct {
	Databases []Database
	// Parallel is how many databases are looked at at once; at least one is.
	Parallel int
}

// Database is one database with its sets. The maintainer has its name.
type Database struct {
	Maintainer *maintenance.Maintainer
	Sets       []Set
}

// fleet is the same without the schedules.
func (s Source) fleet() maintenance.Fleet {
	f := maintenance.Fleet{Parallel: s.Parallel}
	for _, d := range s.Databases {
		f.Members = append(f.Members, maintenance.Member{Maintainer: d.Maintainer})
	}
	return f
}

// reload is how the configuration was read last.
type reload struct {
	ok bool
	at time.Time // of the last success
}

// New returns a monitor that does not serve yet. The version is the program's.
func New(version string, log *slog.Logger) *Monitor {
	m := &Monitor{version: version, log: log}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.metrics = newMetrics(m)
	m.mux = m.routes()
	return m
}

// Use tells the monitor what there is to watch, as the configuration says that was
// just read, and has it watch what the maintainers do. What is known of databases
// that are no longer there is forgotten.
func (m *Monitor) Use(s Source) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reload = reload{ok: true, at: time.Now()}
	m.slots = make(chan struct{}, max(1, s.Parallel))
	before := map[string]*database{}
	for _, d := range m.databases {
		before[d.name] = d
	}
	m.databases = nil
	for _, source := range s.Databases {
		name := source.Maintainer.Database
		d := before[name]
		if delete(before, name); d == nil {
			d = m.newDatabase(name)
		}
		d.source, d.seen, d.stale = source, nil, true
		source.Maintainer.Watchers = append(source.Maintainer.Watchers, d)
		m.databases = append(m.databases, d)
	}
	for name := range before {
		m.metrics.forget(name)
	}
	for _, d := range m.databases {
		m.metrics.begin(d)
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
