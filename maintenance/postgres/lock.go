package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// passLockClass is the first key of the advisory lock that one pass over one
// set holds; the second is a hash of the parent's name.
const passLockClass int32 = 0x70617274 // "part"

// PassLock keeps other instances from passing over the same sets at the same
// time. The locks belong to a transaction that stays open on a connection of
// its own: they end with it, whether it ends well or dies, and a pooler that
// shares server connections cannot hand them to somebody else in between, as it
// can session locks (PostgreSQL documentation, 13.3.5 Advisory Locks). The
// transaction holds no snapshot while it waits, so it holds back no vacuum.
type PassLock struct {
	conn *pgx.Conn
	pid  int32
	held []bool
	// passes tells that there is a table for [PassLock.ReleaseNoting].
	passes bool
}

// AcquirePassLock tries to lock every set, in one round trip, on a connection
// that is the lock's from then on. It does not wait.
func AcquirePassLock(ctx context.Context, conn *pgx.Conn, sets []partition.Set) (*PassLock, error) {
	l := &PassLock{conn: conn, held: make([]bool, len(sets))}
	names := make([]string, len(sets))
	for i, s := range sets {
		names[i] = s.Parent.String()
	}
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue("SET LOCAL idle_in_transaction_session_timeout = 0")
	batch.Queue("SELECT pg_backend_pid()").QueryRow(func(row pgx.Row) error { return row.Scan(&l.pid) })
	batch.Queue(`SELECT n, pg_try_advisory_xact_lock($1, hashtext(name))
		FROM unnest($2::text[]) WITH ORDINALITY AS t(name, n)`, passLockClass, names).Query(func(rows pgx.Rows) error {
		var n int64
		var ok bool
		_, err := pgx.ForEachRow(rows, []any{&n, &ok}, func() error { l.held[n-1] = ok; return nil })
		return err
	})
	batch.Queue("SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'partitiond' AND c.relname = 'pass')").
		QueryRow(func(row pgx.Row) error { return row.Scan(&l.passes) })
	batch.Queue(noticeDeath(true))
	// In the extended protocol a query keeps its snapshot until the next statement
	// takes its portal's place (PostgreSQL documentation, 55.2.3 Extended Query).
	// With one, every CREATE INDEX CONCURRENTLY would wait for this transaction.
	batch.Queue("SET LOCAL statement_timeout = 0")
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("lock the sets against other instances: %w", err)
	}
	return l, nil
}

// noticeDeath is SQL that lets the server notice within half a minute that the
// machine at the other end is gone without a word, and so let go of its locks
// (PostgreSQL documentation, 20.3.2 TCP Settings); by default that takes two hours.
// It means nothing on a Unix socket. While a statement runs only the last setting
// looks, and some systems do not have it. What a role or database may have set to end
// sessions and transactions that take long is not for us, who bound each wait: a pass
// and a listener last, and so does a build. Before PostgreSQL 17 there is no
// transaction_timeout.
func noticeDeath(local bool) string {
	return fmt.Sprintf(`DO $$ BEGIN
		PERFORM pg_catalog.set_config(name, setting, %[1]t) FROM (VALUES ('tcp_keepalives_idle', '15'), ('tcp_keepalives_interval', '5'),
			('tcp_keepalives_count', '3'), ('tcp_user_timeout', '30s'), ('idle_session_timeout', '0'), ('transaction_timeout', '0')) AS s (name, setting)
			WHERE pg_catalog.current_setting(name, true) IS NOT NULL;
		BEGIN
			PERFORM pg_catalog.set_config('client_connection_check_interval', '10s', %[1]t);
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END $$`, local)
}

// Held tells whether the i-th set was free and is ours now.
func (l *PassLock) Held(i int) bool { return l.held[i] }

// Release ends the transaction and closes the connection.
func (l *PassLock) Release(ctx context.Context) error { return l.ReleaseNoting(ctx, nil) }

// ReleaseNoting does what Release does, and in between writes a pass down, on the
// same connection: an idle pass asks the server one thing more.
func (l *PassLock) ReleaseNoting(ctx context.Context, n *PassNote) error {
	_, err := l.conn.Exec(ctx, "ROLLBACK")
	if err == nil && n != nil {
		err = n.write(ctx, l.conn, l.passes)
	}
	return errors.Join(err, l.conn.Close(ctx))
}

// ErrLockLost says that the pass is no longer alone.
var ErrLockLost = errors.New("the pass lock was lost: its connection is gone")

// stillHeld asks the server, as in the transaction that is about to remove
// something, whether the pass lock's session still holds it.
func (l *PassLock) stillHeld(ctx context.Context, q Querier, set partition.Set) error {
	var held bool
	err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_locks
		WHERE locktype = 'advisory' AND granted AND pid = $1
		  AND classid::bigint = $2::bigint AND objid = hashtext($3)::oid)`,
		l.pid, int64(passLockClass), set.Parent.String()).Scan(&held)
	switch {
	case err != nil:
		return fmt.Errorf("look for the pass lock: %w", err)
	case !held:
		return ErrLockLost
	}
	return nil
}

// upgradePause is how long an upgrade waits before it tries again.
const upgradePause = 10 * time.Millisecond

// upgrade takes a stronger lock on a table than the transaction holds already.
// It tries, and never queues: somebody who has read the table in his
// transaction, and now waits to write to it because of the weaker lock, would wait
// for the upgrade and the upgrade for him, and the server ends whoever
// completes that circle, at once and without regard to deadlock_timeout.
func upgrade(ctx context.Context, tx pgx.Tx, limit time.Duration, lock string) error {
	for until := time.Now().Add(limit); ; {
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, lock+" NOWAIT")
			return err
		})
		if err == nil {
			return nil
		}
		if !retryable(err) || !time.Now().Before(until) {
			return fmt.Errorf("run %s NOWAIT: %w", lock, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(upgradePause):
		}
	}
}
