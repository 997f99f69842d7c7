package postgres

import (
	"context"
	"errors"
	"fmt"

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

// stillDefault fails unless the table of that name is the parent's default partition.
// It may be another than was observed: an exchange has put it there.
func stillDefault(ctx context.Context, tx pgx.Tx, snap partition.Snapshot) error {
	var is bool
	err := tx.QueryRow(ctx, "SELECT coalesce((SELECT partdefid FROM pg_catalog.pg_partitioned_table WHERE partrelid = $1), 0) = $2::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid",
		snap.Parent.OID, quoteName(snap.Default.Name)).Scan(&is)
	if err != nil {
		return fmt.Errorf("look at the default partition again: %w", err)
	}
	if !is {
		return fmt.Errorf("%s is not the default partition any more: %w", snap.Default.Name, ErrChangedMeanwhile)
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

// readable fails with [errDefaultLarge] unless the default partition, which is locked,
// is as small as has to be to be read then. It returns the foreign keys that refer to it.
func readable(ctx context.Context, tx pgx.Tx, snap partition.Snapshot) (keys []string, err error) {
	d := snap.Default
	if err := stillDefault(ctx, tx, snap); err != nil {
		return nil, err
	}
	var size int64
	err = tx.QueryRow(ctx, `SELECT pg_catalog.`+relationSize(snap)+`(c.oid), ARRAY(SELECT format('%I of %s', conname, conrelid::pg_catalog.regclass)
			FROM pg_catalog.pg_constraint WHERE contype = 'f' AND conparentid = 0 AND confrelid IN (c.oid, $2))
		FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.text::pg_catalog.regclass`, quoteName(d.Name), snap.Parent.OID).Scan(&size, &keys)
	if err != nil {
		return nil, fmt.Errorf("look at the default partition: %w", err)
	}
	if len(keys) > 0 && size > maxDefaultBytes {
		// A row that is deleted could take others along, by ON DELETE CASCADE.
		return nil, fmt.Errorf("%s has %d bytes, and the foreign key %s refers to it: make the partition by hand", d.Name, size, keys[0])
	}
	if size > maxDefaultBytes {
		return nil, fmt.Errorf("%s has %d bytes, more than %d: %w", d.Name, size, maxDefaultBytes, errDefaultLarge)
	}
	return keys, nil
}

// small fails with [errDefaultLarge] unless the default partition, which is locked,
// has as little as may be read and moved then, and with another error where moving its
// rows would do more than that.
func (s *Session) small(ctx context.Context, tx pgx.Tx, set partition.Set, snap partition.Snapshot, a partition.Action) error {
	d := snap.Default
	keys, err := readable(ctx, tx, snap)
	if err != nil {
		return err
	}
	var rows int64
	err = tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM ONLY %s WHERE %s LIMIT %d) AS r", quoteName(d.Name),
		boundsExpression(set.Key, snap.Parent.Key, a.Bounds), set.SweepBatch+1)).Scan(&rows)
	switch {
	case err != nil:
		return fmt.Errorf("count the rows of %s in the default partition: %w", a.Bounds, err)
	case rows > 0 && len(keys) > 0:
		return fmt.Errorf("%d rows of %s have to stay in %s, for the foreign key %s refers to them: move them by hand", rows, a.Bounds, d.Name, keys[0])
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
		if _, err := readable(ctx, tx, r.Snapshot); err != nil {
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
