package partition

import (
	"fmt"
	"slices"
)

// create plans the periods that have to exist: those ahead, the gaps if asked
// for, and those of rows that wait in the parent.
func (p *planner) create() {
	loc := p.set.Calendar(p.key)
	type wish struct {
		period Period
		why    string
	}
	var wishes []wish
	if p.set.FillGaps {
		for period := p.firstKept(); period.From.Before(p.current.From); period = p.set.Interval.Next(period, loc) {
			wishes = append(wishes, wish{period, "fills a gap"})
		}
	}
	for i, period := 0, p.current; i <= p.set.Ahead; i, period = i+1, p.set.Interval.Next(period, loc) {
		why := fmt.Sprintf("%d of %d ahead", i, p.set.Ahead)
		if i == 0 {
			why = "the current period"
		}
		wishes = append(wishes, wish{period, why})
	}
	for _, s := range p.snap.Strays {
		if !s.Outside {
			wishes = append(wishes, wish{s.Period, fmt.Sprintf("%d rows wait in %s", s.Rows, p.net())})
		}
	}
	slices.SortStableFunc(wishes, func(a, b wish) int { return a.period.From.Compare(b.period.From) })
	// What hinders a period is reported once, however often it is wished for.
	wishes = slices.CompactFunc(wishes, func(a, b wish) bool { return a.period.Bounds().Equal(b.period.Bounds()) })
	waiting := map[int64]int64{}
	if p.snap.Parent.Declarative {
		for _, s := range p.snap.Strays {
			if !s.Outside {
				waiting[s.Period.From.UnixMicro()] += s.Rows
			}
		}
	}
	for _, w := range wishes {
		p.createOne(w.period, w.why, waiting[w.period.From.UnixMicro()])
	}
}

// firstKept is the oldest period worth filling: the one after the oldest
// partition, which may have no beginning or one off the grid, but none that
// would be due at once or that lies outside of the window.
func (p *planner) firstKept() Period {
	first := p.current
	oldest := slices.IndexFunc(p.known, func(c Partition) bool { return !c.Bounds.Empty() })
	if oldest >= 0 && p.known[oldest].Bounds.To.Inf == 0 {
		first = p.set.PeriodOf(p.known[oldest].Bounds.To.Time, p.key)
	}
	if cutoff, ok := p.set.Cutoff(p.snap.Server.Now, p.key); ok && first.From.Before(cutoff) {
		first = p.set.PeriodOf(cutoff, p.key)
	}
	// A table of a date that nobody accepts does not make thousands more.
	if oldest := p.set.Window.Past.AddTo(p.now, -1); first.From.Before(oldest) {
		first = p.set.PeriodOf(oldest, p.key)
	}
	return first
}

// createOne plans one partition, and in a declarative set the move of the rows that
// wait in the default partition.
func (p *planner) createOne(period Period, why string, waiting int64) {
	bounds := period.Bounds()
	// The periods come in the order of time, so none before the last one reaches it.
	if n := len(p.made); n > 0 && p.made[n-1].Bounds.Overlaps(bounds) {
		return
	}
	if p.covered(bounds) {
		return
	}
	for i := p.from(bounds.From); i < len(p.known) && p.known[i].Bounds.From.Compare(bounds.To) < 0; i++ {
		if c := &p.known[i]; c.Bounds.Overlaps(bounds) {
			p.problem(Problem{Kind: ProblemOverlap, Table: c.Name, Stops: StopsSet,
				Text: fmt.Sprintf("%s covers a part of the period %s (%s), which has no partition of its own", c.Bounds, bounds, why),
				Hint: "rows of the rest of that period stay in " + p.net() + "; make partitions that cover it by hand"})
			return
		}
	}
	name := p.set.PartitionName(period, p.key)
	if p.nameTaken(name) {
		p.problem(Problem{Kind: ProblemNameTaken, Table: name, Stops: StopsNone,
			Text: fmt.Sprintf("the period %s (%s) needs this name, and something else has it", bounds, why),
			Hint: "rename or move it; until then rows of that period stay in " + p.net()})
		return
	}
	p.made = append(p.made, Branch{Bounds: bounds, Table: name})
	p.act(Action{Kind: Create, Table: name, Bounds: bounds, Reason: why, Route: p.template(), Rows: waiting})
}

// from returns the place of the first known partition that may reach beyond an
// edge: none before it does.
func (p *planner) from(e Edge) int {
	for i := len(p.reach); i < len(p.known); i++ {
		to := p.known[i].Bounds.To
		if i > 0 && p.reach[i-1].Compare(to) > 0 {
			to = p.reach[i-1]
		}
		p.reach = append(p.reach, to)
	}
	i, _ := slices.BinarySearchFunc(p.reach, e, func(to, e Edge) int {
		if to.Compare(e) <= 0 {
			return -1
		}
		return 1
	})
	return i
}

// covered tells whether existing partitions together cover b, as two
// half-months that somebody made cover a month.
func (p *planner) covered(b Bounds) bool {
	at := b.From
	for i := p.from(at); i < len(p.known) && p.known[i].Bounds.From.Compare(at) <= 0 && at.Compare(b.To) < 0; i++ {
		if to := p.known[i].Bounds.To; to.Compare(at) > 0 {
			at = to
		}
	}
	return at.Compare(b.To) >= 0
}

func (p *planner) nameTaken(name Name) bool {
	if p.names == nil {
		p.names = make(map[Name]bool, len(p.snap.Partitions)+len(p.snap.Taken))
		for i := range p.snap.Partitions {
			p.names[p.snap.Partitions[i].Name] = true
		}
		for _, n := range p.snap.Taken {
			p.names[n] = true
		}
	}
	return p.names[name]
}
