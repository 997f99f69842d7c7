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
		return maintenance.Job{Schedule: every(time.Millisecond), Pass: func(_ context.Context, stop <-chan struct{}) {
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
	s.Start(func(ctx context.Context, stop <-chan struct{}) {
		close(began)
		<-stop
		if ctx.Err() != nil {
			t.Error("the pass was broken off before its bound")
		}
		close(ended)
	})
	<-began
	if !s.Stop(time.Minute) {
		t.Error("a pass that ends by itself counts as broken off")
	}
	<-ended

	began = make(chan struct{})
	s = newScheduler(t)
	s.Start(func(ctx context.Context, _ <-chan struct{}) {
		close(began)
		<-ctx.Done()
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
	s.Start(func(context.Context, <-chan struct{}) { t.Error("a pass began after Stop") })
}
