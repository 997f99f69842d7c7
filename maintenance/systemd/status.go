package systemd

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// state is what the status is made of.
type state struct {
	location *time.Location
	note     string
	next     time.Time
	// databases are those of which passes have been told, by their names.
	databases map[string]*database
}

// database is what passes do there.
type database struct {
	name string
	// began is zero while there is no pass.
	began      time.Time
	sets, done int
	// doing is what takes long, by set.
	doing map[string]string
	// last is the report of the last pass, nil before its end, and err what kept
	// that from happening.
	last *maintenance.Report
	err  error
}

// sorted are the databases by their names.
func (s *state) sorted() []*database {
	all := make([]*database, 0, len(s.databases))
	for _, name := range slices.Sorted(maps.Keys(s.databases)) {
		all = append(all, s.databases[name])
	}
	return all
}

var inProgress = map[partition.Then]string{
	partition.Archive: "archiving", partition.Detach: "detaching", partition.Drop: "dropping",
}

const (
	clock = "2006-01-02 15:04 MST"
	// maxShown is how many sets a status names.
	maxShown = 3
)

// String is one line.
func (s *state) String() string {
	var parts []string
	if s.note != "" {
		parts = append(parts, s.note)
	}
	running := s.running()
	if running == nil {
		waiting := "waiting"
		if s.next.IsZero() {
			waiting = "no pass runs" // One that is made by itself has ended, or has not begun.
		}
		parts = append(parts, waiting)
	} else {
		text := "pass over " + plural(running.sets, "set")
		if running.name != "" {
			text += " of " + running.name
		}
		text += " since " + running.began.In(s.location).Format(time.TimeOnly)
		if running.done > 0 {
			text += fmt.Sprintf(", %d done", running.done)
		}
		parts = append(parts, text)
		doing := slices.Sorted(maps.Values(running.doing))
		parts = append(parts, shorten(doing)...)
	}
	if running == nil && !s.next.IsZero() {
		parts = append(parts, "next pass "+s.next.In(s.location).Format(clock))
	}
	if began, text := s.last(); text != "" {
		parts = append(parts, fmt.Sprintf("last pass %s: %s", began.In(s.location).Format(clock), text))
	}
	return strings.Join(strings.Fields(strings.Join(parts, "; ")), " ")
}

// running sums up the passes that run, nil if none does.
func (s *state) running() *database {
	var all *database
	names := 0
	for _, d := range s.sorted() {
		if d.began.IsZero() {
			continue
		}
		if all == nil {
			all = &database{began: d.began, doing: map[string]string{}}
		}
		if names++; names == 1 {
			all.name = d.name
		} else {
			all.name = plural(names, "database")
		}
		if d.began.Before(all.began) {
			all.began = d.began
		}
		all.sets, all.done = all.sets+d.sets, all.done+d.done
		for set, what := range d.doing {
			all.doing[maintenance.Label(d.name, set)] = what
		}
	}
	return all
}

// last sums up the last pass over each database, and says when the youngest of
// them began.
func (s *state) last() (began time.Time, text string) {
	var report maintenance.Report
	var failed []error
	var bad []string
	ended := 0
	for _, d := range s.sorted() {
		if d.last == nil {
			continue
		}
		if ended++; d.last.Began.After(began) {
			began = d.last.Began
		}
		if d.err != nil {
			failed = append(failed, d.err)
			bad = append(bad, d.name+": "+failure(d.err))
			report.Sets = append(report.Sets, maintenance.SetReport{Database: d.name, Status: maintenance.Failed})
			continue
		}
		report.Sets = append(report.Sets, d.last.Sets...)
		bad = append(bad, faults(*d.last)...)
	}
	switch {
	case ended == 0:
		return began, ""
	case ended == 1 && len(failed) == 1 && s.databases[""] != nil:
		return began, failure(failed[0])
	}
	return began, outcome(report.Status(), bad)
}

// failure says in short what kept a pass from happening.
func failure(err error) string {
	if errors.Is(err, maintenance.ErrConnect) {
		return maintenance.ErrConnect.Error()
	}
	return "failed"
}

// outcome puts what is wrong behind the status.
func outcome(status maintenance.Status, bad []string) string {
	if len(bad) == 0 {
		return string(status)
	}
	return fmt.Sprintf("%s (%s)", status, strings.Join(shorten(bad), ", "))
}

// faults says what is wrong with the sets of a pass.
func faults(r maintenance.Report) []string {
	var bad []string
	for _, s := range r.Sets {
		if why := wrong(s); why != "" {
			bad = append(bad, s.Label()+": "+why)
		}
	}
	return bad
}

// wrong counts what is wrong with a set.
func wrong(s maintenance.SetReport) string {
	failed := 0
	for _, a := range s.Actions {
		if a.Failed() {
			failed++
		}
	}
	var parts []string
	if failed > 0 {
		parts = append(parts, plural(failed, "action")+" failed")
	}
	if len(s.Problems) > 0 {
		parts = append(parts, plural(len(s.Problems), "problem"))
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, " and ")
	case s.Status == maintenance.Done || s.Status == maintenance.Idle:
		return ""
	}
	return string(s.Status)
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// shorten leaves out what there is no room for.
func shorten(all []string) []string {
	if more := len(all) - maxShown; more > 0 {
		return append(all[:maxShown:maxShown], fmt.Sprintf("%d more", more))
	}
	return all
}
