package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// sizesTimeouts bound what a look at sizes may wait for: somebody is waiting for
// the page, and sizes are not worth a queue behind a lock.
const sizesTimeouts = "SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = '5s'"

// SQLSTATEs (PostgreSQL documentation, Appendix A PostgreSQL Error Codes).
const (
	lockNotAvailable = "55P03"
	queryCanceled    = "57014"
)

// Sizes returns what tables take on disk with their indexes and TOAST, in bytes and
// by OID; tables that are gone are not in it. The function opens each table with
// ACCESS SHARE (PostgreSQL documentation, 9.27.7 Database Object Management
// Functions), for which it waits a tenth of a second at most: where one of them is
// locked, or there are too many to look at, the answer is nil.
func Sizes(ctx context.Context, conn *pgx.Conn, oids []uint32) (map[uint32]int64, error) {
	sizes := make(map[uint32]int64, len(oids))
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, sizesTimeouts); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT oid, size FROM (
			SELECT oid, pg_catalog.pg_total_relation_size(oid) AS size FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS t (oid)) AS s
			WHERE size IS NOT NULL`, oids)
		if err != nil {
			return err
		}
		var oid uint32
		var size int64
		_, err = pgx.ForEachRow(rows, []any{&oid, &size}, func() error {
			sizes[oid] = size
			return nil
		})
		return err
	})
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && (e.Code == lockNotAvailable || e.Code == queryCanceled) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the sizes of %d tables: %w", len(oids), err)
	}
	return sizes, nil
}
