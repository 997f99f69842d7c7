// Package maintenance is one pass over partition sets, from observation to
// report, and the schedule by which passes come.
package maintenance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// Maintainer runs passes. It keeps no state between them: whatever a pass needs
// to know it reads from the catalog and from the archives. It must not be copied.
type Maintainer struct {
	// Database is what the database is called where there are several, otherwise empty.
	Database string
	// Connect opens a new connection.
	Connect func(ctx context.Context) (*pgx.Conn, error)
	Log     *slog.Logger
	// Parallel is how many sets are worked on side by side; at least one is.
	Parallel int
	// Archiving says how partitions are archived.
	Archiving Archiving
	// Watchers are told what passes do, one after the other.
	Watchers []Watcher
	// History says what is written down in the database.
	History History
	// Clock is this machine's clock, which is held against the server's; nil is
	// [time.Now]. It is for tests whose server lives in another year.
	Clock func() time.Time

	// stores are those of the archives by their URL.
	stores sync.Map
}

// ErrConnect says that no connection was to be had.
var ErrConnect = errors.New("could not connect to PostgreSQL")

// maxRounds is how often a pass looks at a set: what one round does can make
// something else due, as when a partition is adopted and then retired.
const maxRounds = 4

// Planned is what was seen of a set, and what a pass would do.
type Planned struct {
	// Database is that of the maintainer.
	Database string
	Set      partition.Set
	Snapshot partition.Snapshot
	Plan     partition.Plan
	// Err is why this one set could not be observed; there is no plan then.
	Err error
}

func (m *Maintainer) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := m.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConnect, err)
	}
	return conn, nil
}

// Plan observes the sets and plans for them. It changes nothing, takes no lock
// that anybody could notice, and needs no privilege but to read.
func (m *Maintainer) Plan(ctx context.Context, sets []partition.Set) ([]Planned, error) {
	conn, beside, err := m.observers(ctx, len(sets))
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if beside != nil {
		defer beside.Close(context.WithoutCancel(ctx))
	}
	planned, err := m.plan(ctx, conn, beside, sets)
	if err == nil {
		return planned, nil
	}
	if ctx.Err() == nil {
		if pooled := m.pooled(ctx); errors.Is(pooled, postgres.ErrPooled) {
			return nil, pooled
		}
	}
	return nil, orLost(ctx, conn, err)
}

// manySets are so many that a second connection, which costs some milliseconds,
// wins more than that.
const manySets = 16

// observers opens the connection that looks at so many sets. Of many, a second one
// looks at a part, if it is to be had.
func (m *Maintainer) observers(ctx context.Context, sets int) (conn, beside *pgx.Conn, err error) {
	var group errgroup.Group
	group.Go(func() (err error) { conn, err = m.connect(ctx); return err })
	if sets >= manySets && m.Parallel > 1 {
		group.Go(func() error {
			beside, _ = m.Connect(ctx) // Without it the first one does all.
			return nil
		})
	}
	if err = group.Wait(); err != nil && beside != nil {
		_ = beside.Close(context.WithoutCancel(ctx)) // The first error counts.
	}
	return conn, beside, err
}

func (m *Maintainer) plan(ctx context.Context, conn, beside *pgx.Conn, sets []partition.Set) ([]Planned, error) {
	snaps, err := postgres.ObserveBeside(ctx, conn, beside, sets)
	failed := make(postgres.SetErrors, len(sets))
	if err != nil && !errors.As(err, &failed) {
		return nil, fmt.Errorf("observe: %w", err)
	}
	var ahead time.Duration
	if m.Clock != nil {
		ahead = time.Until(m.Clock())
	}
	planned := make([]Planned, len(sets))
	// Planning only computes: there is nothing to win by more at a time than processors.
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range sets {
		snaps[i].Server.Skew -= ahead
		planned[i] = Planned{Database: m.Database, Set: s, Snapshot: snaps[i], Err: failed[i]}
		if failed[i] == nil {
			group.Go(func() error {
				planned[i].Plan = partition.Make(s, planned[i].Snapshot)
				return nil
			})
		}
	}
	return planned, group.Wait()
}

