package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Blocker is a session, or a prepared transaction, that an action waited for.
type Blocker struct {
	// PID is the session's; 0 is for a prepared transaction.
	PID int32
	// Prepared is the identifier of a prepared transaction, which no session has any
	// more. State is "prepared" then, User its owner, and Since when it was prepared.
	Prepared    string
	Application string
	User        string
	// State is as in pg_stat_activity, such as "idle in transaction".
	State string
	// Since is when its transaction began, and QueryBegan when the query that it runs,
	// or ran last, did, by the server's clock. They are zero, and State is empty, where
	// the daemon's role may not see them for want of pg_read_all_stats.
	Since, QueryBegan time.Time
	// Age is how long its transaction had been open; zero where Since is.
	Age time.Duration
	// Mode is the lock that it held, as in pg_locks, or "snapshot" where only that
	// was waited for.
	Mode string
	// Table is what the lock was on: a table, or "the set's creation lock".
	Table string
}

// String returns one line for people.
func (b Blocker) String() string {
	if b.Prepared != "" {
		gid := quoteLiteral(b.Prepared)
		return fmt.Sprintf("prepared transaction %s of %s, open for %s, %s on %s, until COMMIT PREPARED %[1]s or ROLLBACK PREPARED %[1]s",
			gid, b.User, b.Age.Round(time.Millisecond), b.Mode, b.Table)
	}
	text := fmt.Sprintf("pid %d", b.PID)
	if b.Application != "" {
		text += fmt.Sprintf(" (%s)", b.Application)
	}
	if b.User != "" {
		text += " of " + b.User
	}
	if b.State != "" {
		text += ", " + b.State
	}
	if !b.Since.IsZero() {
		text += fmt.Sprintf(", transaction open for %s", b.Age.Round(time.Millisecond))
	}
	if !b.QueryBegan.IsZero() {
		text += ", query since " + b.QueryBegan.UTC().Format(time.RFC3339)
	}
	if b.Table == "" {
		return text + ", " + b.Mode
	}
	return text + fmt.Sprintf(", %s on %s", b.Mode, b.Table)
}

// conflicts are the locks that keep a lock from being granted (PostgreSQL
// documentation, 13.3.1 Table-Level Locks), by the names of pg_locks.
var conflicts = map[string][]string{
	"AccessShareLock":          {"AccessExclusiveLock"},
	"RowExclusiveLock":         {"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"},
	"ShareUpdateExclusiveLock": {"ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"},
	"ShareLock":                {"RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"},
	"ShareRowExclusiveLock":    {"RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"},
	"AccessExclusiveLock": {"AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock",
		"ExclusiveLock", "AccessExclusiveLock"},
}

// waits is what an action may come to wait for.
type waits struct {
	// tables and modes are locks that are in the way, pair by pair.
	tables []uint32
	modes  []string
	// parent is the set's, whose creation lock is taken; 0 if it is not.
	parent uint32
	// snapshots says that every transaction with a snapshot is waited for.
	snapshots bool
}

func (w *waits) lock(table uint32, mode string) {
	for _, m := range conflicts[mode] {
		w.tables, w.modes = append(w.tables, table), append(w.modes, m)
	}
}

