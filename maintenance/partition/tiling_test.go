package partition

import (
	"fmt"
	"testing"
	"time"
	_ "time/tzdata" // The tests' time zones must not depend on the machine.
)

// zones each have something that has broken a calendar before.
var zones = []string{
	"UTC",
	"Europe/Berlin",
	"America/New_York",
	"America/Sao_Paulo",   // skipped midnight until 2018
	"Africa/Cairo",        // skips midnight, and repeats the hour before it
	"Asia/Beirut",         // skips midnight
	"Australia/Lord_Howe", // moves by half an hour
	"Asia/Kathmandu",      // 15 minutes off in 1986, and from midnight
	"Pacific/Apia",        // had no 30 December 2011
	"America/Havana",      // has midnight twice
	"Atlantic/Azores",     // has midnight twice
	"America/St_Johns",    // went from 00:01 back to the day before until 2011
	"America/Toronto",     // skipped from 23:30 to 00:30 in 1919
	"Africa/Monrovia",     // 44 minutes and 30 seconds off
	"Antarctica/Troll",    // moves by two hours
	"Asia/Gaza",           // skipped midnight, and from 00:01
}

var tiles = []Interval{
	{1, Hour}, {3, Hour}, {12, Hour}, {1, Day}, {2, Day}, {10, Day}, {1, Week}, {2, Week},
	{1, Month}, {2, Month}, {6, Month}, {1, Quarter}, {2, Quarter}, {1, Year}, {7, Year},
}

// TestPeriodsTile walks from period to period and finds no gap, no overlap and
// no period that does not contain what it is the period of.
func TestPeriodsTile(t *testing.T) {
	t.Parallel()
	for _, name := range zones {
		loc := zone(t, name)
		for _, iv := range tiles {
			first, last := 1969, 2100
			if iv.Unit == Hour {
				first, last = 2010, 2014 // Hours are UTC's in any zone and year.
			}
			t.Run(fmt.Sprintf("%s/%s", name, iv), func(t *testing.T) {
				t.Parallel()
				walkTiles(t, iv, loc, first, last)
			})
		}
	}
}

func walkTiles(t *testing.T, iv Interval, loc *time.Location, first, last int) {
	end := time.Date(last+1, 1, 1, 0, 0, 0, 0, loc)
	p := iv.PeriodOf(time.Date(first, 1, 1, 0, 0, 0, 0, loc), loc)
	for p.From.Before(end) {
		if !p.From.Before(p.To) {
			t.Fatalf("%s is empty", p)
		}
		inside := []time.Time{p.From, p.To.Add(-1)}
		if length := p.To.Sub(p.From); length%(24*time.Hour) != 0 || iv.Unit != Day {
			inside = append(inside, p.From.Add(1), p.From.Add(30*time.Minute), p.From.Add(length/2), p.To.Add(-30*time.Minute))
		}
		for _, in := range inside {
			if got := iv.PeriodOf(in, loc); !p.Contains(in) || !same(got, p) {
				t.Fatalf("%s is in %s, not in %s", in.In(loc), detail(got, loc), detail(p, loc))
			}
		}
		next := iv.Next(p, loc)
		if !next.From.Equal(p.To) {
			t.Fatalf("%s is followed by %s", detail(p, loc), detail(next, loc))
		}
		p = next
	}
}

// TestBoundariesAreFirstInstants compares the boundaries with a search that
// knows no time zone rules: a day begins at the first instant at which the
// calendar shows it, or a later day.
func TestBoundariesAreFirstInstants(t *testing.T) {
	t.Parallel()
	for _, name := range zones {
		loc := zone(t, name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check := func(near time.Time) {
				y, m, d := near.Date()
				want := firstInstant(y, m, d, loc)
				if got := midnight(y, m, d, loc); !got.Equal(want) {
					t.Fatalf("%04d-%02d-%02d begins at %s, want %s", y, m, d, got, want)
				}
				day := Interval{1, Day}
				if p := day.PeriodOf(want, loc); !p.From.Equal(want) {
					t.Fatalf("%s is in %s", want, detail(p, loc))
				}
			}
			for at := time.Date(1900, 1, 1, 12, 0, 0, 0, loc); at.Year() < 2101; at = at.AddDate(0, 0, 97) {
				check(at)
			}
			for _, at := range transitions(loc) {
				for days := -2; days <= 2; days++ {
					check(at.AddDate(0, 0, days))
				}
			}
		})
	}
}

// transitions returns when a zone's clocks were or will be set, from 1900 to 2100.
func transitions(loc *time.Location) []time.Time {
	var all []time.Time
	for at := time.Date(1900, 1, 1, 0, 0, 0, 0, loc); ; {
		_, end := at.ZoneBounds()
		if end.IsZero() || end.Year() > 2100 {
			return all
		}
		if !end.After(at) {
			// ZoneBounds ends a span on the last day of leap years beyond its table.
			at = at.AddDate(0, 0, 2)
			continue
		}
		all = append(all, end)
		at = end
	}
}

