package partition

import (
	"cmp"
	"slices"
	"time"
)

// CellState is what one cell of a strip shows.
type CellState string

// The states. Where several would do, the one that asks most of a reader wins: a
// problem, held, due, and then the place in time.
const (
	CellAhead    CellState = "ahead"
	CellCurrent  CellState = "current"
	CellKept     CellState = "kept"
	CellDue      CellState = "due"
	CellArchived CellState = "archived"
	CellHeld     CellState = "held"
	// CellMissing is a period without a table that should have one.
	CellMissing CellState = "missing"
	CellProblem CellState = "problem"
	// CellNone is a period without a table that needs none: a row would make it.
	CellNone CellState = "none"
)

// Cell is one place of a strip: a partition, an archived period, or time that no
// table is for.
type Cell struct {
	State CellState
	// Bounds are in the set's terms. Those of a partition whose bounds are not
	// known are [Everywhere].
	Bounds Bounds
	// Now tells whether the server's present lies within the bounds.
	Now bool
	// Table is the partition, the zero name where there is none.
	Table Name
	// Periods is how many periods of the interval the cell is for; more than one
	// only for time without a table.
	Periods int
	// Rows is an estimate, unless the rows are archived; Bytes is all that the table
	// takes, or the files of the archive. Each is -1 where it is not known.
	Rows, Bytes int64
	// Why is what there is to say, in words for people; often empty.
	Why string
}

// Archived is a period that an archive has.
type Archived struct {
	Bounds      Bounds
	Rows, Bytes int64
}

// maxCells bounds how finely time without a table is looked at: further back, it
// is one cell.
const maxCells = 20_000

// Strip lays a set out in time, as people want to see it: what there is, what
// should be there, and what becomes of it. It is a pure function. Sizes are by the
// partitions' OIDs; a partition without one has that of the snapshot. Partitions
// whose bounds are not known come last.
func Strip(set Set, snap Snapshot, plan Plan, sizes map[uint32]int64, archived []Archived) []Cell {
	if snap.Parent == nil || snap.Parent.Key == "" {
		return nil
	}
	s := &strip{set: set, snap: snap, plan: plan, sizes: sizes, key: snap.Parent.Key}
	s.now = set.Wall(snap.Server.Now, s.key)
	s.current = set.PeriodOf(s.now, s.key)
	s.end = s.current.To
	for range set.Ahead {
		s.end = set.Interval.Next(Period{To: s.end}, set.Calendar(s.key)).To
	}
	s.tables()
	s.archives(archived)
	slices.SortStableFunc(s.cells, byBounds)
	s.gaps()
	return append(s.cells, s.unknown...)
}

// byBounds puts cells in the order of time.
func byBounds(a, b Cell) int {
	return cmp.Or(a.Bounds.From.Compare(b.Bounds.From), a.Bounds.To.Compare(b.Bounds.To), cmp.Compare(a.Table.String(), b.Table.String()))
}

type strip struct {
	set     Set
	snap    Snapshot
	plan    Plan
	sizes   map[uint32]int64
	key     KeyType
	now     time.Time
	current Period
	// end is where the periods made ahead end.
	end            time.Time
	cells, unknown []Cell
}

func (s *strip) tables() {
	for _, c := range s.snap.Partitions {
		cell := Cell{Bounds: c.Bounds, Table: c.Name, Periods: 1, Rows: c.Rows, Bytes: c.Bytes}
		if size, ok := s.sizes[c.OID]; ok {
			cell.Bytes = size
		}
		if c.Known == BoundsUnknown || c.Bounds.Empty() {
			cell.Bounds, cell.State, cell.Why = Everywhere, CellProblem, "its bounds are not known"
			if why := s.problemOf(c); why != "" {
				cell.Why = why
			}
			s.unknown = append(s.unknown, cell)
			continue
		}
		cell.Now = c.Bounds.Contains(s.now)
		cell.State, cell.Why = s.stateOf(c)
		s.cells = append(s.cells, cell)
	}
}

func (s *strip) stateOf(c Partition) (state CellState, why string) {
	if why := s.problemOf(c); why != "" {
		return CellProblem, why
	}
	for _, h := range s.plan.Held {
		if h.Action.OID == c.OID {
			return CellHeld, "would " + h.Action.Verb() + ", held " + h.Hold.String()
		}
	}
	if h := HeldBy(s.snap.Holds, c, s.snap.Server.Now, s.set.Location); h != nil {
		why = "held " + h.String()
	}
	isIt := func(a Action) bool { return a.Kind == Retire && a.OID == c.OID }
	if i := slices.IndexFunc(s.plan.Withheld, isIt); i >= 0 {
		return CellDue, s.plan.Withheld[i].Verb() + " withheld, since the set has a problem"
	}
	cutoff, removes := s.set.Cutoff(s.snap.Server.Now, s.key)
	switch {
	case removes && c.Bounds.To.Inf == 0 && !c.Bounds.To.Time.After(cutoff) && !c.Bounds.To.Time.After(s.current.From):
		return CellDue, "next: " + string(s.set.Retention.Then)
	case c.Bounds.Overlaps(s.current.Bounds()):
		return CellCurrent, why
	case c.Bounds.From.Compare(At(s.current.To)) >= 0:
		return CellAhead, why
	}
	return CellKept, why
}

