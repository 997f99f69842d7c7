package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	name := func(what string) partition.Name {
		return partition.Name{Schema: set.Parent.Schema, Local: "partitiond_" + what + "_" + shortDigest(set.Parent.Schema, set.Parent.Local)}
	}
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

// tidySQL removes what an exchange has made but the two tables that are attached in
// its end: those have other names by then.
func (x exchange) tidySQL() []string {
	return []string{
		fmt.Sprintf("DROP TRIGGER IF EXISTS %s ON %s", partition.LogTrigger, quoteName(x.snap.Default.Name)),
		fmt.Sprintf("DROP TRIGGER IF EXISTS %s_truncate ON %s", partition.LogTrigger, quoteName(x.snap.Default.Name)),
		fmt.Sprintf("DROP FUNCTION IF EXISTS %s()", quoteName(x.log)),
		fmt.Sprintf("DROP TABLE IF EXISTS %s, %s, %s", quoteName(x.log), quoteName(x.part), quoteName(x.rest)),
	}
}

// elsewhere is the condition that a default partition's rows fulfil beside the
// partitions, in the form in which PostgreSQL itself has it, so that ATTACH finds the
// one in the other.
func (x exchange) elsewhere() string {
	bounds := []partition.Bounds{x.a.Bounds}
	for _, c := range x.snap.Partitions {
		bounds = append(bounds, c.Bounds)
	}
	slices.SortFunc(bounds, func(a, b partition.Bounds) int { return a.From.Compare(b.From) })
	var ranges []string
	for _, b := range bounds {
		ranges = append(ranges, "("+boundsExpression(x.set.Key, x.a.Route.KeyType, b)+")")
	}
	return fmt.Sprintf("NOT (%s IS NOT NULL AND (%s))", quoteIdent(x.set.Key), strings.Join(ranges, " OR "))
}

// prepareSQL makes the tables aside, and then what writes down the changes.
func (x exchange) prepareSQL() (aside, watch []string) {
	for _, t := range []struct {
		name  partition.Name
		check string
	}{{x.part, declaredExpression(x.set.Key, x.a.Route.KeyType, x.a.Bounds)}, {x.rest, x.elsewhere()}} {
		a := x.a
		a.Table = t.name
		for _, st := range buildAside(x.set, a, fmt.Sprintf(", CONSTRAINT %s CHECK (%s)", partition.BoundsConstraint, t.check))[1:] {
			if !st.Optional {
				aside = append(aside, st.SQL)
			}
		}
	}
	log, old := quoteName(x.log), quoteName(x.snap.Default.Name)
	aside = append(aside,
		fmt.Sprintf("CREATE TABLE %s AS SELECT %s FROM ONLY %s WITH NO DATA", log, x.list(""), old),
		fmt.Sprintf("ALTER TABLE %s ADD partitiond_seq bigserial PRIMARY KEY, ADD partitiond_gone boolean", log),
		fmt.Sprintf("CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %s", log, dollarQuote(fmt.Sprintf(`
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    INSERT INTO %[1]s (partitiond_gone) VALUES (NULL);
  ELSIF TG_OP IN ('UPDATE', 'DELETE') THEN
    INSERT INTO %[1]s (partitiond_gone, %[2]s) VALUES (true, %[3]s);
  END IF;
  IF TG_OP IN ('UPDATE', 'INSERT') THEN
    INSERT INTO %[1]s (partitiond_gone, %[2]s) VALUES (false, %[4]s);
  END IF;
  RETURN NULL;
END `, log, x.list(""), x.list("OLD."), x.list("NEW.")))),
		fmt.Sprintf("REVOKE ALL ON FUNCTION %s() FROM PUBLIC", log))
	watch = []string{
		fmt.Sprintf("LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE", old),
		fmt.Sprintf("CREATE TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION %s()", partition.LogTrigger, old, log),
		fmt.Sprintf("CREATE TRIGGER %s_truncate AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s()", partition.LogTrigger, old, log),
		// What a subscription brings fires only such.
		fmt.Sprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", old, partition.LogTrigger),
		fmt.Sprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s_truncate", old, partition.LogTrigger),
	}
	return aside, watch
}

