package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Restoration is a partition that is to be its parent's again.
type Restoration struct {
	Set      partition.Set
	Snapshot partition.Snapshot
	// Action is what [partition.GiveBack] says of the snapshot.
	Action partition.Action
	// Load fills the table with the rows and proves that it holds those and no
	// others. It may change settings of the transaction.
	Load func(ctx context.Context, tx pgx.Tx, table partition.Name) error
	// Again looks at the set and plans once more, on another connection. It is asked
	// when partitions have come while the rows were loaded.
	Again func(ctx context.Context) (partition.Snapshot, partition.Action, error)
	// Sources are the keys of the manifests that the rows come from.
	Sources []string
	// URLs are those of the manifests, and Rows how many rows they have, for the history.
	URLs []string
	Rows int64
	// Hold keeps the partition from being removed again; its OID is filled in.
	Hold partition.Hold
}

// likeParent takes over what INHERITS would, and nothing that it would not.
const likeParent = "INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY EXCLUDING COMMENTS EXCLUDING STATISTICS"

// Restore makes the partition, loads its rows and adds it to the parent, with a
// hold and a note of where it came from, all in one transaction: before it is
// committed nobody sees any of it or waits for it, and whatever ends it before leaves
// nothing. It returns the hold's number, which is 0 if nothing has happened; an
// error beside a number is what an optional step had to say. Rows are loaded for as long as it takes
// with no lock on the parent; SHARE UPDATE EXCLUSIVE, which ALTER TABLE ... INHERIT
// takes (PostgreSQL documentation, 13.3.1 Table-Level Locks), comes at the very end.
//
// The partition is born as a child of a stand-in with the parent's columns, and
// changes parents at the end. So its columns and CHECKs are inherited and not its
// own, as those of a partition that a pass makes: a column that is dropped from
// the parent goes from it as well (PostgreSQL documentation, 5.10 Inheritance).
func (s *Session) Restore(ctx context.Context, r Restoration) (Outcome, int64, error) {
	out := Outcome{waits: waitsOf(r.Snapshot, partition.Action{Kind: partition.Create}, false)}
	began := time.Now()
	hold, err := s.restore(ctx, r, &out)
	out.Took = time.Since(began)
	return out, hold, errors.Join(append([]error{err}, out.notes...)...)
}

func (s *Session) restore(ctx context.Context, r Restoration, out *Outcome) (hold int64, err error) {
	if err := s.limit(ctx, r.Set, false); err != nil {
		return 0, err
	}
	if err := s.retry(ctx, r.Set, out, func() error { return ensureNotes(ctx, s.conn) }); err != nil {
		return 0, err
	}
	if err := s.ensureHistory(ctx, r.Set, r.Snapshot, out); err != nil {
		return 0, err
	}
	role := r.Snapshot.Parent.Owner
	if role == r.Snapshot.Server.Role {
		role = ""
	}
	// Before all else: it could fail for this after hours of loading.
	err = s.retry(ctx, r.Set, out, func() error { return s.inTx(ctx, r.Set, role, func(tx pgx.Tx) error { return r.noneWait(ctx, tx) }) })
	if err != nil {
		return 0, err
	}
	// The parent is only looked at for a moment, and not for as long as the rows
	// take: whoever wants to ALTER it would wait for that, and all others for him.
	shape := partition.Name{Schema: "pg_temp", Local: "partitiond_restore_shape"}
	err = s.retry(ctx, r.Set, out, func() error {
		return s.inTx(ctx, r.Set, role, func(tx pgx.Tx) error {
			return execAll(ctx, tx, "DROP TABLE IF EXISTS "+quoteName(shape),
				fmt.Sprintf("CREATE TEMPORARY TABLE %s (LIKE %s %s)", quoteName(shape), quoteName(r.Set.Parent), likeParent))
		})
	})
	if err != nil {
		return 0, fmt.Errorf("look at the parent's columns: %w", err)
	}
	err = s.inTx(ctx, r.Set, role, func(tx pgx.Tx) error {
		hold, err = s.restoreInTx(ctx, tx, r, role, shape, out)
		return err
	})
	if err != nil {
		return 0, err
	}
	return hold, nil
}

