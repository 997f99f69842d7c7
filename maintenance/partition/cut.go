package partition

import "time"

// Template is what new partitions of a set are made like: the [Action].Route of what
// makes one.
func Template(set Set, snap Snapshot) *Route {
	return (&planner{set: set, snap: snap, key: snap.Parent.Key}).template()
}

// Cut divides bounds at the set's periods, from the period of oldest on, which is in
// the set's terms; what is before it is one, and empty if there is nothing. The bounds
// have an end. The first and the last of the periods are as long as the bounds let them be.
func Cut(set Set, key KeyType, b Bounds, oldest time.Time) (before Bounds, periods []Branch) {
	loc := set.Calendar(key)
	period := set.PeriodOf(oldest, key)
	if b.From.Inf == 0 && b.From.Time.After(period.From) {
		period = set.PeriodOf(b.From.Time, key)
	}
	before = Bounds{From: b.From, To: At(period.From)}
	if before.To.Compare(b.To) > 0 {
		before.To = b.To
	}
	for ; At(period.From).Compare(b.To) < 0; period = set.Interval.Next(period, loc) {
		of := period.Bounds()
		if of.From.Compare(b.From) < 0 {
			of.From = b.From
		}
		if of.To.Compare(b.To) > 0 {
			of.To = b.To
		}
		periods = append(periods, Branch{Bounds: of, Table: set.PartitionName(period, key)})
	}
	return before, periods
}
