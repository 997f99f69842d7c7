package convert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/time/rate"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// DrainOptions say how a drain goes.
type DrainOptions struct {
	Options
	// BytesPerSecond bounds how much of the partition is read, 0 is no bound.
	BytesPerSecond int64
	// Progress is told how far the copy is; nil is nobody.
	Progress func(Copied)
}

// Copied tells how far a copy is.
type Copied struct {
	// Rows are those that are copied, TotalRows the server's estimate of all.
	Rows, TotalRows int64
	// Bytes are those of the pages that this call has read.
	Bytes int64
}

// drainer carries a drain out.
type drainer struct {
	drain
	o       DrainOptions
	log     *slog.Logger
	session *postgres.Session
	stop    <-chan struct{}
	limiter *rate.Limiter
	copied  Copied
}

// RunDrain cuts the first wide partition of a set into periods. The set's pass lock is held for the
// beginning and the end only, so that passes go on; another drain of the set is kept off all the
// time. When stop is closed it ends between two transactions with [postgres.ErrStopped],
// and the next call goes on.
func RunDrain(ctx context.Context, stop <-chan struct{}, connect Connect, set partition.Set, o DrainOptions, log *slog.Logger) (r Result, err error) {
	err = alone(ctx, stop, connect, ownLock(set), func(session *postgres.Session) error {
		for range maxRounds {
			w := drainer{o: o, log: log, session: session, stop: stop}
			if w.drain, r.Plan, err = planDrain(ctx, session.Conn(), set, o.Options); err != nil || r.Plan.Done != "" {
				return err
			}
			if len(r.Plan.Stops) > 0 {
				return ErrStops
			}
			if len(r.Plan.Tasks) > 0 {
				// Others must not see, nor remove, half of it.
				err := w.whenFree(ctx, connect, func(s *postgres.Session) error {
					for _, t := range r.Plan.Tasks {
						if err := carryOut(ctx, s, r.Plan, t, log); err != nil {
							return err
						}
						r.Tasks++
					}
					return nil
				})
				if err != nil {
					return err
				}
				continue
			}
			err := w.work(ctx)
			if err == nil {
				err = w.whenFree(ctx, connect, func(s *postgres.Session) error { return w.end(ctx, s, &r) })
			}
			if errors.Is(err, errAnew) {
				log.Info("planned anew", "set", set.Parent.String(), "because", err.Error())
				continue
			}
			return err
		}
		return fmt.Errorf("%s changed %d times while its rows were copied: try again when it is quieter", set.Parent, maxRounds)
	})
	return r, err
}

// AbandonDrain removes all that a drain of the set has made and not come to its end with.
func AbandonDrain(ctx context.Context, stop <-chan struct{}, connect Connect, set partition.Set, log *slog.Logger) (err error) {
	return alone(ctx, stop, connect, ownLock(set), func(session *postgres.Session) error {
		snaps, err := postgres.Observe(ctx, session.Conn(), []partition.Set{set})
		if err != nil {
			return fmt.Errorf("observe: %w", err)
		}
		if snaps[0].Parent == nil {
			return fmt.Errorf("there is no table %s", set.Parent)
		}
		d := drain{set: set, snap: snaps[0]}
		return carryOut(ctx, session, Plan{Set: set, Snapshot: snaps[0]}, Task{Title: "remove what a drain has made", Steps: []postgres.Step{d.tidyStep()}}, log)
	})
}

// errAnew says that things are no longer as the plan saw them.
var errAnew = errors.New("the set has changed")

// whenFree works while passes are kept off the set, after those that are at work.
func (w *drainer) whenFree(ctx context.Context, connect Connect, work func(*postgres.Session) error) error {
	pause := w.set.Limits.RetryWait
	for try := 0; ; try++ {
		err := alone(ctx, w.stop, connect, w.set, work)
		if !errors.Is(err, ErrBusy) || try >= w.set.Limits.Retries {
			return err
		}
		if err := w.pause(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, w.set.Limits.MaxRetryWait)
	}
}

func (w *drainer) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stop:
		return postgres.ErrStopped
	case <-time.After(d):
		return nil
	}
}

// end makes the swap.
func (w *drainer) end(ctx context.Context, s *postgres.Session, r *Result) error {
	if err := s.StillAlone(ctx, w.set); err != nil {
		return err
	}
	var out postgres.SwapOutcome
	var err error
	for range maxCatchUps {
		out, err = s.Swap(ctx, w.set, w.snap, r.Plan.Swap)
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != changesLeft {
			if pgErr != nil && pgErr.Code == postgres.SwapChanged {
				return fmt.Errorf("%w: %s", errAnew, pgErr.Message)
			}
			break
		}
		if err := w.settle(ctx); err != nil {
			return err
		}
	}
	r.Held, r.Retries = out.Held, out.Retries
	if err != nil {
		for _, b := range out.Blockers {
			w.log.Warn("in the way", "blocker", b.String())
		}
		return err
	}
	r.Swapped = true
	told(w.log, r.Plan, out.Outcome)
	w.log.Info("swapped", "set", w.set.Parent.String(), "held", out.Held.Round(time.Millisecond), "retries", out.Retries)
	if _, err := s.Run(ctx, w.set, w.snap, r.Plan.After...); err != nil {
		return fmt.Errorf("the swap is made, but not what follows it, which a pass does: %w", err)
	}
	return nil
}
