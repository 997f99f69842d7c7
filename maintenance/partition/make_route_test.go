package partition

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func allBranches(r Route) []Branch { return slices.Concat(r.Near, r.Rest) }

// branchNames shows branches by their tables' names.
func branchNames(branches []Branch) string {
	var out []string
	for _, b := range branches {
		out = append(out, b.Table.Local)
	}
	return strings.Join(out, " ")
}

func TestRoutingStates(t *testing.T) {
	t.Parallel()
	const own = "the routing fingerprint that is wanted"
	healthy := Routing{Trigger: true, Function: FunctionOurs, Fingerprint: own}
	with := func(change func(*Routing)) Routing {
		r := healthy
		change(&r)
		return r
	}
	const unknownText = "function app.events_insert_function exists and is not one that is known here"
	for _, test := range []struct {
		name     string
		routing  Routing
		takeover bool
		reason   string // of the action, "" for none
		problem  string // the problem's text, "" for none
	}{
		{"healthy", healthy, false, "", ""},
		{"nothing", Routing{Function: FunctionMissing}, false, "the routing function is missing", ""},
		{"only the function", Routing{Function: FunctionOurs, Fingerprint: own}, false, "the trigger is missing", ""},
		{"only the trigger's name", with(func(r *Routing) { r.Trigger, r.TriggerOther = false, "AFTER INSERT" }), false, "",
			`the trigger "insert_events_trigger" is something else: AFTER INSERT`},
		{"only the trigger's name, taken over", with(func(r *Routing) { r.Trigger, r.TriggerOther = false, "AFTER INSERT" }), true, "the trigger is missing", ""},
		{"seed", with(func(r *Routing) { r.Function, r.Fingerprint = FunctionSeed, "" }), false, "the routing function makes tables by itself from any row", ""},
		{"stale", with(func(r *Routing) { r.Fingerprint = "stale" }), false, "the routing function does not match the present partitions", ""},
		{"a table made anew", with(func(r *Routing) { r.Direct = []uint32{77} }), false, "the routing function knows another table of a present partition's name", ""},
		{"altered", with(func(r *Routing) { r.Function, r.Fingerprint = FunctionAltered, "" }), false, "the routing function was altered", ""},
		{"unknown", with(func(r *Routing) { r.Function, r.Fingerprint = FunctionUnknown, "" }), false, "", unknownText},
		{"unknown, taken over", with(func(r *Routing) { r.Function, r.Fingerprint = FunctionUnknown, "" }), true, "the routing function is taken over", ""},
		{"unknown, without a trigger", Routing{Function: FunctionUnknown}, false, "", unknownText},
		{"disabled", with(func(r *Routing) { r.Disabled = true }), false, "the trigger is disabled", ""},
		{"others beside ours", with(func(r *Routing) { r.Others = []string{"audit"} }), false, "", ""},
		{"others instead of ours", Routing{Function: FunctionMissing, Others: []string{"part_trig", "audit"}}, false, "",
			`the trigger "insert_events_trigger" is missing, and other BEFORE INSERT triggers (part_trig, audit) may route rows already`},
		{"others instead of ours, taken over", Routing{Function: FunctionMissing, Others: []string{"part_trig"}}, true, "the routing function is missing", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := monthly(t, keep("3 months", Drop), func(s *Set) { s.Takeover = test.takeover })
			snap := settled(t, s, months(t, s, "2018-07", "2019-01")...) // The oldest is due.
			fingerprint, direct := snap.Parent.Routing.Fingerprint, snap.Parent.Routing.Direct
			snap.Parent.Routing = test.routing
			if test.routing.Fingerprint == own {
				snap.Parent.Routing.Fingerprint = fingerprint
			}
			if test.routing.Direct == nil {
				snap.Parent.Routing.Direct = direct
			}
			p := Make(s, snap)
			reason, problem := "", ""
			for _, a := range only(p, RouteRows) {
				reason += a.Reason
				if a.Table != s.Parent || a.OID != 1 || a.Route.Fingerprint() != fingerprint {
					t.Errorf("%+v", a)
				}
			}
			for _, pr := range p.Problems {
				problem += pr.Text
				if pr.Kind != ProblemTrigger || pr.Table != s.Parent || pr.Stops != StopsSet || pr.Hint == "" {
					t.Errorf("%+v", pr)
				}
			}
			if reason != test.reason || problem != test.problem {
				t.Errorf("action %q, want %q; problem %q, want %q", reason, test.reason, problem, test.problem)
			}
			if removes := len(only(p, Retire)); removes != 1 && problem == "" || len(p.Withheld) != 1-removes {
				t.Errorf("removals:\n%s", full(p))
			}
		})
	}
}

