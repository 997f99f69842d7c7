package maintenance

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

// Pass is one run of maintenance. It gets a context that ends when the pass has
// to break off, and a channel that closes when it should come to an end.
type Pass func(ctx context.Context, stop <-chan struct{})

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
}

// NewScheduler returns a scheduler that does nothing yet.
func NewScheduler(log *slog.Logger) *Scheduler {
	s := &Scheduler{log: log, stop: make(chan struct{}), cron: cron.New()}
	s.hard, s.end = context.WithCancel(context.Background())
	return s
}

// Set replaces the jobs. A pass that runs goes on with what it was given.
func (s *Scheduler) Set(jobs []Job) {
	s.cron.Stop()
	s.cron = cron.New()
	for _, j := range jobs {
		// A job whose last pass still runs when its time comes again is left out:
		// there is nothing that a second pass could do that the first does not.
		chain := cron.NewChain(cron.SkipIfStillRunning(cronLogger{s.log}))
		s.cron.Schedule(j.Schedule, chain.Then(cron.FuncJob(func() { s.run(j.Pass) })))
	}
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
func (s *Scheduler) Start(pass Pass) { go s.run(pass) }

func (s *Scheduler) run(pass Pass) {
	s.one.Lock()
	defer s.one.Unlock()
	select {
	case <-s.stop:
	default:
		pass(s.hard, s.stop)
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
