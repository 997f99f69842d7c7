package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Agent is the program that acts, as the history names it.
type Agent struct {
	// Host is the machine's name.
	Host string
	// Version is the program's.
	Version string
}

// EventKind is what happened to a partition or to the holds.
type EventKind string

// The kinds of events. The first three are removals.
const (
	Dropped  EventKind = "drop"
	Detached EventKind = "detach"
	// ArchivedAndDropped is the removal of a partition that is in an archive.
	ArchivedAndDropped EventKind = "archive"
	Restored           EventKind = "restore"
	// HoldMade also is a hold that was changed, and HoldEnded one that was removed.
	HoldMade  EventKind = "hold"
	HoldEnded EventKind = "release"
	// Converted is a change of the way of partitioning or its end, Partitioned the making
	// of a set out of a table, and Drained the cutting of a partition into periods.
	Converted   EventKind = "convert"
	Partitioned EventKind = "partition"
	Drained     EventKind = "drain"
)

// Removal tells whether the event took a partition away.
func (k EventKind) Removal() bool { return k == Dropped || k == Detached || k == ArchivedAndDropped }

// Event is a row of the history.
type Event struct {
	ID int64
	// At is when the transaction began that did it, by the server's clock.
	At     time.Time
	Kind   EventKind
	Parent partition.Name
	// Partition and OID are those of the table; a hold has none, but that of one table
	// has the OID, and neither has what concerns a whole set.
	Partition partition.Name
	OID       uint32
	// Bounds are written as those of a hold are.
	Bounds partition.Bounds
	// Rows is -1 where nothing is known of them, and Exact tells that they were counted.
	Rows  int64
	Exact bool
	// Bytes are those of the table with its indexes and all else, right before it was
	// removed; -1 where that does not apply, as with ArchiveBytes.
	Bytes int64
	// Moved is where a detached partition has gone to.
	Moved partition.Name
	// Archives are the URLs of the manifests.
	Archives     []string
	ArchiveBytes int64
	// Hold is the number of a hold that was made or ended, and Until its end, zero for
	// ever.
	Hold   int64
	Until  time.Time
	Reason string
	// Role is the one that was logged in, ActedAs the one that the transaction acted as.
	Role, ActedAs string
	// Application and Address are the session's. The address is invalid on a socket.
	Application string
	Address     netip.Addr
	Agent       Agent
}

// ErrHistoryMissing says that the tables of the history do not exist.
var ErrHistoryMissing = errors.New("there is no table partitiond.history")

// ensureHistory makes the history where it is missing, in a transaction of its
// own, and remembers that it is there. Whether the role may write to it the
// removal itself shows. Without the right to make it removals go on.
func (s *Session) ensureHistory(ctx context.Context, set partition.Set, snap partition.Snapshot, out *Outcome) error {
	if s.recorded {
		return nil
	}
	return s.retry(ctx, set, out, func() error {
		if err := s.limit(ctx, set, false); err != nil {
			return err
		}
		exists, err := tableExists(ctx, s.conn, "history")
		if err == nil && !exists {
			exists, err = makeHistory(ctx, s.conn, snap.Parent.Owner)
		}
		s.recorded = err == nil && exists
		return err
	})
}

// makeHistory makes the tables, if the role may, and tells whether they are there
// then. A superuser does so only where he owns the set: he makes one pass by hand,
// and afterwards the daemon's role could not read the holds.
func makeHistory(ctx context.Context, conn *pgx.Conn, owner string) (made bool, err error) {
	var usual bool
	if err := conn.QueryRow(ctx, "SELECT NOT rolsuper OR rolname = $1 FROM pg_catalog.pg_roles WHERE rolname = session_user", owner).Scan(&usual); err != nil {
		return false, fmt.Errorf("look at the session's role: %w", err)
	}
	if !usual {
		return false, nil
	}
	if err := makeTables(ctx, conn); errors.Is(err, ErrHoldsMissing) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, nil
}

// aboutToGo describes a partition that is locked and about to be removed.
func (s *Session) aboutToGo(ctx context.Context, tx pgx.Tx, set partition.Set, snap partition.Snapshot, a partition.Action, archived Archived) (Event, error) {
	e := Event{Kind: EventKind(a.Then), Parent: set.Parent, Partition: a.Table, OID: a.OID, Bounds: a.Bounds, Rows: -1, Bytes: -1, ArchiveBytes: -1, Reason: a.Reason, Agent: s.Agent, ActedAs: snap.Parent.Owner}
	if !s.recorded {
		return e, nil
	}
	// reltuples is -1 where nothing was ever counted (PostgreSQL documentation, 53.11 pg_class).
	measure := `SELECT pg_catalog.pg_total_relation_size(oid), CASE WHEN pg_catalog.pg_relation_size(oid) = 0 THEN 0 ELSE reltuples END::bigint
		FROM pg_catalog.pg_class WHERE oid = $1`
	if snap.Parent.Distributed {
		measure = "SELECT pg_catalog.citus_total_relation_size($1::pg_catalog.oid), -1"
	}
	err := tx.QueryRow(ctx, measure, a.OID).Scan(&e.Bytes, &e.Rows)
	if err != nil {
		return e, fmt.Errorf("measure %s: %w", a.Table, err)
	}
	e.Exact = e.Rows == 0
	if a.Then == partition.Archive {
		e.Rows, e.Exact, e.Archives, e.ArchiveBytes = archived.Rows, true, archived.URLs, archived.Bytes
	}
	if a.Then == partition.Detach {
		e.Moved = a.Table
	}
	return e, nil
}