// Pass makes one pass over the sets. When stop is closed it ends at the next
// point between two transactions; when ctx ends it breaks off at once, which
// loses nothing either. The error is only for what kept the whole pass from
// happening; what befell single sets is in the report.
func (m *Maintainer) Pass(ctx context.Context, stop <-chan struct{}, sets []partition.Set) (report Report, err error) {
	report = Report{Began: time.Now()}
	defer func() { m.passEnded(&report, err) }()
	lock, err := m.lock(ctx, sets)
	if err != nil {
		return report, err
	}
	defer func() {
		if err := lock.ReleaseNoting(context.WithoutCancel(ctx), m.History.note(report)); err != nil {
			m.Log.Warn("the end of the pass could not be written down, or its lock did not end well", "error", err)
		}
	}()
	report.Sets = make([]SetReport, len(sets))
	var ours []partition.Set
	var slots []*SetReport
	for i, s := range sets {
		report.Sets[i] = m.newReport(s)
		if !lock.Held(i) {
			report.Sets[i].Status, report.Sets[i].Error = Skipped, "another instance is at work on it"
			m.Log.Info("skipped: another instance holds the lock", "set", s.Parent.String())
			continue
		}
		ours, slots = append(ours, s), append(slots, &report.Sets[i])
	}
	planned, err := m.Plan(ctx, ours)
	if err != nil {
		return report, err
	}
	m.passBegan(planned)
	var group errgroup.Group
	group.SetLimit(max(1, m.Parallel))
	for i, p := range planned {
		group.Go(func() error {
			m.passSet(ctx, stop, lock, p, slots[i])
			return nil
		})
	}
	_ = group.Wait() // The workers report into their slots.
	return report, nil
}

// passSet works through one set's plan, looks again, and goes on until there is
// nothing left that it has not tried.
func (m *Maintainer) passSet(ctx context.Context, stop <-chan struct{}, lock *postgres.PassLock, p Planned, r *SetReport) {
	defer func() {
		r.settle()
		m.setEnded(p, *r)
	}()
	log := m.Log.With("set", r.Set)
	if p.Err != nil {
		r.Error = p.Err.Error()
		log.Error("the set could not be observed", "error", p.Err)
		return
	}
	r.describe(p.Plan)
	if len(p.Plan.Actions) == 0 {
		logProblems(log, p.Plan)
		return
	}
	err := m.rounds(ctx, stop, lock, &p, r, log)
	switch {
	case errors.Is(err, postgres.ErrStopped):
		r.Status = Stopped
		log.Warn("stopped before the set was finished")
	case err != nil:
		r.Error = err.Error()
		r.lost = r.lost || ctx.Err() == nil && (errors.Is(err, ErrConnect) || errors.Is(err, postgres.ErrLockLost))
		log.Error("the set could not be finished", "error", err)
	}
}

// rounds applies plans until one holds nothing that was not tried before. What was
// seen last is in p.
func (m *Maintainer) rounds(ctx context.Context, stop <-chan struct{}, lock *postgres.PassLock, p *Planned, r *SetReport, log *slog.Logger) error {
	session, err := m.session(ctx, stop, lock)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close(context.WithoutCancel(ctx)) }()
	tried := map[string]bool{}
	for range maxRounds {
		fresh, routed := false, true
		for _, a := range p.Plan.Actions {
			if tried[a.Identity()] {
				continue
			}
			tried[a.Identity()], fresh = true, true
			if a.Destructive() && !routed {
				r.skip(a, "the routing function could not be renewed, and may still name this table")
				continue
			}
			var out postgres.Outcome
			err := m.removing(ctx, p.Set, a)
			if err == nil {
				out, err = session.Apply(ctx, p.Set, p.Snapshot, a)
			}
			if errors.Is(err, postgres.ErrStopped) {
				return err
			}
			action := reportAction(a, out, err)
			r.Actions = append(r.Actions, action)
			m.acted(p.Set, a, action)
			logAction(log, a, out, err)
			// Nothing is removed any more, and the rest does no harm.
			r.lost = r.lost || errors.Is(err, postgres.ErrLockLost)
			routed = routed && (a.Kind != partition.RouteRows || err == nil)
			if session.Conn().IsClosed() {
				// An export that fails takes its connection with it; the other
				// actions are none the worse for that, unless the server went too.
				next, err := m.session(ctx, stop, lock)
				if err != nil {
					return err
				}
				session = next
				if err := session.StillAlone(ctx, p.Set); err != nil {
					return err
				}
			}
		}
		if !fresh {
			break
		}
		again, err := m.plan(ctx, session.Conn(), nil, []partition.Set{p.Set})
		if err != nil {
			return orLost(ctx, session.Conn(), err)
		}
		if *p = again[0]; p.Err != nil {
			return p.Err
		}
		r.describe(p.Plan)
	}
	logProblems(log, p.Plan)
	return nil
}

// session opens a connection and prepares it for applying actions.
func (m *Maintainer) session(ctx context.Context, stop <-chan struct{}, lock *postgres.PassLock) (*postgres.Session, error) {
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	session, err := postgres.NewSession(ctx, conn, lock, m.export, stop)
	if err != nil {
		return nil, errors.Join(orLost(ctx, conn, err), conn.Close(context.WithoutCancel(ctx)))
	}
	session.Agent = m.History.Agent
	return session, nil
}
