package partition

import (
	"slices"
	"strings"
)

// repair plans what existing partitions lack. Those that leave in this pass are
// left as they are, and so are those whose rows a person has to look at first.
func (p *planner) repair(due []Action) {
	leaves := p.leaving(due)
	for i := range p.known {
		if c := &p.known[i]; !leaves(c) {
			p.constrain(c)
		}
	}
	var builds []Action
	var last []Property
	var short, index []Change
	targets := p.snap.Partitions
	if d := p.snap.Default; d != nil {
		targets = append(slices.Clip(targets), *d) // What is short is planned already.
	}
	wanted := p.wanted()
	for i := range targets {
		c := &targets[i]
		if c.Foreign || c.Violation != nil && c.Known != BoundsUnknown {
			continue
		}
		if leaves(c) {
			// Went it without, there might be nothing left to make the parent's valid.
			builds = append(builds, p.furtherIndexes(c, nil)...)
			continue
		}
		// Most partitions have the same properties, and most often in the same place.
		if i == 0 || !samePlace(last, c.Properties) {
			last = c.Properties
			short, index = splitChanges(Diff(p.set, wanted, last))
			short = slices.DeleteFunc(short, func(ch Change) bool { return waitsForIndex(ch, last) })
		}
		if i < len(p.snap.Partitions) {
			p.align(c, short)
		}
		for _, ch := range index {
			if ch.Want.Value == exclusion {
				// There is no way to build one that lets rows in meanwhile.
				p.problem(Problem{Kind: ProblemUnsupported, Table: c.Name, Stops: StopsNone,
					Text: "it lacks the parent's constraint " + ch.Want.Name, Hint: "add it by hand: building it blocks writers"})
				continue
			}
			a := Action{Kind: Index, Table: c.Name, OID: c.OID, Bounds: c.Bounds, Changes: []Change{ch},
				Invalid: c.InvalidIndexes[ch.Want.Name], Reason: "the parent has an index that it lacks"}
			if len(a.Invalid) > 0 {
				a.Reason = "an interrupted build left an invalid index"
			}
			builds = append(builds, a)
		}
		builds = append(builds, p.furtherIndexes(c, index)...)
	}
	p.plan.Actions = append(p.plan.Actions, builds...)
	p.completeIndexes()
}

// align plans what is short of a partition's repair.
func (p *planner) align(c *Partition, short []Change) {
	if len(short) > 0 {
		p.act(Action{Kind: Align, Table: c.Name, OID: c.OID, Bounds: c.Bounds, Changes: short, Reason: "differs from its parent in " + kindsOf(short)})
	}
}

// samePlace tells whether both are the same properties in memory.
func samePlace(a, b []Property) bool {
	return len(a) > 0 && len(a) == len(b) && &a[0] == &b[0]
}

func kindsOf(changes []Change) string {
	var kinds []string
	for _, c := range changes {
		if k := string(c.Want.Kind); !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	return strings.Join(kinds, ", ")
}

// constrain plans the CHECK by which PostgreSQL can exclude the partition.
func (p *planner) constrain(c *Partition) {
	if p.snap.Parent.Declarative {
		p.unconstrain(c)
		return
	}
	if c.Foreign || c.Violation != nil || c.Bounds.Equal(Everywhere) {
		return
	}
	a := Action{Kind: Constrain, Table: c.Name, OID: c.OID, Bounds: c.Bounds, Constraint: BoundsConstraint, Exists: ConstraintAbsent}
	for _, ch := range c.Checks {
		switch {
		case ch.Plain && ch.Bounds.Equal(c.Bounds) && ch.Validated:
			a.Constraint, a.Exists = ch.Name, ConstraintValidated
		case ch.Plain && ch.Bounds.Equal(c.Bounds) && a.Exists == ConstraintAbsent:
			a.Constraint, a.Exists = ch.Name, ConstraintNotValid
		case !ch.Plain && ch.Local && ch.Bounds.Covers(c.Bounds):
			a.Replaces = append(a.Replaces, ch)
		}
	}
	// One that says nothing of bounds, or is not enforced, has the name as well.
	taken := func(name string) bool {
		return slices.ContainsFunc(c.Checks, func(ch BoundsCheck) bool { return ch.Name == name }) ||
			slices.ContainsFunc(c.Properties, func(p Property) bool { return p.Kind == PropCheck && p.Name == name })
	}
	for a.Exists == ConstraintAbsent && taken(a.Constraint) {
		a.Constraint += "_range"
	}
	switch {
	case a.Exists == ConstraintValidated && len(a.Replaces) == 0:
		return
	case a.Exists == ConstraintValidated:
		a.Reason = "an older CHECK says the same again"
	case a.Exists == ConstraintNotValid:
		a.Reason = "its range CHECK was never validated"
	case c.Known == BoundsFromRows:
		a.Reason = "adopted: all its rows lie in this period, and no CHECK says so"
	default:
		a.Reason = "its CHECK cannot exclude it from a query"
	}
	p.act(a)
}
