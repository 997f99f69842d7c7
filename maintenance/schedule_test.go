package maintenance_test

import (
	"context"
	"log/slog"
	"testing"
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
	s.Set([]maintenance.Job{job("a"), job("b")})
	for seen := map[string]int{}; seen["a"] < 5 || seen["b"] < 5; {
		seen[<-ran]++
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
	s.Start(func(ctx context.Context, stop <-chan struct{}) maintenance.Pass {
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
	s.Start(func(ctx context.Context, _ <-chan struct{}) maintenance.Pass {
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
	s.Start(func(context.Context, <-chan struct{}) maintenance.Pass {
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
			s.Start(func(context.Context, <-chan struct{}) maintenance.Pass { close(between); return nil })
			return pass
		}
		<-between
		done <- tried
		return nil
	}
	s.Start(pass)
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
	s.Start(func(context.Context, <-chan struct{}) maintenance.Pass {
		close(began)
		<-replaced
		return func(context.Context, <-chan struct{}) maintenance.Pass {
			t.Error("the old configuration was tried again")
			return nil
		}
	})
	<-began
	never := every(1000 * time.Hour)
	s.Set([]maintenance.Job{{Schedule: never, Pass: func(context.Context, <-chan struct{}) maintenance.Pass { close(ran); return nil }}})
	close(replaced)
	<-ran
	if !s.Stop(time.Minute) {
		t.Error("stopping took too long")
	}
}
