package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// watcher has a notifier tell of the passes over one database.
type watcher struct {
	*Notifier
	database string
}

// Watch returns what has the notifier tell of passes over a database. Its name is
// empty where there is but one.
func (n *Notifier) Watch(database string) maintenance.Watcher { return watcher{n, database} }

// event returns an event of now.
func (w watcher) event(kind Kind) Event {
	return Event{Event: kind, Time: w.now(), Host: w.host, Database: w.database}
}

// say names the database before a text, where there are several.
func (w watcher) say(text string) string {
	if w.database == "" {
		return text
	}
	return w.database + ": " + text
}

// PassBegan implements [maintenance.Watcher].
func (w watcher) PassBegan([]maintenance.Planned) {}

// Removing implements [maintenance.Watcher]: it asks the hooks.
func (w watcher) Removing(ctx context.Context, set partition.Set, a partition.Action) error {
	w.mu.Lock()
	hooks, timeout := w.options.BeforeRemoval, w.options.AskTimeout
	w.mu.Unlock()
	if len(hooks) == 0 {
		return nil
	}
	e := w.event(BeforeRemoval)
	e.Set, e.Action, e.Table, e.Reason = set.Parent.String(), a.Verb(), a.Table.String(), a.Reason
	e.Text = w.say(fmt.Sprintf("about to %s %s: %s", e.Action, e.Table, e.Reason))
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for _, h := range hooks {
		err := h.deliver(bounded, e)
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%s: no answer within %s", h.Name, timeout)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return nil
}

// Acted implements [maintenance.Watcher].
func (w watcher) Acted(set partition.Set, a partition.Action, r maintenance.ActionReport) {
	if !a.Destructive() || r.Error != "" {
		return
	}
	e := w.event(Removal)
	e.Set, e.Action, e.Table, e.Reason, e.Result = set.Parent.String(), r.Action, r.Table, r.Reason, &r
	e.Text = w.say(describeRemoval(r))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell(e)
}

// SetEnded implements [maintenance.Watcher].
func (w watcher) SetEnded(_ maintenance.Planned, r maintenance.SetReport) {
	e := w.event(Failure)
	e.Set, e.Status, e.Report = r.Set, r.Status, &r
	switch r.Status {
	case maintenance.Failed, maintenance.Partly:
		e.Text = describe(r)
		w.bad(e, 0)
	case maintenance.Done, maintenance.Idle:
		e.Event, e.Text = Recovery, fmt.Sprintf("%s: well again: %s", r.Label(), r.Status)
		w.good(e)
	}
	// Nothing is known of the others: they were stopped or skipped.
}

// PassEnded implements [maintenance.Watcher].
func (w watcher) PassEnded(r maintenance.Report, err error) {
	if errors.Is(err, context.Canceled) {
		return // Somebody has stopped it.
	}
	e := w.event(Failure)
	if err != nil {
		patience := time.Duration(0)
		if errors.Is(err, maintenance.ErrConnect) {
			w.mu.Lock()
			patience = w.options.Patience
			w.mu.Unlock()
		}
		e.Status, e.Text = maintenance.Failed, w.say("no pass could be made: "+oneLine(err.Error(), maxText))
		w.bad(e, patience)
		return
	}
	e.Event, e.Text = Recovery, w.say("passes can be made again")
	w.good(e)
	e.Event, e.Status, e.Text, e.Pass = Pass, r.Status(), w.say(describePass(r)), &r
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell(e)
}
