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
// that one who does not answer keeps nobody else waiting. It outlives a new
// configuration of its subscriber, so that nothing overtakes what waits already.
// What is not the channel is under the notifier's lock.
type queue struct {
	Subscriber
	log     *slog.Logger
	waiting chan message
	dropped int
}

// message is an event, and the subscriber as it was when that was queued.
type message struct {
	Event
	to  Subscriber
	log *slog.Logger
}

// offer queues an event, or drops it where too many wait already. It never waits.
func (q *queue) offer(e Event) {
	select {
	case q.waiting <- message{e, q.Subscriber, q.log}:
	default:
		q.dropped++
		q.log.Error("a notification was dropped: too many wait to be sent", "event", string(e.Event), "text", oneLine(e.Text, 200), "dropped", q.dropped)
	}
}

// work sends what is queued until the queue is closed and empty.
func (q *queue) work(ctx context.Context, firstWait time.Duration) {
	for m := range q.waiting {
		if err := m.send(ctx, firstWait); err != nil {
			m.log.Error("a notification was lost", "event", string(m.Event.Event), "text", oneLine(m.Text, 200), "error", err)
			continue
		}
		m.log.Debug("told", "event", string(m.Event.Event))
	}
}

// send makes as many attempts as the subscriber is worth.
func (m message) send(ctx context.Context, firstWait time.Duration) error {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = firstWait, time.Minute
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		bounded, cancel := context.WithTimeout(ctx, m.to.Timeout)
		defer cancel()
		last = m.to.deliver(bounded, m.Event)
		if errors.Is(last, context.DeadlineExceeded) {
			last = fmt.Errorf("no answer within %s", m.to.Timeout)
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
	}, backoff.WithBackOff(b), backoff.WithMaxTries(uint(m.to.Retries)+1), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(_ error, wait time.Duration) {
		m.log.Warn("a notification was not taken yet", "event", string(m.Event.Event), "error", last, "again_in", wait.Round(time.Millisecond))
	}))
	if err == nil {
		return nil
	}
	return last
}
