package monitor

import (
	"context"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// database is what is known of one database. It is the [maintenance.Watcher] of
// the passes over it. All of it is guarded by the monitor's lock, but for the
// monitor and the name.
type database struct {
	monitor *Monitor
	// name is empty where there is but one database.
	name   string
	source Database
	// turn counts the beginnings and ends of passes; one is running where it is odd.
	turn   uint64
	tables map[string]*tables
	last   map[string]Last
	// attempted and succeeded are when passes last ended for a set.
	attempted, succeeded map[string]time.Time
	// failed is what kept the last pass from happening.
	failed error
	seen   *seen
	stale  bool
	// archives is what stores listed, by set.
	archives map[string]listed
}

func (m *Monitor) newDatabase(name string) *database {
	return &database{monitor: m, name: name, tables: map[string]*tables{}, last: map[string]Last{},
		attempted: map[string]time.Time{}, succeeded: map[string]time.Time{}, archives: map[string]listed{}}
}

var _ maintenance.Watcher = (*database)(nil)

// PassBegan implements [maintenance.Watcher].
func (d *database) PassBegan(planned []maintenance.Planned) {
	d.monitor.mu.Lock()
	defer d.monitor.mu.Unlock()
	d.turn |= 1
	for _, p := range planned {
		d.compare(p)
	}
}

// Removing implements [maintenance.Watcher]; the monitor has nothing against it.
func (d *database) Removing(context.Context, partition.Set, partition.Action) error { return nil }

// Acted implements [maintenance.Watcher].
func (d *database) Acted(set partition.Set, a partition.Action, r maintenance.ActionReport) {
	d.monitor.metrics.acted(d.name, set.Parent.String(), r)
	d.monitor.mu.Lock()
	defer d.monitor.mu.Unlock()
	if a.Kind == partition.Create && r.Error == "" {
		d.tablesOf(set).made[a.Table] = true
	}
	if a.Kind == partition.Retire {
		delete(d.archives, set.Parent.String())
	}
}

// SetEnded implements [maintenance.Watcher].
func (d *database) SetEnded(p maintenance.Planned, r maintenance.SetReport) {
	d.monitor.metrics.ended(d.name, r)
	d.monitor.mu.Lock()
	defer d.monitor.mu.Unlock()
	d.compare(p)
	now := time.Now()
	d.last[r.Set] = Last{Ended: now, Report: r}
	d.attempted[r.Set] = now
	if r.Status == maintenance.Idle || r.Status == maintenance.Done {
		d.succeeded[r.Set] = now
	}
}

// PassEnded implements [maintenance.Watcher].
func (d *database) PassEnded(r maintenance.Report, err error) {
	now := time.Now()
	d.monitor.mu.Lock()
	defer d.monitor.mu.Unlock()
	d.turn = (d.turn | 1) + 1
	d.failed, d.stale = err, true
	if err != nil {
		d.monitor.metrics.failures.WithLabelValues(d.name).Inc()
		return
	}
	for _, s := range r.Sets {
		if s.Status == maintenance.Skipped { // Of these no end was told.
			d.monitor.metrics.ended(d.name, s)
			d.last[s.Set], d.attempted[s.Set] = Last{Ended: now, Report: s}, now
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

func (d *database) tablesOf(set partition.Set) *tables {
	t := d.tables[set.Parent.String()]
	if t == nil {
		t = &tables{made: map[partition.Name]bool{}}
		d.tables[set.Parent.String()] = t
	}
	return t
}

// compare counts the partitions that are new since the last look and that neither a
// pass nor a restore has made: then a row did, since nothing was there for it.
// It must not be given what was seen while a pass made tables.
func (d *database) compare(p maintenance.Planned) {
	if p.Err != nil || p.Snapshot.Parent == nil {
		return
	}
	t := d.tablesOf(p.Set)
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
		d.monitor.metrics.safetyNet.WithLabelValues(d.name, p.Set.Parent.String()).Add(float64(fresh))
	}
	t.oids = oids
}
