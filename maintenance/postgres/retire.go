package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// shortWait bounds the waits of a removal below the server's deadlock_timeout:
// whoever comes to wait for the removal does so that long before the server
// looks for a victim, and by then the removal has given up, so the victim is
// never them (PostgreSQL documentation, 20.12 Lock Management).
const shortWait = `SELECT set_config('lock_timeout', least(extract(epoch FROM current_setting('lock_timeout')::interval),
	0.9 * extract(epoch FROM current_setting('deadlock_timeout')::interval)) * 1000 || 'ms', true)`

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
	if err := s.ensureHistory(ctx, set, snap, out); err != nil {
		return fmt.Errorf("%s: %w", a.Then, err)
	}
	if !snap.Parent.Declarative {
		// Before anything is exported: the routing function does not change any more.
		if err := s.leave(ctx, set, snap, a, out); err != nil {
			return fmt.Errorf("%s: %w", a.Then, err)
		}
	}
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
		// What is held by now need not be exported first.
		if err := s.held(ctx, s.conn, set, a); err != nil {
			return err
		}
		err := s.retry(ctx, set, out, func() (err error) {
			if err = s.limit(ctx, set, false); err == nil {
				archived, err = s.export(ctx, s.conn, set, snap, a)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("archive: %w", err)
		}
		out.Archive, out.Rows, out.Bytes = archived.Location, archived.Rows, archived.Bytes
		if s.stopped() {
			return ErrStopped
		}
	}
	if snap.Parent.Declarative {
		return s.retireDeclared(ctx, set, snap, a, archived, out)
	}
	step := Render(set, snap, a)[0]
	soon := archived.StillEqual == nil
	err := s.retry(ctx, set, out, func() error {
		return s.inTx(ctx, set, step.Role, func(tx pgx.Tx) error {
			return s.retireInTx(ctx, tx, set, snap, a, archived, step, &soon, out)
		})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", a.Then, err)
	}
	return nil
}

func (s *Session) retireInTx(ctx context.Context, tx pgx.Tx, set partition.Set, snap partition.Snapshot, a partition.Action, archived Archived, step Step, soon *bool, out *Outcome) error {
	exec := func(sql string) error { return execAll(ctx, tx, sql) }
	locks, removal := step.Statements[:2], step.Statements[2:]
	if err := exec(shortWait); err != nil {
		return err
	}
	if err := exec(locks[0].SQL); err != nil {
		return err
	}
	if err := s.lockForRemoval(ctx, tx, set, a, archived, locks[1].SQL, soon, exec); err != nil {
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
	if err := s.recheckHolds(ctx, tx, set, a, step.Role); err != nil {
		return err
	}
	gone, err := s.aboutToGo(ctx, tx, set, snap, a, archived)
	if err != nil {
		return err
	}
	if a.Then == partition.Detach && set.Retention.Schema != "" && set.Retention.Schema != a.Table.Schema {
		moved, err := makeRoom(ctx, tx, set.Retention.Schema, a, exec)
		if err != nil {
			return err
		}
		removal = Render(set, snap, moved)[0].Statements[2:]
		gone.Moved = partition.Name{Schema: set.Retention.Schema, Local: moved.Table.Local}
		out.Archive = gone.Moved.String()
	}
	return s.removeNoting(ctx, tx, step.Role, removal, gone, out)
}

// removeNoting is the end of every removal: its statements, and then, in the same
// transaction, the line in the history, where there is one.
func (s *Session) removeNoting(ctx context.Context, tx pgx.Tx, role string, removal []Statement, gone Event, out *Outcome) error {
	for _, st := range removal {
		if err := execAll(ctx, tx, st.SQL); err != nil {
			return err
		}
	}
	return s.noteChange(ctx, tx, role, &gone, out)
}

// lockForRemoval locks a partition against everybody, when it holds what was
// archived. Counting its rows takes time: at first only its writers wait for that.
// But where others read it one after another without a gap, only who queues gets
// past them, and it is not safe to queue with a lock in the hand (see [upgrade]).
// So if the count was short (soon), a further try locks first and counts then.
func (s *Session) lockForRemoval(ctx context.Context, tx pgx.Tx, set partition.Set, a partition.Action, archived Archived, lock string, soon *bool, exec func(string) error) error {
	if *soon {
		if err := exec(lock); err != nil || archived.StillEqual == nil {
			return err
		}
		return archived.StillEqual(ctx, tx)
	}
	if err := exec(fmt.Sprintf("LOCK TABLE ONLY %s IN SHARE MODE", quoteName(a.Table))); err != nil {
		return err
	}
	began := time.Now()
	if err := archived.StillEqual(ctx, tx); err != nil {
		return err
	}
	*soon = time.Since(began) < set.Limits.LockTimeout
	return upgrade(ctx, tx, set.Limits.LockTimeout, lock)
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
	return stillOld(set, snap, a, now)
}

// stillOld tells whether a partition is old by the server's clock now.
func stillOld(set partition.Set, snap partition.Snapshot, a partition.Action, now time.Time) error {
	if cutoff, ok := set.Cutoff(now, snap.Parent.Key); !ok || a.Bounds.To.Inf != 0 || a.Bounds.To.Time.After(cutoff) {
		return fmt.Errorf("%s is not old enough by the server's clock (%s): %w", a.Table, now.UTC().Format(time.RFC3339), ErrChangedMeanwhile)
	}
	if moved := now.Sub(snap.Server.Now); moved < 0 {
		return fmt.Errorf("the server's clock went back by %s: %w", -moved, ErrChangedMeanwhile)
	}
	return nil
}

// makeRoom renames a table that is about to move to another schema, and all that
// moves with it (its indexes and the sequences of its columns), where the place
// is taken: an earlier table of the same period may have gone there before. It
// returns the action under the table's new name.
func makeRoom(ctx context.Context, tx pgx.Tx, schema string, a partition.Action, exec func(string) error) (partition.Action, error) {
	rows, err := tx.Query(ctx, `SELECT c.relname, c.relkind::text FROM pg_class c
		WHERE c.oid = $1
		   OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = $1)
		   OR c.relkind = 'S' AND c.oid IN (SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass
		        AND refclassid = classid AND refobjid = $1 AND refobjsubid > 0 AND deptype IN ('a', 'i'))
		ORDER BY c.relkind = 'r' DESC, c.relname`, a.OID)
	if err != nil {
		return a, fmt.Errorf("look for what moves with %s: %w", a.Table, err)
	}
	type relation struct{ Name, Kind string }
	relations, err := pgx.CollectRows(rows, pgx.RowToStructByPos[relation])
	if err != nil {
		return a, fmt.Errorf("look for what moves with %s: %w", a.Table, err)
	}
	moved := a
	for _, r := range relations {
		name, err := freeName(ctx, tx, partition.Name{Schema: schema, Local: r.Name}, a.Table.Schema)
		if err != nil {
			return a, err
		}
		if name.Local == r.Name {
			continue
		}
		kind := map[string]string{"i": "INDEX", "S": "SEQUENCE"}[r.Kind]
		if kind == "" {
			kind, moved.Table.Local = "TABLE", name.Local
		}
		old := partition.Name{Schema: a.Table.Schema, Local: r.Name}
		if err := exec(fmt.Sprintf("ALTER %s %s RENAME TO %s", kind, quoteName(old), quoteIdent(name.Local))); err != nil {
			return a, err
		}
	}
	return moved, nil
}

// freeName returns a name for what moves to another schema: its own, or that
// with a number. The name has to be free in both schemas, since the move takes
// two steps, and for a table's row type as well.
func freeName(ctx context.Context, tx pgx.Tx, want partition.Name, from string) (partition.Name, error) {
	for n := 1; n < 1000; n++ {
		name := want
		if n > 1 {
			suffix := fmt.Sprintf("_%d", n)
			name.Local = strings.ToValidUTF8(want.Local[:min(len(want.Local), partition.MaxNameBytes-len(suffix))], "") + suffix
		}
		schemas := []string{want.Schema, from}
		if n == 1 {
			schemas = schemas[:1]
		}
		var taken bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
				WHERE s.nspname = ANY ($1) AND c.relname = $2)
			OR EXISTS (SELECT FROM pg_type t JOIN pg_namespace s ON s.oid = t.typnamespace
				WHERE s.nspname = ANY ($1) AND t.typname = $2)`, schemas, name.Local).Scan(&taken)
		if err != nil {
			return name, fmt.Errorf("look for a free name in schema %s: %w", want.Schema, err)
		}
		if !taken {
			return name, nil
		}
	}
	return want, fmt.Errorf("no free name like %s", want)
}
