package partition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MaxSkew is how far the server's clock and this machine's may disagree before
// nothing is removed any more: one of them is wrong, and which is not known.
const MaxSkew = time.Minute

// BoundsConstraint is the name of the CHECK that partitions are given.
const BoundsConstraint = "partition_bounds"

// Make decides what a pass has to do. It is a pure function: the time is the
// snapshot's, and equal arguments give equal plans.
func Make(set Set, snap Snapshot) Plan {
	p := &planner{set: set, snap: snap, plan: Plan{Set: set.Parent}}
	if !p.served() {
		return p.plan
	}
	p.key = snap.Parent.Key
	p.now = set.Wall(snap.Server.Now, p.key)
	p.current = set.PeriodOf(p.now, p.key)
	p.inspect()
	p.inspectHolds()
	if !snap.Parent.Declarative {
		p.inspectRouting()
	}
	p.finalize()
	p.alignDefault()
	out := p.takenOut()
	p.create()
	due := p.due()
	p.repair(due)
	if !snap.Parent.Declarative {
		p.route(due)
	}
	p.sweep()
	p.retire(due)
	p.retireTakenOut(out)
	p.safetyNet()
	p.analyze()
	return p.plan
}

// planner is the state of one call of Make.
type planner struct {
	set     Set
	snap    Snapshot
	plan    Plan
	key     KeyType
	now     time.Time
	current Period
	// known are the partitions whose bounds are known, in the order of time;
	// made are those that this plan creates.
	known []Partition
	made  []Branch
	// reach is how far the known partitions up to each one reach, for [planner.from].
	reach []Edge
	// names are taken by partitions and others.
	names map[Name]bool
	// setStopped and tableStopped are what the problems so far stop.
	setStopped   bool
	tableStopped map[Name]bool
	// handsOff says that the routing is somebody else's.
	handsOff bool
}

func (p *planner) act(a Action) { p.plan.Actions = append(p.plan.Actions, a) }

func (p *planner) problem(pr Problem) {
	p.plan.Problems = append(p.plan.Problems, pr)
	switch pr.Stops {
	case StopsSet:
		p.setStopped = true
	case StopsTable:
		if p.tableStopped == nil {
			p.tableStopped = map[Name]bool{}
		}
		p.tableStopped[pr.Table] = true
	}
}

// served tells whether the set can be planned for at all, and says why not.
func (p *planner) served() bool {
	parent := p.snap.Parent
	refuse := func(kind ProblemKind, text, hint string) bool {
		p.problem(Problem{Kind: kind, Table: p.set.Parent, Text: text, Hint: hint, Stops: StopsSet})
		return false
	}
	switch {
	case parent == nil:
		return refuse(ProblemNoParent, "there is no such table", "create it, or run: partitiond init")
	case parent.NotTable != "":
		return refuse(ProblemUnsupported, "it is a "+parent.NotTable+", not a table", "")
	case p.set.Style != "" && (p.set.Style == Declarative) != parent.Declarative:
		return refuse(ProblemUnsupported, fmt.Sprintf("style says %q, and the table is not partitioned so", p.set.Style), "leave style out: the catalog tells it")
	case parent.Distributed && !parent.Declarative:
		return refuse(ProblemUnsupported, "it is distributed by Citus, which has neither partitions by inheritance nor triggers",
			"undistribute_table() it, make it PARTITION BY RANGE, and distribute it then")
	case parent.Declarative && parent.RangeColumn == "":
		return refuse(ProblemUnsupported, "it is PARTITION BY "+parent.PartitionedBy, "RANGE of one plain column is served")
	case parent.Declarative && parent.RangeColumn != p.set.Key:
		return refuse(ProblemUnsupported, fmt.Sprintf("it is PARTITION BY %s, and key is %q", parent.PartitionedBy, p.set.Key), "set key to that column")
	case parent.Key == "" && parent.KeyOther == "":
		return refuse(ProblemUnsupported, fmt.Sprintf("it has no column %q", p.set.Key), "set key to the column that decides the partition")
	case parent.Key == "":
		return refuse(ProblemUnsupported, fmt.Sprintf("column %q is of type %s", p.set.Key, parent.KeyOther), served(parent))
	case parent.Key == KeyDate && p.set.Interval.Unit == Hour:
		return refuse(ProblemUnsupported, fmt.Sprintf("column %q is a date and has no hours", p.set.Key), "use an interval of a day or more")
	case p.snap.Server.Standby:
		return refuse(ProblemStandby, "the server is a standby and is left alone", "connect to the primary, or list all hosts in the URL with target_session_attrs=read-write")
	}
	if i := slices.IndexFunc(p.snap.Partitions, func(c Partition) bool { return c.Partitioned }); i >= 0 && parent.Declarative {
		return refuse(ProblemUnsupported, fmt.Sprintf("its partition %s is partitioned itself", p.snap.Partitions[i].Name), "sets of one level are served")
	}
	if d := p.snap.Default; d != nil && d.Partitioned {
		return refuse(ProblemUnsupported, fmt.Sprintf("its default partition %s is partitioned itself", d.Name), "sets of one level are served")
	}
	return true
}

// served names the types that a key may have.
func served(parent *Parent) string {
	switch {
	case !parent.Declarative:
		return "date, timestamp and timestamptz are served"
	case parent.KeyOther == "bigint":
		return `set key_unit to what it counts since 1970: "s", "ms" or "us"`
	}
	return "date, timestamp, timestamptz, bigint and uuid (version 7) are served"
}

