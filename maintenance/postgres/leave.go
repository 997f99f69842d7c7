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

// ErrStillRouted says that the set's routing function writes to a partition without
// a lock of its own, so that to remove it could fail an insert.
var ErrStillRouted = errors.New("the routing function still writes to it directly")

// errWriting stands for transactions that were not waited for any longer.
var errWriting = errors.New("transactions that write to the parent may still know it by the routing function that was replaced")

// leave makes sure, before a partition is removed, that no transaction writes to it
// without a look whether it is there, as the near branches of the routing function do
// (see sql/route.sql). The function in place must have no such branch, which the
// route that comes before in the plan takes care of. Whoever wrote to the parent when
// that was replaced may go on with the old one, for as long as his transaction holds
// its lock on the parent. A new lock lets a session know of the new function
// (PostgreSQL documentation, 13.3.1 Table-Level Locks).
func (s *Session) leave(ctx context.Context, set partition.Set, snap partition.Snapshot, a partition.Action, out *Outcome) error {
	var header string
	err := s.conn.QueryRow(ctx, `SELECT split_part(ltrim(p.prosrc, E'\n'), E'\n', 1) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE n.nspname = $1 AND p.proname = $2 AND p.pronargs = 0 AND p.prorettype = 'trigger'::regtype`, set.Function.Schema, set.Function.Local).Scan(&header)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("look at the routing function: %w", err)
	}
	if m := routeHeader.FindStringSubmatch(header); m != nil && slices.Contains(oidList(m[2]), a.OID) {
		return fmt.Errorf("%s: %w", a.Table, ErrStillRouted)
	}
	known := snap.Parent.Routing
	// Of a function that is not ours nobody knows what it does.
	others := known.Function == partition.FunctionSeed || known.Function == partition.FunctionUnknown || known.Function == partition.FunctionAltered
	if !others && !slices.Contains(known.Direct, a.OID) {
		return nil
	}
	writers, err := s.writers(ctx, snap.Parent.OID, nil)
	if err != nil {
		return err
	}
	removal := out.waits
	defer func() { out.waits = removal }()
	out.waits = waits{tables: []uint32{snap.Parent.OID}, modes: []string{"RowExclusiveLock"}}
	return s.retry(ctx, set, out, func() error {
		for began := time.Now(); len(writers) > 0; {
			if time.Since(began) > set.Limits.LockTimeout || s.stopped() {
				return errWriting
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(set.Limits.LockTimeout / 20):
			}
			if writers, err = s.writers(ctx, snap.Parent.OID, writers); err != nil {
				return err
			}
		}
		return nil
	})
}

// writers returns the virtual transactions that hold the lock on a table that an
// INSERT takes, of all or of those given. A prepared transaction runs no further
// statement, so it is none.
func (s *Session) writers(ctx context.Context, table uint32, of []string) ([]string, error) {
	rows, err := s.conn.Query(ctx, `SELECT virtualtransaction FROM pg_locks
		WHERE locktype = 'relation' AND relation = $1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		  AND mode = 'RowExclusiveLock' AND granted AND pid IS NOT NULL AND pid <> pg_backend_pid()
		  AND ($2::text[] IS NULL OR virtualtransaction = ANY ($2))`, table, of)
	if err != nil {
		return nil, fmt.Errorf("look for writers: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for writers: %w", err)
	}
	return found, nil
}
