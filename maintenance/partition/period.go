package partition

import (
	"fmt"
	"time"
)

// Period is the half-open span [From, To) of one interval.
type Period struct{ From, To time.Time }

// Contains tells whether t lies in the period.
func (p Period) Contains(t time.Time) bool { return !t.Before(p.From) && t.Before(p.To) }

// Bounds returns the period as bounds.
func (p Period) Bounds() Bounds { return Bounds{From: At(p.From), To: At(p.To)} }

// String returns the period for people, as in "[2018-11-01, 2018-12-01)".
func (p Period) String() string { return p.Bounds().String() }

// Edge is one end of a partition's bounds: an instant (or wall clock reading,
// see the package documentation), or an infinity. PostgreSQL keeps both
// microseconds and 'infinity' in its timestamps (PostgreSQL documentation, 8.5
// Date/Time Types).
type Edge struct {
	Time time.Time
	// Inf is -1 for no lower bound, +1 for no upper bound, 0 for Time.
	Inf int8
}

// At returns the edge at t.
func At(t time.Time) Edge { return Edge{Time: t} }

// The two open ends.
var (
	MinusInfinity = Edge{Inf: -1}
	PlusInfinity  = Edge{Inf: 1}
)

// Compare returns -1, 0 or +1 as e lies before, at or after o.
func (e Edge) Compare(o Edge) int {
	if e.Inf != 0 || o.Inf != 0 {
		return int(min(1, max(-1, e.Inf-o.Inf)))
	}
	return e.Time.Compare(o.Time)
}

// String returns the edge for people: a date where it is a midnight.
func (e Edge) String() string {
	switch {
	case e.Inf < 0:
		return "-infinity"
	case e.Inf > 0:
		return "infinity"
	case e.Time.Equal(e.Time.Truncate(time.Second)) && e.Time.Hour() == 0 && e.Time.Minute() == 0 && e.Time.Second() == 0:
		return e.Time.Format("2006-01-02")
	}
	return e.Time.Format("2006-01-02 15:04:05.999999")
}

// Bounds are the half-open bounds [From, To) of a partition that exists. They
// need not lie on any grid: what was made by hand is adopted as it stands.
type Bounds struct{ From, To Edge }

// Everywhere are the bounds of a table that nothing constrains.
var Everywhere = Bounds{From: MinusInfinity, To: PlusInfinity}

// Empty tells whether no value lies within the bounds.
func (b Bounds) Empty() bool { return b.From.Compare(b.To) >= 0 }

// Finite tells whether both ends are known.
func (b Bounds) Finite() bool { return b.From.Inf == 0 && b.To.Inf == 0 }

// Overlaps tells whether some value lies within both.
func (b Bounds) Overlaps(o Bounds) bool { return !b.Intersect(o).Empty() }

// Covers tells whether o lies wholly within b.
func (b Bounds) Covers(o Bounds) bool { return b.From.Compare(o.From) <= 0 && o.To.Compare(b.To) <= 0 }

// Contains tells whether t lies within the bounds.
func (b Bounds) Contains(t time.Time) bool {
	return b.From.Compare(At(t)) <= 0 && At(t).Compare(b.To) < 0
}

// Intersect returns what both have in common, which may be empty.
func (b Bounds) Intersect(o Bounds) Bounds {
	if o.From.Compare(b.From) > 0 {
		b.From = o.From
	}
	if o.To.Compare(b.To) < 0 {
		b.To = o.To
	}
	return b
}

// hull returns the least bounds that cover both.
func (b Bounds) hull(o Bounds) Bounds {
	if o.From.Compare(b.From) < 0 {
		b.From = o.From
	}
	if o.To.Compare(b.To) > 0 {
		b.To = o.To
	}
	return b
}

// Equal tells whether both have the same ends.
func (b Bounds) Equal(o Bounds) bool { return b.From.Compare(o.From) == 0 && b.To.Compare(o.To) == 0 }

// String returns the bounds for people, as in "[2018-11-01, 2018-12-01)".
func (b Bounds) String() string { return fmt.Sprintf("[%s, %s)", b.From, b.To) }
