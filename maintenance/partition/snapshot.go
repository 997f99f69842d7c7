package partition

import "time"

// Snapshot is all that one observation saw of one set.
type Snapshot struct {
	Server Server
	// Parent is nil where no such table exists.
	Parent *Parent
	// Partitions are the parent's children, ordered by their name.
	Partitions []Partition
	// Default is the DEFAULT partition of a declarative set, nil where there is none.
	// It is none of Partitions: it has no bounds of its own. Its Bytes are exact, unless
	// the set is distributed.
	Default *Partition
	// Detaching are the partitions that an interrupted DETACH CONCURRENTLY has begun to
	// take out, and Detached those tables that a pass has taken out and has not got to
	// the end with; both of declarative sets alone.
	Detaching, Detached []Partition
	// Strays are the rows that sit in the parent itself, or in the default partition of
	// a declarative set. StraysUnseen is why they could not be looked for.
	Strays       []Stray
	StraysUnseen string
	// Taken are the tables, views, sequences and types of the parent's schema
	// that have a name which the pattern could make, or that a default partition would
	// have, and are not partitions of the set.
	Taken []Name
	// Holds are those of the set, by their ID; some may be over. HoldsUnseen is
	// why they could not be read: then nothing may be removed.
	Holds       []Hold
	HoldsUnseen string
}

// Server is what was seen of the server as a whole.
type Server struct {
	// Now is the server's clock when the observation began.
	Now time.Time
	// Skew is the server's clock minus this machine's, as well as the round trip lets it be told.
	Skew time.Duration
	// Version is server_version_num, as in 150018.
	Version int
	// Standby tells whether the server is in recovery.
	Standby bool
	// Role is the session's role.
	Role string
}

// Parent is a set's parent table.
type Parent struct {
	OID     uint32
	Owner   string
	Columns []Column
	// Key is the key column's type, empty where the column is missing; KeyOther names a type that cannot be served.
	Key      KeyType
	KeyOther string
	// Declarative tells whether the table is PARTITION BY. PartitionedBy is what by, such
	// as "RANGE (at)", and RangeColumn that column, empty where it is not the range of
	// one plain column.
	Declarative                bool
	PartitionedBy, RangeColumn string
	// Distributed tells whether Citus keeps the rows of the table and its partitions, on
	// this server or on others: what the catalog says of their number and size is nothing.
	Distributed bool
	// NotTable names what the relation is where it is not a table, such as "view".
	NotTable string
	// MayAct is false where the session's role may not act as the owner: it can look, and nothing else.
	MayAct bool
	// OwnerMayCreate tells whether the owner may create tables in the parent's schema.
	OwnerMayCreate bool
	// TablespaceRefused is the parent's tablespace if the owner may not create tables there.
	TablespaceRefused string
	Properties        []Property
	// DefaultGrantees are the roles to whom ALTER DEFAULT PRIVILEGES would grant something on a new table of the owner.
	DefaultGrantees []string
	Routing         Routing
	// Incomplete are the names of a declarative parent's indexes that some partitions
	// lack, by what they are.
	Incomplete map[Property][]string
	// Unmarked are the names of those that all partitions have their part of, and that
	// are not valid all the same: one without a part has left, or is a foreign table.
	Unmarked []string
	// Alike are the Values of all the parent's indexes with a definition that one in
	// Incomplete has, by that definition.
	Alike map[string][]string
	// LastAnalyze is when the parent was last analyzed, zero where that is unknown or never.
	LastAnalyze time.Time
	// Analyzed tells whether statistics over the parent and its partitions exist.
	Analyzed bool
}

// Column is a column of the parent.
type Column struct {
	Name string
	// Type is the type as format_type prints it.
	Type string
	// Generated tells whether the column is a generated one and must not be written.
	Generated bool
}

