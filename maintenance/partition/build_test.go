package partition

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// now is the server's clock in most tests.
var now = time.Date(2018, 11, 15, 10, 0, 0, 0, time.UTC)

var parentName = Name{"app", "events"}

// monthly is the set of most tests: months of a timestamp, two ahead.
func monthly(t testing.TB, change ...func(*Set)) Set {
	t.Helper()
	s := Set{
		Parent: parentName, Key: "at", Interval: Interval{1, Month}, Location: time.UTC, Ahead: 2,
		Trigger: "insert_events_trigger", Function: Name{"app", "events_insert_function"},
		Window:    Window{Past: Interval{30, Year}, Future: Interval{1, Year}},
		Retention: Retention{Then: Keep, MaxShare: 0.5},
		Indexes:   true, Grants: GrantsAdd, AnalyzeEvery: 24 * time.Hour, SweepBatch: 1000,
	}
	for _, f := range change {
		f(&s)
	}
	if s.Pattern == (Pattern{}) {
		p, err := ParsePattern(units[s.Interval.Unit], s.Interval)
		if err != nil {
			t.Fatal(err)
		}
		s.Pattern = p
	}
	return s
}

// keep sets retention, as in "3 months", "drop".
func keep(text string, then Then) func(*Set) {
	return func(s *Set) {
		iv, err := ParseInterval(text)
		if err != nil {
			panic(err)
		}
		s.Retention.Keep, s.Retention.Then = iv, then
	}
}

// empty is a healthy server with a parent that has nothing yet.
func empty() Snapshot {
	return Snapshot{
		Server: Server{Now: now, Version: 150018, Role: "keeper"},
		Parent: &Parent{
			OID: 1, Owner: "owner", Key: KeyTimestamp, MayAct: true, OwnerMayCreate: true,
			Columns: []Column{{Name: "id", Type: "bigint"}, {Name: "at", Type: "timestamp without time zone"}},
			Properties: []Property{
				{Kind: PropOwner, Value: "owner"}, {Kind: PropGrant, Name: "readonly\tSELECT"},
				{Kind: PropIndex, Name: "USING btree (at)"}, {Kind: PropRowSecurity, Value: "off"},
			},
			Routing: Routing{Function: FunctionMissing},
		},
	}
}

// settled is a set to which nothing is to be done: it has the partitions, and
// whatever else a plan for it asks for.
func settled(t testing.TB, s Set, partitions ...Partition) Snapshot {
	t.Helper()
	snap := empty()
	snap.Partitions = partitions
	settle(s, &snap)
	return snap
}

// settle makes the routing functions those that are wanted, and the statistics new.
func settle(s Set, snap *Snapshot) {
	snap.Parent.Routing = Routing{Trigger: true, Function: FunctionOurs}
	snap.Parent.Analyzed, snap.Parent.LastAnalyze = true, snap.Server.Now
	if r := only(Make(s, *snap), RouteRows); len(r) == 1 {
		snap.Parent.Routing.Fingerprint, snap.Parent.Routing.Direct = r[0].Route.Fingerprint(), r[0].Route.DirectOIDs()
	}
}

// whole is a partition as this package's plans make them.
func whole(s Set, p Period) Partition {
	snap := empty()
	return made(s, snap.Parent, p.Bounds(), s.PartitionName(p, snap.Parent.Key))
}

// made is a partition as creating it makes it.
func made(s Set, parent *Parent, b Bounds, name Name) Partition {
	return Partition{
		OID: oidOf(name), Name: name, Bounds: b, Known: BoundsFromCheck, SameShape: true, Rows: 10, Bytes: 8192,
		Checks:     []BoundsCheck{plainCheck(BoundsConstraint, b, true)},
		Properties: slices.Clone(parent.Properties),
	}
}

func plainCheck(name string, b Bounds, validated bool) BoundsCheck {
	return BoundsCheck{Name: name, Definition: "CHECK " + b.String(), Validated: validated, Plain: true, Bounds: b, Local: true}
}

// seedCheck is one on date_trunc('day', key), which excludes nothing.
func seedCheck(b Bounds, validated bool) BoundsCheck {
	c := plainCheck("chat_created_at_check", b, validated)
	c.Plain, c.Definition = false, "CHECK date_trunc "+b.String()
	return c
}

// oidOf gives each name an OID of its own.
func oidOf(n Name) uint32 {
	h := uint32(2166136261)
	for _, c := range []byte(n.String()) {
		h = (h ^ uint32(c)) * 16777619
	}
	return h | 1<<20
}

// month is the period of "2018-11".
func month(t testing.TB, text string) Period {
	t.Helper()
	return Interval{1, Month}.PeriodOf(utc(t, text+"-01"), time.UTC)
}

// months returns whole partitions from the first to the last month.
func months(t testing.TB, s Set, first, last string) []Partition {
	t.Helper()
	var out []Partition
	for p := month(t, first); !p.From.After(month(t, last).From); p = (Interval{1, Month}).Next(p, time.UTC) {
		out = append(out, whole(s, p))
	}
	return out
}

// span is the bounds from one day to another; "" is an infinity.
func span(t testing.TB, from, to string) Bounds {
	t.Helper()
	b := Everywhere
	if from != "" {
		b.From = At(utc(t, from))
	}
	if to != "" {
		b.To = At(utc(t, to))
	}
	return b
}

// by makes a partition by hand: a table of that name with those bounds.
func by(s Set, local string, b Bounds) Partition {
	return made(s, empty().Parent, b, Name{s.Parent.Schema, local})
}

func only(p Plan, kind Kind) []Action {
	return slices.DeleteFunc(slices.Clone(p.Actions), func(a Action) bool { return a.Kind != kind })
}

// lines is what a plan says, a line each: its actions without their reasons,
// what it withholds, and its problems' kinds.
func lines(p Plan) string {
	var out []string
	for _, a := range p.Actions {
		line := fmt.Sprintf("%s %s", a.Verb(), a.Table.Local)
		if a.Kind == Create || a.Kind == Constrain || a.Kind == Sweep {
			line += " " + a.Bounds.String()
		}
		out = append(out, line)
	}
	for _, a := range p.Withheld {
		out = append(out, fmt.Sprintf("withheld: %s %s", a.Verb(), a.Table.Local))
	}
	for _, pr := range p.Problems {
		out = append(out, fmt.Sprintf("%s: %s (stops %s)", pr.Kind, pr.Table.Local, pr.Stops))
	}
	return strings.Join(out, "\n")
}

// expect compares a plan with lines that may be indented.
func expect(t *testing.T, p Plan, want string) {
	t.Helper()
	var clean []string
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		clean = append(clean, strings.TrimSpace(line))
	}
	if got := lines(p); got != strings.Join(clean, "\n") {
		t.Errorf("the plan is\n%s\n\nwant\n%s\n\nin full:\n%s", got, strings.Join(clean, "\n"), full(p))
	}
}

func full(p Plan) string {
	var b strings.Builder
	for _, a := range p.Actions {
		fmt.Fprintln(&b, a)
	}
	for _, a := range p.Withheld {
		fmt.Fprintln(&b, "withheld:", a)
	}
	for _, pr := range p.Problems {
		fmt.Fprintln(&b, pr)
	}
	return b.String()
}
