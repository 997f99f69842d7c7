package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// RestoredFrom returns the keys of the manifests that the table of this OID was
// restored from by [Session.Restore], in their order, or none: also where nothing
// was ever restored into this database.
func RestoredFrom(ctx context.Context, q Querier, oid uint32) ([]string, error) {
	there, err := tableExists(ctx, q, "restored")
	if err != nil || !there {
		return nil, err
	}
	rows, err := q.Query(ctx, `SELECT r.manifest_key FROM partitiond.restored r
		JOIN pg_catalog.pg_class c ON c.oid = r.partition_oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = $1 AND n.nspname = r.partition_schema AND c.relname = r.partition_name ORDER BY r.manifest_key`, oid)
	if err != nil {
		return nil, fmt.Errorf("look up what a partition was restored from: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look up what a partition was restored from: %w", err)
	}
	return keys, nil
}

// errNotesClosed says what the role lacks.
var errNotesClosed = errors.New("the role needs USAGE on the schema partitiond, and SELECT, INSERT and DELETE on its tables hold and restored")

// ensureNotes makes the tables of holds and of what was restored, where they are
// missing, and makes sure that the role may write to them: the long part comes
// before they are written to. What it makes is committed, for a second restore would
// wait for a first one that had made a table and was still loading.
func ensureNotes(ctx context.Context, conn *pgx.Conn) error {
	if err := InstallTables(ctx, conn); err != nil {
		return err
	}
	var may bool
	err := conn.QueryRow(ctx, `SELECT pg_catalog.bool_and(pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
			AND pg_catalog.has_table_privilege(c.oid, 'INSERT') AND pg_catalog.has_table_privilege(c.oid, 'DELETE'))
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'partitiond' AND c.relname IN ('hold', 'restored')`).Scan(&may)
	if err != nil {
		return fmt.Errorf("look for the right to hold and to note what is restored: %w", err)
	}
	if !may {
		return errNotesClosed
	}
	return nil
}

// noteRestored writes down what a table was restored from, and forgets tables
// that are gone.
func noteRestored(ctx context.Context, tx pgx.Tx, parent, table partition.Name, oid uint32, keys []string) error {
	// A dump may have brought notes under OIDs that are others' here.
	_, err := tx.Exec(ctx, `DELETE FROM partitiond.restored r WHERE r.partition_oid = $1
		OR NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = r.partition_oid)`, oid)
	if err == nil {
		_, err = tx.Exec(ctx, `INSERT INTO partitiond.restored (partition_oid, partition_schema, partition_name, parent_schema, parent_name, manifest_key)
			SELECT $1, $2, $3, $4, $5, key FROM pg_catalog.unnest($6::text[]) AS k (key)`,
			oid, table.Schema, table.Local, parent.Schema, parent.Local, keys)
	}
	if err != nil {
		return fmt.Errorf("note what %s was restored from: %w", table, err)
	}
	return nil
}
