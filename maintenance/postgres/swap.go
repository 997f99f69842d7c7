package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Swap puts one table in the place of another, in one transaction. It is the one
// thing that takes ACCESS EXCLUSIVE on a parent.
type Swap struct {
	// Build makes what nobody else sees yet, and waits for nobody.
	Build []Statement
	// Lock takes every lock that somebody may hold. All of it together waits for the
	// set's lock timeout at most, and for less than deadlock_timeout.
	Lock []Statement
	// Change does the rest under those locks.
	Change []Statement
	// Bound is how long Change may take: then the server ends it, and all is as before.
	Bound time.Duration
	// Event goes into the history with it; it is written before the locks are asked for.
	Event *Event
}

// SwapOutcome is what a swap came to.
type SwapOutcome struct {
	Outcome
	// Held is how long others could have waited, at most: from the first lock that was
	// asked for to the end of the transaction, of the try that succeeded.
	Held time.Duration
}

// SwapChanged is the SQLSTATE by which a check in [Swap].Change says that things are
// no longer as the plan saw them. Nothing has happened then, and one may plan again.
const SwapChanged = "PD001"

// ErrSwapBound says that a swap took longer than it may, and was undone.
var ErrSwapBound = errors.New("the swap did not end within its bound and was undone")

// Swap carries a swap out, again after a lock that was not to be had. Locks and
// changes are one statement each, which the server bounds by itself, whatever
// becomes of this program or of the network (PostgreSQL documentation, 20.11.1
// Statement Behavior, statement_timeout).
func (s *Session) Swap(ctx context.Context, set partition.Set, snap partition.Snapshot, w Swap) (SwapOutcome, error) {
	var out SwapOutcome
	out.waits.lock(snap.Parent.OID, "AccessExclusiveLock")
	for _, p := range snap.Partitions {
		out.waits.lock(p.OID, "AccessExclusiveLock")
	}
	if s.stopped() {
		return out, ErrStopped
	}
	role := actAs(snap)
	if w.Event != nil {
		if err := s.ensureHistory(ctx, set, snap, &out.Outcome); err != nil {
			return out, err
		}
	}
	began := time.Now()
	err := s.retry(ctx, set, &out.Outcome, func() error {
		err := s.inTx(ctx, set, role, func(tx pgx.Tx) error {
			exec := func(what, sql string) error {
				_, err := tx.Exec(ctx, sql)
				if err != nil {
					return fmt.Errorf("%s: %w", what, withStatement(err))
				}
				return nil
			}
			if err := s.noteChange(ctx, tx, role, w.Event, &out.Outcome); err != nil {
				return err
			}
			if len(w.Build) > 0 {
				if err := exec("build the new table", block(w.Build, role)); err != nil {
					return err
				}
			}
			if err := exec("bound the wait for locks", shortWait); err != nil {
				return err
			}
			if err := exec("bound the wait for locks", "SELECT set_config('statement_timeout', current_setting('lock_timeout'), true)"); err != nil {
				return err
			}
			// Set while nobody waits yet; the other bound comes with the locks themselves, so
			// that they are held for one round trip only before the changes begin.
			idle := fmt.Sprintf("%dms", max(w.Bound, time.Second).Milliseconds())
			if _, err := tx.Exec(ctx, "SELECT set_config('idle_in_transaction_session_timeout', $1, true)", idle); err != nil {
				return fmt.Errorf("set idle_in_transaction_session_timeout: %w", err)
			}
			locks := append(slices.Clone(w.Lock), Statement{SQL: fmt.Sprintf("SELECT pg_catalog.set_config('statement_timeout', '%dms', true)", w.Bound.Milliseconds())})
			held := time.Now()
			defer func() { out.Held = time.Since(held) }()
			if err := exec("take the locks", block(locks, role)); err != nil {
				if isCanceled(err) && ctx.Err() == nil {
					return fmt.Errorf("%w: %w", errNotInTime, err)
				}
				return err
			}
			err := exec("swap", block(w.Change, role))
			if err != nil && isCanceled(err) && ctx.Err() == nil {
				return fmt.Errorf("%w of %s: %w", ErrSwapBound, w.Bound, err)
			}
			return err
		})
		if errors.Is(err, errNotInTime) {
			return errors.Join(errBusy, err)
		}
		return err
	})
	out.Took = time.Since(began)
	return out, err
}

// Run carries out steps as a pass does those of an action.
func (s *Session) Run(ctx context.Context, set partition.Set, snap partition.Snapshot, steps ...Step) (Outcome, error) {
	var out Outcome
	began := time.Now()
	for _, step := range steps {
		if step.Event != nil {
			if err := s.ensureHistory(ctx, set, snap, &out); err != nil {
				return out, err
			}
		}
		if err := s.runStep(ctx, set, snap, step, &out); err != nil {
			out.Took = time.Since(began)
			return out, err
		}
	}
	out.Took = time.Since(began)
	return out, errors.Join(out.notes...)
}

// errNotInTime says that the locks of a swap were not to be had in time.
var errNotInTime = errors.New("the locks were not to be had in time")

func isCanceled(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "57014"
}

// withStatement adds the statement inside a block that an error comes from.
func withStatement(err error) error {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		if _, rest, ok := strings.Cut(pgErr.Where, `SQL statement "`); ok {
			return fmt.Errorf("%w (in %s)", err, brief(strings.TrimSuffix(rest, `"`)))
		}
	}
	return err
}

// block makes one statement of many. Its own role may be another than the session's.
func block(statements []Statement, role string) string {
	var b strings.Builder
	run := func(sql string) { fmt.Fprintf(&b, "EXECUTE %s;\n", quoteLiteral(sql)) }
	b.WriteString("BEGIN\n")
	for _, st := range statements {
		if st.AsSession && role != "" {
			run("SET LOCAL ROLE NONE")
			run(st.SQL)
			run("SET LOCAL ROLE " + quoteIdent(role))
			continue
		}
		run(st.SQL)
	}
	b.WriteString("END")
	return "DO " + dollarQuote(b.String())
}

// actAs is the role that acts on a set's tables, empty where that is the session's own.
func actAs(snap partition.Snapshot) string {
	if snap.Parent.Owner == snap.Server.Role {
		return ""
	}
	return snap.Parent.Owner
}
