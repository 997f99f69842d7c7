package convert

import (
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// Options say how a conversion goes.
type Options struct {
	// Rollback makes a declarative set one by inheritance again.
	Rollback bool
	// WidenKeys adds the partition key to unique and primary keys that lack it, which a
	// partitioned table requires.
	WidenKeys bool
	// Bound is how long readers and writers of the set may be kept waiting by the swap,
	// once it has its locks.
	Bound time.Duration
	// Agent is who acts, for the history.
	Agent postgres.Agent
}

// event is what the history says of a change of a whole set.
func (o Options) event(p *Plan, kind postgres.EventKind, reason string) *postgres.Event {
	return &postgres.Event{Kind: kind, Parent: p.Set.Parent, Bounds: partition.Everywhere, Rows: -1, Bytes: -1, ArchiveBytes: -1,
		Reason: reason, ActedAs: p.Snapshot.Parent.Owner, Agent: o.Agent}
}

// Stop is one thing that keeps a conversion from being made.
type Stop struct {
	// Kind is what kind of thing it is, What which one, and Hint what could be done.
	Kind, What, Hint string
}

// String returns one line for people.
func (s Stop) String() string { return s.Kind + ": " + s.What }

// Task is something that is done before the swap, while readers and writers go on.
type Task struct {
	Title string
	// Action is carried out as a pass does it, where it is not nil.
	Action *partition.Action
	// Steps are what it takes.
	Steps []postgres.Step
}

// Plan is what a conversion would do. Equal catalogs give equal plans.
type Plan struct {
	Set      partition.Set
	Snapshot partition.Snapshot
	// Done says that there is nothing to convert, and why.
	Done string
	// Stops keep all of it from being done, Notes are what one should know.
	Stops []Stop
	Notes []string
	Tasks []Task
	// Copy is what a drain does between its tasks and the swap, again and again: the copy of
	// some pages, and the taking over of some changes.
	Copy []postgres.Statement
	Swap postgres.Swap
	// After is what follows the swap, and blocks nobody.
	After []postgres.Step
	// reroute says that the routing functions are made anew after the swap, and the rows
	// moved that have come to the parent itself.
	reroute bool
}

func (p *Plan) stop(kind, what, hint string) {
	p.Stops = append(p.Stops, Stop{kind, what, hint})
}

// stopDistributed stops at what no swap can do: Citus has neither partitions by
// inheritance nor triggers, and keeps books of its own on which table is whose shard.
func (p *Plan) stopDistributed() {
	p.stop(string(partition.ProblemUnsupported), p.Set.Parent.String()+" is distributed by Citus", "undistribute_table() it first, and distribute what it has become")
}

// The names that a conversion uses beside the set's own.
func interimName(parent partition.Name) partition.Name { return suffixed(parent, "_partitioned") }

// KeptName is what the parent by inheritance is called while the declarative one has
// its name.
func KeptName(parent partition.Name) partition.Name { return suffixed(parent, "_inherited") }

// DefaultName is the partition for rows that no other takes.
func DefaultName(parent partition.Name) partition.Name {
	return suffixed(partition.Name{Schema: parent.Schema, Local: partition.BaseName(parent)}, "_default")
}

// suffixed appends to a name, and shortens what is before so that PostgreSQL keeps all.
func suffixed(n partition.Name, suffix string) partition.Name {
	base := n.Local
	for len(base)+len(suffix) > partition.MaxNameBytes {
		// Never within a character.
		r := []rune(base)
		base = string(r[:len(r)-1])
	}
	return partition.Name{Schema: n.Schema, Local: base + suffix}
}