// waitsOf tells what a step of an action waits for; aside says that the step is one
// that blocks neither readers nor writers while it waits.
func waitsOf(snap partition.Snapshot, a partition.Action, aside bool) (w waits) {
	parent := snap.Parent.OID
	switch a.Kind {
	case partition.CreateDefault:
		w.parent = parent
		w.lock(parent, "ShareUpdateExclusiveLock")
	case partition.Notify:
		w.lock(a.OID, "ShareRowExclusiveLock")
	case partition.Create, partition.Attach:
		w.parent = parent
		w.lock(parent, "ShareUpdateExclusiveLock")
		if snap.Default != nil {
			w.lock(snap.Default.OID, "AccessExclusiveLock")
		}
	case partition.RouteRows:
		w.lock(parent, "ShareRowExclusiveLock")
	case partition.Sweep:
		w.lock(parent, "RowExclusiveLock")
		w.lock(a.OID, "RowExclusiveLock")
	case partition.Analyze:
		w.lock(a.OID, "ShareUpdateExclusiveLock")
	case partition.Retire:
		w.parent = parent
		w.lock(parent, "AccessShareLock")
		w.lock(a.OID, "AccessExclusiveLock")
		if snap.Parent.Declarative {
			// To detach a partition waits for whoever may still look at it.
			w.lock(parent, "AccessExclusiveLock")
			w.snapshots = snap.Default == nil && !snap.Parent.Distributed
		}
	case partition.Finalize:
		w.lock(parent, "ShareUpdateExclusiveLock")
		w.lock(a.OID, "AccessExclusiveLock")
		w.snapshots = true
	case partition.Index:
		// CREATE INDEX CONCURRENTLY waits for writers of the table, and in the end for
		// whoever could still look at what the index lacks (PostgreSQL documentation,
		// CREATE INDEX, Building Indexes Concurrently).
		w.snapshots = aside
		fallthrough
	default:
		mode := "AccessExclusiveLock"
		if aside {
			mode = "ShareUpdateExclusiveLock"
		}
		if aside && a.Kind == partition.Index {
			w.lock(a.OID, "ShareLock")
		}
		w.lock(a.OID, mode)
	}
	return w
}

// creationLock is what stands for a table where the set's creation lock was held.
const creationLock = "the set's creation lock"

// blockers names the sessions and prepared transactions that are in the way, the oldest transaction first. It
// is asked right after the wait has ended, so it may miss one that has just ended, too.
func (s *Session) blockers(ctx context.Context, w waits) []Blocker {
	rows, err := s.conn.Query(ctx, `WITH b AS (
			SELECT l.pid, l.virtualtransaction, l.mode, l.relation::regclass::text AS what
			  FROM pg_locks AS l JOIN unnest($1::oid[], $2::text[]) AS w (relation, mode) ON w.relation = l.relation AND w.mode = l.mode
			 WHERE l.granted AND l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
			UNION
			SELECT l.pid, l.virtualtransaction, l.mode, $6
			  FROM pg_locks AS l
			 WHERE l.granted AND l.locktype = 'advisory' AND l.classid::bigint = $3 AND l.objid = $4 AND l.objsubid = 2
			   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
			UNION
			SELECT x.pid, '', 'snapshot', ''
			  FROM pg_stat_activity AS x
			 WHERE $5 AND x.backend_xmin IS NOT NULL AND x.backend_type = 'client backend' AND x.datname = current_database()
		)
		SELECT pid, gid, coalesce(application, ''), coalesce(owner, ''), coalesce(state, ''),
		       coalesce(since, '0001-01-01 00:00:00+00'), coalesce(query_start, '0001-01-01 00:00:00+00'),
		       coalesce(greatest(clock_timestamp() - since, interval '0'), interval '0'), mode, what
		  FROM (
			SELECT a.pid, '' AS gid, a.application_name AS application, a.usename::text AS owner, a.state, a.xact_start AS since, a.query_start, b.mode, b.what
			  FROM b JOIN pg_stat_activity AS a USING (pid)
			 WHERE a.pid <> pg_backend_pid()
			UNION ALL
			-- No process holds its locks; the one on its own transaction id says which they are.
			SELECT 0, p.gid, NULL, p.owner::text, 'prepared', p.prepared, NULL, b.mode, b.what
			  FROM pg_prepared_xacts AS p
			  JOIN pg_locks AS x ON x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.granted AND x.pid IS NULL
			  JOIN b ON b.pid IS NULL AND b.virtualtransaction = x.virtualtransaction
		  ) AS w
		 ORDER BY since NULLS LAST, pid, gid, mode = 'snapshot', what LIMIT 100`,
		w.tables, w.modes, int64(setLockClass), w.parent, w.snapshots, creationLock)
	if err != nil {
		return nil // It is a courtesy; the lock timeout itself is what is reported.
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Blocker])
	if err != nil {
		return nil
	}
	// One line for each will do.
	all = slices.CompactFunc(all, func(a, b Blocker) bool { return a.PID == b.PID && a.Prepared == b.Prepared })
	return all[:min(len(all), 5)]
}