// copySQL are the two copies, within a snapshot.
func (x exchange) copySQL() []string {
	var out []string
	for _, t := range []struct {
		name partition.Name
		not  string
	}{{x.part, ""}, {x.rest, "NOT "}} {
		out = append(out, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM ONLY %s WHERE %s(%s)",
			quoteName(t.name), x.list(""), x.list(""), quoteName(x.snap.Default.Name), t.not, x.belongs("")))
	}
	return out
}

// catchUpSQL takes over so many changes, the oldest first. Who deletes a row has seen
// it, so its coming was written down before its going, or it was copied.
func (x exchange) catchUpSQL(limit int) string {
	return "DO " + dollarQuote(fmt.Sprintf(`
DECLARE
  r record;
  n bigint;
BEGIN
  FOR r IN SELECT * FROM %[1]s ORDER BY partitiond_seq LIMIT %[2]d LOOP
    IF r.partitiond_gone IS NULL THEN
      RAISE 'the default partition was truncated while its rows were moved';
    ELSIF NOT r.partitiond_gone AND %[3]s THEN
      INSERT INTO %[4]s (%[6]s) VALUES (%[7]s);
    ELSIF NOT r.partitiond_gone THEN
      INSERT INTO %[5]s (%[6]s) VALUES (%[7]s);
    ELSE
      IF %[3]s THEN
        DELETE FROM ONLY %[4]s WHERE ctid = (SELECT t.ctid FROM ONLY %[4]s AS t WHERE t.%[9]s = r.%[9]s AND ROW(%[8]s)::text = ROW(%[7]s)::text LIMIT 1);
      ELSE
        DELETE FROM ONLY %[5]s WHERE ctid = (SELECT t.ctid FROM ONLY %[5]s AS t WHERE ROW(%[8]s)::text = ROW(%[7]s)::text LIMIT 1);
      END IF;
      GET DIAGNOSTICS n = ROW_COUNT;
      IF n <> 1 THEN
        RAISE 'a row that was deleted from the default partition is not among those that were copied';
      END IF;
    END IF;
    DELETE FROM %[1]s WHERE partitiond_seq = r.partitiond_seq;
  END LOOP;
END `, quoteName(x.log), limit, x.belongs("r."), quoteName(x.part), quoteName(x.rest), x.list(""), x.list("r."), x.list("t."), quoteIdent(x.set.Key)))
}

// exchangeDefault runs an exchange.
func (s *Session) exchangeDefault(ctx context.Context, set partition.Set, snap partition.Snapshot, a partition.Action, role string, out *Outcome) (err error) {
	x := newExchange(set, snap, a, role)
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
	err = inTx(func(tx pgx.Tx) error {
		if err := execAll(ctx, tx, append(x.tidySQL(), aside...)...); err != nil {
			return err
		}
		return x.foreignKeys(ctx, tx)
	})
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
	statements := []string{"SET search_path = pg_catalog; SET row_security = off; SET idle_in_transaction_session_timeout = 0", "BEGIN ISOLATION LEVEL REPEATABLE READ", "SET TRANSACTION SNAPSHOT " + quoteLiteral(snapshot)}
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
	var oid, part, rest uint32
	err = tx.QueryRow(ctx, `SELECT $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid, $2::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid, $3::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid`,
		old, quoteName(x.part), quoteName(x.rest)).Scan(&oid, &part, &rest)
	if err != nil {
		return fmt.Errorf("look at the default partition again: %w", err)
	}
	if oid != x.snap.Default.OID {
		return fmt.Errorf("%s is another table now: %w", x.snap.Default.Name, ErrChangedMeanwhile)
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