// firstInstant searches in ever smaller steps. No transition hides a day within one.
func firstInstant(y int, m time.Month, d int, loc *time.Location) time.Time {
	wanted := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	shows := func(at time.Time) bool {
		y, m, d := at.In(loc).Date()
		return !time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Before(wanted)
	}
	at := wanted.Add(-15 * time.Hour)
	for _, step := range []time.Duration{15 * time.Minute, time.Minute, time.Second} {
		for !shows(at) {
			at = at.Add(step)
		}
		if step > time.Second {
			at = at.Add(-step)
		}
	}
	return at
}

func TestPeriodOfExamples(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		iv       Interval
		zone, at string
		from, to string // in UTC
	}{
		{Interval{1, Month}, "UTC", "2018-11-30 23:59:59.999999", "2018-11-01", "2018-12-01"},
		{Interval{1, Month}, "Europe/Berlin", "2018-11-15", "2018-10-31 23:00", "2018-11-30 23:00"},
		{Interval{1, Quarter}, "UTC", "2018-11-15", "2018-10-01", "2019-01-01"},
		{Interval{2, Quarter}, "UTC", "2018-05-15", "2018-01-01", "2018-07-01"},
		{Interval{1, Year}, "Asia/Kathmandu", "2018-05-15", "2017-12-31 18:15", "2018-12-31 18:15"},
		{Interval{7, Year}, "UTC", "2018-05-15", "2016-01-01", "2023-01-01"},
		// ISO weeks begin on Mondays, across the ends of years.
		{Interval{1, Week}, "UTC", "2021-01-03", "2020-12-28", "2021-01-04"},
		{Interval{1, Week}, "UTC", "2021-01-04", "2021-01-04", "2021-01-11"},
		{Interval{1, Week}, "UTC", "2019-12-31", "2019-12-30", "2020-01-06"},
		{Interval{1, Week}, "UTC", "1970-01-01", "1969-12-29", "1970-01-05"},
		{Interval{1, Week}, "UTC", "1969-12-28 23:59", "1969-12-22", "1969-12-29"},
		{Interval{2, Week}, "UTC", "1970-01-10", "1969-12-29", "1970-01-12"},
		{Interval{10, Day}, "UTC", "1970-01-10", "1970-01-01", "1970-01-11"},
		{Interval{10, Day}, "UTC", "1969-12-31", "1969-12-22", "1970-01-01"},
		// Beyond what a time.Duration can count from 1970.
		{Interval{1, Week}, "UTC", "2399-07-07", "2399-07-05", "2399-07-12"},
		{Interval{1, Week}, "UTC", "1601-01-03", "1601-01-01", "1601-01-08"},
		{Interval{10, Day}, "UTC", "2399-12-31", "2399-12-28", "2400-01-07"},
		// Where midnight is skipped the day begins later, where it comes twice, earlier.
		{Interval{1, Day}, "America/Sao_Paulo", "2018-11-04 12:00", "2018-11-04 03:00", "2018-11-05 02:00"},
		{Interval{1, Day}, "Africa/Cairo", "2024-04-26 12:00", "2024-04-25 22:00", "2024-04-26 21:00"},
		{Interval{1, Month}, "America/Havana", "2026-11-01 12:00", "2026-11-01 04:00", "2026-12-01 05:00"},
		{Interval{1, Day}, "Atlantic/Azores", "2024-10-27 12:00", "2024-10-27 00:00", "2024-10-28 01:00"},
		{Interval{1, Day}, "Pacific/Apia", "2011-12-29 12:00", "2011-12-29 10:00", "2011-12-30 10:00"},
		{Interval{1, Day}, "America/Toronto", "1919-03-31 12:00", "1919-03-31 04:30", "1919-04-01 04:00"},
		{Interval{1, Day}, "America/St_Johns", "2009-11-01 12:00", "2009-11-01 02:30", "2009-11-02 03:30"},
		{Interval{1, Day}, "Pacific/Apia", "2011-12-31 12:00", "2011-12-30 10:00", "2011-12-31 10:00"},
		// Hours divide UTC's day, since a clock may show an hour twice.
		{Interval{6, Hour}, "Europe/Berlin", "2024-10-27 02:30", "2024-10-27 00:00", "2024-10-27 06:00"},
		{Interval{6, Hour}, "Asia/Kathmandu", "2024-10-27 05:44", "2024-10-26 18:00", "2024-10-27 00:00"},
	} {
		loc := zone(t, test.zone)
		got := test.iv.PeriodOf(at(t, test.at, loc), loc)
		want := Period{From: utc(t, test.from), To: utc(t, test.to)}
		if !same(got, want) {
			t.Errorf("%s of %s in %s:\n     %s\nwant %s", test.iv, test.at, test.zone, detail(got, time.UTC), detail(want, time.UTC))
		}
	}
}

func same(a, b Period) bool { return a.From.Equal(b.From) && a.To.Equal(b.To) }

// detail shows a period to the second, with its offsets.
func detail(p Period, loc *time.Location) string {
	return fmt.Sprintf("[%s, %s)", p.From.In(loc).Format(time.RFC3339Nano), p.To.In(loc).Format(time.RFC3339Nano))
}
