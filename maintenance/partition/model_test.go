package partition

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// world is a small model of a database with one set: it does what plans say, as
// far as that shows in a snapshot, and complains of what must never be done.
type world struct {
	set  Set
	snap Snapshot
	// rows are the keys of the rows that sit in the parent, in the set's terms.
	rows []time.Time
	oid  uint32
}

// observe returns what is seen of the world.
func (w *world) observe() Snapshot {
	w.snap.Strays = slices.DeleteFunc(w.snap.Strays, func(s Stray) bool { return !s.Outside })
	for _, at := range w.rows {
		p := w.set.PeriodOf(at, w.snap.Parent.Key)
		i := slices.IndexFunc(w.snap.Strays, func(s Stray) bool { return !s.Outside && same(s.Period, p) })
		if i < 0 {
			i = len(w.snap.Strays)
			w.snap.Strays = append(w.snap.Strays, Stray{Period: p})
		}
		w.snap.Strays[i].Rows++
	}
	snap := w.snap
	snap.Partitions = slices.Clone(w.snap.Partitions)
	parent := *w.snap.Parent
	snap.Parent = &parent
	return snap
}

// pass plans and applies until nothing is left to do, and returns the last plan.
func (w *world) pass() (Plan, error) {
	const rounds = 3
	for range rounds {
		snap := w.observe()
		plan := Make(w.set, snap)
		if err := w.checkPlan(snap, plan); err != nil {
			return plan, fmt.Errorf("%w\nthe plan:\n%s", err, full(plan))
		}
		if len(plan.Actions) == 0 {
			return plan, w.checkEnd(plan)
		}
		for _, a := range plan.Actions {
			if err := w.apply(a); err != nil {
				return plan, fmt.Errorf("%s: %w\nthe plan:\n%s", a, err, full(plan))
			}
		}
	}
	plan := Make(w.set, w.observe())
	if len(plan.Actions) != 0 {
		return plan, fmt.Errorf("after %d rounds something is left to do:\n%s", rounds, full(plan))
	}
	return plan, w.checkEnd(plan)
}

var kindOrder = []Kind{Create, Constrain, Align, Index, RouteRows, Sweep, Retire, Analyze}

// checkPlan holds a plan to what must be true of each.
func (w *world) checkPlan(snap Snapshot, plan Plan) error {
	seen := map[string]bool{}
	last := 0
	for _, a := range plan.Actions {
		if seen[a.Identity()] {
			return fmt.Errorf("two actions are %q", a.Identity())
		}
		seen[a.Identity()] = true
		at := slices.Index(kindOrder, a.Kind)
		if at < last || a.Reason == "" {
			return fmt.Errorf("%q is out of order, or without a reason", a)
		}
		last = at
	}
	if len(plan.Withheld) > 0 && len(plan.Problems) == 0 {
		return fmt.Errorf("removals are withheld, and nobody is told why")
	}
	for _, pr := range plan.Problems {
		if pr.Text == "" || pr.Table == (Name{}) || !slices.Contains([]Reach{StopsSet, StopsTable, StopsNone}, pr.Stops) {
			return fmt.Errorf("the problem %+v is not whole", pr)
		}
	}
	return w.checkRemovals(snap, plan)
}

