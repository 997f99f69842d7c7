package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// exchange makes a partition whose rows wait in a default partition that is too large
// to be read, or too many of whose rows are to be moved, under a lock that keeps
// writers out. Two tables are made aside, the partition and another default one, and
// take over the rows: what was there when a trigger began to write down all changes,
// by a snapshot of that moment and under no lock, and then the changes, in batches.
// In the end one transaction takes over what few changes are left, detaches the old
// default partition and attaches both: so each row is seen once at any time. The
// tables have CHECKs from when they were empty, so nothing is read then.
//
// Rows go by their values, and not by a key, which there need not be: of rows that are
// equal any one will do.
type exchange struct {
	set  partition.Set
	snap partition.Snapshot
	a    partition.Action
	role string
	// part and rest are the tables aside, log has the changes; the function that
	// writes them has the log's name.
	part, rest, log partition.Name
	// made are the bounds of partitions that have come since the snapshot.
	made []partition.Bounds
	// columns are those that are written, bare.
	columns []string
}

// errLagging says that too many changes are left to be taken over under a lock.
var errLagging = errors.New("rows of the default partition change faster than they can be moved")

// maxCatchUps bounds how often changes are taken over before they are few.
const maxCatchUps = 1000

// catchUpBatches is how many of the set's batches of changes are taken over at once
// while nobody waits for that.
const catchUpBatches = 10

func newExchange(set partition.Set, snap partition.Snapshot, a partition.Action, role string) exchange {
	name := func(what string) partition.Name { return partition.AsideName(set.Parent, what) }
	x := exchange{set: set, snap: snap, a: a, role: role, part: name("part"), rest: name("rest"), log: name("log")}
	for _, c := range snap.Parent.Columns {
		if !c.Generated {
			x.columns = append(x.columns, c.Name)
		}
	}
	return x
}

// list returns the columns, each behind a prefix.
func (x exchange) list(prefix string) string {
	out := make([]string, len(x.columns))
	for i, c := range x.columns {
		out[i] = prefix + quoteIdent(c)
	}
	return strings.Join(out, ", ")
}

// belongs is the condition for rows of the partition.
func (x exchange) belongs(prefix string) string {
	key := strings.ReplaceAll(boundsExpression(x.set.Key, x.a.Route.KeyType, x.a.Bounds), quoteIdent(x.set.Key)+" ", prefix+quoteIdent(x.set.Key)+" ")
	return "(" + key + ") IS TRUE"
}

// neverExchanged tells why the default partition cannot be exchanged, if that is to be
// seen before it is looked at under a lock.
func neverExchanged(snap partition.Snapshot) error {
	if again := rebuilt(snap); len(again) > 0 {
		return fmt.Errorf("%s is large, and to attach another one PostgreSQL builds its %s while writers wait: make the partition by hand", snap.Default.Name, again[0])
	}
	if uses := snap.Default.Dependents; len(uses) > 0 {
		return fmt.Errorf("%s is large, and cannot be exchanged for another table because of %s: make the partition by hand", snap.Default.Name, uses[0])
	}
	return nil
}

