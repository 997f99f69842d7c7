package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// errDefaultLarge says that a default partition has more than what may be read or
// moved under a lock that keeps others out.
var errDefaultLarge = errors.New("the default partition is too large to be read under a lock that keeps writers out")

// errRowsWait says that a default partition has rows of a partition that comes under a
// lock which others get past, or is about to get some.
var errRowsWait = errors.New("rows have come to the default partition meanwhile")

// createBesideDefault makes a partition of a set that has a default partition. The
// rows that wait there go along in the same transaction: nobody ever sees one of
// them twice, or not at all. What that does under ACCESS EXCLUSIVE, on the default
// partition and on the parent, is bounded, by the one's size and by the set's batch.
func (s *Session) createBesideDefault(ctx context.Context, set partition.Set, snap partition.Snapshot, a partition.Action, role string, out *Outcome) error {
	if s.stopped() {
		return ErrStopped
	}
	err := s.createOnce(ctx, set, snap, a, role, out)
	if errors.Is(err, errRowsWait) {
		a.Rows = 1 // At least.
		err = s.createOnce(ctx, set, snap, a, role, out)
	}
	switch {
	case errors.Is(err, errDefaultLarge) && snap.Parent.Distributed:
		err = fmt.Errorf("%w; of a distributed set there is no other way: set sweep_batch higher, or make the partition by hand", err)
	case errors.Is(err, errDefaultLarge) && a.Kind == partition.Create:
		err = s.exchangeDefault(ctx, set, snap, a, role, out)
	}
	if err == nil {
		s.made = append(s.made, a.Bounds)
	}
	return err
}

// createOnce makes the partition in one transaction, where that may be.
func (s *Session) createOnce(ctx context.Context, set partition.Set, snap partition.Snapshot, a partition.Action, role string, out *Outcome) error {
	c := renderDeclared(set, snap, a)
	if a.Kind == partition.Attach {
		c = renderAttach(set, snap, a)
	}
	out.waits = waitsOf(snap, a, false)
	if shutsParent(set, snap, a) {
		out.waits.lock(snap.Parent.OID, "AccessExclusiveLock")
	}
	return s.retry(ctx, set, out, func() error {
		out.Rows = 0
		return s.inTx(ctx, set, role, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1, $2)", setLockClass, int32(snap.Parent.OID)); err != nil {
				return fmt.Errorf("take the set's creation lock: %w", err)
			}
			run := func(statements []Statement) error {
				return s.runStatements(ctx, tx, Step{Statements: statements, Role: role}, out)
			}
			if err := run(c.build); err != nil {
				return err
			}
			notes := out.notes
			if err := execAll(ctx, tx, c.shortWait()); err != nil {
				return err
			}
			if err := run(c.lock); err != nil {
				return err
			}
			if err := s.small(ctx, tx, set, snap, a); err != nil {
				return err
			}
			if err := run(c.move); err != nil {
				return err
			}
			out.Rows = out.lastTag.RowsAffected()
			err := run(c.attach)
			out.notes = notes
			if err != nil || shutsParent(set, snap, a) {
				return err
			}
			return nobodyWaits(ctx, tx, snap)
		})
	})
}

// shortWait shares the set's lock timeout, or what [shortWait] makes of it, among the
// locks: who waits behind us waits for all of them together.
func (c creation) shortWait() string {
	return shortWait + fmt.Sprintf("; SELECT set_config('lock_timeout', extract(epoch FROM current_setting('lock_timeout')::interval) * 1000 / %d || 'ms', true)",
		max(len(c.lock), 1))
}

