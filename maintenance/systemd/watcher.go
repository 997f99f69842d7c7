package systemd

import (
	"context"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// watcher has the unit's status tell of the passes over one database.
type watcher struct {
	unit *Unit
	of   *database
}

// Watch returns what has the status tell of passes over a database. Its name is
// empty where there is but one.
func (u *Unit) Watch(name string) maintenance.Watcher {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state.databases[name] == nil {
		u.state.databases[name] = &database{name: name, doing: map[string]string{}}
	}
	return watcher{u, u.state.databases[name]}
}

func (w watcher) change(f func(d *database)) { w.unit.change(func(*state) { f(w.of) }) }

// PassBegan implements [maintenance.Watcher].
func (w watcher) PassBegan(planned []maintenance.Planned) {
	w.change(func(d *database) { d.began, d.sets, d.done = time.Now(), len(planned), 0 })
}

// Removing implements [maintenance.Watcher]; it never vetoes.
func (w watcher) Removing(_ context.Context, set partition.Set, a partition.Action) error {
	w.change(func(d *database) {
		d.doing[set.Parent.String()] = inProgress[a.Then] + " " + maintenance.Label(d.name, a.Table.String())
	})
	return nil
}

// Acted implements [maintenance.Watcher].
func (w watcher) Acted(set partition.Set, _ partition.Action, _ maintenance.ActionReport) {
	w.change(func(d *database) { delete(d.doing, set.Parent.String()) })
}

// SetEnded implements [maintenance.Watcher].
func (w watcher) SetEnded(p maintenance.Planned, _ maintenance.SetReport) {
	w.change(func(d *database) {
		delete(d.doing, p.Set.Parent.String())
		d.done++
	})
}

// PassEnded implements [maintenance.Watcher].
func (w watcher) PassEnded(r maintenance.Report, err error) {
	w.change(func(d *database) {
		d.began = time.Time{}
		d.last, d.err = &r, err
	})
}
