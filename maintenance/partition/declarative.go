package partition

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// RetireMark is the name of the CHECK that a partition of a declarative parent is
// given before it is taken out, and that says what its bound does: whatever happens
// then, the table can be told from others, and what it may hold is known. The parent
// is in it by its name, which a dump keeps, as it does not an OID.
func RetireMark(parent Name) string { return AsideName(parent, "retire").Local }

// AsideName is what something is called that is made beside a set and has no name of
// its own; what says what for.
func AsideName(parent Name, what string) Name {
	sum := sha256.Sum256([]byte(parent.Schema + "\x00" + parent.Local))
	return Name{Schema: parent.Schema, Local: "partitiond_" + what + "_" + hex.EncodeToString(sum[:4])}
}

// DrainTrigger is the name of the trigger that writes down which rows of a wide partition
// change while they are copied into periods.
const DrainTrigger = "partitiond_drain"

// LogTrigger is the name of the trigger that writes down the changes of a default
// partition while its rows are copied.
const LogTrigger = "partitiond_log"

// net names where rows without a partition go.
func (p *planner) net() string {
	switch {
	case !p.snap.Parent.Declarative:
		return "the parent"
	case p.snap.Default == nil:
		return "no table, and are refused"
	}
	return "the default partition"
}

// inDefault is said of rows beside what is said of those in a parent.
func (p *planner) inDefault() string {
	if p.snap.Default == nil {
		return ""
	}
	return " in the default partition " + p.snap.Default.Name.String()
}

// wanted returns the properties that partitions have to have. A publication of a
// declarative parent has the changes of its partitions anyhow (PostgreSQL
// documentation, CREATE PUBLICATION).
func (p *planner) wanted() []Property {
	all := p.snap.Parent.Properties
	if !p.snap.Parent.Declarative {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(p Property) bool { return p.Kind == PropPublication })
}

// alignDefault plans what is short of the default partition's repair. It comes first:
// to make a partition takes rights on the default one.
func (p *planner) alignDefault() {
	if d := p.snap.Default; d != nil && !d.Foreign {
		if slices.Contains(p.snap.Parent.Routing.Others, LogTrigger) {
			p.act(Action{Kind: TidyDefault, Table: d.Name, OID: d.OID, Bounds: Everywhere, Reason: "a move of its rows was interrupted"})
		}
		short, _ := splitChanges(Diff(p.set, p.wanted(), d.Properties))
		p.align(d, slices.DeleteFunc(short, func(c Change) bool { return waitsForIndex(c, d.Properties) }))
	}
}

// unconstrain plans the end of a CHECK that says what the partition's bound says
// anyway: one that was needed to attach the table without a scan.
func (p *planner) unconstrain(c *Partition) {
	a := Action{Kind: Constrain, Table: c.Name, OID: c.OID, Bounds: c.Bounds, Exists: ConstraintValidated,
		Reason: "a CHECK says what its bound says"}
	for _, ch := range c.Checks {
		if (ch.Name == BoundsConstraint || ch.Name == RetireMark(p.set.Parent)) && ch.Local && ch.Bounds.Covers(c.Bounds) {
			a.Replaces = append(a.Replaces, ch)
		}
	}
	if len(a.Replaces) > 0 {
		p.act(a)
	}
}

// completeIndexes plans that the partitions' indexes become parts of those of the
// parent that were made ON ONLY it, and so are not valid yet (PostgreSQL
// documentation, CREATE INDEX).
func (p *planner) completeIndexes() {
	if !p.set.Indexes || !p.snap.Parent.Declarative {
		return
	}
	for _, name := range p.snap.Parent.Unmarked {
		// It becomes valid by ATTACH PARTITION, for which no index is left.
		p.problem(Problem{Kind: ProblemUnsupported, Table: p.set.Parent, Stops: StopsNone,
			Text: fmt.Sprintf("its index %s is not valid, and cannot become so: partitions have their parts of it, and one without has left, or is a foreign table", name),
			Hint: "make another one and drop it; ON ONLY the parent if no partition is a foreign table"})
	}
	byRank := func(a, b Property) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.Value, a.Value)) }
	for _, want := range slices.SortedFunc(maps.Keys(p.snap.Parent.Incomplete), byRank) {
		names := p.snap.Parent.Incomplete[want]
		if want.Value != exclusion {
			p.act(Action{Kind: AttachIndex, Table: p.set.Parent, OID: p.snap.Parent.OID, Bounds: Everywhere, Changes: []Change{{Want: want}},
				Invalid: names, Reason: fmt.Sprintf("its index %s is not that of all partitions yet", names[0])})
		}
	}
}