// nobodyWaits fails with [errRowsWait] if somebody waits to write to the default
// partition: his row may be one of the new partition's, and would be refused.
func nobodyWaits(ctx context.Context, tx pgx.Tx, snap partition.Snapshot) error {
	var wait bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'relation' AND NOT granted AND mode = 'RowExclusiveLock'
		AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
		AND relation = $1::pg_catalog.text::pg_catalog.regclass)`, quoteName(snap.Default.Name)).Scan(&wait)
	if err != nil {
		return fmt.Errorf("look for who waits for the default partition: %w", err)
	}
	if wait {
		return errRowsWait
	}
	return nil
}

// relationSize names the function that measures a table, wherever its rows are.
func relationSize(snap partition.Snapshot) string {
	if snap.Parent.Distributed {
		return "citus_relation_size"
	}
	return "pg_relation_size"
}

// defaultFacts are of a default partition that is locked.
type defaultFacts struct {
	bytes int64
	// keys are the foreign keys that refer to it, triggers those that somebody made on it.
	keys, triggers []string
}

// lookAtDefault fails unless the table of that name is the parent's default partition.
// It may be another than was observed: an exchange has put it there.
func lookAtDefault(ctx context.Context, tx pgx.Tx, set partition.Set, snap partition.Snapshot) (f defaultFacts, err error) {
	var is bool
	err = tx.QueryRow(ctx, `SELECT coalesce((SELECT partdefid FROM pg_catalog.pg_partitioned_table WHERE partrelid = $2), 0) = c.oid,
			pg_catalog.`+relationSize(snap)+`(c.oid),
			ARRAY(SELECT pg_catalog.format('the foreign key %I of %s', conname, conrelid::pg_catalog.regclass) FROM pg_catalog.pg_constraint WHERE contype = 'f' AND conparentid = 0 AND confrelid IN (c.oid, $2)),
			ARRAY(SELECT pg_catalog.format('the trigger %I', tgname) FROM pg_catalog.pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal AND tgparentid = 0 AND tgname <> ALL ($3))
		FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.text::pg_catalog.regclass`,
		quoteName(snap.Default.Name), snap.Parent.OID, []string{set.Trigger, partition.LogTrigger, truncateTrigger}).Scan(&is, &f.bytes, &f.keys, &f.triggers)
	if err != nil {
		return f, fmt.Errorf("look at the default partition again: %w", err)
	}
	if !is {
		return f, fmt.Errorf("%s is not the default partition any more: %w", snap.Default.Name, ErrChangedMeanwhile)
	}
	return f, nil
}

// exchangeable fails where another table cannot stand in for the default partition:
// it would not have its triggers, and a row that moves could take those along that
// refer to it, by ON DELETE CASCADE.
func (f defaultFacts) exchangeable(name partition.Name) error {
	if has := slices.Concat(f.keys, f.triggers); len(has) > 0 {
		return fmt.Errorf("%s cannot be exchanged for another table because of %s: make the partition by hand", name, has[0])
	}
	return nil
}

// readable fails with [errDefaultLarge] unless the default partition, which is locked,
// has at most so many bytes, and so may be read then; with another error where it may
// not be exchanged either.
func readable(ctx context.Context, tx pgx.Tx, set partition.Set, snap partition.Snapshot, bytes int64) (f defaultFacts, err error) {
	if f, err = lookAtDefault(ctx, tx, set, snap); err != nil {
		return f, err
	}
	other := f.exchangeable(snap.Default.Name)
	if other != nil {
		bytes = maxDefaultBytes
	}
	switch {
	case f.bytes <= bytes:
		return f, nil
	case other != nil:
		return f, fmt.Errorf("%d bytes are too many to be read while writers wait, and %w", f.bytes, other)
	}
	return f, fmt.Errorf("%s has %d bytes, more than %d: %w", snap.Default.Name, f.bytes, bytes, errDefaultLarge)
}

// readableBytes is how much of a default partition may be read under a lock: next to
// nothing where it can be exchanged instead, and nothing that it has would be lost.
func readableBytes(snap partition.Snapshot, a partition.Action) int64 {
	own := func(p partition.Property) bool { return !slices.Contains(snap.Parent.Properties, p) }
	if a.Kind != partition.Create || snap.Parent.Distributed || neverExchanged(snap) != nil || slices.ContainsFunc(snap.Default.Properties, own) {
		return maxDefaultBytes
	}
	return fewBytes
}

// small fails with [errDefaultLarge] unless the default partition, which is locked,
// has as little as may be read and moved then, and with another error where moving its
// rows would do more than that.
func (s *Session) small(ctx context.Context, tx pgx.Tx, set partition.Set, snap partition.Snapshot, a partition.Action) error {
	d := snap.Default
	f, err := readable(ctx, tx, set, snap, readableBytes(snap, a))
	if err != nil {
		return err
	}
	var rows int64
	err = tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM ONLY %s WHERE %s LIMIT %d) AS r", quoteName(d.Name),
		boundsExpression(set.Key, snap.Parent.Key, a.Bounds), set.SweepBatch+1)).Scan(&rows)
	switch {
	case err != nil:
		return fmt.Errorf("count the rows of %s in the default partition: %w", a.Bounds, err)
	case rows > 0 && len(f.keys) > 0:
		return fmt.Errorf("%d rows of %s have to stay in %s, for %s refers to them: move them by hand", rows, a.Bounds, d.Name, f.keys[0])
	case rows > 0 && !shutsParent(set, snap, a):
		return errRowsWait
	case rows > int64(set.SweepBatch):
		return fmt.Errorf("%s has more than %d rows of %s: %w", d.Name, set.SweepBatch, a.Bounds, errDefaultLarge)
	}
	return nil
}

// noneWait fails with [partition.ErrOccupied] where rows of the period wait in the
// default partition: a restored partition holds what was archived, and nothing else.
func (r Restoration) noneWait(ctx context.Context, q Querier) error {
	if !r.Action.Route.Declarative || r.Snapshot.Default == nil {
		return nil
	}
	var wait bool
	d := r.Snapshot.Default.Name
	err := q.QueryRow(ctx, fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM ONLY %s WHERE %s)", quoteName(d), boundsExpression(r.Set.Key, r.Snapshot.Parent.Key, r.Action.Bounds))).Scan(&wait)
	switch {
	case err != nil:
		return fmt.Errorf("look for rows of %s in the default partition: %w", r.Action.Bounds, err)
	case wait:
		return fmt.Errorf("rows of %s wait in the default partition %s: let a pass move them, or move them by hand: %w", r.Action.Bounds, d, partition.ErrOccupied)
	}
	return nil
}

// attachRestored makes a restored table a partition of a declarative parent. Rows of
// its period that wait in the default partition keep it from that.
func (s *Session) attachRestored(ctx context.Context, tx pgx.Tx, r Restoration, draft partition.Name, leave string) error {
	a := r.Action
	a.Table = draft
	c := renderDeclared(r.Set, r.Snapshot, a)
	if err := execAll(ctx, tx, leave, c.build[0].SQL); err != nil {
		return err
	}
	if r.Snapshot.Default != nil {
		if err := execAll(ctx, tx, c.shortWait()); err != nil {
			return err
		}
		for _, st := range c.lock {
			if err := execAll(ctx, tx, st.SQL); err != nil {
				return err
			}
		}
		if _, err := readable(ctx, tx, r.Set, r.Snapshot, maxDefaultBytes); err != nil {
			return err
		}
		if err := r.noneWait(ctx, tx); err != nil {
			return err
		}
	}
	for _, st := range c.attach {
		if err := execAll(ctx, tx, st.SQL); err != nil {
			return err
		}
	}
	return nil
}
