package partition

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkMake12000 plans for a set of 12,000 hours: all in order, all due, none
// there yet, all without their CHECK, and as many rows in the parent as hours.
// Each has to take well under a second.
func BenchmarkMake12000(b *testing.B) {
	const n = 12_000
	first := now.Truncate(time.Hour).Add(-(n - 3) * time.Hour)
	hourly := monthly(b, func(s *Set) { s.Interval = Interval{1, Hour} })
	pattern, err := ParsePattern("events_%Y%m%d%H", hourly.Interval)
	if err != nil {
		b.Fatal(err)
	}
	hourly.Pattern = pattern
	properties := empty().Parent.Properties
	hours := make([]Partition, n)
	for i := range hours {
		period := hourly.PeriodOf(first.Add(time.Duration(i)*time.Hour), KeyTimestamp)
		hours[i] = Partition{OID: uint32(100 + i), Name: hourly.PartitionName(period, KeyTimestamp), Bounds: period.Bounds(), Known: BoundsFromCheck,
			Properties: properties, SameShape: true, Checks: []BoundsCheck{{Name: BoundsConstraint, Validated: true, Plain: true, Bounds: period.Bounds()}}}
	}
	with := func(change func(i int, c *Partition)) []Partition {
		out := make([]Partition, n)
		for i, c := range hours {
			change(i, &c)
			out[i] = c
		}
		return out
	}
	due := hourly
	due.Retention = Retention{Keep: Interval{1, Hour}, Then: Drop, MaxShare: 1}
	gaps := hourly
	gaps.FillGaps = true
	var strays []Stray
	for _, c := range hours {
		strays = append(strays, Stray{Period: Period{c.Bounds.From.Time, c.Bounds.To.Time}, Rows: 1})
	}
	for _, bench := range []struct {
		name       string
		set        Set
		partitions []Partition
		strays     []Stray
		// actions is how many there have to be, at least.
		actions int
	}{
		{"idle", hourly, hours, nil, 0},
		{"unlike", hourly, with(func(i int, c *Partition) { c.Properties = append([]Property{}, properties...) }), nil, 0},
		{"due", due, hours, nil, n - 10},
		{"withheld", due, with(func(i int, c *Partition) { c.Dependents = []string{"view v"} }), nil, 0},
		{"violated", due, with(func(i int, c *Partition) { c.Violation = &Violation{Rows: 1} }), nil, 0},
		{"gaps", gaps, hours[:1], nil, n - 10},
		{"repair", hourly, with(func(i int, c *Partition) { c.Checks, c.Properties = nil, nil }), nil, 2 * n},
		{"strays", hourly, hours, strays, n},
		{"strays without a home", hourly, nil, strays, 2 * n},
	} {
		b.Run(bench.name, func(b *testing.B) {
			snap := settled(b, hourly, bench.partitions...)
			snap.Strays = bench.strays
			b.ReportAllocs()
			for b.Loop() {
				if plan := Make(bench.set, snap); len(plan.Actions) < bench.actions {
					b.Fatal(fmt.Sprint(len(plan.Actions), " actions: ", plan.Problems))
				}
			}
		})
	}
}
