package maintenance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Member is one of the databases of a [Fleet], with the sets that are maintained in it.
type Member struct {
	*Maintainer
	Sets []partition.Set
}

// Fleet is one or several databases. Each is worked on by itself, with its own
// connections, locks, watchers and history: what goes wrong in one stops no other.
type Fleet struct {
	Members []Member
	// Parallel is how many databases are worked on at once; at least one is.
	Parallel int
}

// Each calls a function for every member, for as many at once as the fleet allows,
// and returns when all calls have. The index is that of the member.
func (f Fleet) Each(do func(i int, m Member)) {
	var group errgroup.Group
	group.SetLimit(max(1, f.Parallel))
	for i, m := range f.Members {
		group.Go(func() error {
			do(i, m)
			return nil
		})
	}
	_ = group.Wait() // Errors are the caller's to keep, by database.
}

// Pass makes a pass over each database, as [Maintainer.Pass] does. The report has
// every set of every member, in their order: those of a database in which no pass
// could be made are failed, and those that the pass did not come to before it was
// stopped are stopped. There is an error only if no pass was made anywhere.
func (f Fleet) Pass(ctx context.Context, stop <-chan struct{}) (Report, error) {
	report := Report{Began: time.Now()}
	reports, errs := make([]Report, len(f.Members)), make([]error, len(f.Members))
	f.Each(func(i int, m Member) {
		select {
		case <-stop:
			reports[i].Sets = m.all(Stopped, "")
			return
		default:
		}
		if reports[i], errs[i] = m.Pass(ctx, stop, m.Sets); errs[i] == nil {
			return
		}
		reports[i].Sets = m.all(Failed, errs[i].Error())
		if ctx.Err() != nil {
			reports[i].Sets = m.all(Stopped, errs[i].Error())
		}
	})
	for _, r := range reports {
		report.Sets = append(report.Sets, r.Sets...)
	}
	report.Seconds = time.Since(report.Began).Seconds()
	return report, f.Failure(errs)
}

// all reports the same of all sets.
func (m Member) all(status Status, why string) []SetReport {
	out := make([]SetReport, len(m.Sets))
	for i, s := range m.Sets {
		out[i] = m.newReport(s)
		out[i].Status, out[i].Error = status, why
	}
	return out
}

// Plan observes all databases and plans for their sets, as [Maintainer.Plan] does.
// Every set of every member is there, in their order; those of a database that
// could not be looked at have the error, and this machine's clock for the server's.
// There is an error only if no database could be looked at.
func (f Fleet) Plan(ctx context.Context) ([]Planned, error) {
	plans, errs := make([][]Planned, len(f.Members)), make([]error, len(f.Members))
	f.Each(func(i int, m Member) {
		if plans[i], errs[i] = m.Plan(ctx, m.Sets); errs[i] != nil {
			plans[i] = m.unseen(errs[i])
		}
	})
	var all []Planned
	for _, p := range plans {
		all = append(all, p...)
	}
	return all, f.Failure(errs)
}

// unseen is the plan of a database that cannot be looked at.
func (m Member) unseen(err error) []Planned {
	out := make([]Planned, len(m.Sets))
	for i, s := range m.Sets {
		out[i] = Planned{Database: m.Database, Set: s, Err: err}
		out[i].Snapshot.Server.Now = time.Now()
	}
	return out
}

// Failure makes one error of those of all members: nil unless each has one. That of
// a single member is what it was; of several it is all that each of them is.
func (f Fleet) Failure(errs []error) error {
	var failed failures
	for i, err := range errs {
		if err == nil {
			return nil
		}
		if len(errs) == 1 {
			return err
		}
		failed = append(failed, fmt.Errorf("%s: %w", f.Members[i].Database, err))
	}
	if failed == nil {
		return nil
	}
	return failed
}

// failures are the errors of all databases of a fleet.
type failures []error

// Error lists them all.
func (e failures) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return fmt.Sprintf("none of the %d databases could be worked on:\n%s", len(e), strings.Join(lines, "\n"))
}

// Is tells whether every single one is the target.
func (e failures) Is(target error) bool {
	for _, err := range e {
		if !errors.Is(err, target) {
			return false
		}
	}
	return true
}
