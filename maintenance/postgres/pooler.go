package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrPooled says that the server connections are shared between transactions, as by
// pgbouncer in transaction mode. Settings of a session then get lost, or to others.
var ErrPooled = errors.New("a pooler shares the connections to the server between transactions: partitiond needs a direct connection, or session pooling (pgbouncer: pool_mode = session)")

const (
	// maxPoolProbes bounds how many connections are opened to find the one that a
	// pooler gives away; it is more than pools usually hold idle.
	maxPoolProbes = 50
	// probeWait bounds how long a full pool is waited for.
	probeWait = 20 * time.Second
)

// relayed tells whether something between us and the server answers for it: a
// pooler hands out cancel keys of its own (PostgreSQL documentation, 55.2.8
// Canceling Requests in Progress), and so the process that was announced is not the
// one that answers.
func relayed(conn *pgx.Conn, pid int32) bool { return conn.PgConn().PID() != uint32(pid) }

// Pooled tells whether there is a pooler between us and the server.
func (l *PassLock) Pooled() bool { return relayed(l.conn, l.pid) }

// CheckPooling fails with [ErrPooled] if connections do not keep their session
// between transactions. It marks a session, and then looks for the mark from other
// connections while each of those is in a transaction. If one finds it, or the first
// has lost it, sessions are shared. If one was made anew for this while the marked
// session was idle, they are not: a pooler takes what is idle first. The statements
// are sent as plain text, which needs nothing to be prepared.
func CheckPooling(ctx context.Context, connect func(context.Context) (*pgx.Conn, error)) error {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	first, err := connect(ctx)
	if err != nil {
		return err
	}
	defer first.Close(context.WithoutCancel(ctx))
	mark := rand.Text()
	marked, err := probe(ctx, first, fmt.Sprintf("SELECT pg_catalog.pg_backend_pid(), pg_catalog.set_config('partitiond.session', '%s', false), pg_catalog.clock_timestamp()", mark))
	if err != nil {
		return err
	}
	if marked[0] == fmt.Sprint(first.PgConn().PID()) {
		return nil
	}
	look := fmt.Sprintf("SELECT pg_catalog.current_setting('partitiond.session', true) IS NOT DISTINCT FROM '%s'", mark)
	for range maxPoolProbes {
		other, err := connect(ctx)
		if err != nil {
			return err
		}
		defer other.Close(context.WithoutCancel(ctx))
		seen, err := probe(ctx, other, fmt.Sprintf("BEGIN; %s, (SELECT backend_start > '%s' FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid())", look, marked[2]))
		if err != nil {
			return err
		}
		kept, err := probe(ctx, first, look)
		if err != nil {
			return err
		}
		switch {
		case seen[0] == "t" || kept[0] != "t":
			return ErrPooled
		case seen[1] == "t":
			return nil
		}
	}
	return fmt.Errorf("%w (or so it seems: %d further connections did not tell)", ErrPooled, maxPoolProbes)
}

// probe runs SQL as plain text and returns the last row.
func probe(ctx context.Context, conn *pgx.Conn, sql string) ([]string, error) {
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused):
		// Statement pooling refuses transactions.
		return nil, fmt.Errorf("%w (it says: %w)", ErrPooled, err)
	case err != nil:
		return nil, fmt.Errorf("look for a pooler: %w", err)
	}
	row := results[len(results)-1].Rows[0]
	texts := make([]string, len(row))
	for i, value := range row {
		texts[i] = string(value)
	}
	return texts, nil
}