// furtherIndexes plans what a partition needs for the parent's indexes that are not
// valid yet, beyond the changes that are planned. An index is part of one of the
// parent's at most, so of those that are the same it has to have as many as the parent
// (PostgreSQL documentation, ALTER INDEX).
func (p *planner) furtherIndexes(c *Partition, planned []Change) (out []Action) {
	if !p.set.Indexes || !p.snap.Parent.Declarative {
		return nil
	}
	for _, definition := range slices.Sorted(maps.Keys(p.snap.Parent.Alike)) {
		have := slices.Clone(c.Alike[definition])
		for _, ch := range planned {
			if ch.Want.Name == definition {
				have = append(have, ch.Want.Value)
			}
		}
		for _, value := range shortOf(p.snap.Parent.Alike[definition], have) {
			nth := 0
			for _, v := range have {
				if v == value {
					nth++
				}
			}
			have = append(have, value)
			out = append(out, Action{Kind: Index, Table: c.Name, OID: c.OID, Bounds: c.Bounds, Nth: nth, Invalid: c.InvalidIndexes[definition],
				Changes: []Change{{Want: Property{Kind: PropIndex, Name: definition, Value: value}, Missing: true}},
				Reason:  fmt.Sprintf("the parent has %d indexes %s, and it has fewer", len(p.snap.Parent.Alike[definition]), definition)})
		}
	}
	return out
}

// shortOf returns which indexes are missing where each of the parent's needs one of its
// own: a constraint's one of such a constraint, and another one any that is left over.
func shortOf(want, have []string) (missing []string) {
	have = slices.Clone(have)
	take := func(ok func(string) bool) bool {
		i := slices.IndexFunc(have, ok)
		if i >= 0 {
			have = slices.Delete(have, i, i+1)
		}
		return i >= 0
	}
	// Those of no constraint come last.
	for _, value := range slices.SortedFunc(slices.Values(want), func(a, b string) int { return cmp.Compare(b, a) }) {
		same := take(func(v string) bool { return v == value })
		if !same && value != exclusion && (value != "" || !take(func(string) bool { return true })) {
			missing = append(missing, value)
		}
	}
	return missing
}

// finalize plans the end of what was interrupted: until then no other partition can be
// detached (PostgreSQL documentation, ALTER TABLE, DETACH PARTITION).
func (p *planner) finalize() {
	for i := range p.snap.Detaching {
		c := &p.snap.Detaching[i]
		p.act(Action{Kind: Finalize, Table: c.Name, OID: c.OID, Bounds: c.Bounds, Reason: "its detaching was interrupted"})
	}
}