// noteChange writes an event that a plan brings along, if there is a history; as
// the session's own role in a transaction that acts as another.
func (s *Session) noteChange(ctx context.Context, tx pgx.Tx, role string, e *Event, out *Outcome) error {
	switch {
	case e == nil:
		return nil
	case !s.recorded:
		out.Unrecorded = true
		return nil
	}
	return asSession(ctx, tx, role, func() error { return s.note(ctx, tx, *e) })
}

// note writes an event into the history.
func (s *Session) note(ctx context.Context, tx pgx.Tx, e Event) error {
	_, err := tx.Exec(ctx, `INSERT INTO partitiond.history (event, parent_schema, parent_name, partition_schema, partition_name, partition_oid, lower, upper,
			rows, rows_exact, bytes, moved_schema, moved_name, archives, archive_bytes, hold_id, hold_until, reason, acted_as, host, version)
		VALUES ($1, $2, $3, nullif($4, ''), nullif($5, ''), nullif($6, 0::oid), $7, $8, nullif($9::bigint, -1), $10, nullif($11::bigint, -1), nullif($12, ''), nullif($13, ''), coalesce($14::text[], '{}'), nullif($15::bigint, -1),
			nullif($16::bigint, 0), $17, $18, $19, $20, $21)`,
		string(e.Kind), e.Parent.Schema, e.Parent.Local, e.Partition.Schema, e.Partition.Local, e.OID, boundArg(e.Bounds.From), boundArg(e.Bounds.To),
		e.Rows, e.Exact, e.Bytes, e.Moved.Schema, e.Moved.Local, e.Archives, e.ArchiveBytes,
		e.Hold, pgtype.Timestamptz{Time: e.Until, Valid: !e.Until.IsZero()}, e.Reason, e.ActedAs, e.Agent.Host, e.Agent.Version)
	if err != nil {
		return fmt.Errorf("write to partitiond.history, without which nothing is done (the role needs USAGE on the schema, and SELECT and INSERT on the table): %w", err)
	}
	return nil
}

// Events returns what has happened to the set of a parent, or to all sets for the
// zero name, since a time, in the order in which it was written. Without the table
// the error is [ErrHistoryMissing].
func Events(ctx context.Context, q Querier, parent partition.Name, since time.Time) ([]Event, error) {
	if exists, err := tableExists(ctx, q, "history"); err != nil {
		return nil, err
	} else if !exists {
		return nil, ErrHistoryMissing
	}
	rows, err := q.Query(ctx, `SELECT id, at, event, parent_schema, parent_name, coalesce(partition_schema, ''), coalesce(partition_name, ''), coalesce(partition_oid, 0), lower, upper,
			coalesce(rows, -1), rows_exact, coalesce(bytes, -1), coalesce(moved_schema, ''), coalesce(moved_name, ''), archives, coalesce(archive_bytes, -1),
			coalesce(hold_id, 0), hold_until, reason, role, acted_as, coalesce(application, ''), coalesce(pg_catalog.host(client_address), ''), coalesce(host, ''), coalesce(version, '')
		FROM partitiond.history WHERE ($1 = '' OR (parent_schema, parent_name) = ($1, $2)) AND at >= $3 ORDER BY id`,
		parent.Schema, parent.Local, pgtype.Timestamptz{Time: since, Valid: true})
	if err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Event, error) {
		var e Event
		var lower, upper, until pgtype.Timestamptz
		var address string
		err := row.Scan(&e.ID, &e.At, &e.Kind, &e.Parent.Schema, &e.Parent.Local, &e.Partition.Schema, &e.Partition.Local, &e.OID, &lower, &upper,
			&e.Rows, &e.Exact, &e.Bytes, &e.Moved.Schema, &e.Moved.Local, &e.Archives, &e.ArchiveBytes,
			&e.Hold, &until, &e.Reason, &e.Role, &e.ActedAs, &e.Application, &address, &e.Agent.Host, &e.Agent.Version)
		e.Bounds = partition.Bounds{From: edgeOf(lower, partition.MinusInfinity), To: edgeOf(upper, partition.PlusInfinity)}
		e.Until = until.Time.UTC()
		e.Address, _ = netip.ParseAddr(address) // Empty on a socket.
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	return events, nil
}

// TablesByOID returns the present names of tables by their OIDs; those that are
// gone are not in it.
func TablesByOID(ctx context.Context, q Querier, oids []uint32) (map[uint32]partition.Name, error) {
	names := map[uint32]partition.Name{}
	rows, err := q.Query(ctx, `SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = ANY ($1) AND c.relkind IN ('r', 'p')`, oids)
	if err == nil {
		var oid uint32
		var name partition.Name
		_, err = pgx.ForEachRow(rows, []any{&oid, &name.Schema, &name.Local}, func() error { names[oid] = name; return nil })
	}
	if err != nil {
		return nil, fmt.Errorf("look tables up: %w", err)
	}
	return names, nil
}
