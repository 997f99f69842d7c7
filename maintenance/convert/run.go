package convert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// maxRounds is how often things may change between a plan and its swap: a set in which
// a partition comes or goes each time is left as it is.
const maxRounds = 10

// ErrStops says that something has to be changed by a person first.
var ErrStops = errors.New("something has to be changed first; nothing was converted")

// ErrBusy says that another instance is at work on the set.
var ErrBusy = errors.New("another instance is at work on it")

// Planner makes a plan from what the catalog shows now.
type Planner func(ctx context.Context, conn *pgx.Conn) (Plan, error)

// Result is what a conversion came to.
type Result struct {
	Plan Plan
	// Tasks is how many were done before the swap.
	Tasks int
	// Swapped tells whether the swap was made, with Held and Retries of it.
	Swapped bool
	Held    time.Duration
	Retries int
}

// Run makes a plan and carries it out: its tasks, then another plan, until there is
// nothing left but the swap. The connections are made by connect; other instances are
// kept off the set by the lock that a pass takes. When stop is closed it ends between
// two transactions with [postgres.ErrStopped].
func Run(ctx context.Context, stop <-chan struct{}, connect Connect, set partition.Set, plan Planner, log *slog.Logger) (r Result, err error) {
	err = alone(ctx, stop, connect, set, func(session *postgres.Session) error {
		r, err = run(ctx, session, set, plan, log)
		return err
	})
	return r, err
}

// Connect opens a new connection.
type Connect func(context.Context) (*pgx.Conn, error)

// alone gives a session to work with, while the lock keeps others off the set.
func alone(ctx context.Context, stop <-chan struct{}, connect Connect, set partition.Set, work func(*postgres.Session) error) (err error) {
	locking, err := connect(ctx)
	if err != nil {
		return err
	}
	lock, err := postgres.AcquirePassLock(ctx, locking, []partition.Set{set})
	if err != nil {
		return errors.Join(err, locking.Close(context.WithoutCancel(ctx)))
	}
	defer func() { err = errors.Join(err, lock.Release(context.WithoutCancel(ctx))) }()
	if !lock.Held(0) {
		return ErrBusy
	}
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	session, err := postgres.NewSession(ctx, conn, lock, nil, stop)
	if err != nil {
		return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	defer func() { _ = session.Close(context.WithoutCancel(ctx)) }()
	return work(session)
}

func run(ctx context.Context, session *postgres.Session, set partition.Set, plan Planner, log *slog.Logger) (r Result, err error) {
	for range maxRounds {
		if r.Plan, err = plan(ctx, session.Conn()); err != nil {
			return r, err
		}
		p := r.Plan
		if p.Done != "" {
			return r, nil
		}
		if len(p.Stops) > 0 {
			return r, ErrStops
		}
		if len(p.Tasks) > 0 {
			// Each with its own transactions; then the catalog says what is left.
			for _, t := range p.Tasks {
				if err := carryOut(ctx, session, p, t, log); err != nil {
					return r, err
				}
				r.Tasks++
			}
			continue
		}
		if len(p.Swap.Lock) == 0 {
			return r, nil
		}
		if err := session.StillAlone(ctx, p.Set); err != nil {
			return r, err
		}
		out, err := session.Swap(ctx, p.Set, p.Snapshot, p.Swap)
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) && pgErr.Code == postgres.SwapChanged {
			log.Info("planned anew", "set", p.Set.Parent.String(), "because", pgErr.Message)
			continue
		}
		r.Held, r.Retries = out.Held, out.Retries
		if err != nil {
			tellBlockers(out.Blockers, log)
			return r, err
		}
		r.Swapped = true
		told(log, p, out.Outcome)
		log.Info("swapped", "set", p.Set.Parent.String(), "held", out.Held.Round(time.Millisecond), "retries", out.Retries)
		if err := follow(ctx, session, p); err != nil {
			return r, fmt.Errorf("the swap is made, but not what follows it, which a pass does: %w", err)
		}
		return r, nil
	}
	return r, fmt.Errorf("%s changed %d times between a plan and its swap: try again when it is quieter", set.Parent, maxRounds)
}

// told warns of what is not in the history.
func told(log *slog.Logger, p Plan, out postgres.Outcome) {
	if out.Unrecorded {
		log.Warn("not written into the history: there is none, and the role may not make it", "set", p.Set.Parent.String())
	}
}

// follow does what comes after a swap.
func follow(ctx context.Context, session *postgres.Session, p Plan) error {
	if p.reroute {
		snaps, err := postgres.Observe(ctx, session.Conn(), []partition.Set{p.Set})
		if err != nil {
			return fmt.Errorf("observe: %w", err)
		}
		for _, a := range partition.Make(p.Set, snaps[0]).Actions {
			switch a.Kind {
			case partition.Create, partition.RouteRows, partition.Sweep:
				if _, err := session.Apply(ctx, p.Set, snaps[0], a); err != nil {
					return fmt.Errorf("%s: %w", a, err)
				}
			}
		}
	}
	_, err := session.Run(ctx, p.Set, p.Snapshot, p.After...)
	return err
}

func carryOut(ctx context.Context, session *postgres.Session, p Plan, t Task, log *slog.Logger) error {
	var out postgres.Outcome
	var err error
	if t.Action != nil {
		out, err = session.Apply(ctx, p.Set, p.Snapshot, *t.Action)
	} else {
		out, err = session.Run(ctx, p.Set, p.Snapshot, t.Steps...)
	}
	if err != nil {
		tellBlockers(out.Blockers, log)
		return fmt.Errorf("%s: %w", t.Title, err)
	}
	told(log, p, out)
	log.Info("prepared", "what", t.Title, "took", out.Took.Round(time.Millisecond), "retries", out.Retries)
	return nil
}

// tellBlockers says who was in the way of what has failed.
func tellBlockers(blockers []postgres.Blocker, log *slog.Logger) {
	for _, b := range blockers {
		log.Warn("in the way", "blocker", b.String())
	}
}