func (w *world) checkRemovals(snap Snapshot, plan Plan) error {
	removals := only(plan, Retire)
	allowed := max(1, w.set.Retention.MaxShare*float64(len(snap.Partitions))+1e-6)
	if float64(len(removals)) > allowed {
		return fmt.Errorf("%d of %d partitions would be removed", len(removals), len(snap.Partitions))
	}
	cutoff, ok := w.set.Cutoff(snap.Server.Now, snap.Parent.Key)
	current := w.set.Current(snap.Server.Now, snap.Parent.Key)
	for _, a := range removals {
		c := w.partition(a.OID)
		if c == nil || c.Name != a.Table || !c.Bounds.Equal(a.Bounds) || a.Then != w.set.Retention.Then {
			return fmt.Errorf("%s: there is no such partition", a)
		}
		if !ok || c.Bounds.To.Inf != 0 || c.Bounds.To.Time.After(cutoff) || c.Bounds.To.Time.After(current.From) {
			return fmt.Errorf("%s: %s is not old, the cutoff is %s", a, c.Bounds, cutoff)
		}
		if c.Known != BoundsFromCheck || c.Violation != nil || a.Then != Detach && len(c.Dependents) > 0 {
			return fmt.Errorf("%s: must not go: %+v", a, c)
		}
		for _, h := range snap.Holds {
			if h.Active(snap.Server.Now) && h.Bounds.Overlaps(c.Bounds) && (h.OID == 0 || h.OID == c.OID) {
				return fmt.Errorf("%s: in spite of the hold %+v", a, h)
			}
		}
		if snap.HoldsUnseen != "" {
			return fmt.Errorf("%s: nobody knows what is held", a)
		}
		if i := slices.IndexFunc(plan.Problems, func(pr Problem) bool {
			return pr.Stops == StopsSet || pr.Stops == StopsTable && pr.Table == a.Table
		}); i >= 0 {
			return fmt.Errorf("%s: in spite of %s", a, plan.Problems[i])
		}
	}
	for _, route := range only(plan, RouteRows) {
		for _, b := range allBranches(*route.Route) {
			if slices.ContainsFunc(removals, func(a Action) bool { return a.Table == b.Table }) {
				return fmt.Errorf("%s has a branch and is removed", b.Table)
			}
		}
	}
	return nil
}

// checkEnd holds the world to what must be true after a pass.
func (w *world) checkEnd(plan Plan) error {
	key := w.snap.Parent.Key
	hindered := slices.ContainsFunc(plan.Problems, func(pr Problem) bool { return pr.Kind == ProblemOverlap || pr.Kind == ProblemNameTaken })
	p := w.set.Current(w.snap.Server.Now, key)
	for i := 0; i <= w.set.Ahead; i, p = i+1, w.set.Interval.Next(p, w.set.Calendar(key)) {
		for _, at := range []time.Time{p.From, p.To.Add(-time.Microsecond)} {
			if !hindered && !slices.ContainsFunc(w.snap.Partitions, func(c Partition) bool { return c.Bounds.Contains(at) }) {
				return fmt.Errorf("nothing is there for %s, %d periods ahead", at, i)
			}
		}
	}
	told := hindered || slices.ContainsFunc(plan.Problems, func(pr Problem) bool { return pr.Kind == ProblemStray })
	if len(w.rows) > 0 && !told {
		return fmt.Errorf("rows are left in the parent: %v", w.rows)
	}
	if cutoff, ok := w.set.Cutoff(w.snap.Server.Now, key); ok && len(plan.Problems) == 0 {
		for _, c := range w.snap.Partitions {
			if slices.ContainsFunc(plan.Held, func(h Held) bool { return h.Action.OID == c.OID }) {
				continue
			}
			if c.Bounds.To.Inf == 0 && !c.Bounds.To.Time.After(cutoff) && !c.Bounds.To.Time.After(w.set.Current(w.snap.Server.Now, key).From) {
				return fmt.Errorf("%s is old, and still there", c.Name)
			}
		}
	}
	return nil
}

func (w *world) partition(oid uint32) *Partition {
	for i := range w.snap.Partitions {
		if w.snap.Partitions[i].OID == oid {
			return &w.snap.Partitions[i]
		}
	}
	return nil
}