// inspect sorts the partitions into known and unknown, and reports what is
// wrong with the set as it stands.
func (p *planner) inspect() {
	if skew := p.snap.Server.Skew; skew > MaxSkew || skew < -MaxSkew {
		p.problem(Problem{Kind: ProblemClock, Table: p.set.Parent, Stops: StopsSet,
			Text: fmt.Sprintf("the server's clock and this machine's differ by %s", skew.Round(time.Second)),
			Hint: "set the clocks; nothing is removed until they agree to a minute"})
	}
	parent := p.snap.Parent
	if !parent.MayAct {
		p.problem(Problem{Kind: ProblemPrivilege, Table: p.set.Parent, Stops: StopsNone,
			Text: fmt.Sprintf("role %q may not act as the owner %q", p.snap.Server.Role, parent.Owner),
			Hint: "GRANT the owner's role to it, as a member that inherits and may SET ROLE"})
	}
	if !parent.OwnerMayCreate {
		p.problem(Problem{Kind: ProblemPrivilege, Table: p.set.Parent, Stops: StopsNone,
			Text: fmt.Sprintf("the owner %q may not create tables in schema %q", parent.Owner, p.set.Parent.Schema),
			Hint: "GRANT CREATE ON SCHEMA to it"})
	}
	if t := parent.TablespaceRefused; t != "" {
		p.problem(Problem{Kind: ProblemPrivilege, Table: p.set.Parent, Stops: StopsNone,
			Text: fmt.Sprintf("the owner %q may not create tables in the parent's tablespace %q: new partitions go where tables go by default", parent.Owner, t),
			Hint: "GRANT CREATE ON TABLESPACE to it"})
	}
	p.known = make([]Partition, 0, len(p.snap.Partitions))
	for i := range p.snap.Partitions {
		c := &p.snap.Partitions[i]
		if c.Known == BoundsUnknown {
			p.problem(unreadable(*c))
			continue
		}
		if v := c.Violation; v != nil {
			p.problem(Problem{Kind: ProblemViolation, Table: c.Name, Stops: StopsTable,
				Text: fmt.Sprintf("%d rows lie outside %s%s%s", v.Rows, c.Bounds, nullsText(v.Nulls), examplesText(v.Examples)),
				Hint: "move or delete those rows; the table is not touched until then"})
		}
		p.known = append(p.known, *c)
	}
	slices.SortStableFunc(p.known, func(a, b Partition) int {
		return cmp.Or(a.Bounds.From.Compare(b.Bounds.From), a.Bounds.To.Compare(b.Bounds.To), strings.Compare(a.Name.String(), b.Name.String()))
	})
	for i := range p.known {
		for j := i + 1; j < len(p.known); j++ {
			next := &p.known[j]
			if next.Bounds.From.Compare(p.known[i].Bounds.To) >= 0 {
				break
			}
			if !next.Bounds.Overlaps(p.known[i].Bounds) {
				continue // Its CHECKs contradict each other: it holds nothing.
			}
			p.problem(Problem{Kind: ProblemOverlap, Table: p.known[i].Name, Stops: StopsSet,
				Text: fmt.Sprintf("%s overlaps %s of %s", p.known[i].Bounds, next.Bounds, next.Name),
				Hint: "a row of both could be in either; make their CHECKs disjoint"})
		}
	}
}

func unreadable(c Partition) Problem {
	pr := Problem{Kind: ProblemUnreadable, Table: c.Name, Stops: StopsSet,
		Text: "no CHECK says which rows it may hold", Hint: "ADD CONSTRAINT ... CHECK (key >= ... AND key < ...)"}
	switch v := c.Violation; {
	case c.Unseen != "":
		pr.Text += ", and its rows could not be looked at: " + c.Unseen
	case c.Empty:
		pr.Text += ", and it is empty"
	case v != nil:
		pr.Text += fmt.Sprintf(", and its %d rows do not lie in one period%s%s", v.Rows, nullsText(v.Nulls), examplesText(v.Examples))
	}
	return pr
}

func nullsText(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d of them NULL", n)
}

func examplesText(examples []string) string {
	if len(examples) == 0 {
		return ""
	}
	return " (such as " + strings.Join(examples, ", ") + ")"
}

// analyze plans fresh statistics over the whole set: autovacuum never looks at
// parents, of either style (PostgreSQL documentation, 25.1.3 Updating Planner
// Statistics).
func (p *planner) analyze() {
	a := Action{Kind: Analyze, Table: p.set.Parent, OID: p.snap.Parent.OID, Bounds: Everywhere}
	last := p.snap.Parent.LastAnalyze
	switch {
	case slices.ContainsFunc(p.plan.Actions, func(a Action) bool { return a.Kind == Sweep || a.Kind == Retire || a.Kind == Create && a.Rows > 0 }):
		a.Reason = "rows moved or left"
	case !p.snap.Parent.Analyzed:
		a.Reason = "there are no statistics over all partitions"
	case p.set.AnalyzeEvery > 0 && !last.IsZero() && p.snap.Server.Now.Sub(last) > p.set.AnalyzeEvery:
		a.Reason = fmt.Sprintf("its statistics are older than %s", p.set.AnalyzeEvery)
	default:
		return
	}
	p.act(a)
}
