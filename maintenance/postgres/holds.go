package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/sql"
)

// Querier is a connection or a transaction.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// SetHold is a hold with the parent of the set that it is about.
type SetHold struct {
	Parent partition.Name
	partition.Hold
}

// ErrHeld says that a hold covers a partition, so nothing was removed.
var ErrHeld = errors.New("it is held")

// ErrNoHold says that there is no hold with that number.
var ErrNoHold = errors.New("there is no such hold")

// ErrHoldsMissing says that the table of holds does not exist, and that the role
// may not make it. See [TablesSQL].
var ErrHoldsMissing = errors.New("there is no table partitiond.hold yet, and the role may not make it")

// errHoldsBusy stands for a lock that was not waited for.
var errHoldsBusy = errors.New("a session is making the table of holds")

// holdsLock is the advisory lock that stands for the table of holds while it
// does not exist; sql/tables.sql takes it to make the table.
const holdsLock = "hashtextextended('partitiond.hold', 0)"

// InstallTables makes the daemon's own tables, of holds, of what was restored and of
// what happened, where one of the first two is missing. Without the privilege to do
// so the error is [ErrHoldsMissing], and a transaction goes on.
func InstallTables(ctx context.Context, q Querier) error {
	for _, name := range []string{"hold", "restored"} {
		if exists, err := tableExists(ctx, q, name); err != nil {
			return err
		} else if !exists {
			return makeTables(ctx, q)
		}
	}
	return nil
}

func makeTables(ctx context.Context, q Querier) error {
	var may bool
	err := q.QueryRow(ctx, `SELECT coalesce((SELECT pg_catalog.has_schema_privilege(oid, 'CREATE') FROM pg_catalog.pg_namespace WHERE nspname = 'partitiond'),
		pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'))`).Scan(&may)
	if err != nil {
		return fmt.Errorf("look for the right to make the tables in partitiond: %w", err)
	}
	if !may {
		return ErrHoldsMissing
	}
	if _, err := q.Exec(ctx, sql.Text("tables.sql")); err != nil {
		return fmt.Errorf("make the tables in partitiond: %w", err)
	}
	return nil
}

// TablesSQL is what an administrator may run to make the daemon's own tables for
// its role, or to let the role use those that are there.
func TablesSQL(role string) string { return sql.Text("tables.sql") + grantTables(role) + ";\n" }

// grantTables gives the tables to a role where the present one owns them, and
// otherwise what the role needs of them.
func grantTables(role string) string {
	return "DO " + dollarQuote(fmt.Sprintf(`
BEGIN
  IF (SELECT pg_catalog.bool_and(c.relowner = n.nspowner AND pg_catalog.pg_get_userbyid(c.relowner) = current_user)
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'partitiond' AND c.relname IN ('hold', 'restored', 'history', 'pass')) THEN
    ALTER SCHEMA partitiond OWNER TO %[1]s;
    ALTER TABLE partitiond.hold OWNER TO %[1]s;
    ALTER TABLE partitiond.restored OWNER TO %[1]s;
    ALTER TABLE partitiond.history OWNER TO %[1]s;
    ALTER TABLE partitiond.pass OWNER TO %[1]s;
    ALTER FUNCTION partitiond.note_hold() OWNER TO %[1]s;
  ELSE
    GRANT USAGE ON SCHEMA partitiond TO %[1]s;
    GRANT SELECT, INSERT, DELETE ON TABLE partitiond.hold, partitiond.restored TO %[1]s;
    GRANT SELECT, INSERT ON TABLE partitiond.history TO %[1]s;
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE partitiond.pass TO %[1]s;
  END IF;
END `, quoteIdent(role)))
}

