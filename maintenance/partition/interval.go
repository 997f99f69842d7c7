package partition

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Unit is a calendar unit. The zero value is no unit at all, so that a
// forgotten one is noticed.
type Unit uint8

// The units, from the shortest to the longest. A week is an ISO 8601 week and
// starts on Monday; a quarter starts in January, April, July or October.
const (
	Hour Unit = iota + 1
	Day
	Week
	Month
	Quarter
	Year
)

var unitNames = [...]string{Hour: "hour", Day: "day", Week: "week", Month: "month", Quarter: "quarter", Year: "year"}

// String returns the unit's English singular, as in "month".
func (u Unit) String() string {
	if u < Hour || u > Year {
		return "unit(" + strconv.Itoa(int(u)) + ")"
	}
	return unitNames[u]
}

// Interval is a positive number of one calendar unit, such as 1 month or
// 2 weeks. It serves as the width of a period, as a retention and as a window;
// it is never a fixed number of seconds, for months and days have none.
type Interval struct {
	N    int
	Unit Unit
}

// maxIntervalN bounds the multiplier so that no calendar arithmetic overflows.
const maxIntervalN = 100_000

// ParseInterval reads "1 month", "3 months", "2 weeks" or "month" (which is
// one of it). A number without a unit is refused: "12" has meant twelve of
// anything, and that is how whole tables were lost. The error says what was
// expected and does not repeat the key it came from.
func ParseInterval(text string) (Interval, error) {
	const want = `expected a number and a unit, such as "12 months" (units: hour, day, week, month, quarter, year)`
	fields := strings.Fields(text)
	n := 1
	switch len(fields) {
	case 1:
		if _, err := strconv.Atoi(fields[0]); err == nil || errors.Is(err, strconv.ErrRange) {
			return Interval{}, fmt.Errorf("%q has no unit: %s", text, want)
		}
	case 2:
		var err error
		// Where the number is too large for an int, Atoi gives the largest one.
		if n, err = strconv.Atoi(fields[0]); err != nil && !errors.Is(err, strconv.ErrRange) {
			return Interval{}, fmt.Errorf("%q does not start with a whole number: %s", text, want)
		}
		fields = fields[1:]
	default:
		return Interval{}, fmt.Errorf("%q is not an interval: %s", text, want)
	}
	if n < 1 || n > maxIntervalN {
		return Interval{}, fmt.Errorf("%q is out of range: the number must be from 1 to %d", text, maxIntervalN)
	}
	for u := Hour; u <= Year; u++ {
		if name := unitNames[u]; fields[0] == name || fields[0] == name+"s" {
			return Interval{N: n, Unit: u}, nil
		}
	}
	return Interval{}, fmt.Errorf("%q has an unknown unit %q: %s", text, fields[0], want)
}

// IsZero tells whether the interval was never set.
func (iv Interval) IsZero() bool { return iv == Interval{} }

// String returns the interval as [ParseInterval] reads it.
func (iv Interval) String() string {
	if iv.IsZero() {
		return ""
	}
	if iv.N == 1 {
		return "1 " + iv.Unit.String()
	}
	return strconv.Itoa(iv.N) + " " + iv.Unit.String() + "s"
}

// months returns the interval in months, or 0 if it is not made of months.
func (iv Interval) months() int {
	switch iv.Unit {
	case Month:
		return iv.N
	case Quarter:
		return 3 * iv.N
	case Year:
		return 12 * iv.N
	}
	return 0
}

// days returns the interval in days, or 0 if it is not made of days.
func (iv Interval) days() int {
	switch iv.Unit {
	case Day:
		return iv.N
	case Week:
		return 7 * iv.N
	}
	return 0
}

// AddTo returns t moved by n intervals, which may be negative, in t's own
// location. A day that the target month lacks becomes its last day, as
// PostgreSQL's own timestamp + interval does (PostgreSQL documentation, 9.9
// Date/Time Functions and Operators), so that 31 March minus one month is
// 28 February and never 3 March.
func (iv Interval) AddTo(t time.Time, n int) time.Time {
	if m := iv.months(); m != 0 {
		return addMonths(t, m*n)
	}
	if d := iv.days(); d != 0 {
		return t.AddDate(0, 0, d*n)
	}
	return t.Add(time.Duration(iv.N*n) * time.Hour)
}

