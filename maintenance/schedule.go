package maintenance

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/robfig/cron/v3"
)

// Pass is one run of maintenance. It gets a context that ends when the pass has
// to break off, and a channel that closes when it should come to an end. It
// returns what is to be tried again soon, or nil: the schedule may come round in a
// month only.
type Pass func(ctx context.Context, stop <-chan struct{}) (again Pass)

// The waits before something is tried again double from the first to the longest.
const (
	firstAgain   = time.Second
	longestAgain = time.Minute
)

// Job is a pass and when it is due. The schedule carries its own time zone.
type Job struct {
	Schedule cron.Schedule
	Pass     Pass
}

// Scheduler runs passes by the clock, one at a time, for jobs that may be
// replaced while it runs. Its methods are for one goroutine.
type Scheduler struct {
	log *slog.Logger
	// one is held by the pass that runs: passes of different jobs never overlap.
	one  sync.Mutex
	stop chan struct{}
	hard context.Context
	end  context.CancelFunc
	cron *cron.Cron

	mu   sync.Mutex // guards jobs
	jobs *jobs
}

// jobs are those that one call of Set has brought.
type jobs struct {
	passes []Pass
	// replaced closes when others have taken their place.
	replaced chan struct{}
	// catchUp runs all of them at once, once, in place of what their predecessors
	// would have tried again.
	catchUp sync.Once
}

// NewScheduler returns a scheduler that does nothing yet.
func NewScheduler(log *slog.Logger) *Scheduler {
	s := &Scheduler{log: log, stop: make(chan struct{}), cron: cron.New(), jobs: &jobs{replaced: make(chan struct{})}}
	s.hard, s.end = context.WithCancel(context.Background())
	return s
}

// Set replaces the jobs. A pass that runs goes on with what it was given. If one of
// the old jobs has something to try again, all of the new ones run instead: what it
// was given may no longer be what is wanted.
func (s *Scheduler) Set(list []Job) {
	s.cron.Stop()
	s.cron = cron.New()
	fresh := &jobs{replaced: make(chan struct{})}
	for _, j := range list {
		fresh.passes = append(fresh.passes, j.Pass)
		run := s.runner(j.Pass, fresh)
		// A job whose last pass still runs when its time comes again is left out:
		// there is nothing that a second pass could do that the first does not.
		chain := cron.NewChain(cron.SkipIfStillRunning(cronLogger{s.log}))
		s.cron.Schedule(j.Schedule, chain.Then(cron.FuncJob(run)))
	}
	s.mu.Lock()
	close(s.jobs.replaced)
	s.jobs = fresh
	s.mu.Unlock()
	s.cron.Start()
}

// Next returns when the next pass is due; zero if there are no jobs.
func (s *Scheduler) Next() time.Time {
	var next time.Time
	for _, e := range s.cron.Entries() {
		if next.IsZero() || e.Next.Before(next) {
			next = e.Next
		}
	}
	return next
}

// Start runs a pass at once, in the background.
func (s *Scheduler) Start(pass Pass) {
	s.mu.Lock()
	defer s.mu.Unlock()
	go s.runner(pass, s.jobs)()
}

// runner returns what runs a pass and leaves behind, in the background, what tries
// again; one of those is enough for a pass.
func (s *Scheduler) runner(pass Pass, of *jobs) func() {
	var waiting sync.Mutex
	return func() {
		again := s.run(pass)
		if again == nil || !waiting.TryLock() {
			return
		}
		go func() {
			defer waiting.Unlock()
			s.tryAgain(again, of)
		}()
	}
}

// tryAgain runs a pass until it has nothing to try again. Other passes come in
// between: while an instance waits for another it serves what that one does not.
func (s *Scheduler) tryAgain(pass Pass, of *jobs) {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = firstAgain, longestAgain, 2
	for pass != nil {
		timer := time.NewTimer(b.NextBackOff())
		select {
		case <-timer.C:
			pass = s.run(pass)
			continue
		case <-of.replaced:
			s.catchUp()
		case <-s.stop:
		}
		timer.Stop()
		return
	}
}

func (s *Scheduler) catchUp() {
	s.mu.Lock()
	now := s.jobs
	s.mu.Unlock()
	now.catchUp.Do(func() {
		for _, pass := range now.passes {
			s.runner(pass, now)()
		}
	})
}

func (s *Scheduler) run(pass Pass) (again Pass) {
	s.one.Lock()
	defer s.one.Unlock()
	select {
	case <-s.stop:
		return nil
	default:
		return pass(s.hard, s.stop)
	}
}

// Stop lets no further pass begin, lets the running one finish its current
// transaction, and breaks it off when bound has passed. It returns when the
// last pass has ended, and whether that was within the bound.
func (s *Scheduler) Stop(bound time.Duration) bool {
	s.cron.Stop()
	close(s.stop)
	defer s.end()
	done := make(chan struct{})
	go func() {
		s.one.Lock() // Whoever waits before us finds stop closed.
		defer s.one.Unlock()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(bound):
		s.end() // Cancels what the server is doing for us; it rolls back.
		<-done
		return false
	}
}

// cronLogger lets cron log through slog.
type cronLogger struct{ log *slog.Logger }

func (l cronLogger) Info(msg string, args ...any) { l.log.Info("schedule: "+msg, args...) }

func (l cronLogger) Error(err error, msg string, args ...any) {
	l.log.Error("schedule: "+msg, append(args, "error", err)...)
}