func TestNearBranches(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		partitions func(Set) []Partition
		near, rest string
	}{
		{"months", func(s Set) []Partition { return months(t, s, "2018-08", "2019-02") },
			"e_2018_11 e_2018_12 e_2018_10", "e_2018_08 e_2018_09 e_2019_01 e_2019_02"},
		{"what this plan makes", func(Set) []Partition { return nil },
			"e_2018_11 e_2018_12", "e_2019_01"},
		{"a year for all", func(s Set) []Partition { return []Partition{by(s, "y", span(t, "2018-01-01", "2019-02-01"))} },
			"y", ""},
		{"halves", func(s Set) []Partition {
			return append(months(t, s, "2018-12", "2019-01"), by(s, "h1", span(t, "2018-11-01", "2018-11-15")), by(s, "h2", span(t, "2018-11-15", "2018-12-01")))
		}, "h1 e_2018_12", "h2 e_2019_01"},
		{"the one before is short", func(s Set) []Partition {
			return append(months(t, s, "2018-11", "2019-01"), by(s, "h1", span(t, "2018-10-01", "2018-10-25")), by(s, "h2", span(t, "2018-10-25", "2018-11-01")))
		}, "e_2018_11 e_2018_12 h2", "h1 e_2019_01"},
		{"no previous one", func(s Set) []Partition {
			return append(months(t, s, "2018-11", "2019-01"), whole(s, month(t, "2018-09")))
		},
			"e_2018_11 e_2018_12", "e_2018_09 e_2019_01"},
		{"open ends", func(s Set) []Partition {
			return append(months(t, s, "2018-11", "2019-01"), by(s, "old", span(t, "", "2018-11-01")), by(s, "future", span(t, "2019-02-01", "")))
		}, "e_2018_11 e_2018_12 old", "e_2019_01 future"},
		{"bounds that hold nothing", func(s Set) []Partition {
			return append(months(t, s, "2018-11", "2019-01"), by(s, "none", span(t, "2018-10-02", "2018-10-01")))
		}, "e_2018_11 e_2018_12", "e_2019_01"},
		{"unreadable", func(s Set) []Partition {
			return append(months(t, s, "2018-11", "2019-01"), unknown(by(s, "odd", Bounds{})))
		}, "e_2018_11 e_2018_12", "e_2019_01"},
		{"tables that take rows only by themselves", func(s Set) []Partition {
			all := months(t, s, "2018-07", "2019-01")
			all[0].SameShape, all[1].OwnTriggers, all[2].Foreign = false, true, true
			return all
		}, "e_2018_11 e_2018_12 e_2018_10", "e_2019_01"},
		{"overlapping ones", func(s Set) []Partition {
			return append(months(t, s, "2018-06", "2019-01"), by(s, "wide", span(t, "2018-07-01", "2018-09-01")))
		}, "e_2018_11 e_2018_12 e_2018_10", "e_2018_06 wide e_2018_09 e_2019_01"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := monthly(t)
			snap := empty()
			snap.Partitions = test.partitions(s)
			r := only(Make(s, snap), RouteRows)[0].Route
			if near, rest := branchNames(r.Near), branchNames(r.Rest); test.name == "overlapping ones" {
				checkDisjoint(t, r.Rest)
			} else if near != test.near || rest != test.rest {
				t.Errorf("near %q, want %q; rest %q, want %q", near, test.near, rest, test.rest)
			}
		})
	}
}

