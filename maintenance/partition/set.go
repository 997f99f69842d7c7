package partition

import (
	"strings"
	"time"
)

// Set is a parent table and the policy that the configuration gives it. A Set
// from the config package is valid by construction.
type Set struct {
	// Parent is the table that people insert into and read from.
	Parent Name
	// Key is the column whose value decides a row's partition.
	Key string
	// Style is how the set is said to be partitioned; empty leaves that to the catalog.
	Style Style
	// KeyUnit is what a bigint key counts.
	KeyUnit KeyUnit
	// DefaultPartition makes a declarative set a DEFAULT partition where it has none.
	DefaultPartition bool
	// Interval is the width of the periods that are made.
	Interval Interval
	// Pattern names new partitions; they live in the parent's schema.
	Pattern Pattern
	// Location is the set's time zone. See [Set.Calendar].
	Location *time.Location
	// Ahead is how many periods after the current one are made in advance.
	Ahead int
	// FillGaps makes the missing periods between the oldest partition that
	// retention keeps and the current one, too.
	FillGaps bool
	// Trigger and Function are the names of the routing trigger and of its
	// function; of a declarative set, of those that tell of rows in its default partition. The function lives in its own schema, by default the parent's.
	Trigger  string
	Function Name
	// Takeover lets a pass replace a routing function that it does not know.
	Takeover bool
	// Window bounds the dates for which a row may make a table.
	Window Window
	// Retention says what becomes of old partitions.
	Retention Retention
	// Indexes tells whether missing indexes are built on existing partitions.
	Indexes bool
	// Grants tells how table and column privileges follow the parent's.
	Grants GrantMode
	// AnalyzeEvery is the age at which the parent's statistics are renewed even
	// though nothing changed; zero means never.
	AnalyzeEvery time.Duration
	// SweepBatch is how many rows one transaction moves out of the parent.
	SweepBatch int
	// Limits bound what a pass may ask of the server for this set.
	Limits Limits
}

// Window is how far from the server's present a row's date may lie to have a
// table made for it. Rows beyond stay in the parent and are reported: a client
// whose clock stands in 2097 must not make tables.
type Window struct{ Past, Future Interval }

// Style is how a set is partitioned.
type Style string

// The styles: tables that inherit from their parent, with a trigger that routes, and
// PARTITION BY.
const (
	Inheritance Style = "inheritance"
	Declarative Style = "declarative"
)

// GrantMode says how far privileges on partitions follow the parent's.
type GrantMode string

const (
	// GrantsAdd grants what the parent grants, and revokes nothing. It is the
	// default, for privileges given by hand to single partitions are common.
	GrantsAdd GrantMode = "add"
	// GrantsExact also revokes what the parent does not grant.
	GrantsExact GrantMode = "exact"
	// GrantsOff leaves the privileges of existing partitions alone.
	GrantsOff GrantMode = "off"
)

// Then is what becomes of a partition that is older than retention keeps.
type Then string

// The four fates. Detach takes the partition out of the parent and leaves the
// table; Archive writes it to a store, verifies that, and then drops it.
const (
	Keep    Then = "keep"
	Detach  Then = "detach"
	Archive Then = "archive"
	Drop    Then = "drop"
)

// Retention is the policy for old partitions.
type Retention struct {
	// Keep is how long a row is kept: a partition is due once its upper bound
	// is at least that old. Zero means forever.
	Keep Interval
	Then Then
	// Archive is the store's URL, for Then == Archive.
	Archive string
	// Schema is where detached tables are moved, for Then == Detach. Empty
	// leaves them where they are.
	Schema string
	// MaxShare is the share of a set's partitions, from 0 to 1, that may be
	// removed by one pass. More than that is taken for a mistake and nothing is
	// removed. One partition may always go.
	MaxShare float64
	// LateGrace is how long rows that came late for an archived period are left
	// in the table that the trigger made for them, for Then == Archive: so that the
	// archive gets one further export for all of them. Zero is not at all.
	LateGrace time.Duration
}

// Limits are the bounds of one set's statements. They become the settings of
// the session (PostgreSQL documentation, 20.11 Client Connection Defaults).
type Limits struct {
	// LockTimeout bounds the wait for each lock that writers could queue behind.
	LockTimeout time.Duration
	// ConcurrentTimeout bounds the waits of CREATE INDEX CONCURRENTLY and
	// VALIDATE CONSTRAINT, which wait for others but block no reader or writer.
	ConcurrentTimeout time.Duration
	// StatementTimeout bounds each statement; zero means no bound.
	StatementTimeout time.Duration
	// Retries is how often a statement is tried again after a lock timeout or a
	// deadlock, with exponential backoff and jitter.
	Retries int
	// RetryWait is the first backoff; it doubles up to MaxRetryWait.
	RetryWait, MaxRetryWait time.Duration
}

// Calendar returns the location in which the set's boundaries are midnights:
// the set's time zone for instants, UTC for wall clock readings, whose fields
// are the reading itself.
func (s Set) Calendar(key KeyType) *time.Location {
	if key.Instant() {
		return s.Location
	}
	return time.UTC
}

// Wall turns an instant of the server's clock into the set's terms: for
// keys that are instants the instant itself, otherwise what a clock on the wall in
// the set's time zone reads at that instant, expressed in UTC.
func (s Set) Wall(now time.Time, key KeyType) time.Time {
	if key.Instant() {
		return now.In(s.Location)
	}
	l := now.In(s.Location)
	return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), l.Second(), l.Nanosecond(), time.UTC)
}

// PeriodOf returns the set's period that holds t, which is in the set's terms.
func (s Set) PeriodOf(t time.Time, key KeyType) Period {
	return s.Interval.PeriodOf(t, s.Calendar(key))
}

// PartitionName returns the name of a new partition for p.
func (s Set) PartitionName(p Period, key KeyType) Name {
	loc := s.Calendar(key)
	if s.Interval.Unit == Hour {
		loc = time.UTC
	}
	return Name{Schema: s.Parent.Schema, Local: s.Pattern.Format(p.From.In(loc))}
}

// DefaultName returns the name of a new default partition.
func (s Set) DefaultName() Name {
	return Name{Schema: s.Parent.Schema, Local: BaseName(s.Parent) + "_default"}
}

// Current returns the period that holds the server's present.
func (s Set) Current(now time.Time, key KeyType) Period { return s.PeriodOf(s.Wall(now, key), key) }

// Cutoff returns the point that a partition's upper bound must not pass for the
// partition to be due. The second result is false where nothing is ever due.
func (s Set) Cutoff(now time.Time, key KeyType) (time.Time, bool) {
	if s.Retention.Keep.IsZero() || s.Retention.Then == Keep {
		return time.Time{}, false
	}
	return s.Retention.Keep.AddTo(s.Wall(now, key), -1), true
}

// BaseName is the parent's table name without a closing _master, _parent or
// _template: what names made from the parent's begin with by default.
func BaseName(parent Name) string {
	for _, suffix := range []string{"_master", "_parent", "_template"} {
		if base, ok := strings.CutSuffix(parent.Local, suffix); ok && base != "" {
			return base
		}
	}
	return parent.Local
}
