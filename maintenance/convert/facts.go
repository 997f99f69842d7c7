package convert

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/sql"
)

// facts are what the catalog says of a table beyond a snapshot.
type facts struct {
	stops       []Stop
	views       []view
	indexes     []index
	sequences   []sequence
	triggers    []trigger
	foreignKeys []foreignKey
	mentions    []string
	// taken are the names among those asked for that relations have.
	taken []partition.Name
}

type view struct{ Name, Statement, Owner string }

type index struct {
	Name, Definition, Contype, Constraint string
	// Narrow says that it is unique and lacks the key column.
	Narrow  bool
	Comment string
	Valid   bool
	// Key is the key column as the server quotes it.
	Key string
}

// bare is a definition without UNIQUE.
func bare(definition string) string { return strings.TrimPrefix(definition, "UNIQUE ") }

// wide is the definition with the key column in it.
func (i index) wide() string { return widened(i.Definition, i.Key) }

type sequence struct {
	Column, Name string
	Identity     bool
}

type trigger struct {
	Name, Definition, Enabled string
	ForRows                   bool
}

type foreignKey struct{ Name, Definition string }

// child is a partition of a declarative parent.
type child struct {
	OID           uint32
	Schema, Local string
	Default       bool
	Relkind       string
	Expression    string
	// Checked is whether there is a CHECK of the bounds, and a validated one.
	Checked *bool
}

// built is a unique index of a table.
type built struct {
	Table uint32
	Name  string
	Valid bool
}

func (c child) name() partition.Name { return partition.Name{Schema: c.Schema, Local: c.Local} }

// collect runs one of the texts in sql/convert.
func collect[T any](ctx context.Context, tx pgx.Tx, file string, to pgx.RowToFunc[T], args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, sql.Text("convert/"+file+".sql"), args...)
	if err != nil {
		return nil, fmt.Errorf("read %s of the table: %w", file, err)
	}
	out, err := pgx.CollectRows(rows, to)
	if err != nil {
		return nil, fmt.Errorf("read %s of the table: %w", file, err)
	}
	return out, nil
}

// look reads what the catalog says of a table, in one transaction that changes nothing.
func look(ctx context.Context, conn *pgx.Conn, set partition.Set, oid uint32, o Options, whole bool, names ...partition.Name) (f facts, err error) {
	err = reading(ctx, conn, func(tx pgx.Tx) error {
		if f.stops, err = collect(ctx, tx, "stops", pgx.RowToStructByPos[Stop], oid, set.Key, set.Trigger, o.WidenKeys, whole); err != nil {
			return err
		}
		if f.views, err = collect(ctx, tx, "views", pgx.RowToStructByPos[view], oid); err != nil {
			return err
		}
		if f.indexes, err = collect(ctx, tx, "indexes", pgx.RowToStructByPos[index], oid, set.Key); err != nil {
			return err
		}
		if f.sequences, err = collect(ctx, tx, "sequences", pgx.RowToStructByPos[sequence], oid); err != nil {
			return err
		}
		if f.triggers, err = collect(ctx, tx, "triggers", pgx.RowToStructByPos[trigger], oid); err != nil {
			return err
		}
		if f.foreignKeys, err = collect(ctx, tx, "foreign_keys", pgx.RowToStructByPos[foreignKey], oid); err != nil {
			return err
		}
		own := []string{set.Function.Local, set.Function.Local + "_create", set.Function.Local + "_fits"}
		if f.mentions, err = collect(ctx, tx, "mentions", pgx.RowTo[string], set.Parent.Local, own); err != nil {
			return err
		}
		for _, n := range names {
			found, err := relation(ctx, tx, n)
			if err != nil {
				return err
			}
			if found != 0 {
				f.taken = append(f.taken, n)
			}
		}
		return nil
	})
	return f, err
}

// reading runs f in a transaction that sees one state of the catalog and prints every
// name with its schema.
func reading(ctx context.Context, conn *pgx.Conn, f func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL search_path = pg_catalog; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL TimeZone = 'UTC'"); err != nil {
			return fmt.Errorf("prepare to read the catalog: %w", err)
		}
		return f(tx)
	})
}

// relation returns the OID of the relation with that name, 0 where there is none.
func relation(ctx context.Context, tx pgx.Tx, n partition.Name) (oid uint32, err error) {
	err = tx.QueryRow(ctx, `SELECT coalesce((SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2), 0)`, n.Schema, n.Local).Scan(&oid)
	if err != nil {
		return 0, fmt.Errorf("look for %s: %w", n, err)
	}
	return oid, nil
}