func checkDisjoint(t *testing.T, rest []Branch) {
	t.Helper()
	for i := 1; i < len(rest); i++ {
		if rest[i-1].Bounds.To.Compare(rest[i].Bounds.From) > 0 {
			t.Errorf("%s and %s are no order to search", rest[i-1].Bounds, rest[i].Bounds)
		}
	}
}

func TestAtMostMaxBranches(t *testing.T) {
	t.Parallel()
	s := monthly(t)
	snap := empty()
	snap.Partitions = months(t, s, "2008-01", "2019-01")
	r := only(Make(s, snap), RouteRows)[0].Route
	if len(allBranches(*r)) != MaxBranches || len(r.Near) != 3 {
		t.Fatalf("%d near and %d other branches", len(r.Near), len(r.Rest))
	}
	checkDisjoint(t, r.Rest)
	// The latest are those that most rows are for.
	if first, last := r.Rest[0].Table.Local, r.Rest[len(r.Rest)-1].Table.Local; first != "e_2013_10" || last != "e_2019_01" {
		t.Errorf("from %s to %s", first, last)
	}
}

// TestBranchesFollowTheCalendar: the near branches change with the period, not within one.
func TestBranchesFollowTheCalendar(t *testing.T) {
	t.Parallel()
	s := monthly(t, func(s *Set) { s.Ahead = 0 })
	snap := empty()
	snap.Partitions = months(t, s, "2018-08", "2019-02")
	fingerprints := map[string][]string{}
	for _, at := range []string{"2018-11-01", "2018-11-30 23:59:59.999999", "2018-12-01", "2018-12-31"} {
		snap.Server.Now = utc(t, at)
		f := only(Make(s, snap), RouteRows)[0].Route.Fingerprint()
		fingerprints[f] = append(fingerprints[f], at[:7])
	}
	if len(fingerprints) != 2 {
		t.Errorf("%v", fingerprints)
	}
}

// TestDirect: the nearest branches write at once, unless a role may insert into some
// columns alone; and all are found by a search, in the order of time.
func TestDirect(t *testing.T) {
	t.Parallel()
	s := monthly(t)
	snap := empty()
	snap.Partitions = months(t, s, "2018-08", "2019-01")
	r := only(Make(s, snap), RouteRows)[0].Route
	if got := branchNames(r.Direct()); got != "e_2018_11 e_2018_12 e_2018_10" {
		t.Errorf("direct are %q", got)
	}
	for i, oid := range r.DirectOIDs() {
		if j := slices.IndexFunc(snap.Partitions, func(c Partition) bool { return c.Name == r.Near[i].Table }); snap.Partitions[j].OID != oid {
			t.Errorf("the OID of %s is %d", r.Near[i].Table, oid)
		}
	}
	if got := branchNames(r.Searched()); got != "e_2018_08 e_2018_09 e_2018_10 e_2018_11 e_2018_12 e_2019_01" {
		t.Errorf("searched are %q", got)
	}
	r.Properties = append(r.Properties, Grant("id", "ann", "SELECT", ""))
	if len(r.Direct()) != 3 {
		t.Error("who may read a column is in the way")
	}
	r.Properties = append(r.Properties, Grant("id", "ann", "INSERT", ""))
	if len(r.Direct()) != 0 || len(r.Searched()) != 6 {
		t.Error("a role may write a column it has no privilege on")
	}
	overlapping := Route{Near: []Branch{{Bounds: span(t, "2018-01-01", "2019-01-01"), Table: Name{"a", "year"}}}, Rest: r.Rest}
	if got := branchNames(overlapping.Searched()); got != "year e_2019_01" {
		t.Errorf("searched beside a year are %q", got)
	}
}

