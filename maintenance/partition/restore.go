package partition

import (
	"errors"
	"fmt"
	"slices"
)

// ErrOccupied says that the set has no room for a restored partition.
var ErrOccupied = errors.New("the set has no room for it")

// GiveBack plans the return of a partition with the given bounds that retention
// has removed: a [Create] of an empty one like those that a pass makes. It has the
// name that the set's pattern gives the period, or the archived table's where the
// bounds are no period of the set. [ErrOccupied] says that a partition of these
// bounds is there already, that another one overlaps them, or that the name is
// taken. It is a pure function, as [Make] is.
func GiveBack(set Set, snap Snapshot, bounds Bounds, archived Name) (Action, error) {
	p := &planner{set: set, snap: snap, plan: Plan{Set: set.Parent}}
	if !p.served() {
		return Action{}, errors.New(p.plan.Problems[0].String())
	}
	p.key = snap.Parent.Key
	switch parent := snap.Parent; {
	case bounds.Empty():
		return Action{}, fmt.Errorf("the bounds %s hold nothing", bounds)
	case !parent.MayAct:
		return Action{}, fmt.Errorf("role %q may not act as the owner %q of %s", snap.Server.Role, parent.Owner, set.Parent)
	case !parent.OwnerMayCreate:
		return Action{}, fmt.Errorf("the owner %q of %s may not create tables in schema %q", parent.Owner, set.Parent, set.Parent.Schema)
	}
	for _, c := range snap.Partitions {
		switch {
		case c.Known == BoundsUnknown || !c.Bounds.Overlaps(bounds):
		case c.Bounds.Equal(bounds):
			return Action{}, fmt.Errorf("%s is there with the same bounds %s: late rows have made it anew, or it was restored before: %w", c.Name, bounds, ErrOccupied)
		default:
			return Action{}, fmt.Errorf("%s with %s overlaps %s: %w", c.Name, c.Bounds, bounds, ErrOccupied)
		}
	}
	name := archived
	if bounds.Finite() {
		if period := set.PeriodOf(bounds.From.Time, p.key); period.Bounds().Equal(bounds) {
			name = set.PartitionName(period, p.key)
		}
	}
	if slices.ContainsFunc(snap.Partitions, func(c Partition) bool { return c.Name == name }) {
		return Action{}, fmt.Errorf("the name %s is that of a partition with other bounds: %w", name, ErrOccupied)
	}
	if p.nameTaken(name) {
		return Action{}, fmt.Errorf("something else has the name %s: %w", name, ErrOccupied)
	}
	return Action{Kind: Create, Table: name, Bounds: bounds, Reason: "restored from the archive", Route: p.template()}, nil
}
