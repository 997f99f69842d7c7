package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// insufficientPrivilege is an SQLSTATE (PostgreSQL documentation, Appendix A
// PostgreSQL Error Codes).
const insufficientPrivilege = "42501"

// HoldLate holds the table of an action, which late rows have made, from now on
// for the set's grace, and then returns [ErrHeld]. A table is held so once in its
// life: if it was, or if the role may not hold anything, the answer is nil.
// The connection is in no transaction.
func HoldLate(ctx context.Context, conn *pgx.Conn, set partition.Set, a partition.Action, now time.Time) error {
	err := InstallTables(ctx, conn)
	if errors.Is(err, ErrHoldsMissing) {
		return nil
	} else if err != nil {
		return err
	}
	hold := partition.Hold{Bounds: a.Bounds, Until: now.Add(set.Retention.LateGrace).Truncate(time.Minute).In(set.Location), Kind: partition.HoldLate,
		OID: a.OID, Reason: "rows came late for an archived period"}
	held, err := holdLate(ctx, conn, set.Parent, hold)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == insufficientPrivilege {
		return nil
	}
	if err != nil {
		return fmt.Errorf("hold %s for late rows: %w", a.Table, err)
	}
	if !held {
		return nil
	}
	return fmt.Errorf("%s: %w %s", a.Table, ErrHeld, hold)
}

// holdLate adds the hold unless the table had one already, and forgets those of
// tables that are gone.
func holdLate(ctx context.Context, conn *pgx.Conn, parent partition.Name, hold partition.Hold) (held bool, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var had bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM partitiond.hold WHERE kind = 'late' AND partition_oid = $1)", hold.OID).Scan(&had); err != nil || had {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM partitiond.hold h WHERE kind = 'late'
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = h.partition_oid)`); err != nil {
			return err
		}
		held = true
		_, err := addHold(ctx, tx, parent, hold)
		return err
	})
	return held && err == nil, err
}
