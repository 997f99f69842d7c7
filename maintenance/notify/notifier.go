package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// Options say who is told what, and who is asked.
type Options struct {
	Log *slog.Logger
	// Subscribers are told. Their names differ: what was told to whom goes by them.
	Subscribers []Subscriber
	// BeforeRemoval are asked, one after the other, before a partition is removed.
	BeforeRemoval []Receiver
	// AskTimeout bounds how long they may take together.
	AskTimeout time.Duration
	// Patience is how long it is no failure yet that the server cannot be reached,
	// for those who go on trying.
	Patience time.Duration
}

// Notifier is a [maintenance.Watcher] that tells subscribers and asks hooks. What
// is wrong is kept in memory, so that a failure is told once and not after each
// pass; a new Notifier knows nothing of the failures of others.
type Notifier struct {
	host string
	now  func() time.Time
	// firstWait is that before the second attempt; tests have none.
	firstWait time.Duration
	// ctx ends when what is still queued is given up.
	ctx     context.Context
	abandon context.CancelFunc
	workers sync.WaitGroup

	mu       sync.Mutex
	options  Options
	queues   []*queue
	troubles map[string]*trouble
	closed   bool
}

// trouble is what is wrong with a set, or with passes as such.
type trouble struct {
	since time.Time
	// told is when it was last told, by the subscriber's name.
	told map[string]time.Time
}

// everyPass is the key of the trouble that is of no single set.
const everyPass = ""

// New returns a Notifier. [Notifier.Close] ends it.
func New(o Options) *Notifier {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	n := &Notifier{host: host, now: time.Now, firstWait: time.Second, troubles: map[string]*trouble{}}
	n.ctx, n.abandon = context.WithCancel(context.Background())
	n.Configure(o)
	return n
}

// Configure replaces who is told and asked, for passes that run, too. What is
// queued still goes to those whom it was meant for.
func (n *Notifier) Configure(o Options) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	before := map[string]*queue{}
	for _, q := range n.queues {
		before[q.Name] = q
	}
	n.options, n.queues = o, nil
	for _, s := range o.Subscribers {
		q := before[s.Name]
		if delete(before, s.Name); q == nil {
			q = &queue{waiting: make(chan message, queued)}
			n.workers.Go(func() { q.work(n.ctx, n.firstWait) })
		}
		q.Subscriber, q.log = s, o.Log.With("receiver", s.Name)
		n.queues = append(n.queues, q)
	}
	for _, gone := range before {
		close(gone.waiting)
	}
}

// Close sends what is queued, and gives up what is left when the bound has
// passed. Nothing is told after it.
func (n *Notifier) Close(bound time.Duration) {
	n.mu.Lock()
	if !n.closed {
		n.closed = true
		for _, q := range n.queues {
			close(q.waiting)
		}
		n.queues = nil
	}
	n.mu.Unlock()
	timer := time.AfterFunc(bound, n.abandon)
	defer timer.Stop()
	n.workers.Wait()
	n.abandon()
}

// tell queues an event for all who want its kind. The caller has the lock.
func (n *Notifier) tell(e Event) {
	for _, q := range n.queues {
		if slices.Contains(q.Events, e.Event) {
			q.offer(e)
		}
	}
}

// event returns an event of now.
func (n *Notifier) event(kind Kind) Event { return Event{Event: kind, Time: n.now(), Host: n.host} }

// bad tells a failure to those who do not know of it, or have not heard of it for
// long. It is told to nobody before patience has passed.
func (n *Notifier) bad(key string, e Event, patience time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.troubles[key]
	if t == nil {
		t = &trouble{since: e.Time, told: map[string]time.Time{}}
		n.troubles[key] = t
	}
	e.Since = t.since
	if e.Time.Sub(t.since) < patience {
		return
	}
	text := e.Text
	for _, q := range n.queues {
		last, known := t.told[q.Name]
		if known && (q.Repeat <= 0 || e.Time.Sub(last) < q.Repeat) {
			continue
		}
		t.told[q.Name] = e.Time
		if !slices.Contains(q.Events, Failure) {
			continue // It may want to hear of the recovery.
		}
		if e.Repeated, e.Text = known, text; known {
			e.Text = fmt.Sprintf("still, since %s: %s", t.since.Format(time.RFC3339), text)
		}
		q.offer(e)
	}
}

// good tells a recovery to those who were told of the failure.
func (n *Notifier) good(key string, e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.troubles[key]
	if t == nil {
		return
	}
	delete(n.troubles, key)
	e.Since = t.since
	for _, q := range n.queues {
		if _, told := t.told[q.Name]; told && slices.Contains(q.Events, Recovery) {
			q.offer(e)
		}
	}
}

// PassBegan implements [maintenance.Watcher].
func (n *Notifier) PassBegan([]maintenance.Planned) {}

// Removing implements [maintenance.Watcher]: it asks the hooks.
func (n *Notifier) Removing(ctx context.Context, set partition.Set, a partition.Action) error {
	n.mu.Lock()
	hooks, timeout := n.options.BeforeRemoval, n.options.AskTimeout
	n.mu.Unlock()
	if len(hooks) == 0 {
		return nil
	}
	e := n.event(BeforeRemoval)
	e.Set, e.Action, e.Table, e.Reason = set.Parent.String(), a.Verb(), a.Table.String(), a.Reason
	e.Text = fmt.Sprintf("about to %s %s: %s", e.Action, e.Table, e.Reason)
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
func (n *Notifier) Acted(set partition.Set, a partition.Action, r maintenance.ActionReport) {
	if !a.Destructive() || r.Error != "" {
		return
	}
	e := n.event(Removal)
	e.Set, e.Action, e.Table, e.Reason, e.Result = set.Parent.String(), r.Action, r.Table, r.Reason, &r
	e.Text = describeRemoval(r)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tell(e)
}

// SetEnded implements [maintenance.Watcher].
func (n *Notifier) SetEnded(_ maintenance.Planned, r maintenance.SetReport) {
	e := n.event(Failure)
	e.Set, e.Status, e.Report = r.Set, r.Status, &r
	switch r.Status {
	case maintenance.Failed, maintenance.Partly:
		e.Text = describe(r)
		n.bad(r.Set, e, 0)
	case maintenance.Done, maintenance.Idle:
		e.Event, e.Text = Recovery, fmt.Sprintf("%s: well again: %s", r.Set, r.Status)
		n.good(r.Set, e)
	}
	// Nothing is known of the others: they were stopped or skipped.
}

// PassEnded implements [maintenance.Watcher].
func (n *Notifier) PassEnded(r maintenance.Report, err error) {
	if errors.Is(err, context.Canceled) {
		return // Somebody has stopped it.
	}
	e := n.event(Failure)
	if err != nil {
		patience := time.Duration(0)
		if errors.Is(err, maintenance.ErrConnect) {
			n.mu.Lock()
			patience = n.options.Patience
			n.mu.Unlock()
		}
		e.Status, e.Text = maintenance.Failed, "no pass could be made: "+oneLine(err.Error(), maxText)
		n.bad(everyPass, e, patience)
		return
	}
	e.Event, e.Text = Recovery, "passes can be made again"
	n.good(everyPass, e)
	e.Event, e.Status, e.Text, e.Pass = Pass, r.Status(), describePass(r), &r
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tell(e)
}