func addMonths(t time.Time, months int) time.Time {
	y, m, d := t.Date()
	index := y*12 + int(m) - 1 + months
	y, m = floorDiv(index, 12), time.Month(floorMod(index, 12)+1)
	if last := time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day(); d > last {
		d = last
	}
	return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
}

// AsPeriod refuses intervals that cannot tile the calendar: hours must divide
// a day, months a year, for otherwise a boundary would depend on where the
// counting began.
func (iv Interval) AsPeriod() error {
	switch {
	case iv.Unit == Hour && 24%iv.N != 0:
		return fmt.Errorf("%q does not divide a day: use 1, 2, 3, 4, 6, 8 or 12 hours, or days", iv)
	case iv.months() > 0 && 12%iv.months() != 0 && iv.months()%12 != 0:
		return fmt.Errorf("%q does not divide a year: use 1, 2, 3, 4 or 6 months, or years", iv)
	}
	return nil
}

// Anchors of multiples: the first day of the Unix epoch for days, the Monday of
// that week for weeks, year 0 for months. sql/route.sql counts from the same.
var (
	dayAnchor  = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	weekAnchor = time.Date(1969, 12, 29, 0, 0, 0, 0, time.UTC)
)

// PeriodOf returns the period that t falls into. Boundaries of days and longer
// are midnights in loc. Hours are reckoned in UTC whatever loc is, since an
// hour that a clock shows twice could not have two tables of one name.
func (iv Interval) PeriodOf(t time.Time, loc *time.Location) Period {
	if iv.Unit == Hour {
		t = t.UTC()
		from := time.Date(t.Year(), t.Month(), t.Day(), t.Hour()-t.Hour()%iv.N, 0, 0, 0, time.UTC)
		return Period{From: from, To: from.Add(time.Duration(iv.N) * time.Hour)}
	}
	t = t.In(loc)
	y, m, d := t.Date()
	if months := iv.months(); months != 0 {
		index := y*12 + int(m) - 1
		index -= floorMod(index, months)
		return iv.around(t, Period{From: monthStart(index, loc), To: monthStart(index+months, loc)}, loc)
	}
	anchor := dayAnchor
	if iv.Unit == Week {
		anchor = weekAnchor
	}
	back := floorMod(int(civilDay(t)-civilDay(anchor)), iv.days())
	return iv.around(t, Period{From: midnight(y, m, d-back, loc), To: midnight(y, m, d-back+iv.days(), loc)}, loc)
}

// around returns p, or the period after it where that holds t: a clock that goes
// back across midnight (as in St. John's until 2011) shows the old date again
// when the new day has already begun.
func (iv Interval) around(t time.Time, p Period, loc *time.Location) Period {
	if t.Before(p.To) {
		return p
	}
	return iv.Next(p, loc)
}

// civilDay numbers the days of the calendar that t's clock shows.
func civilDay(t time.Time) int64 {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
}

// monthStart returns the first instant of the month with the given number
// since year 0.
func monthStart(index int, loc *time.Location) time.Time {
	return midnight(floorDiv(index, 12), time.Month(floorMod(index, 12)+1), 1, loc)
}

// midnight returns the first instant of a civil day. Where the clock skips
// midnight (as in Beirut or Cairo when summer time begins) the day starts when
// the skip ends; there time.Date may answer with either side.
func midnight(y int, m time.Month, d int, loc *time.Location) time.Time {
	t := time.Date(y, m, d, 0, 0, 0, 0, loc)
	day := civilDay(time.Date(y, m, d, 0, 0, 0, 0, time.UTC))
	start, end := t.ZoneBounds()
	if civilDay(t) < day && !end.IsZero() {
		return end // Before the gap: the transition is the end of this offset's span.
	}
	if start.IsZero() {
		return t
	}
	// Where midnight happens twice, the first one starts the day.
	_, now := t.Zone()
	_, before := start.Add(-time.Second).Zone()
	if first := t.Add(time.Duration(now-before) * time.Second); before > now && first.Before(start) {
		return first
	}
	return t
}

// Next returns the period that follows p on the interval's grid.
func (iv Interval) Next(p Period, loc *time.Location) Period { return iv.PeriodOf(p.To, loc) }

func floorDiv(a, b int) int { return (a - floorMod(a, b)) / b }

func floorMod(a, b int) int { return ((a % b) + b) % b }
