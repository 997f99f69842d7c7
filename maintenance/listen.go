package maintenance

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// Listener hears of rows that came into default partitions, so that they need not
// wait for the next pass. As a [Watcher] it learns from passes whether there is
// anything to listen for; until then it has no connection.
type Listener struct {
	log *slog.Logger
	// first closes when the first default partition is seen.
	first  chan struct{}
	needed func()

	mu      sync.Mutex // guards what follows
	connect func(context.Context) (*pgx.Conn, error)
	wake    Wake
	// renewed closes when there are others of both.
	renewed chan struct{}
	// parents are those that have a default partition.
	parents map[string]bool
}

// Wake is told that the default partition of a parent, by [partition.Name.String],
// has got rows, or may have got some while nobody listened. It returns at once and
// calls done, from anywhere, when it has seen to it; meanwhile it is not called for
// that parent. Calls for one parent have pauses between them, from a second to a minute.
type Wake func(parent string, done func())

// NewListener returns a listener that has to [Listener.Follow] something.
func NewListener(log *slog.Logger) *Listener {
	l := &Listener{log: log, first: make(chan struct{}), renewed: make(chan struct{}), parents: map[string]bool{}}
	l.needed = sync.OnceFunc(func() { close(l.first) })
	return l
}

// Follow says how connections are opened from now on, and who is told; a connection
// that is open is given up.
func (l *Listener) Follow(connect func(context.Context) (*pgx.Conn, error), wake Wake) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connect, l.wake = connect, wake
	close(l.renewed)
	l.renewed = make(chan struct{})
}

// errRenewed says that another connection is wanted.
var errRenewed = errors.New("the listener follows another configuration")

// Run listens until the context ends.
func (l *Listener) Run(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-l.first:
	}
	again := backoff.NewExponentialBackOff()
	again.InitialInterval, again.MaxInterval, again.Multiplier = firstAgain, longestAgain, 2
	for {
		l.mu.Lock()
		connect, wake, renewed := l.connect, l.wake, l.renewed
		l.mu.Unlock()
		following, cancel := context.WithCancelCause(ctx)
		go func() {
			select {
			case <-renewed:
				cancel(errRenewed)
			case <-following.Done():
			}
		}()
		err := l.listen(following, connect, wake, again.Reset)
		changed := errors.Is(context.Cause(following), errRenewed)
		cancel(nil)
		switch {
		case ctx.Err() != nil:
			return
		case changed:
			continue
		}
		l.log.Warn("not listening: rows in default partitions wait for the next pass", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-renewed:
		case <-time.After(again.NextBackOff()):
		}
	}
}

// listen opens a connection and tells what it hears, until it breaks.
func (l *Listener) listen(ctx context.Context, connect func(context.Context) (*pgx.Conn, error), wake Wake, up func()) error {
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := postgres.Listen(ctx, conn); err != nil {
		return err
	}
	up()
	due := wakeups{}
	l.mu.Lock()
	for parent := range l.parents {
		due.add(parent, time.Now()) // What came before was not heard.
	}
	l.mu.Unlock()
	for {
		due.wake(time.Now(), wake)
		wait, cancel := due.until(ctx)
		note, err := conn.WaitForNotification(wait)
		over := wait.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			due.add(note.Payload, time.Now())
		case !over || conn.IsClosed():
			return err
		}
	}
}

// wakeups are the parents to tell of.
type wakeups map[string]*wakeup

// wakeup is when a parent may be told of next. The pause before that grows as long as
// there is always something to tell: rows that cannot be moved may come for ever, and
// must not make passes for ever.
type wakeup struct {
	waits bool
	next  time.Time
	pause time.Duration
	// free holds a value while nobody is seeing to it.
	free chan struct{}
}

func (w wakeups) add(parent string, now time.Time) {
	u := w[parent]
	if u == nil {
		u = &wakeup{next: now, free: make(chan struct{}, 1)}
		u.free <- struct{}{}
		w[parent] = u
	}
	u.waits = true
}

// wake tells of all that is due and not seen to already.
func (w wakeups) wake(now time.Time, f Wake) {
	for parent, u := range w {
		if !u.waits || now.Before(u.next) {
			continue
		}
		if u.pause == 0 || now.Sub(u.next) > u.pause {
			u.pause = firstAgain
		} else {
			u.pause = min(2*u.pause, longestAgain)
		}
		u.next = now.Add(u.pause)
		select {
		case <-u.free:
			u.waits = false
			f(parent, sync.OnceFunc(func() { u.free <- struct{}{} }))
		default: // It is looked at again then.
		}
	}
}

// until returns a context that ends when something is due.
func (w wakeups) until(ctx context.Context) (context.Context, context.CancelFunc) {
	var first time.Time
	for _, u := range w {
		if u.waits && (first.IsZero() || u.next.Before(first)) {
			first = u.next
		}
	}
	if first.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, first)
}

// PassBegan looks for default partitions.
func (l *Listener) PassBegan(planned []Planned) {
	for _, p := range planned {
		l.note(p)
	}
}

// Removing has nothing against it.
func (l *Listener) Removing(context.Context, partition.Set, partition.Action) error { return nil }

// Acted does nothing.
func (l *Listener) Acted(partition.Set, partition.Action, ActionReport) {}

// SetEnded looks for a default partition that the pass has made.
func (l *Listener) SetEnded(p Planned, _ SetReport) { l.note(p) }

// PassEnded does nothing.
func (l *Listener) PassEnded(Report, error) {}

func (l *Listener) note(p Planned) {
	if p.Snapshot.Default == nil || !p.Set.DefaultPartition {
		return
	}
	l.mu.Lock()
	l.parents[p.Set.Parent.String()] = true
	l.mu.Unlock()
	l.needed()
}
