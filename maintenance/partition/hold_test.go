package partition

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func heldLines(p Plan) string {
	var out []string
	for _, h := range p.Held {
		out = append(out, h.String())
	}
	return strings.Join(out, "\n")
}

func TestHolds(t *testing.T) {
	t.Parallel()
	s := monthly(t, keep("3 months", Drop))
	july, june := whole(s, month(t, "2018-07")), whole(s, month(t, "2018-06"))
	for _, test := range []struct {
		name string
		hold Hold
		// held are the lines of what is held; what is not goes.
		held string
	}{
		{"for ever", Hold{Bounds: july.Bounds}, "drop app.e_2018_07: for ever (case)"},
		{"until later", Hold{Bounds: july.Bounds, Until: now.Add(time.Nanosecond)}, "drop app.e_2018_07: until 2018-11-15 10:00:00 UTC (case)"},
		{"until now", Hold{Bounds: july.Bounds, Until: now}, ""},
		{"over", Hold{Bounds: july.Bounds, Until: now.AddDate(-1, 0, 0)}, ""},
		{"a part of it", Hold{Bounds: span(t, "2018-07-31", "2018-09-01")}, "drop app.e_2018_07: for ever (case)"},
		{"right beside it", Hold{Bounds: span(t, "2018-08-01", "2018-09-01")}, ""},
		{"across both", Hold{Bounds: span(t, "2018-06-30", "2018-07-02")}, "drop app.e_2018_06: for ever (case)\ndrop app.e_2018_07: for ever (case)"},
		{"no beginning", Hold{Bounds: span(t, "", "2018-06-02")}, "drop app.e_2018_06: for ever (case)"},
		{"no end", Hold{Bounds: span(t, "2018-07-02", "")}, "drop app.e_2018_07: for ever (case)"},
		{"everywhere", Hold{Bounds: Everywhere}, "drop app.e_2018_06: for ever (case)\ndrop app.e_2018_07: for ever (case)"},
		{"one table", Hold{Bounds: Everywhere, OID: june.OID}, "drop app.e_2018_06: for ever (case)"},
		{"another table of that time", Hold{Bounds: july.Bounds, OID: june.OID}, ""},
		{"not due", Hold{Bounds: span(t, "2018-10-01", "2018-11-01")}, ""},
	} {
		snap := settled(t, s, months(t, s, "2018-06", "2019-01")...)
		test.hold.Reason = "case"
		snap.Holds = []Hold{test.hold}
		// What stays has its branch.
		settle(s, &snap)
		p := Make(s, snap)
		if got := heldLines(p); got != test.held {
			t.Errorf("%s: held are\n%s\nwant\n%s", test.name, got, test.held)
		}
		var want []string
		for _, c := range []Partition{june, july} {
			if !strings.Contains(test.held, c.Name.Local) {
				want = append(want, "drop "+c.Name.Local)
			}
		}
		if len(want) > 0 {
			want = append(want, "analyze events")
		}
		if got := lines(p); got != strings.Join(want, "\n") {
			t.Errorf("%s: the plan is\n%s", test.name, full(p))
		}
		if (len(want) == 0) != p.Empty() {
			t.Errorf("%s: Empty is %t", test.name, p.Empty())
		}
	}
}

// TestLongestHold: of several holds the one is told that lasts longest, by the set's clock.
func TestLongestHold(t *testing.T) {
	t.Parallel()
	c := whole(monthly(t), month(t, "2018-07"))
	short, long, ever := Hold{ID: 1, Bounds: Everywhere, Until: now.Add(1)}, Hold{ID: 2, Bounds: Everywhere, Until: utc(t, "2027-01-01")}, Hold{ID: 3, Bounds: Everywhere}
	berlin := zone(t, "Europe/Berlin")
	for _, test := range []struct {
		holds []Hold
		want  int64
	}{
		{nil, 0}, {[]Hold{short, long}, 2}, {[]Hold{long, short}, 2}, {[]Hold{ever, long, short}, 3}, {[]Hold{short, ever, long}, 3},
	} {
		h := HeldBy(test.holds, c, now, berlin)
		switch {
		case h == nil && test.want == 0:
		case h == nil || h.ID != test.want:
			t.Errorf("%v: %+v", test.holds, h)
		case test.want == 2 && h.String() != "until 2027-01-01 01:00 CET ()":
			t.Error(h)
		}
	}
	if long.Until.Location() != time.UTC {
		t.Error("the hold itself was changed")
	}
}

// TestHeldStays: a held partition is as one that is not due: it is repaired, has
// a branch, stops nothing, and takes nobody's share.
func TestHeldStays(t *testing.T) {
	t.Parallel()
	s := monthly(t, keep("3 months", Drop), func(s *Set) { s.Retention.MaxShare = 0.01 })
	all := months(t, s, "2018-05", "2019-01")
	all[0].Dependents = []string{"view app.v"}
	all[1].Properties = nil
	snap := settled(t, s, all...)
	snap.Holds = []Hold{{Bounds: span(t, "", "2018-07-01"), Reason: "case"}}
	snap.Parent.Routing.Fingerprint = ""
	p := Make(s, snap)
	if len(p.Problems) != 0 || len(p.Withheld) != 0 || len(p.Held) != 2 {
		t.Errorf("held are\n%s\nof\n%s", heldLines(p), full(p))
	}
	if got := only(p, Retire); len(got) != 1 || got[0].Table != all[2].Name {
		t.Errorf("what goes is %v", got)
	}
	if got := only(p, Align); len(got) != 1 || got[0].Table != all[1].Name {
		t.Errorf("what is repaired is %v", got)
	}
	for _, c := range all {
		has := slices.ContainsFunc(allBranches(*only(p, RouteRows)[0].Route), func(b Branch) bool { return b.Table == c.Name })
		if has != (c.Name != all[2].Name) {
			t.Errorf("%s: it has a branch: %t", c.Name, has)
		}
	}
}

// TestHoldsUnseen: with the holds unknown nothing goes, and all else goes on.
func TestHoldsUnseen(t *testing.T) {
	t.Parallel()
	s := monthly(t, keep("3 months", Drop))
	snap := settled(t, s, months(t, s, "2018-07", "2018-12")...)
	snap.HoldsUnseen = "no permission"
	settle(s, &snap)
	expect(t, Make(s, snap), `
		create e_2019_01 [2019-01-01, 2019-02-01)
		withheld: drop e_2018_07
		holds: events (stops set)`)
	// Nothing is ever due of a set that keeps all.
	s.Retention = Retention{Then: Keep, MaxShare: 1}
	settle(s, &snap)
	if p := Make(s, snap); len(p.Problems) != 0 {
		t.Error(full(p))
	}
}
