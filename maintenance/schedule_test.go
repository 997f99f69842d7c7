package maintenance_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/partitiond/partitiond/maintenance"
)

// every is a schedule that is due again and again.
type every time.Duration

func (e every) Next(t time.Time) time.Time { return t.Add(time.Duration(e)) }

func newScheduler(t *testing.T) *maintenance.Scheduler {
	return maintenance.NewScheduler(slog.New(slog.NewTextHandler(t.Output(), nil)))
}

// Passes of two jobs that are due all the time never overlap.
func TestSchedulerRunsOnePassAtATime(t *testing.T) {
	t.Parallel()
	s := newScheduler(t)
	busy := make(chan struct{}, 1)
	ran := make(chan string)
	job := func(name string) maintenance.Job {
		return maintenance.Job{Schedule: every(time.Millisecond), Pass: func(_ context.Context, stop <-chan struct{}) maintenance.Pass {
			select {
			case busy <- struct{}{}:
			default:
				t.Error("two passes at once")
			}
			select {
			case ran <- name:
			case <-stop:
			}
			<-busy
			return nil
		}}
	}
	s.Set([]maintenance.Job{job("a"), job("b")}, 2)
	for seen := map[string]int{}; seen["a"] < 5 || seen["b"] < 5; {
		seen[<-ran]++
	}
	if !s.Stop(time.Minute) {
		t.Error("stopping took too long")
	}
}

// Passes over different databases run side by side, as many as may.
func TestSchedulerBoundsDatabases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t)
		s.Set(nil, 3)
		var running atomic.Int32
		release := make(chan struct{})
		for i := range 12 {
			s.Start(fmt.Sprint(i), func(context.Context, <-chan struct{}) maintenance.Pass {
				running.Add(1)
				<-release
				running.Add(-1)
				return nil
			})
		}
		expect := func(want int32) {
			t.Helper()
			synctest.Wait() // Until all that can run does.
			if n := running.Load(); n != want {
				t.Errorf("%d run at once, expected %d", n, want)
			}
		}
		expect(3)
		release <- struct{}{}
		expect(3)
		s.Set(nil, 5)
		expect(5)
		s.Set(nil, 1) // Those that run go on.
		release <- struct{}{}
		expect(4)
		close(release)
		if expect(0); !s.Stop(time.Minute) {
			t.Error("stopping took too long")
		}
	})
}

// A database that is tried again and again keeps no other waiting, and is
// forgotten with its jobs.
func TestSchedulerTriesOneDatabaseAgain(t *testing.T) {
	t.Parallel()
	s := newScheduler(t)
	never := every(1000 * time.Hour)
	var bad maintenance.Pass
	tried := make(chan struct{})
	bad = func(context.Context, <-chan struct{}) maintenance.Pass {
		tried <- struct{}{}
		return bad
	}
	ran := make(chan string)
	good := func(name string) maintenance.Job {
		return maintenance.Job{Database: name, Schedule: never, Pass: func(context.Context, <-chan struct{}) maintenance.Pass { ran <- name; return nil }}
	}
	s.Set([]maintenance.Job{{Database: "bad", Schedule: never, Pass: bad}, good("good")}, 1)
	s.Start("bad", bad)
	<-tried
	<-tried
	s.Start("good", good("good").Pass)
	if name := <-ran; name != "good" {
		t.Error(name)
	}
	// The next file has another job for it; that of the good one is not due.
	s.Set([]maintenance.Job{good("bad"), good("good")}, 1)
	for done := false; !done; {
		select {
		case <-tried: // It was at it.
		case name := <-ran:
			if done = true; name != "bad" {
				t.Errorf("%s ran in place of what bad would try again", name)
			}
		}
	}
	if !s.Stop(time.Minute) {
		t.Error("stopping took too long")
	}
}

// Stop lets a pass come to its end, and breaks off one that does not.
func TestSchedulerStop(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan struct{})
	s := newScheduler(t)
	s.Start("", func(ctx context.Context, stop <-chan struct{}) maintenance.Pass {
		close(began)
		<-stop
		if ctx.Err() != nil {
			t.Error("the pass was broken off before its bound")
		}
		close(ended)
		return nil
	})
	<-began
	if !s.Stop(time.Minute) {
		t.Error("a pass that ends by itself counts as broken off")
	}
	<-ended

	began = make(chan struct{})
	s = newScheduler(t)
	s.Start("", func(ctx context.Context, _ <-chan struct{}) maintenance.Pass {
		close(began)
		<-ctx.Done()
		return nil
	})
	<-began
	if s.Stop(time.Millisecond) {
		t.Error("a pass that does not end counts as ended by itself")
	}
}

// After Stop no pass begins, however many are due.
func TestSchedulerStopsForGood(t *testing.T) {
	t.Parallel()
	s := newScheduler(t)
	if !s.Stop(time.Minute) {
		t.Error("stopping nothing took too long")
	}
	s.Start("", func(context.Context, <-chan struct{}) maintenance.Pass {
		t.Error("a pass began after Stop")
		return nil
	})
}

// What could not be done is tried again until it can, and other passes run meanwhile.
func TestSchedulerTriesAgain(t *testing.T) {
	t.Parallel()
	s := newScheduler(t)
	done, between := make(chan int), make(chan struct{})
	var tried int
	var pass maintenance.Pass
	pass = func(context.Context, <-chan struct{}) maintenance.Pass {
		if tried++; tried == 1 {
			s.Start("", func(context.Context, <-chan struct{}) maintenance.Pass { close(between); return nil })
			return pass
		}
		<-between
		done <- tried
		return nil
	}
	s.Start("", pass)
	if n := <-done; n != 2 {
		t.Errorf("it was tried %d times", n)
	}
	if !s.Stop(time.Minute) {
		t.Error("stopping took too long")
	}
}

// What an old configuration would try again, the new one does in its own way, at once.
func TestSchedulerReplacesWhatIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := newScheduler(t)
	began, replaced, ran := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s.Start("", func(context.Context, <-chan struct{}) maintenance.Pass {
		close(began)
		<-replaced
		return func(context.Context, <-chan struct{}) maintenance.Pass {
			t.Error("the old configuration was tried again")
			return nil
		}
	})
	<-began
	never := every(1000 * time.Hour)
	s.Set([]maintenance.Job{{Schedule: never, Pass: func(context.Context, <-chan struct{}) maintenance.Pass { close(ran); return nil }}}, 1)
	close(replaced)
	<-ran
	if !s.Stop(time.Minute) {
		t.Error("stopping took too long")
	}
}