// TestFingerprint: everything that the functions are made from counts, and
// nothing else, such as the zone that an instant is expressed in.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	s := monthly(t)
	snap := empty()
	snap.Partitions = months(t, s, "2018-10", "2019-01")
	base := *only(Make(s, snap), RouteRows)[0].Route
	seen := map[string]string{base.Fingerprint(): "nothing"}
	for name, change := range map[string]func(*Route){
		"version":    func(r *Route) { r.Version++ },
		"parent":     func(r *Route) { r.Parent.Local += "x" },
		"key":        func(r *Route) { r.Key += "x" },
		"key type":   func(r *Route) { r.KeyType = KeyDate },
		"trigger":    func(r *Route) { r.Trigger += "x" },
		"function":   func(r *Route) { r.Function.Schema += "x" },
		"interval":   func(r *Route) { r.Interval.N++ },
		"pattern":    func(r *Route) { r.Pattern += "x" },
		"zone":       func(r *Route) { r.Zone += "x" },
		"window":     func(r *Route) { r.Window.Future.N++ },
		"near order": func(r *Route) { r.Near = []Branch{r.Near[1], r.Near[0], r.Near[2]} },
		"near less":  func(r *Route) { r.Near = r.Near[1:] },
		"rest less":  func(r *Route) { r.Rest = nil },
		"bounds":     func(r *Route) { r.Rest = []Branch{{Bounds: Everywhere, Table: r.Rest[0].Table}} },
		"microsecond": func(r *Route) {
			b := r.Rest[0]
			b.Bounds.To.Time = b.Bounds.To.Time.Add(time.Microsecond)
			r.Rest = []Branch{b}
		},
		"table":      func(r *Route) { r.Rest = []Branch{{Bounds: r.Rest[0].Bounds, Table: Name{"a", "b.c"}}} },
		"schema":     func(r *Route) { r.Rest = []Branch{{Bounds: r.Rest[0].Bounds, Table: Name{"a.b", "c"}}} },
		"columns":    func(r *Route) { r.Columns = r.Columns[:1] },
		"owner":      func(r *Route) { r.Owner += "x" },
		"properties": func(r *Route) { r.Properties = r.Properties[:1] },
		"revoke":     func(r *Route) { r.Revoke = []string{"x"} },
	} {
		r := base
		change(&r)
		f := r.Fingerprint()
		if other, ok := seen[f]; ok {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		if seen[f] = name; len(f) != 24 {
			t.Errorf("%q is not short", f)
		}
	}
	for i := range snap.Partitions {
		b := &snap.Partitions[i].Bounds
		b.From.Time, b.To.Time = b.From.Time.In(zone(t, "Asia/Kathmandu")), b.To.Time.In(time.FixedZone("", 5))
	}
	if f := only(Make(s, snap), RouteRows)[0].Route.Fingerprint(); f != base.Fingerprint() {
		t.Error("the zone that the bounds are expressed in makes a difference")
	}
}

// TestFarBounds: PostgreSQL's timestamps go from 4713 BC to the year 294276
// (PostgreSQL documentation, 8.5 Date/Time Types).
func TestFarBounds(t *testing.T) {
	t.Parallel()
	s := monthly(t)
	snap := empty()
	snap.Partitions = append(months(t, s, "2018-11", "2019-01"),
		by(s, "old", Bounds{At(time.Date(-4712, 1, 1, 0, 0, 0, 0, time.UTC)), At(utc(t, "2018-11-01"))}),
		by(s, "future", Bounds{At(utc(t, "2019-02-01")), At(time.Date(294276, 1, 1, 0, 0, 0, 0, time.UTC))}))
	r := only(Make(s, snap), RouteRows)[0].Route
	if len(allBranches(*r)) != 5 || r.Fingerprint() == "" {
		t.Errorf("%+v", r)
	}
}

func TestRouteDoesNotAliasTheSnapshot(t *testing.T) {
	t.Parallel()
	s := monthly(t, keep("3 months", Drop))
	snap := empty()
	snap.Partitions = append(months(t, s, "2018-07", "2018-12"), by(s, "half", span(t, "2019-01-01", "2019-01-15")))
	slices.Reverse(snap.Partitions)
	before := fmt.Sprintf("%+v", snap.Partitions)
	parent := *snap.Parent
	Make(s, snap)
	if after := fmt.Sprintf("%+v", snap.Partitions); after != before {
		t.Errorf("Make changed the partitions of its argument:\n%s", cmp.Diff(before, after))
	}
	if diff := cmp.Diff(parent, *snap.Parent); diff != "" {
		t.Errorf("Make changed the parent of its argument:\n%s", diff)
	}
}
