package partition

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// due returns the removals that retention asks for, oldest first, whether or
// not a problem stops them. What is held is not due: it stays as if it were new.
func (p *planner) due() []Action {
	cutoff, ok := p.set.Cutoff(p.snap.Server.Now, p.key)
	if !ok {
		return nil
	}
	var due, removable []Action
	for i := range p.known {
		c := &p.known[i]
		if !p.old(c, cutoff) {
			continue
		}
		a := p.removal(c)
		if h := HeldBy(p.snap.Holds, *c, p.snap.Server.Now, p.set.Location); h != nil {
			p.plan.Held = append(p.plan.Held, Held{Action: a, Hold: *h})
			continue
		}
		due = append(due, a)
		// What cannot go anyhow takes no other's share.
		if c.Violation == nil && p.obstacle(c) == "" {
			removable = append(removable, a)
		}
	}
	p.fence(removable)
	return due
}

// old tells whether retention asks for a partition's removal.
func (p *planner) old(c *Partition, cutoff time.Time) bool {
	return c.Bounds.To.Inf == 0 && !c.Bounds.To.Time.After(cutoff) && !c.Bounds.To.Time.After(p.current.From)
}

func (p *planner) removal(c *Partition) Action {
	return Action{Kind: Retire, Table: c.Name, OID: c.OID, Bounds: c.Bounds, Rows: c.Rows, Then: p.set.Retention.Then,
		Reason: fmt.Sprintf("older than %s", p.set.Retention.Keep)}
}

// fence reports a pass that would remove too much at once: a retention that was
// shortened by mistake looks exactly like that.
func (p *planner) fence(due []Action) {
	const inexact = 1e-9 // 0.29 * 100 is less than 29.
	total := len(p.snap.Partitions)
	allowed := max(1, int(p.set.Retention.MaxShare*float64(total)+inexact))
	if len(due) <= allowed {
		return
	}
	p.problem(Problem{Kind: ProblemShare, Table: p.set.Parent, Stops: StopsSet,
		Text: fmt.Sprintf("%d of %d partitions are due, more than the %d that one pass may remove (retention.max_share = %g): %s",
			len(due), total, allowed, p.set.Retention.MaxShare, spanOf(due)),
		Hint: fmt.Sprintf("if that is meant, run once with --max-share %g or raise max_share", math.Ceil(100*float64(len(due))/float64(total)-inexact)/100)})
}

func spanOf(due []Action) string {
	first, last := due[0], due[len(due)-1]
	return fmt.Sprintf("%s to %s", first.Bounds.From, last.Bounds.To)
}

// stopped tells whether a problem found so far says that a removal must not happen.
func (p *planner) stopped(a Action) bool { return p.setStopped || p.tableStopped[a.Table] }

// leaving returns a test for the partitions that this pass removes.
func (p *planner) leaving(due []Action) func(*Partition) bool {
	goes := map[uint32]bool{}
	for _, a := range due {
		goes[a.OID] = !p.stopped(a)
	}
	return func(c *Partition) bool { return goes[c.OID] && c.Known == BoundsFromCheck && p.obstacle(c) == "" }
}

// obstacle describes what keeps one partition from being removed, beyond the
// set's problems.
func (p *planner) obstacle(c *Partition) string {
	switch {
	case p.set.Retention.Then == Detach && len(c.Dependents) > 0:
		// A detached table keeps what depends on it, except further parents.
		return ""
	case len(c.Dependents) > 0:
		return strings.Join(c.Dependents, ", ") + " would break"
	case c.Foreign && p.set.Retention.Then == Archive:
		return "it is a foreign table, whose rows are elsewhere already"
	case c.Foreign && p.snap.Parent.Declarative:
		return "it is a foreign table"
	}
	return ""
}

// retire plans the removals, or withholds them and says so.
func (p *planner) retire(due []Action) {
	// Both are in the same order.
	i := 0
	for _, a := range due {
		for p.known[i].OID != a.OID {
			i++
		}
		c := &p.known[i]
		if why := p.obstacle(c); why != "" {
			p.problem(Problem{Kind: ProblemDependents, Table: c.Name, Stops: StopsTable,
				Text: fmt.Sprintf("it is due (%s), but %s", a.Reason, why),
				Hint: "drop what depends on it, or set retention.then to detach"})
		}
		switch {
		case p.stopped(a):
			p.plan.Withheld = append(p.plan.Withheld, a)
		case c.Known == BoundsFromCheck:
			p.act(a)
		case c.Foreign:
			p.problem(Problem{Kind: ProblemUnreadable, Table: c.Name, Stops: StopsTable,
				Text: fmt.Sprintf("it is due (%s), but it is a foreign table without a validated CHECK", a.Reason), Hint: "give it one, or remove it by hand"})
			p.plan.Withheld = append(p.plan.Withheld, a)
		}
		// Otherwise its CHECK is validated first, and the pass comes round again.
	}
}