// tableExists tells whether there is a table, or anything else, of that name in
// the daemon's schema. It does not go by to_regclass, which needs the privilege to
// use the schema.
func tableExists(ctx context.Context, q Querier, name string) (exists bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'partitiond' AND c.relname = $1)`, name).Scan(&exists)
	if err != nil {
		return false, fmt.Errorf("look for partitiond.%s: %w", name, err)
	}
	return exists, nil
}

// AddHold holds what the hold says of a parent's set, and returns the hold's
// number. ID, MadeAt and an empty MadeBy are the server's to fill in. The table of
// holds is made where it is missing (see [InstallTables]). It waits for removals
// that are at work, and once it is committed no partition that is there and that
// the hold covers is removed any more: whoever wants to be sure looks afterwards.
// In a transaction, removals wait for that in turn; so let it be a short one,
// without a lock on any partition.
func AddHold(ctx context.Context, q Querier, parent partition.Name, h partition.Hold) (int64, error) {
	if err := InstallTables(ctx, q); err != nil {
		return 0, err
	}
	return addHold(ctx, q, parent, h)
}

// addHold is AddHold where the table is known to be there.
func addHold(ctx context.Context, q Querier, parent partition.Name, h partition.Hold) (int64, error) {
	var oid *uint32
	if h.OID != 0 {
		oid = &h.OID
	}
	var until *time.Time
	if !h.Until.IsZero() {
		until = &h.Until
	}
	var id int64
	err := q.QueryRow(ctx, `INSERT INTO partitiond.hold (parent_schema, parent_name, lower, upper, until, kind, partition_oid, reason, made_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce(nullif($9, ''), session_user)) RETURNING id`,
		parent.Schema, parent.Local, boundArg(h.Bounds.From), boundArg(h.Bounds.To), until, string(h.Kind), oid, h.Reason, h.MadeBy).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("add a hold on %s: %w", parent, err)
	}
	return id, nil
}

// boundArg is NULL where there is no bound.
func boundArg(e partition.Edge) *time.Time {
	if e.Inf != 0 {
		return nil
	}
	return &e.Time
}

// RemoveHold ends a hold: its row goes, or is over where it is about late rows, under
// another number. If there is none with the number, the error is [ErrNoHold].
func RemoveHold(ctx context.Context, q Querier, id int64) error {
	if exists, err := tableExists(ctx, q, "hold"); err != nil {
		return err
	} else if !exists {
		return fmt.Errorf("remove hold %d: %w", id, ErrNoHold)
	}
	// A hold of late rows is over, rather than gone, or they would be held anew.
	tag, err := q.Exec(ctx, `WITH gone AS (DELETE FROM partitiond.hold WHERE id = $1 RETURNING *),
			over AS (INSERT INTO partitiond.hold (parent_schema, parent_name, lower, upper, until, kind, partition_oid, reason, made_by, made_at)
				SELECT parent_schema, parent_name, lower, upper, pg_catalog.now(), kind, partition_oid, reason, made_by, made_at FROM gone WHERE kind = 'late')
		SELECT FROM gone`, id)
	if err != nil {
		return fmt.Errorf("remove hold %d: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("remove hold %d: %w", id, ErrNoHold)
	}
	return nil
}

// Holds returns the holds on a parent's set, or on all sets for the zero name,
// by their ID, with those that are over. Without a table there are none.
func Holds(ctx context.Context, q Querier, parent partition.Name) ([]SetHold, error) {
	exists, err := tableExists(ctx, q, "hold")
	if err != nil || !exists {
		return nil, err
	}
	rows, err := q.Query(ctx, `SELECT id, parent_schema, parent_name, lower, upper, until, kind, coalesce(partition_oid, 0), reason, made_by, made_at
		FROM partitiond.hold WHERE $1 = '' OR (parent_schema, parent_name) = ($1, $2) ORDER BY id`, parent.Schema, parent.Local)
	if err != nil {
		return nil, fmt.Errorf("read the holds: %w", err)
	}
	holds, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (SetHold, error) {
		var h SetHold
		var lower, upper, until, made pgtype.Timestamptz
		err := row.Scan(&h.ID, &h.Parent.Schema, &h.Parent.Local, &lower, &upper, &until, &h.Kind, &h.OID, &h.Reason, &h.MadeBy, &made)
		h.Bounds = partition.Bounds{From: edgeOf(lower, partition.MinusInfinity), To: edgeOf(upper, partition.PlusInfinity)}
		// Zero is for ever, also where the table would let somebody write infinity.
		h.Until, h.MadeAt = until.Time.UTC(), made.Time.UTC()
		return h, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the holds: %w", err)
	}
	return holds, nil
}

func edgeOf(t pgtype.Timestamptz, unbounded partition.Edge) partition.Edge {
	switch {
	case !t.Valid:
		return unbounded
	case t.InfinityModifier != pgtype.Finite:
		return partition.Edge{Inf: int8(t.InfinityModifier)}
	}
	return partition.At(t.Time.UTC())
}

// held fails with [ErrHeld] if a hold covers the partition by the server's clock
// now.
func (s *Session) held(ctx context.Context, q Querier, set partition.Set, a partition.Action) error {
	all, err := Holds(ctx, q, set.Parent)
	if err != nil {
		return err
	}
	var holds []partition.Hold
	for _, h := range all {
		holds = append(holds, h.Hold)
	}
	var now time.Time
	if err := q.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		return fmt.Errorf("read the server's clock: %w", err)
	}
	c := partition.Partition{OID: a.OID, Bounds: a.Bounds}
	if h := partition.HeldBy(holds, c, now, set.Location); h != nil {
		return fmt.Errorf("%s: %w %s", a.Table, ErrHeld, h)
	}
	return nil
}

// recheckHolds looks for holds once more, under a lock that keeps others from
// being added before the removal is committed. The lock comes last, and is only
// tried for: whoever has it may wait for the partition. It acts as the session's
// own role, for the parent's owner may have nothing to do with the holds.
func (s *Session) recheckHolds(ctx context.Context, tx pgx.Tx, set partition.Set, a partition.Action, role string) error {
	return asSession(ctx, tx, role, func() error { return s.recheckHoldsAsSession(ctx, tx, set, a) })
}

func (s *Session) recheckHoldsAsSession(ctx context.Context, tx pgx.Tx, set partition.Set, a partition.Action) error {
	var free bool
	if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock_shared("+holdsLock+")").Scan(&free); err != nil {
		return fmt.Errorf("keep the table of holds from being made: %w", err)
	}
	if !free {
		return errHoldsBusy
	}
	exists, err := tableExists(ctx, tx, "hold")
	if err != nil {
		return err
	}
	if exists {
		if err := upgrade(ctx, tx, set.Limits.LockTimeout, "LOCK TABLE partitiond.hold IN SHARE MODE"); err != nil {
			return fmt.Errorf("keep holds from being added: %w", err)
		}
		if err := s.held(ctx, tx, set, a); err != nil {
			return err
		}
	}
	return nil
}
