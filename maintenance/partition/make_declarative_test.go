package partition

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// declared is a declarative set with the months of that year up to January, and
// nothing to do.
func declared(t *testing.T, s Set) Snapshot {
	t.Helper()
	snap := settled(t, s, months(t, s, "2018-07", "2019-01")...)
	snap.Parent.Declarative, snap.Parent.PartitionedBy, snap.Parent.RangeColumn = true, "RANGE (at)", "at"
	snap.Parent.Routing = Routing{Trigger: true, Function: FunctionOurs}
	for i := range snap.Partitions {
		snap.Partitions[i].Checks, snap.Partitions[i].Declared = nil, "FOR VALUES"
	}
	rest := made(s, snap.Parent, Everywhere, Name{"app", "events_default"})
	snap.Default = &rest
	return snap
}

// TestDeclarative: what is planned for a declarative set, and what is not.
func TestDeclarative(t *testing.T) {
	t.Parallel()
	out := func(month string) func(*Set, *Snapshot) {
		return func(_ *Set, s *Snapshot) {
			for i, c := range s.Partitions {
				if strings.HasSuffix(c.Name.Local, month) {
					c.Checks = []BoundsCheck{plainCheck(RetireMark(parentName), c.Bounds, true)}
					s.Partitions, s.Detached = append(s.Partitions[:i:i], s.Partitions[i+1:]...), append(s.Detached, c)
					return
				}
			}
		}
	}
	remove := keep("3 months", Drop)
	for _, test := range []struct {
		name   string
		change []func(*Set, *Snapshot)
		want   string
	}{
		{"nothing", nil, ""},
		{"a new default partition comes last", []func(*Set, *Snapshot){func(s *Set, n *Snapshot) { n.Default, n.Partitions = nil, n.Partitions[:6]; remove(s) }},
			"create e_2019_01 [2019-01-01, 2019-02-01)\ndrop e_2018_07\ncreate default events_default\nanalyze events"},
		{"something else has its name", []func(*Set, *Snapshot){func(s *Set, n *Snapshot) { n.Default, n.Taken = nil, []Name{s.DefaultName()} }},
			"name taken: events_default (stops none)"},
		{"none is wanted", []func(*Set, *Snapshot){func(s *Set, n *Snapshot) { n.Default, s.DefaultPartition = nil, false }}, ""},
		{"its trigger is missing", []func(*Set, *Snapshot){func(_ *Set, n *Snapshot) { n.Parent.Routing.Trigger = false }}, "notify events_default"},
		{"its function is somebody else's", []func(*Set, *Snapshot){func(_ *Set, n *Snapshot) { n.Parent.Routing.Function = FunctionUnknown }}, "trigger: events_default (stops none)"},
		{"Citus has no triggers", []func(*Set, *Snapshot){func(_ *Set, n *Snapshot) { n.Parent.Routing.Trigger, n.Parent.Distributed = false, true }}, ""},
		{"Citus has no inheritance", []func(*Set, *Snapshot){func(_ *Set, n *Snapshot) { n.Parent.Declarative, n.Parent.Distributed = false, true }}, "unsupported: events (stops set)"},
		{"it is aligned first", []func(*Set, *Snapshot){func(_ *Set, n *Snapshot) { n.Default.Properties, n.Partitions = nil, n.Partitions[:6] }},
			"align events_default\ncreate e_2019_01 [2019-01-01, 2019-02-01)\nindex events_default"},
		{"rows wait", []func(*Set, *Snapshot){func(_ *Set, n *Snapshot) { n.Strays = []Stray{{Period: month(t, "2018-05"), Rows: 7}} }},
			"create e_2018_05 [2018-05-01, 2018-06-01)\nanalyze events"},
		{"rows of no date", []func(*Set, *Snapshot){func(_ *Set, n *Snapshot) { n.Strays = []Stray{{Outside: true, Rows: 7}} }}, "rows in the parent: events (stops none)"},
		{"a move was interrupted", []func(*Set, *Snapshot){func(_ *Set, n *Snapshot) { n.Parent.Routing.Others = []string{LogTrigger} }}, "tidy events_default"},
		{"a CHECK is left", []func(*Set, *Snapshot){func(_ *Set, n *Snapshot) {
			n.Partitions[2].Checks = []BoundsCheck{plainCheck(RetireMark(parentName), n.Partitions[2].Bounds, false)}
		}}, "constrain e_2018_09 [2018-09-01, 2018-10-01) "},
		{"somebody's own CHECK stays", []func(*Set, *Snapshot){func(_ *Set, n *Snapshot) {
			n.Partitions[2].Checks = []BoundsCheck{plainCheck("mine", n.Partitions[2].Bounds, true)}
		}}, ""},
		{"one is taken out and due", []func(*Set, *Snapshot){out("2018_07"), func(s *Set, _ *Snapshot) { remove(s) }}, "drop e_2018_07\nanalyze events"},
		{"one is taken out and withheld", []func(*Set, *Snapshot){out("2018_07"), func(s *Set, n *Snapshot) { remove(s); n.Server.Skew = time.Hour }},
			"withheld: drop e_2018_07\nclock: events (stops set)"},
		{"one is taken out and held", []func(*Set, *Snapshot){out("2018_07"), func(s *Set, n *Snapshot) {
			remove(s)
			n.Holds = []Hold{{ID: 1, Bounds: Everywhere, Reason: "court"}}
		}}, "attach e_2018_07"},
		{"nothing is removed any more", []func(*Set, *Snapshot){out("2018_07"), func(s *Set, _ *Snapshot) { s.FillGaps = true }}, "attach e_2018_07"},
		{"another is in its place", []func(*Set, *Snapshot){out("2018_07"), func(_ *Set, n *Snapshot) { n.Partitions[0].Bounds.From = MinusInfinity }},
			"overlap: e_2018_07 (stops table)"},
		{"its mark was changed", []func(*Set, *Snapshot){out("2018_07"), func(s *Set, n *Snapshot) { remove(s); n.Detached[0].Known = BoundsClaimed }},
			"unreadable bounds: e_2018_07 (stops table)"},
		{"a detach was interrupted", []func(*Set, *Snapshot){func(s *Set, n *Snapshot) {
			remove(s)
			n.Detaching, n.Partitions = n.Partitions[:1], n.Partitions[1:]
		}}, "finalize e_2018_07"},
		{"the parent has one of its indexes twice", []func(*Set, *Snapshot){func(_ *Set, n *Snapshot) {
			index := Property{Kind: PropIndex, Name: "USING btree (x)"}
			key := Property{Kind: PropIndex, Name: index.Name, Value: "unique constraint"}
			alike := func(values ...string) map[string][]string { return map[string][]string{index.Name: values} }
			n.Parent.Properties, n.Parent.Alike = append(slices.Clone(n.Parent.Properties), key), alike("", key.Value, "")
			n.Parent.Incomplete = map[Property][]string{index: {"a", "b"}, key: {"c"}}
			n.Partitions = n.Partitions[4:]
			for i, values := range [][]string{{"", key.Value, ""}, {key.Value, key.Value, ""}, {key.Value}} {
				n.Partitions[i].Properties, n.Partitions[i].Alike = n.Parent.Properties, alike(values...)
			}
			n.Default.Alike = alike("", "") // What it lacks of the constraint is planned anyhow.
		}}, "index e_2019_01\nindex e_2019_01\nindex events_default\nattach index events\nattach index events"},
		{"a part of an index leaves", []func(*Set, *Snapshot){func(s *Set, n *Snapshot) {
			remove(s)
			n.Parent.Incomplete = map[Property][]string{{Kind: PropIndex, Name: "USING btree (x)"}: {"a"}}
			n.Parent.Alike = map[string][]string{"USING btree (x)": {""}}
			for i := range n.Partitions[1:] {
				n.Partitions[i+1].Alike = n.Parent.Alike
			}
			n.Default.Alike = n.Parent.Alike
		}}, "index e_2018_07\nattach index events\ndrop e_2018_07\nanalyze events"},
		{"nothing makes an index valid", []func(*Set, *Snapshot){func(_ *Set, n *Snapshot) { n.Parent.Unmarked = []string{"a"} }}, "unsupported: events (stops none)"},
		{"too many at once", []func(*Set, *Snapshot){func(s *Set, _ *Snapshot) { keep("1 month", Drop)(s); s.Retention.MaxShare = 0.2 }},
			"withheld: drop e_2018_07\nwithheld: drop e_2018_08\nwithheld: drop e_2018_09\ntoo much to remove: events (stops set)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := monthly(t, func(s *Set) { s.DefaultPartition = true })
			snap := declared(t, s)
			for _, f := range test.change {
				f(&s, &snap)
			}
			expect(t, Make(s, snap), test.want)
		})
	}
}

// TestDeclarativeProperties: a publication of the parent has its partitions' changes,
// and a table that is made like the parent has its indexes.
func TestDeclarativeProperties(t *testing.T) {
	t.Parallel()
	s := monthly(t, func(s *Set) { s.DefaultPartition = true })
	snap := declared(t, s)
	snap.Parent.Properties = append(snap.Parent.Properties, Property{Kind: PropPublication, Name: "p"})
	snap.Partitions = snap.Partitions[:6]
	p := Make(s, snap)
	expect(t, p, "create e_2019_01 [2019-01-01, 2019-02-01)")
	for _, property := range p.Actions[0].Route.Properties {
		if property.Kind == PropPublication || property.Kind == PropIndex {
			t.Errorf("a new partition is given %+v", property)
		}
	}
}