// Routing is what was seen of the trigger that routes inserts, and of its functions.
type Routing struct {
	// Trigger is whether a trigger of the set's name is on the parent, as a BEFORE INSERT FOR EACH ROW trigger of the set's function.
	Trigger bool
	// TriggerOther describes a trigger of that name that is something else.
	TriggerOther string
	// Disabled tells whether the trigger does not fire for ordinary sessions.
	Disabled bool
	// Function is what the routing function is.
	Function FunctionState
	// Fingerprint is the [Route] that the functions were made from, where they are ours and whole.
	Fingerprint string
	// Direct are the OIDs of the tables that those functions write to without a lock
	// of their own, in the order of [Route.Direct].
	Direct []uint32
	// Others are further BEFORE INSERT row triggers of the parent.
	Others []string
}

// FunctionState is what the routing function in the database is.
type FunctionState string

// The states. FunctionSeed is the dynamic function that this pattern's users
// have in production: it makes tables by EXECUTE from the row's date.
const (
	FunctionMissing FunctionState = "missing"
	FunctionSeed    FunctionState = "seed"
	FunctionOurs    FunctionState = "ours"
	FunctionAltered FunctionState = "altered"
	FunctionUnknown FunctionState = "unknown"
)

// Partition is a child of the parent, known by its bounds.
type Partition struct {
	OID  uint32
	Name Name
	// Bounds are what the readable CHECKs allow, or what the rows showed.
	Bounds Bounds
	// Known tells how the bounds are known.
	Known BoundsSource
	// Checks are the table's CHECK constraints that speak of the key.
	Checks     []BoundsCheck
	Properties []Property
	// InvalidIndexes are the names of indexes that an interrupted CREATE INDEX
	// CONCURRENTLY left, by their definition as in a Property's Name.
	InvalidIndexes map[string][]string
	// Alike are the Values of its valid indexes with the definitions of the parent's Alike.
	Alike map[string][]string
	// SameShape tells whether the columns are the parent's, in its order, with nothing added.
	SameShape bool
	// OwnTriggers tells whether the partition has BEFORE INSERT row triggers of its own.
	OwnTriggers bool
	// Foreign tells whether it is a foreign table.
	Foreign bool
	// Partitioned tells whether it is partitioned itself.
	Partitioned bool
	// Declared is what follows FOR VALUES in a declarative partition's bound, as
	// PostgreSQL prints it.
	Declared string
	// Rows is the planner's estimate, -1 where it has none; Bytes the size of the heap by the same source.
	Rows, Bytes int64
	// Dependents describes what a removal would break: views, foreign keys, tables that inherit from it, further parents.
	Dependents []string
	// Violation is what a scan found outside the bounds; nil where none was needed or nothing was found.
	Violation *Violation
	// Unseen is why a scan that was needed could not be made.
	Unseen string
	// Empty tells that a scan found no row; it is only known where one was needed.
	Empty bool
}

// BoundsSource is how a partition's bounds are known.
type BoundsSource string

const (
	// BoundsFromCheck are proved by a validated CHECK, or by what a partition is declared to be.
	BoundsFromCheck BoundsSource = "check"
	// BoundsClaimed are in a CHECK that is NOT VALID: rows may lie outside.
	BoundsClaimed BoundsSource = "claimed"
	// BoundsFromRows were found by scanning a table without any readable CHECK: all rows lie in one period.
	BoundsFromRows BoundsSource = "rows"
	// BoundsUnknown are not known at all.
	BoundsUnknown BoundsSource = "unknown"
)

// BoundsCheck is a CHECK constraint that bounds the key.
type BoundsCheck struct {
	Name       string
	Definition string
	Validated  bool
	// Plain tells whether it is a range on the bare key with constants of the
	// key's own type: the only form by which PostgreSQL excludes a partition
	// (PostgreSQL documentation, 5.11.5 Partitioning and Constraint Exclusion).
	Plain bool
	// Bounds are what it allows.
	Bounds Bounds
	// Local tells whether it may be dropped: it is not inherited itself.
	Local bool
}

// Violation counts the rows of a partition that lie outside its bounds.
type Violation struct {
	Rows, Nulls int64
	// Examples are some of those rows' keys, as PostgreSQL prints them.
	Examples []string
}

// Stray is a group of rows in the parent itself.
type Stray struct {
	// Period is where the rows belong. Outside says that they belong nowhere: their key is NULL, infinite or outside the window.
	Period  Period
	Outside bool
	Rows    int64
	// Examples are some keys, as PostgreSQL prints them.
	Examples []string
}
