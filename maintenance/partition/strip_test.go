package partition

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// stripLines is what a strip says, a line each.
func stripLines(cells []Cell) string {
	var out []string
	for _, c := range cells {
		line := string(c.State) + " " + c.Bounds.String()
		if c.Table.Local != "" {
			line += " " + c.Table.Local
		}
		if c.Periods != 1 {
			line += fmt.Sprintf(" x%d", c.Periods)
		}
		if c.Now {
			line += " now"
		}
		if c.Why != "" {
			line += ": " + c.Why
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func TestStrip(t *testing.T) {
	t.Parallel()
	kept := monthly(t)
	drops := monthly(t, keep("3 months", Drop))
	archives := monthly(t, keep("3 months", Archive), func(s *Set) { s.Retention.Archive = "file:///archive" })
	fills := monthly(t, func(s *Set) { s.FillGaps = true })
	none := monthly(t, func(s *Set) { s.Ahead = 0 })
	year := by(kept, "old", span(t, "2017-01-01", "2018-01-01"))
	for _, test := range []struct {
		name       string
		set        Set
		partitions []Partition
		change     func(*Snapshot)
		archived   []Archived
		want       string
	}{
		{"a healthy set", kept, months(t, kept, "2018-10", "2019-01"), nil, nil, `
			kept [2018-10-01, 2018-11-01) e_2018_10
			current [2018-11-01, 2018-12-01) e_2018_11 now
			ahead [2018-12-01, 2019-01-01) e_2018_12
			ahead [2019-01-01, 2019-02-01) e_2019_01`},
		{"nothing yet", kept, nil, nil, nil, `
			missing [2018-11-01, 2018-12-01) now: there is no table for it
			missing [2018-12-01, 2019-01-01): there is no table for it
			missing [2019-01-01, 2019-02-01): there is no table for it`},
		{"nothing ahead", none, months(t, none, "2018-10", "2018-10"), nil, nil, `
			kept [2018-10-01, 2018-11-01) e_2018_10
			missing [2018-11-01, 2018-12-01) now: there is no table for it`},
		{"gaps that need no table are one cell", kept, append(months(t, kept, "2018-11", "2019-01"), year), nil, nil, `
			kept [2017-01-01, 2018-01-01) old
			none [2018-01-01, 2018-11-01) x10
			current [2018-11-01, 2018-12-01) e_2018_11 now
			ahead [2018-12-01, 2019-01-01) e_2018_12
			ahead [2019-01-01, 2019-02-01) e_2019_01`},
		{"gaps that are filled are missing", fills, append(months(t, fills, "2018-11", "2019-01"), months(t, fills, "2018-08", "2018-09")...), nil, nil, `
			kept [2018-08-01, 2018-09-01) e_2018_08
			kept [2018-09-01, 2018-10-01) e_2018_09
			missing [2018-10-01, 2018-11-01): there is no table for it
			current [2018-11-01, 2018-12-01) e_2018_11 now
			ahead [2018-12-01, 2019-01-01) e_2018_12
			ahead [2019-01-01, 2019-02-01) e_2019_01`},
		{"due and held", drops, months(t, drops, "2018-06", "2019-01"), func(s *Snapshot) {
			s.Holds = []Hold{{Bounds: span(t, "2018-06-03", "2018-06-04"), Reason: "case"}, {Bounds: span(t, "2018-10-03", "2018-10-04"), Reason: "fun"}}
		}, nil, `
			held [2018-06-01, 2018-07-01) e_2018_06: would drop, held for ever (case)
			due [2018-07-01, 2018-08-01) e_2018_07: next: drop
			kept [2018-08-01, 2018-09-01) e_2018_08
			kept [2018-09-01, 2018-10-01) e_2018_09
			kept [2018-10-01, 2018-11-01) e_2018_10: held for ever (fun)
			current [2018-11-01, 2018-12-01) e_2018_11 now
			ahead [2018-12-01, 2019-01-01) e_2018_12
			ahead [2019-01-01, 2019-02-01) e_2019_01`},
		{"too many at once are withheld", drops, append(months(t, drops, "2018-06", "2018-07"), months(t, drops, "2018-11", "2018-11")...), nil, nil, `
			due [2018-06-01, 2018-07-01) e_2018_06: drop withheld, since the set has a problem
			due [2018-07-01, 2018-08-01) e_2018_07: drop withheld, since the set has a problem
			none [2018-08-01, 2018-11-01) x3
			current [2018-11-01, 2018-12-01) e_2018_11 now
			missing [2018-12-01, 2019-01-01): there is no table for it
			missing [2019-01-01, 2019-02-01): there is no table for it`},
		{"archived twice, and a late table", archives, months(t, archives, "2018-09", "2019-01"), nil, []Archived{
			{Bounds: month(t, "2018-06").Bounds(), Rows: 10, Bytes: 100}, {Bounds: month(t, "2018-06").Bounds(), Rows: 1, Bytes: 10},
			{Bounds: month(t, "2018-09").Bounds(), Rows: 10, Bytes: 100},
		}, `
			archived [2018-06-01, 2018-07-01)
			none [2018-07-01, 2018-09-01) x2
			kept [2018-09-01, 2018-10-01) e_2018_09: the archive has rows of this period, too
			kept [2018-10-01, 2018-11-01) e_2018_10
			current [2018-11-01, 2018-12-01) e_2018_11 now
			ahead [2018-12-01, 2019-01-01) e_2018_12
			ahead [2019-01-01, 2019-02-01) e_2019_01`},
		{"an archived period under a wide table", none, []Partition{by(none, "rest", span(t, "2018-01-01", "2019-01-01"))}, nil,
			[]Archived{{Bounds: month(t, "2018-06").Bounds()}}, `
			current [2018-01-01, 2019-01-01) rest now
			archived [2018-06-01, 2018-07-01)`},
		{"an overlap", none, append(months(t, none, "2018-11", "2018-11"), by(none, "hand", span(t, "2018-11-10", "2018-11-20"))), nil, nil, `
			problem [2018-11-01, 2018-12-01) e_2018_11 now: overlap: [2018-11-01, 2018-12-01) overlaps [2018-11-10, 2018-11-20) of app.hand
			problem [2018-11-10, 2018-11-20) hand now: overlap: with app.e_2018_11`},
		{"unknown bounds, and open ones", none, []Partition{
			by(none, "rest", span(t, "2018-06-01", "")), {OID: 7, Name: Name{"app", "odd"}, Bounds: Everywhere, Known: BoundsUnknown, SameShape: true},
		}, nil, nil, `
			current [2018-06-01, infinity) rest now
			problem [-infinity, infinity) odd: unreadable bounds: no CHECK says which rows it may hold`},
	} {
		snap := settled(t, test.set, test.partitions...)
		if test.change != nil {
			test.change(&snap)
			settle(test.set, &snap)
		}
		cells := Strip(test.set, snap, Make(test.set, snap), nil, test.archived)
		want := strings.ReplaceAll(strings.TrimSpace(test.want), "\t", "")
		if got := stripLines(cells); got != want {
			t.Errorf("%s:\n%s\n\nwant\n%s", test.name, got, want)
		}
	}
}

func TestStripSizes(t *testing.T) {
	t.Parallel()
	s := monthly(t, func(s *Set) { s.Ahead = 0 })
	snap := settled(t, s, months(t, s, "2018-10", "2018-11")...)
	cells := Strip(s, snap, Make(s, snap), map[uint32]int64{snap.Partitions[0].OID: 5}, []Archived{
		{Bounds: month(t, "2018-09").Bounds(), Rows: 10, Bytes: 100}, {Bounds: month(t, "2018-09").Bounds(), Rows: 1, Bytes: 10},
	})
	var got []string
	for _, c := range cells {
		got = append(got, fmt.Sprintf("%s %d %d", c.State, c.Rows, c.Bytes))
	}
	if text := strings.Join(got, ", "); text != "archived 11 110, kept 10 5, current 10 8192" {
		t.Error(text)
	}
	if cells := Strip(s, Snapshot{}, Plan{}, nil, nil); cells != nil {
		t.Errorf("without a parent: %v", cells)
	}
}

// Time without a table may be long; it must not take long.
func TestStripOfAgesAgo(t *testing.T) {
	t.Parallel()
	s := monthly(t, func(s *Set) { s.Interval, s.Ahead = Interval{1, Hour}, 0 })
	snap := settled(t, s, by(s, "old", span(t, "0002-01-01", "0003-01-01")))
	cells := Strip(s, snap, Make(s, snap), nil, nil)
	if len(cells) != 3 || cells[1].State != CellNone || cells[1].Periods != maxCells+1 || cells[2].State != CellMissing {
		t.Errorf("got\n%s", stripLines(cells))
	}
}

func TestRunway(t *testing.T) {
	t.Parallel()
	s := monthly(t)
	days := func(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }
	day := now.Sub(utc(t, "2018-11-15"))
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name       string
		zone       *time.Location
		partitions []Partition
		want       time.Duration
		ends       bool
	}{
		{"to the end of January", time.UTC, months(t, s, "2018-10", "2019-01"), days(16+31+31) - day, true},
		{"in any order", time.UTC, append(months(t, s, "2018-12", "2019-01"), months(t, s, "2018-11", "2018-11")...), days(16+31+31) - day, true},
		{"a gap ends it", time.UTC, append(months(t, s, "2018-11", "2018-11"), months(t, s, "2019-01", "2019-01")...), days(16) - day, true},
		{"the present has none", time.UTC, months(t, s, "2018-12", "2019-01"), 0, true},
		{"without an end", time.UTC, []Partition{by(s, "rest", span(t, "2018-06-01", ""))}, 0, false},
		{"Berlin's midnight is an hour sooner", berlin, months(t, s, "2018-11", "2018-11"), days(16) - day - time.Hour, true},
	} {
		set := s
		set.Location = test.zone
		snap := empty()
		snap.Partitions = test.partitions
		if got, ends := Runway(set, snap); got != test.want || ends != test.ends {
			t.Errorf("%s: %s %t, want %s %t", test.name, got, ends, test.want, test.ends)
		}
	}
}
