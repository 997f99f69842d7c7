package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// PassNote is a pass for the history.
type PassNote struct {
	// Began is by the daemon's clock, and Took is how long the pass was at work.
	Began  time.Time
	Took   time.Duration
	Status string
	Sets   []string
	// Report is JSON of what was done; nil for a pass that had nothing to do, which
	// takes the place of the one before.
	Report []byte
	Agent  Agent
	// KeepPasses is how long passes are kept, KeepEvents how long removals and all else
	// in the history; zero is for ever.
	KeepPasses, KeepEvents partition.Interval
}

// write writes the note down where there is a table for it. It makes one for a
// pass that has done something, if the role may; see [makeHistory].
func (n *PassNote) write(ctx context.Context, conn *pgx.Conn, there bool) error {
	if !there && n.Report == nil {
		return nil
	}
	if !there {
		// A removal may have made it meanwhile.
		exists, err := tableExists(ctx, conn, "pass")
		if err == nil && !exists {
			exists, err = makeHistory(ctx, conn, "")
		}
		if err != nil || !exists {
			return err
		}
	}
	idle := ""
	if n.Report == nil {
		idle = n.Agent.Host + " " + strings.Join(n.Sets, " ")
	}
	var report *string
	if n.Report != nil {
		text := string(n.Report)
		report = &text
	}
	// The server's clock counts: with the daemon's, a wrong one would make the history forget.
	_, err := conn.Exec(ctx, `WITH t AS (SELECT pg_catalog.clock_timestamp() AS ended),
			old AS (DELETE FROM partitiond.pass WHERE $7 <> '' AND $5::jsonb IS NOT NULL AND ended_at < pg_catalog.now() - nullif($7, '')::interval)
		INSERT INTO partitiond.pass AS p (idle, began_at, ended_at, status, sets, report, host, version)
		SELECT nullif($1, ''), ended - $2::float8 * interval '1 second', ended, $3, $4, $5::jsonb, $6, $8 FROM t
		ON CONFLICT (idle) DO UPDATE SET passes = p.passes + 1, began_at = excluded.began_at, ended_at = excluded.ended_at, status = excluded.status,
			role = excluded.role, application = excluded.application, client_address = excluded.client_address, version = excluded.version`,
		pgx.QueryExecModeExec, // To prepare it first would be one more round trip.
		idle, n.Took.Seconds(), n.Status, n.Sets, report, n.Agent.Host, serverInterval(n.KeepPasses), n.Agent.Version)
	if err == nil && n.Report != nil && !n.KeepEvents.IsZero() {
		_, err = conn.Exec(ctx, "DELETE FROM partitiond.history WHERE at < pg_catalog.now() - $1::interval", serverInterval(n.KeepEvents))
	}
	if err != nil {
		return fmt.Errorf("write the pass into the history: %w", err)
	}
	return nil
}

// serverInterval is an interval as the server reads it, which knows no quarters.
func serverInterval(iv partition.Interval) string {
	if iv.Unit == partition.Quarter {
		iv = partition.Interval{N: 3 * iv.N, Unit: partition.Month}
	}
	return iv.String()
}

// RecordedPass is a row of the passes.
type RecordedPass struct {
	// Began and Ended are by the server's clock.
	Began, Ended time.Time
	Status       string
	Sets         []string
	// Passes is how many passes the row stands for: all that had nothing to do are
	// one, with the times of the last.
	Passes int64
	// Report is nil for a pass that had nothing to do.
	Report      json.RawMessage
	Role        string
	Application string
	Address     netip.Addr
	Agent       Agent
}

// Passes returns the passes that ended since a time, by their ends. With a parent
// they are those over its set, with the zero name all. Without the table the error
// is [ErrHistoryMissing].
func Passes(ctx context.Context, q Querier, parent partition.Name, since time.Time) ([]RecordedPass, error) {
	if exists, err := tableExists(ctx, q, "pass"); err != nil {
		return nil, err
	} else if !exists {
		return nil, ErrHistoryMissing
	}
	var set string
	if parent != (partition.Name{}) {
		set = parent.String()
	}
	rows, err := q.Query(ctx, `SELECT began_at, ended_at, status, sets, passes, report, role, coalesce(application, ''), coalesce(pg_catalog.host(client_address), ''), coalesce(host, ''), coalesce(version, '')
		FROM partitiond.pass WHERE ($1 = '' OR $1 = ANY (sets)) AND ended_at >= $2 ORDER BY ended_at, id`, set, since)
	if err != nil {
		return nil, fmt.Errorf("read the passes: %w", err)
	}
	passes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (RecordedPass, error) {
		var p RecordedPass
		var address string
		err := row.Scan(&p.Began, &p.Ended, &p.Status, &p.Sets, &p.Passes, &p.Report, &p.Role, &p.Application, &address, &p.Agent.Host, &p.Agent.Version)
		p.Address, _ = netip.ParseAddr(address) // Empty on a socket.
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the passes: %w", err)
	}
	return passes, nil
}