// takenOut plans the end of removals from a declarative set that did not come to
// theirs. It returns the tables that are out of the parent already and due, whether
// or not a problem stops that; what is not due any more, or held, goes back.
func (p *planner) takenOut() (due []Action) {
	cutoff, removes := p.set.Cutoff(p.snap.Server.Now, p.key)
	for i := range p.snap.Detached {
		c := &p.snap.Detached[i]
		if c.Known != BoundsFromCheck {
			p.problem(Problem{Kind: ProblemUnreadable, Table: c.Name, Stops: StopsTable,
				Text: "a pass has taken it out, and its CHECK " + RetireMark(p.set.Parent) + " is no longer what it was",
				Hint: "attach or drop it by hand"})
			continue
		}
		held := HeldBy(p.snap.Holds, *c, p.snap.Server.Now, p.set.Location)
		if removes && p.old(c, cutoff) && held == nil {
			a := p.removal(c)
			a.Reason += ", and taken out already"
			due = append(due, a)
			continue
		}
		why := fmt.Sprintf("a pass has taken it out, and it is not older than %s", p.set.Retention.Keep)
		if held != nil {
			why = "a pass has taken it out, and it is held " + held.String()
		} else if !removes {
			why = "a pass has taken it out, and nothing is to be removed any more"
		}
		if j := slices.IndexFunc(p.known, func(o Partition) bool { return o.Bounds.Overlaps(c.Bounds) }); j >= 0 {
			p.problem(Problem{Kind: ProblemOverlap, Table: c.Name, Stops: StopsTable,
				Text: why + fmt.Sprintf("; but %s with %s is in its place", p.known[j].Name, p.known[j].Bounds),
				Hint: "move its rows by hand, or drop it"})
			continue
		}
		p.act(Action{Kind: Attach, Table: c.Name, OID: c.OID, Bounds: c.Bounds, Reason: why, Route: p.template()})
		back := *c
		back.Checks = nil
		p.known = append(p.known, back)
	}
	slices.SortStableFunc(p.known, func(a, b Partition) int { return a.Bounds.From.Compare(b.Bounds.From) })
	return due
}

// retireTakenOut plans the rest of removals whose tables are out of the parent.
func (p *planner) retireTakenOut(due []Action) {
	for _, a := range due {
		if p.stopped(a) {
			p.plan.Withheld = append(p.plan.Withheld, a)
		} else {
			p.act(a)
		}
	}
}

// safetyNet plans the default partition, which catches rows without a partition, and
// the trigger by which it tells of them. Both come last: until there is one,
// partitions come and go under weaker locks.
func (p *planner) safetyNet() {
	d := p.snap.Default
	if !p.snap.Parent.Declarative || !p.set.DefaultPartition {
		return
	}
	name := p.set.DefaultName()
	if d == nil {
		if len(name.Local) > MaxNameBytes {
			p.problem(Problem{Kind: ProblemNameTaken, Table: p.set.Parent, Stops: StopsNone,
				Text: fmt.Sprintf("the default partition's name %q has %d bytes: PostgreSQL keeps %d", name.Local, len(name.Local), MaxNameBytes),
				Hint: "make a default partition by hand, or set default_partition = false"})
			return
		}
		if p.nameTaken(name) {
			p.problem(Problem{Kind: ProblemNameTaken, Table: name, Stops: StopsNone,
				Text: "the default partition needs this name, and something else has it",
				Hint: "rename or move it, make a default partition by hand, or set default_partition = false"})
			return
		}
		p.act(Action{Kind: CreateDefault, Table: name, Bounds: Everywhere, Reason: "rows without a partition have no place", Route: p.template()})
		return
	}
	state := p.snap.Parent.Routing
	a := Action{Kind: Notify, Table: d.Name, OID: d.OID, Bounds: Everywhere}
	switch {
	case d.Foreign:
		return
	case p.snap.Parent.Distributed:
		return // Citus has no triggers: its rows wait for the next pass.
	case !p.set.Takeover && (state.Function == FunctionUnknown || state.TriggerOther != ""):
		what := fmt.Sprintf("the function %s exists and is not one that is known here", p.set.Function)
		if state.TriggerOther != "" {
			what = fmt.Sprintf("the trigger %q of %s is something else: %s", p.set.Trigger, d.Name, state.TriggerOther)
		}
		p.problem(Problem{Kind: ProblemTrigger, Table: d.Name, Stops: StopsNone, Text: what,
			Hint: "give trigger or function another name, or set takeover = true; until then rows in the default partition wait for the next pass"})
		return
	case state.Function != FunctionOurs:
		a.Reason = "the function that tells of its rows is missing or another"
	case !state.Trigger:
		a.Reason = "the trigger that tells of its rows is missing"
	case state.Disabled:
		a.Reason = "the trigger that tells of its rows is disabled"
	default:
		return
	}
	p.act(a)
}
