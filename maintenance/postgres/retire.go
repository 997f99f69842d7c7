package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// maxUpgradeWait bounds the waits of a removal. It is below PostgreSQL's default
// deadlock_timeout of one second on purpose: should a removal and somebody
// else's transaction ever wait for each other, the removal gives up before the
// server looks for a victim, so the victim is never them (PostgreSQL
// documentation, 20.12 Lock Management).
const maxUpgradeWait = 900 * time.Millisecond

// ErrChangedMeanwhile says that a partition is no longer what the plan saw, so
// nothing was removed.
var ErrChangedMeanwhile = errors.New("it changed since the plan was made")

// ErrRowsChanged says that rows came or went between the export and the lock.
var ErrRowsChanged = errors.New("its rows changed after they were archived")

// maxExports is how often a partition is archived anew because its rows go on
// changing: one that is never still is not old, whatever its bounds say.
const maxExports = 3

// retire removes one partition. Everything that makes it safe is looked at
// again in the transaction that removes, under the lock that keeps it true.
func (s *Session) retire(ctx context.Context, set partition.Set, snap partition.Snapshot, a partition.Action, out *Outcome) error {
	for export := 1; ; export++ {
		err := s.retireOnce(ctx, set, snap, a, out)
		if err == nil || export == maxExports || !errors.Is(err, ErrRowsChanged) {
			return err
		}
	}
}

func (s *Session) retireOnce(ctx context.Context, set partition.Set, snap partition.Snapshot, a partition.Action, out *Outcome) error {
	if s.stopped() {
		return ErrStopped
	}
	var archived Archived
	if a.Then == partition.Archive {
		var err error
		if archived, err = s.export(ctx, s.conn, set, snap, a); err != nil {
			return fmt.Errorf("archive: %w", err)
		}
		out.Archive, out.Rows, out.Bytes = archived.Location, archived.Rows, archived.Bytes
		if s.stopped() {
			return ErrStopped
		}
	}
	step := Render(set, snap, a)[0]
	limited := set
	limited.Limits.LockTimeout = min(set.Limits.LockTimeout, maxUpgradeWait)
	err := s.retry(ctx, set, out, func() error {
		return s.inTx(ctx, limited, step.Role, func(tx pgx.Tx) error {
			return s.retireInTx(ctx, tx, set, snap, a, archived, step, out)
		})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", a.Then, err)
	}
	return nil
}

func (s *Session) retireInTx(ctx context.Context, tx pgx.Tx, set partition.Set, snap partition.Snapshot, a partition.Action, archived Archived, step Step, out *Outcome) error {
	exec := func(sql string) error {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("run %s: %w", brief(sql), err)
		}
		return nil
	}
	locks, removal := step.Statements[:2], step.Statements[2:]
	if err := exec(locks[0].SQL); err != nil {
		return err
	}
	if archived.StillEqual != nil {
		// Counting takes time, so writers of this one table wait and its readers do not.
		if err := exec(fmt.Sprintf("LOCK TABLE ONLY %s IN SHARE MODE", quoteName(a.Table))); err != nil {
			return err
		}
		if err := archived.StillEqual(ctx, tx); err != nil {
			return err
		}
	}
	if err := exec(locks[1].SQL); err != nil {
		return err
	}
	// Only tried: whoever waits for this table may hold it.
	var free bool
	if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1, $2)", setLockClass, int32(snap.Parent.OID)).Scan(&free); err != nil {
		return fmt.Errorf("take the set's creation lock: %w", err)
	}
	if !free {
		return errBusy
	}
	if err := s.recheck(ctx, tx, set, snap, a); err != nil {
		return err
	}
	if a.Then == partition.Detach && set.Retention.Schema != "" {
		name, err := freeName(ctx, tx, partition.Name{Schema: set.Retention.Schema, Local: a.Table.Local}, a.Table.Schema)
		if err != nil {
			return err
		}
		if name.Local != a.Table.Local {
			if err := exec(fmt.Sprintf("ALTER TABLE %s RENAME TO %s", quoteName(a.Table), quoteIdent(name.Local))); err != nil {
				return err
			}
			renamed := a
			renamed.Table.Local = name.Local
			removal = Render(set, snap, renamed)[0].Statements[2:]
		}
		out.Archive = name.String()
	}
	for _, st := range removal {
		if err := exec(st.SQL); err != nil {
			return err
		}
	}
	return nil
}

// recheck looks once more at what the plan relied on: that we are alone, that
// the name still means that table, that it is still the parent's, that its
// validated CHECKs are the same, and that it is old by the server's clock now.
func (s *Session) recheck(ctx context.Context, tx pgx.Tx, set partition.Set, snap partition.Snapshot, a partition.Action) error {
	if err := s.lock.stillHeld(ctx, tx, set); err != nil {
		return err
	}
	var oid uint32
	var child bool
	var checks []string
	var now time.Time
	err := tx.QueryRow(ctx, `SELECT c.oid, EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid AND inhparent = $3),
			ARRAY(SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = c.oid AND contype = 'c' AND convalidated ORDER BY 1),
			clock_timestamp()
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`,
		a.Table.Schema, a.Table.Local, snap.Parent.OID).Scan(&oid, &child, &checks, &now)
	if err != nil {
		return fmt.Errorf("look at %s again: %w", a.Table, err)
	}
	i := slices.IndexFunc(snap.Partitions, func(c partition.Partition) bool { return c.OID == a.OID })
	if i < 0 || oid != a.OID || !child {
		return fmt.Errorf("%s is another table now, or none of the parent's: %w", a.Table, ErrChangedMeanwhile)
	}
	for _, c := range snap.Partitions[i].Checks {
		if c.Validated && !slices.Contains(checks, c.Definition) {
			return fmt.Errorf("%s has lost its CHECK %s: %w", a.Table, c.Name, ErrChangedMeanwhile)
		}
	}
	if cutoff, ok := set.Cutoff(now, snap.Parent.Key); !ok || a.Bounds.To.Inf != 0 || a.Bounds.To.Time.After(cutoff) {
		return fmt.Errorf("%s is not old enough by the server's clock (%s): %w", a.Table, now.UTC().Format(time.RFC3339), ErrChangedMeanwhile)
	}
	if moved := now.Sub(snap.Server.Now); moved < 0 {
		return fmt.Errorf("the server's clock went back by %s: %w", -moved, ErrChangedMeanwhile)
	}
	return nil
}

// freeName returns a name for a table that moves to another schema: its own, or
// that with a number, where the place is taken by an earlier table of the same
// period. The name has to be free in both schemas, since the move takes two steps.
func freeName(ctx context.Context, tx pgx.Tx, want partition.Name, from string) (partition.Name, error) {
	for n := 1; n < 1000; n++ {
		name := want
		if n > 1 {
			suffix := fmt.Sprintf("_%d", n)
			name.Local = want.Local[:min(len(want.Local), partition.MaxNameBytes-len(suffix))] + suffix
		}
		schemas := []string{want.Schema, from}
		if n == 1 {
			schemas = schemas[:1]
		}
		var taken bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
			WHERE s.nspname = ANY ($1) AND c.relname = $2)`, schemas, name.Local).Scan(&taken)
		if err != nil {
			return name, fmt.Errorf("look for a free name in schema %s: %w", want.Schema, err)
		}
		if !taken {
			return name, nil
		}
	}
	return want, fmt.Errorf("no free name like %s", want)
}
