package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Session applies actions on one connection, under settings of its own.
type Session struct {
	conn *pgx.Conn
	lock *PassLock
	// export is used for Then == Archive.
	export Export
	// stop asks for an end at the next point between two transactions.
	stop <-chan struct{}
	// Agent is who acts, for the history.
	Agent Agent
	// recorded tells that there is a history, as far as the session has looked.
	recorded bool
	// made are the bounds of partitions that it has attached beside a default one.
	made []partition.Bounds
	// crowded says that the last wait for a lock was in vain.
	crowded bool
	// citus tells that the server has Citus loaded, and so may pass statements on.
	citus bool
}

// Export writes a partition to a store, reads it back and compares. It answers
// with what is in the store and a check for the transaction that drops the
// table, which runs it under a lock that keeps writers out.
type Export func(ctx context.Context, conn *pgx.Conn, set partition.Set, snap partition.Snapshot, a partition.Action) (Archived, error)

// Archived is a partition that is safely elsewhere, as it was when it was read.
type Archived struct {
	// Location is where, for people and logs.
	Location string
	// URLs are those of the manifests.
	URLs []string
	Rows int64
	// Bytes is the size in the store.
	Bytes int64
	// StillEqual fails if the table no longer holds what was archived, with
	// [ErrRowsChanged] if only its rows are others.
	StillEqual func(ctx context.Context, tx pgx.Tx) error
}

// NewSession prepares a connection for applying actions. The settings hold for
// all that runs on it; see [Session.Settings].
func NewSession(ctx context.Context, conn *pgx.Conn, lock *PassLock, export Export, stop <-chan struct{}) (*Session, error) {
	s := &Session{conn: conn, lock: lock, export: export, stop: stop}
	// An empty search path makes every name mean one thing. Row security off
	// turns a policy that would hide rows from an archive into an error.
	results, err := conn.PgConn().Exec(ctx, `SET search_path = pg_catalog; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD';
		SET IntervalStyle = 'postgres'; SET row_security = off; SET client_min_messages = warning; `+noticeDeath(false)+`;
		SELECT pg_catalog.current_setting('citus.propagate_set_commands', true) IS NOT NULL`).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("prepare the session: %w", err)
	}
	s.citus = string(results[len(results)-1].Rows[0][0]) == "t"
	return s, nil
}

// StillAlone fails with [ErrLockLost] if the pass lock is not held on the server
// that the session is connected to.
func (s *Session) StillAlone(ctx context.Context, set partition.Set) error {
	return s.lock.stillHeld(ctx, s.conn, set)
}

// Conn returns the session's connection, for looking again between actions.
func (s *Session) Conn() *pgx.Conn { return s.conn }

// Close closes the connection.
func (s *Session) Close(ctx context.Context) error { return s.conn.Close(ctx) }

// ErrStopped says that the session was asked to stop and did so between two
// transactions.
var ErrStopped = errors.New("stopped before it was done")

func (s *Session) stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// settings returns the timeouts that a step runs under.
func settings(l partition.Limits, waits bool) [][2]string {
	lock := l.LockTimeout
	if waits {
		lock = l.ConcurrentTimeout
	}
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + "ms" }
	return [][2]string{{"lock_timeout", ms(lock)}, {"statement_timeout", ms(l.StatementTimeout)}, {"idle_in_transaction_session_timeout", "60s"}}
}

// runStep runs one step, again after a lock timeout or a deadlock.
func (s *Session) runStep(ctx context.Context, set partition.Set, snap partition.Snapshot, step Step, out *Outcome) error {
	if s.stopped() {
		return ErrStopped
	}
	out.waits = waitsOf(snap, out.action, step.Waits)
	return s.retry(ctx, set, out, func() error {
		if step.Alone {
			return s.runAlone(ctx, set, step)
		}
		return s.inTx(ctx, set, step.Role, func(tx pgx.Tx) error {
			if step.SetLock {
				// A wait here is a wait for a session that makes a partition; it is
				// first in the transaction, so nobody waits for us meanwhile.
				if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1, $2)", setLockClass, int32(snap.Parent.OID)); err != nil {
					return fmt.Errorf("take the set's creation lock: %w", err)
				}
			}
			if err := s.runStatements(ctx, tx, step, out); err != nil {
				return err
			}
			return s.noteChange(ctx, tx, step.Role, step.Event, out)
		})
	})
}

// limit puts the session itself under the set's limits, for what runs outside of inTx.
func (s *Session) limit(ctx context.Context, set partition.Set, waits bool) error {
	for _, g := range settings(set.Limits, waits) {
		if _, err := s.conn.Exec(ctx, "SELECT set_config($1, $2, false)", g[0], g[1]); err != nil {
			return fmt.Errorf("set %s: %w", g[0], err)
		}
	}
	return nil
}

