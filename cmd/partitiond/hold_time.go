package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// checkFlags refuses what needs no look at the database to be refused.
func (h *holdOptions) checkFlags() error {
	ranged := h.from != "" || h.to != ""
	switch {
	case strings.TrimSpace(h.reason) == "":
		return errors.New(`--reason is missing: expected why, such as --reason "case 4711"`)
	case ranged && h.period != "" || ranged && h.all || h.period != "" && h.all:
		return errors.New("expected only one of --from and --to, --period, or --all")
	case !ranged && h.period == "" && !h.all:
		return errors.New("nothing says what to hold: expected --from and --to, --period, or --all")
	}
	return nil
}

// hold makes the hold that the flags describe.
func (h *holdOptions) hold(set partition.Set, snap partition.Snapshot) (partition.Hold, error) {
	p := placeOf(set, snap)
	hold := partition.Hold{Kind: partition.HoldManual, Reason: strings.TrimSpace(h.reason)}
	bounds, err := h.bounds(p, snap)
	if err != nil {
		return hold, err
	}
	hold.Bounds = bounds
	if h.until != "" {
		if hold.Until, err = moment("--until", h.until, p.wall, true); err != nil {
			return hold, err
		}
		if !hold.Until.After(snap.Server.Now) {
			return hold, fmt.Errorf("--until %q is over: expected a date to come", h.until)
		}
	}
	return hold, nil
}

func (h *holdOptions) bounds(p place, snap partition.Snapshot) (b partition.Bounds, err error) {
	b = partition.Everywhere
	if h.period != "" {
		return periodBounds(h.period, p, snap)
	}
	for _, f := range []struct {
		flag, text string
		edge       *partition.Edge
	}{{"--from", h.from, &b.From}, {"--to", h.to, &b.To}} {
		if f.text == "" {
			continue
		}
		t, err := moment(f.flag, f.text, p.calendar, p.instants)
		if err != nil {
			return b, err
		}
		*f.edge = partition.At(t)
	}
	if b.Empty() {
		return b, fmt.Errorf("--to %q: expected what is after --from %q", h.to, h.from)
	}
	return b, nil
}

// calendarPeriod is a year, a month or a day; it counts as such even where a
// table has such a name.
var calendarPeriod = regexp.MustCompile(`^\d{4}(-\d{2}(-\d{2})?)?$`)

func periodBounds(text string, p place, snap partition.Snapshot) (partition.Bounds, error) {
	if calendarPeriod.MatchString(text) {
		unit := map[int]partition.Unit{len("2018"): partition.Year, len("2018-11"): partition.Month, len("2018-11-05"): partition.Day}[len(text)]
		day, err := time.Parse(time.DateOnly, text+"-01-01"[:len("2018-11-05")-len(text)])
		if err != nil {
			return partition.Bounds{}, fmt.Errorf("--period %q: there is no such date", text)
		}
		noon := time.Date(day.Year(), day.Month(), day.Day(), 12, 0, 0, 0, p.calendar)
		return partition.Interval{N: 1, Unit: unit}.PeriodOf(noon, p.calendar).Bounds(), nil
	}
	i := slices.IndexFunc(snap.Partitions, func(c partition.Partition) bool {
		return text == c.Name.Local || text == c.Name.String()
	})
	if i < 0 {
		return partition.Bounds{}, fmt.Errorf("--period %q: expected a year, month or day, such as 2018-11, or the name of a partition of the set", text)
	}
	c := snap.Partitions[i]
	if c.Known == partition.BoundsUnknown || c.Bounds.Empty() {
		return partition.Bounds{}, fmt.Errorf("--period %q: what that partition may hold is not known: expected --from and --to", text)
	}
	return c.Bounds, nil
}

// moment reads a date or time by a location's clock, or an instant with its
// offset. A date is its day's first instant.
func moment(flag, text string, loc *time.Location, instants bool) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		noon := time.Date(day.Year(), day.Month(), day.Day(), 12, 0, 0, 0, loc)
		return partition.Interval{N: 1, Unit: partition.Day}.PeriodOf(noon, loc).From, nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, loc); err == nil {
			return t, nil
		}
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil && instants {
		return t.In(loc), nil
	}
	return time.Time{}, fmt.Errorf(`%s %q: expected a date or a time in %s, such as 2018-11-01 or "2018-11-01 06:00"`, flag, text, loc)
}
