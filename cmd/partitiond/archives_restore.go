package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// restore brings the periods back one by one, oldest first, and stops at the
// first that cannot be.
func (a *archives) restore(ctx context.Context, text string) error {
	listings, err := a.read(ctx, true)
	if err != nil {
		return err
	}
	l := listings[0]
	request := maintenance.RestoreRequest{Set: l.set}
	if request.HoldUntil, err = holdUntil(a.hold, time.Now(), l.set.Location); err != nil {
		return exitError{exitUsage, err}
	}
	if a.into != "" {
		if request.Into, err = partition.ParseName(a.into); err != nil {
			return exitError{exitUsage, fmt.Errorf("--into: %w", err)}
		}
	}
	found, err := l.pick(text)
	if err != nil {
		return err
	}
	periods := byPeriod(found)
	if a.into != "" && len(periods) > 1 {
		return exitError{exitUsage, fmt.Errorf("%q means %d periods: expected one with --into", text, len(periods))}
	}
	results := []maintenance.Restoration{}
	var failure error
	left := false
	for _, manifests := range periods {
		request.Manifests, request.Progress = manifests, a.console.meter("restoring "+periodLabel(manifests[0]))
		done, err := l.Restore(ctx, request)
		a.console.end()
		if err != nil {
			failure = err
			break
		}
		results = append(results, done)
		left = left || len(done.Left) > 0
		if !a.json {
			a.printRestored(done, periodLabel(manifests[0]))
		}
	}
	if a.json {
		if err := printJSON(a.stdout, results); err != nil {
			return err
		}
	}
	switch {
	case failure != nil && len(results) > 0 && ctx.Err() == nil:
		return exitError{exitPartly, failure}
	case failure != nil:
		return a.failed(ctx, failure)
	case left:
		return exitError{code: exitPartly}
	}
	return nil
}

func (a *archives) printRestored(r maintenance.Restoration, period string) {
	fmt.Fprintf(a.stdout, "%s %s: restored into %s, %d rows, %s, in %s\n", maintenance.Label(r.Database, r.Set), period, r.Table, r.Rows, sized(r.Bytes),
		time.Duration(r.Seconds*float64(time.Second)).Round(time.Millisecond))
	switch {
	case r.Hold != 0 && r.HoldUntil == nil:
		fmt.Fprintf(a.stdout, "  hold %d keeps it from being retired until it is released\n", r.Hold)
	case r.Hold != 0:
		fmt.Fprintf(a.stdout, "  hold %d keeps it from being retired until %s\n", r.Hold, r.HoldUntil.Format(time.RFC3339))
	}
	for _, d := range r.Left {
		fmt.Fprintln(a.stdout, "  still due:", d)
	}
}

// byPeriod groups archives by their bounds. They come in the order of their
// lower bounds, but bounds of different widths may begin at once.
func byPeriod(found []archive.Listed) [][]archive.Manifest {
	var periods [][]archive.Manifest
next:
	for _, e := range found {
		for i, p := range periods {
			if p[0].Bounds.Partition().Equal(e.Bounds.Partition()) {
				periods[i] = append(p, e.Manifest)
				continue next
			}
		}
		periods = append(periods, []archive.Manifest{e.Manifest})
	}
	return periods
}

// holdUntil reads how long a restored partition is held. Zero is forever. A date
// is its midnight in the set's time zone.
func holdUntil(text string, now time.Time, loc *time.Location) (time.Time, error) {
	if text == "forever" {
		return time.Time{}, nil
	}
	until, err := time.ParseInLocation("2006-01-02", text, loc)
	if err != nil {
		until, err = time.Parse(time.RFC3339, text)
	}
	if err != nil {
		var iv partition.Interval
		if iv, err = partition.ParseInterval(text); err != nil {
			return until, fmt.Errorf("--hold %q: expected a time such as \"30 days\", a date such as 2030-01-31, or forever", text)
		}
		until = iv.AddTo(now.In(loc), 1)
	}
	if !until.After(now) {
		return until, fmt.Errorf("--hold %q: that is past", text)
	}
	return until, nil
}

// calendar returns the time zone in which a manifest's bounds are midnights.
func calendar(m archive.Manifest) *time.Location {
	if loc, err := time.LoadLocation(m.TimeZone); err == nil {
		return loc
	}
	return m.Bounds.From.Time.Location() // The offset that is written with the bounds.
}

// periodLabel names the bounds shortly, in a way that [means] reads.
func periodLabel(m archive.Manifest) string { return labelOf(m.Bounds.Partition(), calendar(m)) }

// labelOf names bounds by the calendar of a time zone.
func labelOf(b partition.Bounds, loc *time.Location) string {
	if !b.Finite() {
		return b.String()
	}
	from := b.From.Time.In(loc)
	for _, p := range []struct {
		unit   partition.Unit
		layout string
	}{{partition.Year, "2006"}, {partition.Quarter, "Q"}, {partition.Month, "2006-01"}, {partition.Week, "W"}, {partition.Day, "2006-01-02"}, {partition.Hour, "2006-01-02T15"}} {
		if (partition.Interval{N: 1, Unit: p.unit}).PeriodOf(from, loc).Bounds().Equal(b) {
			return formatBeginning(from, p.layout)
		}
	}
	to := b.To.Time.In(loc)
	layout := "2006-01-02T15:04:05"
	if from.Equal(midnight(from)) && to.Equal(midnight(to)) {
		layout = "2006-01-02"
	}
	return from.Format(layout) + ".." + to.Format(layout)
}

func midnight(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
}

func formatBeginning(from time.Time, layout string) string {
	switch layout {
	case "Q":
		return fmt.Sprintf("%04d-Q%d", from.Year(), (from.Month()+2)/3)
	case "W":
		year, week := from.ISOWeek()
		return fmt.Sprintf("%04d-W%02d", year, week)
	}
	return from.Format(layout)
}

// means tells whether a text names the archive: by its beginning, to whatever
// precision, by its label, or by its table.
func means(m archive.Manifest, text string) bool {
	return meansPartition(partition.Name(m.Source.Table), m.Bounds.Partition(), calendar(m), text)
}

// meansPartition tells the same of any table with its bounds.
func meansPartition(table partition.Name, b partition.Bounds, loc *time.Location, text string) bool {
	if text == table.Local || text == table.String() || text == labelOf(b, loc) {
		return true
	}
	if name, err := partition.ParseName(text); err == nil && name == table {
		return true
	}
	if b.From.Inf != 0 {
		return false
	}
	from := b.From.Time.In(loc)
	text = strings.Replace(text, " ", "T", 1)
	for _, layout := range []string{"2006", "Q", "2006-01", "W", "2006-01-02", "2006-01-02T15", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if formatBeginning(from, layout) == text {
			return true
		}
	}
	return false
}
