package maintenance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Watcher is told what passes do, such as to count it or to tell people. Sets are
// worked on side by side, so its methods are called at once from several goroutines.
// They return soon: the pass waits for them.
type Watcher interface {
	// PassBegan is called when it is known which of the sets a pass works on, with
	// what was seen of those.
	PassBegan(planned []Planned)
	// Removing is called before a partition is dropped, archived or detached. With
	// an error the partition stays, and the action fails with it.
	Removing(ctx context.Context, set partition.Set, a partition.Action) error
	// Acted is called after each action that was tried.
	Acted(set partition.Set, a partition.Action, r ActionReport)
	// SetEnded is called when a set's part of a pass is over, with what was seen of
	// it last. The plan is that of Planned where nothing was to be done.
	SetEnded(p Planned, r SetReport)
	// PassEnded is called after every pass. The error is what kept it from
	// happening; then the report has no sets.
	PassEnded(r Report, err error)
}

// ErrVetoed says that a watcher kept a partition from being removed.
var ErrVetoed = errors.New("the removal was vetoed")

func (m *Maintainer) passBegan(planned []Planned) {
	for _, w := range m.Watchers {
		w.PassBegan(planned)
	}
}

// removing asks all watchers, until one has something against it.
func (m *Maintainer) removing(ctx context.Context, set partition.Set, a partition.Action) error {
	if !a.Destructive() {
		return nil
	}
	for _, w := range m.Watchers {
		if err := w.Removing(ctx, set, a); err != nil {
			return fmt.Errorf("%s %s: %w: %w", a.Verb(), a.Table, ErrVetoed, err)
		}
	}
	return nil
}

func (m *Maintainer) acted(set partition.Set, a partition.Action, r ActionReport) {
	for _, w := range m.Watchers {
		w.Acted(set, a, r)
	}
}

func (m *Maintainer) setEnded(p Planned, r SetReport) {
	for _, w := range m.Watchers {
		w.SetEnded(p, r)
	}
}

func (m *Maintainer) passEnded(r *Report, err error) {
	r.Seconds = time.Since(r.Began).Seconds()
	for _, w := range m.Watchers {
		w.PassEnded(*r, err)
	}
}
