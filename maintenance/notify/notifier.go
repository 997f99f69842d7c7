package notify

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
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

// Notifier tells subscribers what passes do, and asks hooks. [Notifier.Watch] has
// it told of passes itself. What is wrong is kept in memory, so that a failure is
// told once and not after each pass; a new Notifier knows nothing of the failures
// of others.
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
	troubles map[subject]*trouble
	closed   bool
}

// subject is what something may be wrong with: a set, or with no set's name passes
// over the database as such. The database is empty where there is but one.
type subject struct{ database, set string }

// trouble is what is wrong with a set, or with passes as such.
type trouble struct {
	since time.Time
	// told is when it was last told, by the subscriber's name.
	told map[string]time.Time
}

// New returns a Notifier. [Notifier.Close] ends it.
func New(o Options) *Notifier {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	n := &Notifier{host: host, now: time.Now, firstWait: time.Second, troubles: map[subject]*trouble{}}
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

// bad tells a failure to those who do not know of it, or have not heard of it for
// long. It is told to nobody before patience has passed.
func (n *Notifier) bad(e Event, patience time.Duration) {
	of := subject{e.Database, e.Set}
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.troubles[of]
	if t == nil {
		t = &trouble{since: e.Time, told: map[string]time.Time{}}
		n.troubles[of] = t
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
func (n *Notifier) good(e Event) {
	of := subject{e.Database, e.Set}
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.troubles[of]
	if t == nil {
		return
	}
	delete(n.troubles, of)
	e.Since = t.since
	for _, q := range n.queues {
		if _, told := t.told[q.Name]; told && slices.Contains(q.Events, Recovery) {
			q.offer(e)
		}
	}
}
