package partition

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestRetentionFates(t *testing.T) {
	t.Parallel()
	for _, then := range []Then{Keep, Detach, Archive, Drop} {
		s := monthly(t, keep("3 months", then))
		p := Make(s, settled(t, s, months(t, s, "2018-07", "2019-01")...))
		if then == Keep {
			expect(t, p, "")
			continue
		}
		expect(t, p, string(then)+" e_2018_07\nanalyze events")
		if a := p.Actions[0]; a.Reason != "older than 3 months" || a.Rows != 10 || a.Then != then || !a.Destructive() || a.OID == 0 {
			t.Errorf("%+v", a)
		}
	}
	// Keeping for ever needs no fate, and a fate needs a time.
	s := monthly(t, func(s *Set) { s.Retention.Then = Drop })
	expect(t, Make(s, settled(t, s, months(t, s, "2000-01", "2019-01")...)), "")
}

// TestCutoffIsExact: the upper bound decides, to the microsecond.
func TestCutoffIsExact(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	for _, test := range []struct {
		now  time.Time
		key  KeyType
		loc  *time.Location
		keep string
		want string
	}{
		{utc(t, "2018-11-01"), KeyTimestamp, time.UTC, "3 months", "e_2018_07"},
		{utc(t, "2018-10-31 23:59:59.999999"), KeyTimestamp, time.UTC, "3 months", ""},
		{utc(t, "2018-10-31 23:59:59.999999"), KeyTimestamp, time.UTC, "92 days", ""},
		{utc(t, "2018-11-01"), KeyTimestamp, time.UTC, "92 days", "e_2018_07"},
		// The clock on the wall in Berlin is an hour ahead.
		{utc(t, "2018-10-31 23:00"), KeyTimestamp, berlin, "3 months", "e_2018_07"},
		{utc(t, "2018-10-31 22:59:59.999999"), KeyTimestamp, berlin, "3 months", ""},
		{utc(t, "2018-10-31 23:00"), KeyDate, berlin, "3 months", "e_2018_07"},
		// And midnight there was an hour earlier still in summer, when the partition ended.
		{utc(t, "2018-10-31 23:00"), KeyTimestampTZ, berlin, "3 months", "e_2018_07"},
		{utc(t, "2018-10-31 22:59:59.999999"), KeyTimestampTZ, berlin, "3 months", ""},
	} {
		s := monthly(t, keep(test.keep, Drop), func(s *Set) { s.Location = test.loc })
		snap := empty()
		snap.Server.Now, snap.Parent.Key = test.now, test.key
		for i, p := 0, s.PeriodOf(utc(t, "2018-07-15"), test.key); i < 8; i, p = i+1, s.Interval.Next(p, s.Calendar(test.key)) {
			snap.Partitions = append(snap.Partitions, made(s, snap.Parent, p.Bounds(), s.PartitionName(p, test.key)))
		}
		settle(s, &snap)
		got := ""
		for _, a := range only(Make(s, snap), Retire) {
			got += a.Table.Local
		}
		if got != test.want {
			t.Errorf("%s of %s in %s, kept for %s: removes %q, want %q", test.now, test.key, test.loc, test.keep, got, test.want)
		}
	}
}

func TestNeverDue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		keep   string
		bounds Bounds
	}{
		{"wide, across the cutoff", "3 months", span(t, "2010-01-01", "2018-08-16")},
		{"without an end", "3 months", span(t, "2010-01-01", "")},
		{"the current period", "1 hour", span(t, "2018-11-01", "2018-12-01")},
		{"a part of the current period that is over", "1 hour", span(t, "2018-11-01", "2018-11-10")},
		{"the future", "1 hour", span(t, "2018-12-01", "2019-01-01")},
		{"old, but kept for an age", "100000 years", span(t, "1970-01-01", "1970-02-01")},
	} {
		s := monthly(t, keep(test.keep, Drop), func(s *Set) { s.Ahead, s.Retention.MaxShare = 0, 1 })
		snap := settled(t, s, by(s, "old", test.bounds))
		p := Make(s, snap)
		if slices.ContainsFunc(append(p.Actions, p.Withheld...), Action.Destructive) {
			t.Errorf("%s:\n%s", test.name, full(p))
		}
	}
	// What ends with the last period is over, whatever it began with.
	s := monthly(t, keep("1 hour", Drop), func(s *Set) { s.Ahead = 0 })
	expect(t, Make(s, settled(t, s, by(s, "old", span(t, "", "2018-11-01")), whole(s, month(t, "2018-11")))), "drop old\nanalyze events")
}

