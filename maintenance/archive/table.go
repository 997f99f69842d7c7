package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/archive/parquetfile"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// ErrOtherTable says that the table of the given name is not the one meant: it
// has another OID, or is in another database.
var ErrOtherTable = errors.New("not the table that was meant")

// configure gives the rest of the transaction the settings under which values
// print as they read. Moreover it turns row_security off, so that policies which
// hide rows from the role make an error and not an archive that lacks them
// (PostgreSQL documentation, 5.8 Row Security Policies).
func configure(ctx context.Context, tx pgx.Tx) error {
	if err := parquetfile.Configure(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SELECT pg_catalog.set_config('row_security', 'off', true)"); err != nil {
		return fmt.Errorf("setting row_security: %w", err)
	}
	return nil
}

// table is what the catalog says of a table.
type table struct {
	name      partition.Name
	source    Source
	columns   []Column
	generated []Column
	// method is how its rows can be told apart best.
	method HashMethod
}

// sql returns the name as SQL.
func (t table) sql() string { return quoted(t.name) }

func quoted(n partition.Name) string { return pgx.Identifier{n.Schema, n.Local}.Sanitize() }

// columnList returns the columns as SQL.
func columnList(columns []Column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = pgx.Identifier{c.Name}.Sanitize()
	}
	return strings.Join(names, ", ")
}

// look reads the catalog. The caller holds a lock on the table.
func look(ctx context.Context, tx pgx.Tx, name partition.Name) (table, error) {
	t := table{name: name, source: Source{Table: Name(name)}}
	var kind string
	s := &t.source
	err := tx.QueryRow(ctx, `
		SELECT c.oid, c.relkind::text, d.datname, d.oid, pg_encoding_to_char(d.encoding), current_setting('server_version')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_database d
		WHERE n.nspname = $1 AND c.relname = $2 AND d.datname = current_database()`, name.Schema, name.Local).
		Scan(&s.OID, &kind, &s.Database, &s.DatabaseOID, &s.Encoding, &s.ServerVersion)
	if err != nil {
		return t, fmt.Errorf("looking up %s: %w", name, err)
	}
	if kind != "r" {
		return t, fmt.Errorf("%s cannot be archived: its relkind is %q, and only ordinary tables (r) can", name, kind)
	}
	if err := t.lookAtCluster(ctx, tx); err != nil {
		return t, err
	}
	return t, t.lookAtColumns(ctx, tx)
}

// lookAtCluster asks what some roles may not ask and some servers cannot
// answer, each in a savepoint of its own.
func (t *table) lookAtCluster(ctx context.Context, tx pgx.Tx) error {
	try := func(query string, into *string) error {
		sp, err := tx.Begin(ctx)
		if err != nil {
			return fmt.Errorf("setting a savepoint: %w", err)
		}
		err = sp.QueryRow(ctx, query).Scan(into)
		if err := sp.Rollback(ctx); err != nil {
			return fmt.Errorf("returning to a savepoint: %w", err)
		}
		// Whatever the server objects to, it does not tell; but class 57 is a
		// person or a timeout that wants the whole export to end.
		if pe, ok := errors.AsType[*pgconn.PgError](err); ok && !strings.HasPrefix(pe.Code, "57") {
			*into = ""
			return nil
		}
		if err != nil {
			return fmt.Errorf("identifying the cluster: %w", err)
		}
		return nil
	}
	if err := try("SELECT system_identifier::text FROM pg_control_system()", &t.source.SystemIdentifier); err != nil {
		return err
	}
	// The name of the present WAL file begins with the timeline, in hexadecimal
	// (9.27 System Administration Functions). pg_control_checkpoint() would tell the
	// last checkpoint's, which lags behind a promotion.
	var file string
	if err := try("SELECT pg_walfile_name(pg_current_wal_insert_lsn())", &file); err != nil {
		return err
	}
	if len(file) >= 8 {
		timeline, err := strconv.ParseUint(file[:8], 16, 32)
		if err != nil {
			return fmt.Errorf("reading the timeline from the WAL file's name: %w", err)
		}
		t.source.Timeline = uint32(timeline)
	}
	return nil
}

// lookAtColumns reads the columns and decides the method.
func (t *table) lookAtColumns(ctx context.Context, tx pgx.Tx) error {
	var hasHash bool
	err := tx.QueryRow(ctx, `SELECT to_regprocedure('hash_record_extended(record, bigint)') IS NOT NULL`).Scan(&hasHash)
	if err != nil {
		return fmt.Errorf("looking for hash_record_extended: %w", err)
	}
	rows, err := tx.Query(ctx, `
		SELECT a.attname::text, format_type(a.atttypid, a.atttypmod),
			a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint k
				WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey[1] = a.attnum AND NOT k.convalidated),
			CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) ELSE '' END,
			a.atttypid = ANY ($2::text[]::regtype[]) AND coalesce(l.collisdeterministic, true)
		FROM pg_attribute a
		LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		LEFT JOIN pg_collation l ON l.oid = a.attcollation
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY a.attnum`, t.source.OID, identical)
	if err != nil {
		return fmt.Errorf("reading the columns of %s: %w", t.name, err)
	}
	t.method = HashText
	if hasHash {
		t.method = HashRecord
	}
	var c Column
	var exact bool
	_, err = pgx.ForEachRow(rows, []any{&c.Name, &c.Type, &c.NotNull, &c.Generated, &exact}, func() error {
		if c.Generated != "" {
			t.generated = append(t.generated, c)
			return nil
		}
		t.columns = append(t.columns, c)
		if !exact {
			t.method = HashText
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the columns of %s: %w", t.name, err)
	}
	if len(t.columns) == 0 {
		return fmt.Errorf("%s cannot be archived: it has no columns to export", t.name)
	}
	return nil
}

// key finds the key column among those that are exported.
func (t table) key(column string) (Key, error) {
	i := slices.IndexFunc(t.columns, func(c Column) bool { return c.Name == column })
	if i < 0 {
		return Key{}, fmt.Errorf("%s has no column %q to export", t.name, column)
	}
	return Key{Column: column, Type: t.columns[i].Type}, nil
}

// clock returns the server's clock, in UTC.
func clock(ctx context.Context, tx pgx.Tx) (time.Time, error) {
	var t time.Time
	if err := tx.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&t); err != nil {
		return t, fmt.Errorf("reading the server's clock: %w", err)
	}
	return t.UTC(), nil
}