// apply does what an action says.
func (w *world) apply(a Action) error {
	parent := w.snap.Parent
	c := w.partition(a.OID)
	switch a.Kind {
	case Create:
		return w.create(a)
	case RouteRows:
		var direct []uint32
		for i, b := range allBranches(*a.Route) {
			j := slices.IndexFunc(w.snap.Partitions, func(c Partition) bool { return c.Name == b.Table })
			if j < 0 {
				return fmt.Errorf("the branch of %s has no table", b.Table)
			}
			if i < len(a.Route.Direct()) {
				direct = append(direct, w.snap.Partitions[j].OID)
			}
		}
		parent.Routing = Routing{Trigger: true, Function: FunctionOurs, Fingerprint: a.Route.Fingerprint(), Direct: direct, Others: parent.Routing.Others}
		return nil
	case Analyze:
		parent.Analyzed, parent.LastAnalyze = true, w.snap.Server.Now
		return nil
	case Sweep:
		if i := slices.IndexFunc(w.snap.Partitions, func(c Partition) bool { return c.Name == a.Table && c.Bounds.Covers(a.Bounds) }); i < 0 {
			return fmt.Errorf("%s cannot take the rows of %s", a.Table, a.Bounds)
		}
		before := len(w.rows)
		w.rows = slices.DeleteFunc(w.rows, a.Bounds.Contains)
		if moved := before - len(w.rows); int64(moved) < a.Rows {
			return fmt.Errorf("%d of %d rows moved", moved, a.Rows)
		}
		return nil
	}
	if c == nil || c.Name != a.Table {
		return fmt.Errorf("there is no such partition")
	}
	switch a.Kind {
	case Constrain:
		return constrainModel(c, a)
	case Align:
		for _, ch := range a.Changes {
			alignModel(c, ch)
		}
	case Index:
		want := a.Changes[0].Want
		c.Properties = append(slices.Clone(c.Properties), want)
		c.InvalidIndexes = nil
	case Retire:
		i := slices.IndexFunc(w.snap.Partitions, func(c Partition) bool { return c.OID == a.OID })
		w.snap.Partitions = slices.Delete(w.snap.Partitions, i, i+1)
		if a.Then == Detach && regexp.MustCompile(w.set.Pattern.Regexp()).MatchString(a.Table.Local) {
			w.snap.Taken = append(w.snap.Taken, a.Table)
		}
	default:
		return fmt.Errorf("no model of %s", a.Kind)
	}
	return nil
}

func (w *world) create(a Action) error {
	for _, c := range w.snap.Partitions {
		if c.Name == a.Table || c.Known != BoundsUnknown && c.Bounds.Overlaps(a.Bounds) {
			return fmt.Errorf("it is in the way of %s %s", c.Name, c.Bounds)
		}
	}
	if slices.Contains(w.snap.Taken, a.Table) || !a.Bounds.Finite() || a.Bounds.Empty() || len(a.Table.Local) > MaxNameBytes {
		return fmt.Errorf("it cannot be made as %s", a.Bounds)
	}
	w.oid++
	c := made(w.set, w.snap.Parent, a.Bounds, a.Table)
	c.OID = w.oid
	w.snap.Partitions = append(w.snap.Partitions, c)
	return nil
}

func constrainModel(c *Partition, a Action) error {
	if c.Foreign || c.Violation != nil {
		return fmt.Errorf("it cannot be validated")
	}
	checks := slices.Clone(c.Checks)
	at := slices.IndexFunc(checks, func(ch BoundsCheck) bool { return ch.Name == a.Constraint })
	switch {
	case a.Exists == ConstraintAbsent && at < 0:
		checks = append(checks, plainCheck(a.Constraint, a.Bounds, true))
	case a.Exists == ConstraintNotValid && at >= 0 && checks[at].Plain && checks[at].Bounds.Equal(a.Bounds):
		checks[at].Validated = true
	case a.Exists == ConstraintValidated && at >= 0 && checks[at].Validated && checks[at].Bounds.Equal(a.Bounds):
	default:
		return fmt.Errorf("the constraint %q is not %s", a.Constraint, a.Exists)
	}
	for _, r := range a.Replaces {
		if !r.Local || !r.Bounds.Covers(a.Bounds) || r.Name == a.Constraint {
			return fmt.Errorf("%s must not be dropped", r.Name)
		}
		checks = slices.DeleteFunc(checks, func(ch BoundsCheck) bool { return ch.Name == r.Name })
	}
	c.Checks, c.Known = checks, BoundsFromCheck
	return nil
}

func alignModel(c *Partition, ch Change) {
	properties := slices.DeleteFunc(slices.Clone(c.Properties), func(p Property) bool { return p.Kind == ch.Want.Kind && p.Name == ch.Want.Name })
	if !ch.Remove {
		properties = append(properties, ch.Want)
	}
	c.Properties = properties
}
