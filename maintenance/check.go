package maintenance

import (
	"time"

	"github.com/robfig/cron/v3"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Finding is what a check has to say of one set.
type Finding struct {
	// Database is what the set's database is called where there are several.
	Database string `json:"database,omitempty"`
	Set      string `json:"set"`
	// Healthy is true where Overdue and Problems are empty.
	Healthy bool `json:"healthy"`
	// Overdue is what the last scheduled pass should have done, or what cannot
	// wait for the next one.
	Overdue []string `json:"overdue"`
	// Pending is what became due since, and the next pass will do.
	Pending  []string        `json:"pending"`
	Problems []ProblemReport `json:"problems"`
	Withheld []string        `json:"withheld"`
	// Held is what would be removed but for a hold.
	Held []string `json:"held"`
	// Error is why the set could not be looked at.
	Error string `json:"error,omitempty"`
	// NextPass is when the set's schedule comes round again.
	NextPass time.Time `json:"next_pass"`
}

// Label names the set, with its database where there are several.
func (f Finding) Label() string { return Label(f.Database, f.Set) }

// Check tells the healthy from the sick. What became due only since the last
// scheduled pass is no fault, or every check between midnight on the first and
// that day's pass would fail; so the set is planned for twice, as of now and as
// of that pass. A missing partition for the present or the next period, a
// broken trigger and rows in the parent are faults at any time.
func Check(p Planned, schedule cron.Schedule) Finding {
	now := p.Snapshot.Server.Now
	f := Finding{Database: p.Database, Set: p.Set.Parent.String(), Overdue: []string{}, Pending: []string{}, Withheld: []string{},
		Problems: Problems(p.Plan.Problems), Held: Held(p.Plan.Held), NextPass: schedule.Next(now)}
	if p.Err != nil {
		f.Error = p.Err.Error()
		return f
	}
	earlier := p.Snapshot
	earlier.Server.Now = previous(schedule, now)
	then := map[string]bool{}
	for _, a := range partition.Make(p.Set, earlier).Actions {
		then[a.Identity()] = true
	}
	for _, a := range p.Plan.Actions {
		if then[a.Identity()] && !minor(a) || urgent(p, a) {
			f.Overdue = append(f.Overdue, a.String())
		} else {
			f.Pending = append(f.Pending, a.String())
		}
	}
	for _, a := range p.Plan.Withheld {
		f.Withheld = append(f.Withheld, a.String())
	}
	f.Healthy = len(f.Overdue) == 0 && len(f.Problems) == 0
	return f
}

// minor tells whether an action only makes things faster. Rows of a month long
// past make its table when they come, and that at once wants a branch of its own.
func minor(a partition.Action) bool {
	return a.Kind == partition.RouteRows || a.Kind == partition.Analyze
}

// urgent tells whether an action cannot wait for the next pass.
func urgent(p Planned, a partition.Action) bool {
	switch a.Kind {
	case partition.Create:
		key := p.Snapshot.Parent.Key
		next := p.Set.Interval.Next(p.Set.Current(p.Snapshot.Server.Now, key), p.Set.Calendar(key))
		return a.Rows > 0 || a.Bounds.From.Compare(partition.At(next.From)) <= 0
	case partition.Sweep:
		return true
	case partition.RouteRows:
		r := p.Snapshot.Parent.Routing
		return !r.Trigger || r.Disabled || r.Function != partition.FunctionOurs
	}
	return false
}

// previous returns the last time at or before now at which the schedule was
// due, or now itself where it has none within ten years.
func previous(schedule cron.Schedule, now time.Time) time.Time {
	for back := time.Minute; back < 10*365*24*time.Hour; back *= 2 {
		due := schedule.Next(now.Add(-back))
		if due.IsZero() || due.After(now) {
			continue
		}
		for next := schedule.Next(due); !next.IsZero() && !next.After(now); next = schedule.Next(next) {
			due = next
		}
		return due
	}
	return now
}
