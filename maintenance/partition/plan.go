package partition

import "fmt"

// Plan is what a pass would do to one set, in order. It is a proposal: whoever
// applies it looks again before each step that removes something.
type Plan struct {
	Set      Name
	Actions  []Action
	Problems []Problem
	// Withheld are the removals that are due but that a problem stops.
	Withheld []Action
	// Held are the removals that would be due but for a hold.
	Held []Held
}

// Empty tells whether nothing is to be done and nothing is wrong.
func (p Plan) Empty() bool { return len(p.Actions) == 0 && len(p.Problems) == 0 }

// Kind is what an action does.
type Kind string

// The kinds of actions, in the order in which a plan has them: what creates
// comes before what removes.
const (
	// Finalize ends an interrupted DETACH CONCURRENTLY, and Attach gives a table back to
	// its declarative parent that a pass has taken out and that may not go any more.
	Finalize  Kind = "finalize"
	Attach    Kind = "attach"
	Create    Kind = "create"
	Constrain Kind = "constrain"
	Align     Kind = "align"
	Index     Kind = "index"
	// CreateDefault makes a declarative set's default partition, and Notify the trigger by
	// which it tells of rows.
	CreateDefault Kind = "create default"
	Notify        Kind = "notify"
	// TidyDefault removes what an interrupted move of rows out of a default partition left.
	TidyDefault Kind = "tidy"
	// AttachIndex makes the partitions' indexes parts of their parent's.
	AttachIndex Kind = "attach index"
	RouteRows   Kind = "route"
	Sweep       Kind = "sweep"
	Retire      Kind = "retire"
	Analyze     Kind = "analyze"
)

// Action is one step on one table. Only the fields of its kind are set.
type Action struct {
	Kind Kind
	// Table is the partition, or the parent for RouteRows and Analyze.
	Table Name
	// OID identifies Table where it exists already.
	OID uint32
	// Bounds are the partition's.
	Bounds Bounds
	// Reason says why, in words for people.
	Reason string
	// Replaces are the CHECKs that Constrain drops in the end.
	Replaces []BoundsCheck
	// Constraint is the CHECK that Constrain adds, or finds NOT VALID.
	Constraint string
	// Exists says that Constraint is there already and only needs validation, or nothing.
	Exists ConstraintState
	// Changes are what Align repairs; for Index the one index.
	Changes []Change
	// Nth is how many indexes that are the same the partition has before Index.
	Nth int
	// Invalid are leftovers that Index drops first, or the parent's index that
	// AttachIndex completes.
	Invalid []string
	// Route is what RouteRows installs.
	Route *Route
	// Rows is how many rows Create, Sweep or Retire are about, by count or estimate.
	Rows int64
	// Then is what Retire does.
	Then Then
}

// ConstraintState is how far Constrain has already got.
type ConstraintState string

// The states, from nothing to done.
const (
	ConstraintAbsent    ConstraintState = "absent"
	ConstraintNotValid  ConstraintState = "not valid"
	ConstraintValidated ConstraintState = "validated"
)

// Destructive tells whether the action removes a partition from the parent.
func (a Action) Destructive() bool { return a.Kind == Retire }

// Verb names what the action does; for Retire that is what retention says.
func (a Action) Verb() string {
	if a.Kind == Retire {
		return string(a.Then)
	}
	return string(a.Kind)
}

// Identity tells actions of one pass apart: an action that failed is not tried
// again by the same pass under another reason.
func (a Action) Identity() string {
	id := string(a.Kind) + "\x00" + a.Table.String()
	if a.Kind == Index || a.Kind == AttachIndex {
		id += fmt.Sprintf("\x00%s\x00%s\x00%d", a.Changes[0].Want.Name, a.Changes[0].Want.Value, a.Nth)
	}
	if a.Kind == RouteRows {
		id += "\x00" + a.Route.Fingerprint()
	}
	return id
}

// String returns one line for people.
func (a Action) String() string { return fmt.Sprintf("%s %s: %s", a.Verb(), a.Table, a.Reason) }

// ProblemKind is what is wrong.
type ProblemKind string

// The kinds of problems.
const (
	ProblemNoParent    ProblemKind = "no parent"
	ProblemUnsupported ProblemKind = "unsupported"
	ProblemPrivilege   ProblemKind = "privilege"
	ProblemClock       ProblemKind = "clock"
	ProblemStandby     ProblemKind = "standby"
	ProblemOverlap     ProblemKind = "overlap"
	ProblemUnreadable  ProblemKind = "unreadable bounds"
	ProblemViolation   ProblemKind = "rows outside bounds"
	ProblemNameTaken   ProblemKind = "name taken"
	ProblemStray       ProblemKind = "rows in the parent"
	ProblemTrigger     ProblemKind = "trigger"
	ProblemShare       ProblemKind = "too much to remove"
	ProblemDependents  ProblemKind = "dependents"
	ProblemHolds       ProblemKind = "holds"
)

// Problem is something that a person has to look at. It never stops what
// creates or repairs; Stops says how far it stops removals.
type Problem struct {
	Kind ProblemKind
	// Table is what it concerns.
	Table Name
	// Text says what was seen, and Hint what to do about it.
	Text, Hint string
	Stops      Reach
}

// Reach is how far a problem stops removals.
type Reach string

// A problem that casts doubt on what the set's partitions hold stops all of its
// removals; one that concerns a single table stops that table's; a row with an
// odd date in the parent says nothing about old partitions and stops none.
const (
	StopsSet   Reach = "set"
	StopsTable Reach = "table"
	StopsNone  Reach = "none"
)

// String returns one line for people.
func (p Problem) String() string {
	s := fmt.Sprintf("%s: %s: %s", p.Kind, p.Table, p.Text)
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}