// runAlone runs a statement that may not be in a transaction block.
func (s *Session) runAlone(ctx context.Context, set partition.Set, step Step) (err error) {
	if err := s.limit(ctx, set, step.Waits); err != nil {
		return err
	}
	if step.Role != "" {
		if _, err := s.conn.Exec(ctx, "SET ROLE "+quoteIdent(step.Role)); err != nil {
			return fmt.Errorf("act as the owner: %w", err)
		}
		defer func() {
			if _, resetErr := s.conn.Exec(context.WithoutCancel(ctx), "RESET ROLE"); resetErr != nil && err == nil {
				err = fmt.Errorf("act as oneself again: %w", resetErr)
			}
		}()
	}
	if _, err := s.conn.Exec(ctx, step.Statements[0].SQL); err != nil {
		return fmt.Errorf("run %s: %w", brief(step.Statements[0].SQL), err)
	}
	return nil
}

// InTx runs f in a transaction under the set's limits, as the parent's owner, and again
// after a lock timeout or a deadlock.
func (s *Session) InTx(ctx context.Context, set partition.Set, snap partition.Snapshot, f func(pgx.Tx) error) (Outcome, error) {
	var out Outcome
	if s.stopped() {
		return out, ErrStopped
	}
	began := time.Now()
	err := s.retry(ctx, set, &out, func() error { return s.inTx(ctx, set, actAs(snap), f) })
	out.Took = time.Since(began)
	return out, err
}

// inTx runs f in a transaction under the set's limits, as the given role.
func (s *Session) inTx(ctx context.Context, set partition.Set, role string, f func(pgx.Tx) error) error {
	// Each statement has to see what was committed before its locks were granted.
	return pgx.BeginTxFunc(ctx, s.conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		for _, g := range settings(set.Limits, false) {
			if _, err := tx.Exec(ctx, "SELECT set_config($1, $2, true)", g[0], g[1]); err != nil {
				return fmt.Errorf("set %s: %w", g[0], err)
			}
		}
		if err := s.spreadLockTimeout(ctx, tx); err != nil {
			return err
		}
		if role != "" {
			if _, err := tx.Exec(ctx, "SET LOCAL ROLE "+quoteIdent(role)); err != nil {
				return fmt.Errorf("act as the owner: %w", err)
			}
		}
		return f(tx)
	})
}

// spreadLockTimeout gives the transactions that Citus begins on other servers the lock
// timeout of this one: there the server's own counts otherwise, which is to wait for
// ever, with all locks that are held here (Citus documentation, Configuration Reference,
// citus.propagate_set_commands: what SET LOCAL sets goes along).
func (s *Session) spreadLockTimeout(ctx context.Context, tx pgx.Tx) error {
	if !s.citus {
		return nil
	}
	var timeout string
	if err := tx.QueryRow(ctx, "SELECT pg_catalog.current_setting('lock_timeout')").Scan(&timeout); err != nil {
		return fmt.Errorf("read lock_timeout: %w", err)
	}
	// Not the role, which is set later: there the connection is that role's.
	return execAll(ctx, tx, "SET LOCAL citus.propagate_set_commands = 'local'", "SET LOCAL lock_timeout = "+quoteLiteral(timeout),
		"SET LOCAL citus.propagate_set_commands = 'none'")
}

// waitShortly bounds the transaction's waits by [shortWait].
func (s *Session) waitShortly(ctx context.Context, tx pgx.Tx) error {
	if err := execAll(ctx, tx, shortWait); err != nil {
		return err
	}
	return s.spreadLockTimeout(ctx, tx)
}

// asSession runs f as the session's own role, in a transaction that acts as another
// one unless that is empty.
func asSession(ctx context.Context, tx pgx.Tx, role string, f func() error) error {
	if role == "" {
		return f()
	}
	if _, err := tx.Exec(ctx, "SET LOCAL ROLE NONE"); err != nil {
		return fmt.Errorf("act as oneself: %w", err)
	}
	if err := f(); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SET LOCAL ROLE "+quoteIdent(role)); err != nil {
		return fmt.Errorf("act as the owner again: %w", err)
	}
	return nil
}

func (s *Session) runStatements(ctx context.Context, tx pgx.Tx, step Step, out *Outcome) error {
	out.notes = nil // Of an earlier try, which was rolled back.
	for _, st := range step.Statements {
		run := func(tx pgx.Tx) error {
			exec := func() error {
				tag, err := tx.Exec(ctx, st.SQL)
				if err != nil {
					return fmt.Errorf("run %s: %w", brief(st.SQL), err)
				}
				out.lastTag = tag
				return nil
			}
			if st.AsSession {
				return asSession(ctx, tx, step.Role, exec)
			}
			return exec()
		}
		if !st.Optional {
			if err := run(tx); err != nil {
				return err
			}
			continue
		}
		// pgx makes the nested transaction a savepoint.
		if err := pgx.BeginFunc(ctx, tx, run); err != nil {
			if retryable(err) {
				return err
			}
			out.notes = append(out.notes, err)
		}
	}
	return nil
}

// citusLockFailed is what Citus says when LOCK TABLE fails on another node, which it
// does under the lock timeout: why it failed is in a warning.
const citusLockFailed = "failure on connection marked as essential"
