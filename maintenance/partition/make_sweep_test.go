package partition

import (
	"slices"
	"testing"
	"time"
)

func TestSweep(t *testing.T) {
	t.Parallel()
	s := monthly(t, func(s *Set) { s.Ahead = 0 })
	october, november := month(t, "2018-10"), month(t, "2018-11")
	foreign := whole(s, october)
	foreign.Foreign = true
	for _, test := range []struct {
		name       string
		partitions []Partition
		strays     []Stray
		taken      []Name
		want       string
		reason     string // of the first sweep
		rows       int64  // of the first sweep
	}{
		{name: "into one that is there", partitions: []Partition{whole(s, november)}, strays: []Stray{{Period: november, Rows: 7}},
			want: "sweep e_2018_11 [2018-11-01, 2018-12-01)\nanalyze events", reason: "7 of its rows sit in the parent", rows: 7},
		{name: "into one that is made for it", partitions: []Partition{whole(s, november)}, strays: []Stray{{Period: october, Rows: 7}},
			want: "create e_2018_10 [2018-10-01, 2018-11-01)\nsweep e_2018_10 [2018-10-01, 2018-11-01)\nanalyze events", reason: "7 of its rows sit in the parent", rows: 7},
		{name: "into a wide one", partitions: []Partition{by(s, "y", span(t, "2018-01-01", "2019-01-01"))}, strays: []Stray{{Period: october, Rows: 7}},
			want: "sweep y [2018-10-01, 2018-11-01)\nanalyze events", reason: "7 of its rows sit in the parent", rows: 7},
		// One action for one table: a pass does not try the same twice.
		{name: "several periods into a wide one", partitions: []Partition{by(s, "y", span(t, "2018-01-01", "2019-01-01"))},
			strays: []Stray{{Period: month(t, "2018-03"), Rows: 2}, {Period: october, Rows: 7}},
			want:   "sweep y [2018-03-01, 2018-11-01)\nanalyze events", reason: "9 of its rows sit in the parent", rows: 9},
		{name: "into two halves", partitions: []Partition{by(s, "h2", span(t, "2018-11-16", "2018-12-01")), by(s, "h1", span(t, "2018-11-01", "2018-11-16"))},
			strays: []Stray{{Period: november, Rows: 7}},
			want:   "sweep h1 [2018-11-01, 2018-11-16)\nsweep h2 [2018-11-16, 2018-12-01)\nanalyze events", reason: "rows of [2018-11-01, 2018-12-01) sit in the parent"},
		{name: "into two halves, and not into what follows", partitions: []Partition{by(s, "h2", span(t, "2018-11-16", "2018-12-01")), by(s, "h1", span(t, "2018-11-01", "2018-11-16")), whole(s, month(t, "2018-12"))},
			strays: []Stray{{Period: november, Rows: 7}},
			want:   "sweep h1 [2018-11-01, 2018-11-16)\nsweep h2 [2018-11-16, 2018-12-01)\nanalyze events", reason: "rows of [2018-11-01, 2018-12-01) sit in the parent"},
		{name: "halves that leave a hole", partitions: []Partition{whole(s, november), by(s, "h2", span(t, "2018-10-16", "2018-11-01"))},
			strays: []Stray{{Period: october, Rows: 7}}, want: "overlap: h2 (stops set)"},
		{name: "the name is taken", partitions: []Partition{whole(s, november)}, taken: []Name{{"app", "e_2018_10"}},
			strays: []Stray{{Period: october, Rows: 7}}, want: "name taken: e_2018_10 (stops none)"},
		{name: "a foreign table", partitions: []Partition{whole(s, november), foreign},
			strays: []Stray{{Period: october, Rows: 7}}, want: "rows in the parent: events (stops none)"},
		{name: "belong nowhere", partitions: []Partition{whole(s, november)}, strays: []Stray{{Outside: true, Rows: 7, Examples: []string{"infinity"}}},
			want: "rows in the parent: events (stops none)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			snap := settled(t, s, test.partitions...)
			snap.Strays, snap.Taken = test.strays, test.taken
			p := Make(s, snap)
			p.Actions = slices.DeleteFunc(p.Actions, func(a Action) bool { return a.Kind == RouteRows })
			expect(t, p, test.want)
			if sweeps := only(p, Sweep); len(sweeps) > 0 && (sweeps[0].Reason != test.reason || sweeps[0].Rows != test.rows) {
				t.Errorf("%q of %d rows, want %q of %d", sweeps[0].Reason, sweeps[0].Rows, test.reason, test.rows)
			}
			seen := map[string]bool{}
			for _, a := range p.Actions {
				if seen[a.Identity()] {
					t.Errorf("two actions have the identity of %s", a)
				}
				seen[a.Identity()] = true
			}
		})
	}
}

func TestStrayTexts(t *testing.T) {
	t.Parallel()
	s := monthly(t, keep("3 months", Drop), func(s *Set) { s.Ahead = 0 })
	snap := settled(t, s, months(t, s, "2018-07", "2018-11")...)
	snap.Partitions[1].Foreign = true
	snap.Strays = []Stray{{Outside: true, Rows: 3, Examples: []string{"infinity", "2097-01-01 00:00:00"}}, {Period: month(t, "2018-08"), Rows: 2}}
	settle(s, &snap)
	p := Make(s, snap)
	// Odd rows in the parent say nothing of old partitions.
	expect(t, p, "drop e_2018_07\nanalyze events\nrows in the parent: events (stops none)\nrows in the parent: events (stops none)")
	for i, want := range []string{
		"3 rows have a at that is NULL, infinite or outside the accepted window (such as infinity, 2097-01-01 00:00:00)",
		"2 rows of [2018-08-01, 2018-09-01) belong to app.e_2018_08, which is a foreign table",
	} {
		if i < len(p.Problems) && p.Problems[i].Text != want {
			t.Errorf("%q, want %q", p.Problems[i].Text, want)
		}
	}
}

func TestAnalyze(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		every    time.Duration
		analyzed bool
		last     time.Time
		want     string // the reason, "" for none
	}{
		{"new", 24 * time.Hour, true, now, ""},
		{"exactly as old as it may be", 24 * time.Hour, true, now.Add(-24 * time.Hour), ""},
		{"older", 24 * time.Hour, true, now.Add(-24*time.Hour - time.Microsecond), "its statistics are older than 24h0m0s"},
		{"never asked for", 0, true, now.AddDate(-9, 0, 0), ""},
		{"nobody knows when", 24 * time.Hour, true, time.Time{}, ""},
		{"none", 0, false, now, "there are no statistics over all partitions"},
	} {
		s := monthly(t, func(s *Set) { s.AnalyzeEvery = test.every })
		snap := settled(t, s, months(t, s, "2018-10", "2019-01")...)
		snap.Parent.Analyzed, snap.Parent.LastAnalyze = test.analyzed, test.last
		got := ""
		for _, a := range Make(s, snap).Actions {
			got += a.Reason
			if a.Kind != Analyze || a.Table != s.Parent || a.OID != 1 {
				t.Errorf("%s: %+v", test.name, a)
			}
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