func (s *Session) restoreInTx(ctx context.Context, tx pgx.Tx, r Restoration, role string, shape partition.Name, out *Outcome) (hold int64, err error) {
	// Between two parts the session may well wait for the store. It holds nobody up.
	if _, err := tx.Exec(ctx, "SET LOCAL idle_in_transaction_session_timeout = 0"); err != nil {
		return 0, fmt.Errorf("set idle_in_transaction_session_timeout: %w", err)
	}
	// Under the name that it will have, others that make the same table would wait.
	unique := strings.ToLower(rand.Text()[:13])
	draft := r.Action
	draft.Table = partition.Name{Schema: r.Action.Table.Schema, Local: "partitiond_restore_" + unique}
	standIn := partition.Name{Schema: draft.Table.Schema, Local: "partitiond_parent_" + unique}
	route := *r.Action.Route
	route.Parent, draft.Route = standIn, &route
	step := renderCreate(r.Set, r.Snapshot, draft, role)
	err = execAll(ctx, tx, fmt.Sprintf("CREATE TABLE %s (LIKE %s %s)", quoteName(standIn), quoteName(shape), likeParent), step.Statements[0].SQL)
	if err != nil {
		return 0, err
	}
	var oid uint32
	if err := tx.QueryRow(ctx, "SELECT $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid", quoteName(draft.Table)).Scan(&oid); err != nil {
		return 0, fmt.Errorf("look at the new table: %w", err)
	}
	if err := r.Load(ctx, tx, draft.Table); err != nil {
		return 0, err
	}
	step.Statements = append(step.Statements[1:], Statement{SQL: "ANALYZE " + quoteName(draft.Table)})
	if err := s.runStatements(ctx, tx, step, out); err != nil {
		return 0, err
	}
	return s.adopt(ctx, tx, r, role, draft.Table, standIn, oid, out)
}

// holdRestored holds the partition back and notes where it is from, as the session's own role.
func (s *Session) holdRestored(ctx context.Context, tx pgx.Tx, r Restoration, role string, oid uint32) (hold int64, err error) {
	r.Hold.OID = oid
	err = asSession(ctx, tx, role, func() error {
		if hold, err = AddHold(ctx, tx, r.Set.Parent, r.Hold); err != nil {
			return fmt.Errorf("hold the partition back: %w", err)
		}
		if err := noteRestored(ctx, tx, r.Set.Parent, r.Action.Table, oid, r.Sources); err != nil || !s.recorded {
			return err
		}
		return s.note(ctx, tx, Event{Kind: Restored, Parent: r.Set.Parent, Partition: r.Action.Table, OID: oid, Bounds: r.Action.Bounds, Rows: r.Rows, Exact: true, Bytes: -1,
			Archives: r.URLs, ArchiveBytes: -1, Hold: hold, Until: r.Hold.Until, Reason: "restored from the archive", ActedAs: r.Snapshot.Parent.Owner, Agent: s.Agent})
	})
	if err != nil {
		return 0, err
	}
	return hold, nil
}

// errPartitionsCame says that the plan is older than the set's partitions.
var errPartitionsCame = errors.New("partitions came while the rows were loaded")

// maxReplans is how often a restored partition is planned for anew because others
// come at the same time.
const maxReplans = 5

// adopt adds the loaded table to the parent. It is tried for longer than
// other steps, since all that was loaded is lost if it fails; between the tries it
// has no lock that anybody could wait for.
func (s *Session) adopt(ctx context.Context, tx pgx.Tx, r Restoration, role string, draft, standIn partition.Name, oid uint32, out *Outcome) (hold int64, err error) {
	until := time.Now().Add(r.Set.Limits.ConcurrentTimeout)
	for replans := 0; ; {
		err = s.retry(ctx, r.Set, out, func() error {
			return pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error {
				// While it is not committed, no removal gets past it, of whatever set.
				number, err := s.holdRestored(ctx, sp, r, role, oid)
				if err != nil {
					return err
				}
				hold = number
				return s.adoptOnce(ctx, sp, r, draft, standIn, oid)
			})
		})
		switch {
		case err == nil:
			return hold, nil
		case errors.Is(err, errPartitionsCame) && replans < maxReplans:
			replans++
			if r.Snapshot, r.Action, err = r.Again(ctx); err != nil {
				return 0, err
			}
		case !retryable(err) || !time.Now().Before(until):
			return 0, fmt.Errorf("add it to %s: %w", r.Set.Parent, err)
		}
	}
}