// exchangeDefault runs an exchange.
func (s *Session) exchangeDefault(ctx context.Context, set partition.Set, snap partition.Snapshot, a partition.Action, role string, out *Outcome) (err error) {
	if err := neverExchanged(snap); err != nil {
		return err
	}
	x := newExchange(set, snap, a, role)
	x.made = s.made
	inTx := func(f func(tx pgx.Tx) error) error {
		return s.retry(ctx, set, out, func() error { return s.inTx(ctx, set, role, f) })
	}
	var copier *pgx.Conn
	defer func() {
		if copier != nil {
			_ = copier.Close(context.WithoutCancel(ctx))
		}
		if err != nil && !s.conn.IsClosed() && ctx.Err() == nil {
			err = errors.Join(err, inTx(func(tx pgx.Tx) error { return execAll(ctx, tx, x.tidySQL()...) }))
		}
	}()
	aside, watch := x.prepareSQL()
	err = inTx(func(tx pgx.Tx) error { return execAll(ctx, tx, append(x.tidySQL(), aside...)...) })
	if err == nil {
		err = inTx(func(tx pgx.Tx) error {
			if err := x.possible(ctx, tx); err != nil {
				return err
			}
			return x.foreignKeys(ctx, tx)
		})
	}
	if err != nil {
		return fmt.Errorf("make tables aside: %w", err)
	}
	err = inTx(func(tx pgx.Tx) error {
		if err := execAll(ctx, tx, watch...); err != nil {
			return err
		}
		// A snapshot of now, while nobody writes: what comes is written down, and what
		// is there is in it.
		var snapshot string
		if err := tx.QueryRow(ctx, "SELECT pg_catalog.pg_export_snapshot()").Scan(&snapshot); err != nil {
			return fmt.Errorf("export a snapshot: %w", err)
		}
		if copier != nil {
			_ = copier.Close(ctx) // Of an earlier try.
		}
		copier, err = x.beginCopy(ctx, s.conn.Config(), snapshot)
		return err
	})
	if err != nil {
		return fmt.Errorf("write down changes: %w", err)
	}
	if out.Rows, err = x.copy(ctx, copier); err != nil {
		return fmt.Errorf("copy the rows: %w", err)
	}
	for range maxCatchUps {
		if s.stopped() {
			return ErrStopped
		}
		var many bool
		err = inTx(func(tx pgx.Tx) error {
			if err := execAll(ctx, tx, x.catchUpSQL(catchUpBatches*set.SweepBatch)); err != nil {
				return err
			}
			many, err = x.lags(ctx, tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("take over changes: %w", err)
		}
		if many {
			continue
		}
		err = inTx(func(tx pgx.Tx) error { return s.swap(ctx, tx, x) })
		if !errors.Is(err, errLagging) {
			return err
		}
	}
	return errLagging
}

// possible fails where the default partition cannot be exchanged.
func (x exchange) possible(ctx context.Context, tx pgx.Tx) error {
	f, err := lookAtDefault(ctx, tx, x.set, x.snap)
	if err != nil {
		return err
	}
	return f.exchangeable(x.snap.Default.Name)
}

// lags tells whether more changes are left than a batch.
func (x exchange) lags(ctx context.Context, tx pgx.Tx) (many bool, err error) {
	err = tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*) > %d FROM (SELECT FROM %s LIMIT %[1]d + 1) AS l", x.set.SweepBatch, quoteName(x.log))).Scan(&many)
	if err != nil {
		return false, fmt.Errorf("count the changes that are left: %w", err)
	}
	return many, nil
}

// foreignKeys gives both tables what the parent refers to, while they are empty:
// ATTACH would check all rows otherwise.
func (x exchange) foreignKeys(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT pg_catalog.format('ADD CONSTRAINT %I %s', conname, pg_catalog.pg_get_constraintdef(oid))
		FROM pg_catalog.pg_constraint WHERE conrelid = $1 AND contype = 'f' AND conparentid = 0 ORDER BY conname`, x.snap.Parent.OID)
	if err != nil {
		return fmt.Errorf("look for foreign keys: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for foreign keys: %w", err)
	}
	for _, table := range []partition.Name{x.part, x.rest} {
		for _, key := range keys {
			if err := execAll(ctx, tx, "ALTER TABLE "+quoteName(table)+" "+key); err != nil {
				return err
			}
		}
	}
	return nil
}

// beginCopy opens a connection with a transaction in the snapshot.
func (x exchange) beginCopy(ctx context.Context, config *pgx.ConnConfig, snapshot string) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open a connection to copy with: %w", err)
	}
	statements := []string{"SET search_path = pg_catalog; SET row_security = off; SET idle_in_transaction_session_timeout = 0; " + noticeDeath(false), "BEGIN ISOLATION LEVEL REPEATABLE READ", "SET TRANSACTION SNAPSHOT " + quoteLiteral(snapshot)}
	for _, g := range settings(x.set.Limits, false)[:2] {
		statements = append(statements, fmt.Sprintf("SET LOCAL %s = '%s'", g[0], g[1]))
	}
	if x.role != "" {
		statements = append(statements, "SET LOCAL ROLE "+quoteIdent(x.role))
	}
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return nil, errors.Join(fmt.Errorf("run %s: %w", brief(sql), err), conn.Close(context.WithoutCancel(ctx)))
		}
	}
	return conn, nil
}

// copy takes over the rows of the snapshot, and makes sure that they are all. It
// returns how many belong to the partition.
func (x exchange) copy(ctx context.Context, conn *pgx.Conn) (moved int64, err error) {
	var copied, there int64
	for i, sql := range x.copySQL() {
		tag, err := conn.Exec(ctx, sql)
		if err != nil {
			return 0, fmt.Errorf("run %s: %w", brief(sql), err)
		}
		if copied += tag.RowsAffected(); i == 0 {
			moved = copied
		}
	}
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM ONLY "+quoteName(x.snap.Default.Name)).Scan(&there); err != nil {
		return 0, fmt.Errorf("count the rows of the default partition: %w", err)
	}
	if copied != there {
		return 0, fmt.Errorf("%d of %d rows were copied", copied, there)
	}
	if _, err := conn.Exec(ctx, "COMMIT"); err != nil {
		return 0, fmt.Errorf("commit the copy: %w", err)
	}
	return moved, nil
}

// swap is the last transaction of an exchange.
func (s *Session) swap(ctx context.Context, tx pgx.Tx, x exchange) error {
	old, parent := quoteName(x.snap.Default.Name), quoteName(x.set.Parent)
	err := execAll(ctx, tx, shortWait,
		fmt.Sprintf("LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", parent),
		fmt.Sprintf("LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", old))
	if err != nil {
		return err
	}
	if err := s.lock.stillHeld(ctx, tx, x.set); err != nil {
		return err
	}
	if many, err := x.lags(ctx, tx); err != nil {
		return err
	} else if many {
		return errLagging
	}
	if err := x.possible(ctx, tx); err != nil {
		return err
	}
	var part, rest uint32
	err = tx.QueryRow(ctx, `SELECT $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid, $2::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid`,
		quoteName(x.part), quoteName(x.rest)).Scan(&part, &rest)
	if err != nil {
		return fmt.Errorf("look at the tables aside: %w", err)
	}
	drop := "ALTER TABLE %s DROP CONSTRAINT " + partition.BoundsConstraint
	err = execAll(ctx, tx, x.catchUpSQL(x.set.SweepBatch+1),
		fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s", parent, old),
		fmt.Sprintf("DROP TABLE %s", old),
		fmt.Sprintf("DROP FUNCTION %s()", quoteName(x.log)),
		fmt.Sprintf("DROP TABLE %s", quoteName(x.log)),
		fmt.Sprintf("ALTER TABLE %s RENAME TO %s", quoteName(x.part), quoteIdent(x.a.Table.Local)),
		fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s %s", parent, quoteName(x.a.Table), forValues(x.a.Route.KeyType, x.a.Bounds)),
		fmt.Sprintf(drop, quoteName(x.a.Table)),
		fmt.Sprintf("ALTER TABLE %s RENAME TO %s", quoteName(x.rest), quoteIdent(x.snap.Default.Name.Local)))
	if err != nil {
		return err
	}
	now := partition.Name{Schema: x.rest.Schema, Local: x.snap.Default.Name.Local}
	err = execAll(ctx, tx,
		fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s DEFAULT", parent, quoteName(now)),
		fmt.Sprintf(drop, quoteName(now)))
	if err == nil && x.snap.Parent.Routing.Trigger {
		err = execAll(ctx, tx, notifyTriggerSQL(x.set, now))
	}
	if err != nil {
		return err
	}
	if err := renameIndexes(ctx, tx, x.part, x.a.Table, part); err != nil {
		return err
	}
	return renameIndexes(ctx, tx, x.rest, now, rest)
}
