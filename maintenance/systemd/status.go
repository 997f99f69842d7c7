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
	// began is zero while there is no pass.
	began      time.Time
	sets, done int
	// doing is what takes long, by set.
	doing     map[string]string
	last      string
	lastBegan time.Time
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
	if s.began.IsZero() {
		waiting := "waiting"
		if s.next.IsZero() {
			waiting = "no pass runs" // One that is made by itself has ended, or has not begun.
		}
		parts = append(parts, waiting)
	} else {
		text := fmt.Sprintf("pass over %s since %s", plural(s.sets, "set"), s.began.In(s.location).Format(time.TimeOnly))
		if s.done > 0 {
			text += fmt.Sprintf(", %d done", s.done)
		}
		parts = append(parts, text)
		doing := slices.Sorted(maps.Values(s.doing))
		parts = append(parts, shorten(doing)...)
	}
	if s.began.IsZero() && !s.next.IsZero() {
		parts = append(parts, "next pass "+s.next.In(s.location).Format(clock))
	}
	if s.last != "" {
		parts = append(parts, fmt.Sprintf("last pass %s: %s", s.lastBegan.In(s.location).Format(clock), s.last))
	}
	return strings.Join(strings.Fields(strings.Join(parts, "; ")), " ")
}

// outcome sums a pass up.
func outcome(r maintenance.Report, err error) string {
	switch {
	case errors.Is(err, maintenance.ErrConnect):
		return maintenance.ErrConnect.Error()
	case err != nil:
		return "failed"
	}
	var bad []string
	for _, s := range r.Sets {
		if why := wrong(s); why != "" {
			bad = append(bad, s.Set+": "+why)
		}
	}
	if len(bad) == 0 {
		return string(r.Status())
	}
	return fmt.Sprintf("%s (%s)", r.Status(), strings.Join(shorten(bad), ", "))
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