// problemOf returns what is wrong with one partition in the plan's words.
func (s *strip) problemOf(c Partition) string {
	for _, p := range s.plan.Problems {
		if p.Table == c.Name {
			return string(p.Kind) + ": " + p.Text
		}
	}
	if c.Violation != nil {
		return string(ProblemViolation)
	}
	// The plan tells of an overlap for one of the two only.
	if slices.ContainsFunc(s.plan.Problems, func(p Problem) bool { return p.Kind == ProblemOverlap }) {
		for _, o := range s.snap.Partitions {
			if o.OID != c.OID && o.Known != BoundsUnknown && c.Known != BoundsUnknown && o.Bounds.Overlaps(c.Bounds) {
				return string(ProblemOverlap) + ": with " + o.Name.String()
			}
		}
	}
	return ""
}

// archives adds the archived periods that no table stands for any more. One that
// happens to reach over them is no such table.
func (s *strip) archives(archived []Archived) {
	for _, a := range archived {
		if i := slices.IndexFunc(s.cells, func(c Cell) bool { return a.Bounds.Covers(c.Bounds) }); i < 0 {
			s.cells = append(s.cells, Cell{State: CellArchived, Bounds: a.Bounds, Periods: 1, Rows: a.Rows, Bytes: a.Bytes})
		} else if c := &s.cells[i]; c.State == CellArchived && c.Bounds.Equal(a.Bounds) {
			c.Rows, c.Bytes = c.Rows+a.Rows, c.Bytes+a.Bytes // Rows that came late have an export of their own.
		} else if c.Why == "" {
			c.Why = "the archive has rows of this period, too"
		}
	}
}

// gaps puts cells where no table is, from the first cell to the end of what is
// made ahead, or of what there is.
func (s *strip) gaps() {
	at := At(s.current.From)
	if len(s.cells) > 0 && s.cells[0].Bounds.From.Compare(at) < 0 {
		at = s.cells[0].Bounds.From
	}
	var out []Cell
	for _, c := range s.cells {
		if at.Compare(c.Bounds.From) < 0 {
			out = append(out, s.gap(at.Time, c.Bounds.From.Time)...)
		}
		out = append(out, c)
		if c.Bounds.To.Compare(at) > 0 {
			at = c.Bounds.To
		}
	}
	if at.Compare(At(s.end)) < 0 {
		out = append(out, s.gap(at.Time, s.end)...)
	}
	s.cells = out
}

// gap returns the cells of a time that no table is for. Neighbours that need
// none are one cell.
func (s *strip) gap(from, to time.Time) []Cell {
	var out []Cell
	for n := 0; from.Before(to); n++ {
		end := s.set.PeriodOf(from, s.key).To
		if n >= maxCells && from.Before(s.current.From) {
			end = s.current.From
		}
		if end.After(to) {
			end = to
		}
		c := Cell{State: CellNone, Bounds: Bounds{At(from), At(end)}, Periods: 1, Rows: -1, Bytes: -1}
		c.Now = c.Bounds.Contains(s.now)
		if s.wanted(c.Bounds) {
			c.State, c.Why = CellMissing, "there is no table for it"
		}
		if last := len(out) - 1; last >= 0 && c.State == CellNone && out[last].State == CellNone {
			out[last].Bounds.To = c.Bounds.To
			out[last].Periods++
		} else {
			out = append(out, c)
		}
		from = end
	}
	return out
}

// wanted tells whether a time without a table should have one: from the present
// to the end of what is made ahead, and wherever the plan makes one.
func (s *strip) wanted(b Bounds) bool {
	if b.Overlaps(Bounds{At(s.current.From), At(s.end)}) {
		return true
	}
	return slices.ContainsFunc(s.plan.Actions, func(a Action) bool { return a.Kind == Create && a.Bounds.Overlaps(b) })
}

// Runway returns how long from the server's present there is a table for every
// row, and false where that has no end. It is zero where the present has none.
func Runway(set Set, snap Snapshot) (runway time.Duration, ends bool) {
	if snap.Parent == nil || snap.Parent.Key == "" {
		return 0, true
	}
	known := slices.DeleteFunc(slices.Clone(snap.Partitions), func(c Partition) bool { return c.Known == BoundsUnknown || c.Bounds.Empty() })
	slices.SortFunc(known, func(a, b Partition) int { return a.Bounds.From.Compare(b.Bounds.From) })
	now := set.Wall(snap.Server.Now, snap.Parent.Key)
	at := At(now)
	for _, c := range known {
		if c.Bounds.From.Compare(at) <= 0 && c.Bounds.To.Compare(at) > 0 {
			at = c.Bounds.To
		}
	}
	if at.Inf != 0 {
		return 0, false
	}
	if t := at.Time; !snap.Parent.Key.Instant() {
		// What a clock on the wall reads is an instant only where the clock hangs.
		t = t.UTC()
		at = At(time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), set.Location))
	}
	if at.Time.Before(snap.Server.Now) {
		return 0, true
	}
	return at.Time.Sub(snap.Server.Now), true
}
