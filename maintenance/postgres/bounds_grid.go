package postgres

import (
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// grid is what a key is taken down to before it is compared: the microseconds
// that a timestamp has anyway, the days of a date, or what date_trunc says. All
// grids are those of wall clock readings (PostgreSQL documentation, 9.9.2
// date_trunc).
type grid uint8

const (
	gridMicrosecond grid = iota
	gridMillisecond
	gridSecond
	gridMinute
	gridHour
	gridDay
	gridWeek
	gridMonth
	gridQuarter
	gridYear
)

var gridUnits = map[string]grid{
	"microseconds": gridMicrosecond, "milliseconds": gridMillisecond, "second": gridSecond, "minute": gridMinute, "hour": gridHour,
	"day": gridDay, "week": gridWeek, "month": gridMonth, "quarter": gridQuarter, "year": gridYear,
}

// then is the grid that results from taking what is on g down to o, which is the
// coarser of both. It is false for weeks of months and the like, which are no grid.
func (g grid) then(o grid) (grid, bool) {
	if g != o && g > gridDay && o > gridDay && (g == gridWeek || o == gridWeek) {
		return 0, false
	}
	return max(g, o), true
}

// span returns the grid's point at or before t, and the next one.
func (g grid) span(t time.Time) partition.Period {
	units := map[grid]partition.Unit{gridHour: partition.Hour, gridDay: partition.Day, gridWeek: partition.Week,
		gridMonth: partition.Month, gridQuarter: partition.Quarter, gridYear: partition.Year}
	if unit, ok := units[g]; ok {
		return partition.Interval{N: 1, Unit: unit}.PeriodOf(t, time.UTC)
	}
	width := map[grid]time.Duration{gridMicrosecond: time.Microsecond, gridMillisecond: time.Millisecond,
		gridSecond: time.Second, gridMinute: time.Minute}[g]
	from := t.Truncate(width)
	return partition.Period{From: from, To: from.Add(width)}
}

// bounds returns what the comparison allows, given its constant's value, and
// false where it says nothing of use. It is exact: for a value on the grid,
// "at least c" is at least the first point of the grid that is not before c.
func (c comparison) bounds(value partition.Edge) (partition.Bounds, bool) {
	if value.Inf != 0 {
		return partition.Bounds{}, false
	}
	span := c.grid.span(value.Time)
	notBefore, after := span.To, span.To
	onGrid := span.From.Equal(value.Time)
	if onGrid {
		notBefore = span.From
	}
	b := partition.Everywhere
	switch c.op {
	case ">=":
		b.From = partition.At(notBefore)
	case ">":
		b.From = partition.At(after)
	case "<":
		b.To = partition.At(notBefore)
	case "<=":
		b.To = partition.At(after)
	default:
		if !onGrid {
			return partition.Bounds{}, false // No row can be equal.
		}
		b = span.Bounds()
	}
	return b, true
}

// checkBounds is what a CHECK says of the key's bounds.
type checkBounds struct {
	// Bounds are Everywhere where it says nothing of them.
	partition.Bounds
	// plain tells whether its plain comparisons alone say as much.
	plain bool
	// whole tells whether the bounds say all that its comparisons say.
	whole bool
}

// bounds returns what the CHECK allows, given the values of its constants.
func (r checkRange) bounds(values map[literal]partition.Edge) checkBounds {
	out := checkBounds{Bounds: partition.Everywhere, whole: true}
	byPlain := partition.Everywhere
	for _, c := range r.comparisons {
		value, known := values[c.value]
		one, ok := c.bounds(value)
		if !known || !ok {
			out.whole = false
			continue
		}
		out.Bounds = out.Intersect(one)
		if c.plain {
			byPlain = byPlain.Intersect(one)
		}
	}
	out.plain = byPlain.Equal(out.Bounds) && !out.Equal(partition.Everywhere)
	return out
}
