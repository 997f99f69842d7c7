package config

import (
	"fmt"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// maxYears bounds all intervals, so that no date computed from one leaves the
// range of PostgreSQL's (PostgreSQL documentation, 8.5 Date/Time Types).
const maxYears = 1000

// interval reads a number and a unit.
func (r *reader) interval(path string, v *interval, byDefault partition.Interval) partition.Interval {
	if v == nil {
		return byDefault
	}
	iv, err := partition.ParseInterval(string(*v))
	if err != nil {
		r.fail(path, reason(err, string(*v)))
		return byDefault
	}
	if !reaches(partition.Interval{N: maxYears, Unit: partition.Year}, iv, 1, true) {
		r.fail(path, fmt.Sprintf("expected at most %d years", maxYears))
		return byDefault
	}
	return iv
}

// period reads the interval of a set.
func (r *reader) period(path string, v *interval) partition.Interval {
	iv := r.interval(path, v, defaultInterval)
	if err := iv.AsPeriod(); err != nil {
		r.fail(path, reason(err, iv.String()))
	}
	return iv
}

// window reads from when and until when rows may make tables. The tables made
// ahead have to be within it, or else the routing function would be refused
// what a pass makes all the time.
func (r *reader) window(path string, keys setKeys, iv partition.Interval, ahead int) partition.Window {
	w := partition.Window{
		Past:   r.interval(path+".window.past", keys.Window.Past, defaultPast),
		Future: r.interval(path+".window.future", keys.Window.Future, defaultFuture),
	}
	if r.err != nil || reaches(w.Future, iv, ahead, true) {
		return w
	}
	if keys.Window.Future != nil {
		r.fail(path+".window.future", fmt.Sprintf("does not reach the %d periods of %s that are made ahead: expected a longer one, or fewer ahead", ahead, iv))
		return w
	}
	w.Future = partition.Interval{N: iv.N * (ahead + 1), Unit: iv.Unit}
	if !reaches(partition.Interval{N: maxYears, Unit: partition.Year}, w.Future, 1, true) {
		r.fail(path+".ahead", fmt.Sprintf("%d periods of %s are too far ahead: expected at most %d years", ahead, iv, maxYears))
	}
	return w
}

// reaches tells whether long is at least n times short: on every day if always
// is set, on some day if not. Months and years have no fixed length, so it is
// tried on each day of a leap cycle.
func reaches(long, short partition.Interval, n int, always bool) bool {
	end := time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)
	for day := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC); day.Before(end); day = day.AddDate(0, 0, 1) {
		if ok := !long.AddTo(day, 1).Before(short.AddTo(day, n)); ok != always {
			return ok
		}
	}
	return always
}
