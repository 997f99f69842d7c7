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

// Job is a pass over a database and when it is due. The schedule carries its own
// time zone.
type Job struct {
	// Database is what it is called, empty where there is but one.
	Database string
	Schedule cron.Schedule
	Pass     Pass
}

// Scheduler runs passes by the clock, for jobs that may be replaced while it runs.
// Those over one database run one at a time; those over different databases wait
// for each other only where too many would run at once. Its methods but Start
// are for one goroutine.
type Scheduler struct {
	log  *slog.Logger
	stop chan struct{}
	hard context.Context
	end  context.CancelFunc
	cron *cron.Cron

	mu   sync.Mutex // guards what follows
	jobs *jobs
	// ones are held by the pass over the database that runs.
	ones map[string]*sync.Mutex
	// running passes are at most atOnce; ended is told when there is one less.
	running, atOnce int
	ended           *sync.Cond
}

// jobs are those that one call of Set has brought.
type jobs struct {
	databases map[string]*databaseJobs
	// replaced closes when others have taken their place.
	replaced chan struct{}
}

// databaseJobs are those of one database.
type databaseJobs struct {
	passes []Pass
	// catchUp runs all of them at once, once, in place of what their predecessors
	// would have tried again.
	catchUp sync.Once
}

// NewScheduler returns a scheduler that does nothing yet.
func NewScheduler(log *slog.Logger) *Scheduler {
	s := &Scheduler{log: log, stop: make(chan struct{}), cron: cron.New(), jobs: &jobs{replaced: make(chan struct{})},
		ones: map[string]*sync.Mutex{}, atOnce: 1}
	s.ended = sync.NewCond(&s.mu)
	s.hard, s.end = context.WithCancel(context.Background())
	return s
}

// Set replaces the jobs, and says over how many databases passes run at once; over
// one at least. A pass that runs goes on with what it was given. If one of the old
// jobs has something to try again, all of the new ones of its database run instead:
// what it was given may no longer be what is wanted.
func (s *Scheduler) Set(list []Job, atOnce int) {
	s.cron.Stop()
	s.cron = cron.New()
	fresh := &jobs{databases: map[string]*databaseJobs{}, replaced: make(chan struct{})}
	for _, j := range list {
		of := fresh.databases[j.Database]
		if of == nil {
			of = &databaseJobs{}
			fresh.databases[j.Database] = of
		}
		of.passes = append(of.passes, j.Pass)
		run := s.runner(j.Database, j.Pass, fresh)
		// A job whose last pass still runs when its time comes again is left out:
		// there is nothing that a second pass could do that the first does not.
		chain := cron.NewChain(cron.SkipIfStillRunning(cronLogger{s.log}))
		s.cron.Schedule(j.Schedule, chain.Then(cron.FuncJob(run)))
	}
	s.mu.Lock()
	close(s.jobs.replaced)
	s.jobs, s.atOnce = fresh, max(1, atOnce)
	s.ended.Broadcast() // Perhaps more may run now.
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

// Start runs a pass over a database at once, in the background.
func (s *Scheduler) Start(database string, pass Pass) {
	s.mu.Lock()
	defer s.mu.Unlock()
	go s.runner(database, pass, s.jobs)()
}

// runner returns what runs a pass and leaves behind, in the background, what tries
// again; one of those is enough for a pass.
func (s *Scheduler) runner(database string, pass Pass, of *jobs) func() {
	var waiting sync.Mutex
	return func() {
		again := s.run(database, pass)
		if again == nil || !waiting.TryLock() {
			return
		}
		go func() {
			defer waiting.Unlock()
			s.tryAgain(database, again, of)
		}()
	}
}

// tryAgain runs a pass until it has nothing to try again. Other passes come in
// between: while an instance waits for another it serves what that one does not.
func (s *Scheduler) tryAgain(database string, pass Pass, of *jobs) {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = firstAgain, longestAgain, 2
	for pass != nil {
		timer := time.NewTimer(b.NextBackOff())
		select {
		case <-timer.C:
			pass = s.run(database, pass)
			continue
		case <-of.replaced:
			s.catchUp(database)
		case <-s.stop:
		}
		timer.Stop()
		return
	}
}

func (s *Scheduler) catchUp(database string) {
	s.mu.Lock()
	now := s.jobs
	s.mu.Unlock()
	of := now.databases[database]
	if of == nil {
		return // It is no longer to be worked on.
	}
	of.catchUp.Do(func() {
		for _, pass := range of.passes {
			s.runner(database, pass, now)()
		}
	})
}

func (s *Scheduler) run(database string, pass Pass) (again Pass) {
	one := s.oneOf(database)
	one.Lock()
	defer one.Unlock()
	s.mu.Lock()
	for s.running >= s.atOnce {
		s.ended.Wait()
	}
	s.running++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
		s.ended.Broadcast()
	}()
	select {
	case <-s.stop:
		return nil
	default:
		return pass(s.hard, s.stop)
	}
}

func (s *Scheduler) oneOf(database string) *sync.Mutex {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ones[database] == nil {
		s.ones[database] = &sync.Mutex{}
	}
	return s.ones[database]
}

// Stop lets no further pass begin, lets those that run finish their current
// transaction, and breaks them off when bound has passed. It returns when the
// last pass has ended, and whether that was within the bound.
func (s *Scheduler) Stop(bound time.Duration) bool {
	s.cron.Stop()
	close(s.stop)
	defer s.end()
	done := make(chan struct{})
	go func() {
		s.mu.Lock() // Whoever waits finds stop closed.
		defer s.mu.Unlock()
		for s.running > 0 {
			s.ended.Wait()
		}
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
