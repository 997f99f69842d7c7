package postgres

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// retryable tells whether an error is one that passes by itself: a lock that
// was not to be had in time, or a deadlock (PostgreSQL documentation, Appendix
// A). Anything else would only fail again.
func retryable(err error) bool {
	var pgErr *pgconn.PgError
	if errors.Is(err, errBusy) || errors.Is(err, errHoldsBusy) || errors.Is(err, errWriting) {
		return true
	}
	return errors.As(err, &pgErr) && (pgErr.Code == "55P03" || pgErr.Code == "40P01" || pgErr.Code == "XX000" && strings.HasPrefix(pgErr.Message, citusLockFailed))
}

// errBusy stands for a lock that was not waited for.
var errBusy = errors.New("a session is making a partition of the set")

// standBack pauses after a wait that was in vain, before something else is tried.
// Whoever queued behind it may be about to lock one partition after another: without
// a pause he would meet us at the next one, and so wait once for each of them.
func (s *Session) standBack(ctx context.Context, set partition.Set, out *Outcome) error {
	if !s.crowded {
		return nil
	}
	s.crowded = false
	out.Waited += set.Limits.RetryWait
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stop:
		return ErrStopped
	case <-time.After(set.Limits.RetryWait):
		return nil
	}
}

// retry runs f until it succeeds, fails for good, or the set's retries are used up.
func (s *Session) retry(ctx context.Context, set partition.Set, out *Outcome, f func() error) error {
	if err := s.standBack(ctx, set, out); err != nil {
		return err
	}
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = set.Limits.RetryWait, set.Limits.MaxRetryWait
	b.Multiplier = 2
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		began := time.Now()
		err := f()
		switch {
		case err == nil:
			s.crowded = false
			return struct{}{}, nil
		case !retryable(err):
			return struct{}{}, backoff.Permanent(err)
		}
		s.crowded = true
		out.Waited += time.Since(began)
		out.Blockers = s.blockers(ctx, out.waits)
		if s.stopped() {
			return struct{}{}, backoff.Permanent(errors.Join(ErrStopped, err))
		}
		return struct{}{}, err
	}, backoff.WithBackOff(b), backoff.WithMaxTries(uint(set.Limits.Retries)+1), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(_ error, wait time.Duration) { out.Retries++; out.Waited += wait }))
	return err
}

// brief returns the first line of a statement, short enough for a message.
func brief(sql string) string {
	const most = 120
	for i, r := range sql {
		if r == '\n' || i > most {
			return sql[:i] + " ..."
		}
	}
	return sql
}
