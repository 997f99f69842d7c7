package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Subscriber is a receiver that is told of events.
type Subscriber struct {
	Receiver
	Events []Kind
	// Timeout bounds one attempt.
	Timeout time.Duration
	// Retries is how many attempts come after the first.
	Retries int
	// Repeat is after how long a failure that lasts is told again; zero is never.
	Repeat time.Duration
}

// queued is how many events may wait for one subscriber.
const queued = 256

// queue holds what one subscriber is still to be told. Each has a goroutine, so
// that one who does not answer keeps nobody else waiting.
type queue struct {
	Subscriber
	log     *slog.Logger
	events  chan Event
	dropped int // under the notifier's lock
}

// offer queues an event, or drops it where too many wait already. It never waits.
func (q *queue) offer(e Event) {
	select {
	case q.events <- e:
	default:
		q.dropped++
		q.log.Error("a notification was dropped: too many wait to be sent", "event", string(e.Event), "text", oneLine(e.Text, 200), "dropped", q.dropped)
	}
}

// work sends what is queued until the queue is closed and empty.
func (q *queue) work(ctx context.Context, firstWait time.Duration) {
	for e := range q.events {
		if err := q.send(ctx, e, firstWait); err != nil {
			q.log.Error("a notification was lost", "event", string(e.Event), "text", oneLine(e.Text, 200), "error", err)
			continue
		}
		q.log.Debug("told", "event", string(e.Event))
	}
}

// send makes as many attempts as the subscriber is worth.
func (q *queue) send(ctx context.Context, e Event, firstWait time.Duration) error {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = firstWait, time.Minute
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		bounded, cancel := context.WithTimeout(ctx, q.Timeout)
		defer cancel()
		last = q.deliver(bounded, e)
		if errors.Is(last, context.DeadlineExceeded) {
			last = fmt.Errorf("no answer within %s", q.Timeout)
		}
		var later laterError
		var final finalError
		switch {
		case errors.As(last, &later):
			return struct{}{}, &backoff.RetryAfterError{Duration: later.wait}
		case errors.As(last, &final):
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}, backoff.WithBackOff(b), backoff.WithMaxTries(uint(q.Retries)+1), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(_ error, wait time.Duration) {
		q.log.Warn("a notification was not taken yet", "event", string(e.Event), "error", last, "again_in", wait.Round(time.Millisecond))
	}))
	if err == nil {
		return nil
	}
	return last
}