func TestShareFence(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		share    float64
		existing string // the oldest month; the newest is 2019-01
		keep     string
		want     string // "" for no fence
	}{
		{0.5, "2018-02", "6 months", ""}, // 3 of 12
		{0.25, "2018-02", "6 months", ""},
		{0.24, "2018-02", "6 months", "3 of 12 partitions are due, more than the 2 that one pass may remove (retention.max_share = 0.24): 2018-02-01 to 2018-05-01"},
		{0.0001, "2018-04", "6 months", ""}, // One may always go.
		{0.0001, "2018-03", "6 months", "2 of 11 partitions are due, more than the 1 that one pass may remove (retention.max_share = 0.0001): 2018-03-01 to 2018-05-01"},
		{1, "2010-01", "6 months", ""},
		{0.29, "2010-10", "71 months", ""}, // 24 of 100
	} {
		s := monthly(t, keep(test.keep, Drop), func(s *Set) { s.Retention.MaxShare = test.share })
		p := Make(s, settled(t, s, months(t, s, test.existing, "2019-01")...))
		due := len(only(p, Retire)) + len(p.Withheld)
		switch {
		case test.want == "":
			if len(p.Problems) != 0 || due == 0 || len(p.Withheld) != 0 {
				t.Errorf("%+v:\n%s", test, full(p))
			}
		case len(p.Problems) != 1 || p.Problems[0].Kind != ProblemShare || p.Problems[0].Stops != StopsSet || p.Problems[0].Text != test.want:
			t.Errorf("%+v:\n%s", test, full(p))
		case len(only(p, Retire)) != 0 || len(p.Withheld) != due:
			t.Errorf("%+v: something is removed:\n%s", test, full(p))
		}
	}
}

// TestShareFenceTellsHowToGoOn: with the share that the hint names, the fence
// opens, whatever the numbers are.
func TestShareFenceTellsHowToGoOn(t *testing.T) {
	t.Parallel()
	all := months(t, monthly(t), "2000-01", "2018-11")
	for total := 2; total <= len(all); total += 7 {
		for due := 2; due < total; due++ {
			partitions := all[len(all)-total:]
			snap := Snapshot{Server: Server{Now: now}, Partitions: partitions}
			s := monthly(t, keep("1 hour", Drop), func(s *Set) { s.Retention.MaxShare = 0.0001 })
			fence := func(s Set) []Problem {
				p := &planner{set: s, snap: snap, plan: Plan{}, known: partitions}
				var actions []Action
				for _, c := range partitions[:due] {
					actions = append(actions, Action{Kind: Retire, Table: c.Name, OID: c.OID, Bounds: c.Bounds})
				}
				p.fence(actions)
				return p.plan.Problems
			}
			problems := fence(s)
			if len(problems) != 1 {
				t.Fatalf("%d of %d: %v", due, total, problems)
			}
			const lead, tail = "if that is meant, run once with --max-share ", " or raise max_share"
			text, ok1 := strings.CutPrefix(problems[0].Hint, lead)
			text, ok2 := strings.CutSuffix(text, tail)
			share, err := strconv.ParseFloat(text, 64)
			if !ok1 || !ok2 || err != nil || share > 1 {
				t.Fatalf("%d of %d: %q", due, total, problems[0].Hint)
			}
			s.Retention.MaxShare = share
			if problems := fence(s); len(problems) != 0 {
				t.Fatalf("the hint %q does not help: %s", text, problems[0])
			}
		}
	}
}

// TestShareIsExact: a share of n hundredths lets n of a hundred go.
func TestShareIsExact(t *testing.T) {
	t.Parallel()
	all := months(t, monthly(t), "2010-08", "2018-11")
	if len(all) != 100 {
		t.Fatal(len(all))
	}
	for n := 2; n <= 98; n++ {
		s := monthly(t, keep(fmt.Sprintf("%d months", 99-n), Drop), func(s *Set) {
			s.Ahead = 0
			s.Retention.MaxShare, _ = strconv.ParseFloat(fmt.Sprintf("0.%02d", n), 64)
		})
		p := Make(s, settled(t, s, all...))
		if got := len(only(p, Retire)); got != n {
			t.Errorf("a share of %g lets %d of 100 go: %v", s.Retention.MaxShare, got, p.Problems)
		}
	}
}