func (s *Session) adoptOnce(ctx context.Context, tx pgx.Tx, r Restoration, draft, standIn partition.Name, oid uint32) error {
	if _, err := tx.Exec(ctx, "SELECT pg_catalog.pg_advisory_xact_lock($1, $2)", setLockClass, int32(r.Snapshot.Parent.OID)); err != nil {
		return fmt.Errorf("take the set's creation lock: %w", err)
	}
	if err := s.lock.stillHeld(ctx, tx, r.Set); err != nil {
		return err
	}
	// From here on nobody else adds a partition: the lock excludes itself.
	join := func() error {
		return execAll(ctx, tx, fmt.Sprintf("ALTER TABLE %s INHERIT %s", quoteName(draft), quoteName(r.Set.Parent)))
	}
	leave := fmt.Sprintf("ALTER TABLE %s NO INHERIT %s", quoteName(draft), quoteName(standIn))
	if r.Action.Route.Declarative {
		first := leave // A partition has no other parent.
		join = func() error { return s.attachRestored(ctx, tx, r, draft, first) }
		leave = "SELECT"
	}
	if err := join(); err != nil {
		return err
	}
	var parents, others []uint32
	err := tx.QueryRow(ctx, `SELECT ARRAY(SELECT inhparent FROM pg_catalog.pg_inherits WHERE inhrelid = $1),
		ARRAY(SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = $2 AND inhrelid <> $1)`, oid, r.Snapshot.Parent.OID).Scan(&parents, &others)
	if err != nil {
		return fmt.Errorf("look at the partitions again: %w", err)
	}
	if !slices.Contains(parents, r.Snapshot.Parent.OID) {
		return fmt.Errorf("%s is another table now: %w", r.Set.Parent, ErrChangedMeanwhile)
	}
	known := func(oid uint32) bool {
		is := func(c partition.Partition) bool { return c.OID == oid }
		return r.Snapshot.Default != nil && is(*r.Snapshot.Default) || slices.ContainsFunc(r.Snapshot.Detaching, is) || slices.ContainsFunc(r.Snapshot.Partitions, func(c partition.Partition) bool { return c.OID == oid })
	}
	if slices.ContainsFunc(others, func(oid uint32) bool { return !known(oid) }) {
		return errPartitionsCame
	}
	err = execAll(ctx, tx,
		leave,
		"DROP TABLE "+quoteName(standIn),
		fmt.Sprintf("ALTER TABLE %s RENAME TO %s", quoteName(draft), quoteIdent(r.Action.Table.Local)))
	if err != nil {
		return err
	}
	return renameIndexes(ctx, tx, draft, r.Action.Table, oid)
}

// renameIndexes gives indexes that were named after a draft, and the constraints
// that have them, names after the table.
func renameIndexes(ctx context.Context, tx pgx.Tx, draft, table partition.Name, oid uint32) error {
	rows, err := tx.Query(ctx, `SELECT c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
		WHERE i.indrelid = $1 AND pg_catalog.starts_with(c.relname, $2) ORDER BY c.relname`, oid, draft.Local)
	if err != nil {
		return fmt.Errorf("list the indexes: %w", err)
	}
	indexes, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list the indexes: %w", err)
	}
	for _, index := range indexes {
		suffix := strings.TrimPrefix(index, draft.Local)
		base := strings.ToValidUTF8(table.Local[:min(len(table.Local), partition.MaxNameBytes-len(suffix))], "")
		name, err := freeName(ctx, tx, partition.Name{Schema: table.Schema, Local: base + suffix}, table.Schema)
		if err != nil {
			return err
		}
		old := partition.Name{Schema: table.Schema, Local: index}
		if err := execAll(ctx, tx, fmt.Sprintf("ALTER INDEX %s RENAME TO %s", quoteName(old), quoteIdent(name.Local))); err != nil {
			return err
		}
	}
	return nil
}

// Column is a column of a table that [Session.RestoreInto] makes.
type Column struct {
	Name string
	// Type is SQL; what is not the name of a type is refused.
	Type    string
	NotNull bool
}

// RestoreInto makes a plain table, which is nobody's partition and belongs to the
// session's role, and lets load fill it. Both are one transaction.
func (s *Session) RestoreInto(ctx context.Context, set partition.Set, table partition.Name, columns []Column, load func(context.Context, pgx.Tx) error) error {
	return s.inTx(ctx, set, "", func(tx pgx.Tx) error {
		if exists, err := hasColumn(ctx, tx, table, ""); err != nil {
			return err
		} else if exists {
			return fmt.Errorf("%s exists already: expected the name of a new table", table)
		}
		definitions := make([]string, len(columns))
		for i, c := range columns {
			// Whoever can write to a store must not thereby write SQL.
			var known bool
			if err := tx.QueryRow(ctx, "SELECT pg_catalog.to_regtype($1) IS NOT NULL", c.Type).Scan(&known); err != nil {
				return fmt.Errorf("look for the type %q of column %q: %w", c.Type, c.Name, err)
			} else if !known {
				return fmt.Errorf("column %q has the type %q, which this database does not have", c.Name, c.Type)
			}
			definitions[i] = quoteIdent(c.Name) + " " + c.Type
			if c.NotNull {
				definitions[i] += " NOT NULL"
			}
		}
		err := execAll(ctx, tx, "SET LOCAL idle_in_transaction_session_timeout = 0",
			fmt.Sprintf("CREATE TABLE %s (%s)", quoteName(table), strings.Join(definitions, ", ")))
		if err != nil {
			return err
		}
		return load(ctx, tx)
	})
}

func execAll(ctx context.Context, tx pgx.Tx, statements ...string) error {
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("run %s: %w", brief(sql), err)
		}
	}
	return nil
}