func TestDependents(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		then Then
		want string
	}{
		{Drop, "drop e_2018_06\nanalyze events\nwithheld: drop e_2018_07\ndependents: e_2018_07 (stops table)"},
		{Archive, "archive e_2018_06\nanalyze events\nwithheld: archive e_2018_07\ndependents: e_2018_07 (stops table)"},
		{Detach, "detach e_2018_06\ndetach e_2018_07\nanalyze events"},
	} {
		s := monthly(t, keep("3 months", test.then))
		all := months(t, s, "2018-06", "2019-01")
		all[1].Dependents = []string{"view app.v", "foreign key of app.f"}
		p := Make(s, settled(t, s, all...))
		expect(t, p, test.want)
		if len(p.Problems) == 1 && p.Problems[0].Text != "it is due (older than 3 months), but view app.v, foreign key of app.f would break" {
			t.Errorf("%q", p.Problems[0].Text)
		}
	}
	// What cannot go does not use up the share of what can.
	s := monthly(t, keep("3 months", Drop), func(s *Set) { s.Retention.MaxShare = 0.01 })
	all := months(t, s, "2018-05", "2019-01")
	all[0].Dependents, all[2].Violation = []string{"view app.v"}, &Violation{Rows: 1}
	expect(t, Make(s, settled(t, s, all...)), `
		drop e_2018_06
		analyze events
		withheld: drop e_2018_05
		withheld: drop e_2018_07
		rows outside bounds: e_2018_07 (stops table)
		dependents: e_2018_05 (stops table)`)
}

func TestForeignTablesRetire(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		then  Then
		known BoundsSource
		want  string
	}{
		{Drop, BoundsFromCheck, "drop e_2018_07\nanalyze events"},
		{Detach, BoundsFromCheck, "detach e_2018_07\nanalyze events"},
		{Archive, BoundsFromCheck, "withheld: archive e_2018_07\ndependents: e_2018_07 (stops table)"},
		// Nothing here validates its CHECK, so somebody has to hear of it.
		{Drop, BoundsClaimed, "withheld: drop e_2018_07\nunreadable bounds: e_2018_07 (stops table)"},
		{Drop, BoundsFromRows, "withheld: drop e_2018_07\nunreadable bounds: e_2018_07 (stops table)"},
	} {
		s := monthly(t, keep("3 months", test.then))
		all := months(t, s, "2018-07", "2019-01")
		all[0].Foreign, all[0].Known = true, test.known
		expect(t, Make(s, settled(t, s, all...)), test.want)
	}
}

// TestDueIsProvedFirst: what is due by bounds that nothing proves is given its
// CHECK, and removed by a later plan.
func TestDueIsProvedFirst(t *testing.T) {
	t.Parallel()
	s := monthly(t, keep("3 months", Drop))
	for _, known := range []BoundsSource{BoundsClaimed, BoundsFromRows} {
		all := months(t, s, "2018-07", "2019-01")
		all[0].Known = known
		all[0].Checks = nil
		p := Make(s, settled(t, s, all...))
		expect(t, p, "constrain e_2018_07 [2018-07-01, 2018-08-01)")
	}
	// So are bounds without a beginning.
	old := by(s, "old", span(t, "", "2018-07-01"))
	old.Known, old.Checks = BoundsClaimed, []BoundsCheck{plainCheck("theirs", old.Bounds, false)}
	expect(t, Make(s, settled(t, s, append(months(t, s, "2018-10", "2019-01"), old)...)), "constrain old [-infinity, 2018-07-01)")
}

// TestWhatLeavesIsLeftAlone: no repair, no branch.
func TestWhatLeavesIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := monthly(t, keep("3 months", Drop))
	all := months(t, s, "2018-07", "2019-01")
	all[0].Properties, all[0].Checks = nil, []BoundsCheck{seedCheck(all[0].Bounds, true)}
	snap := settled(t, s, all...)
	expect(t, Make(s, snap), "drop e_2018_07\nanalyze events")
	snap.Parent.Routing.Fingerprint = ""
	for _, b := range allBranches(*only(Make(s, snap), RouteRows)[0].Route) {
		if b.Table == all[0].Name {
			t.Error("it has a branch")
		}
	}
	// Where a problem stops it, it is repaired like the others.
	for name, hinder := range map[string]func(*Snapshot){
		"clock":      func(s *Snapshot) { s.Server.Skew = MaxSkew + 1 },
		"trigger":    func(s *Snapshot) { s.Parent.Routing = Routing{Function: FunctionUnknown} },
		"unreadable": func(s *Snapshot) { s.Partitions = append(s.Partitions, unknown(by(monthly(t), "odd", Bounds{}))) },
		"dependents": func(s *Snapshot) {
			s.Partitions = slices.Clone(s.Partitions)
			s.Partitions[0].Dependents = []string{"view app.v"}
		},
	} {
		snap := settled(t, s, all...)
		hinder(&snap)
		p := Make(s, snap)
		if len(only(p, Constrain)) != 1 || len(only(p, Align)) != 1 || len(only(p, Index)) != 1 || len(p.Withheld) != 1 || len(only(p, Retire)) != 0 {
			t.Errorf("%s:\n%s", name, full(p))
		}
	}
}
