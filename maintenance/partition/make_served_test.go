package partition

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestNotServed: such a set gets one problem, and nothing is done to it.
func TestNotServed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*Set, *Snapshot)
		kind   ProblemKind
		text   string
	}{
		{"no parent", func(_ *Set, s *Snapshot) { s.Parent = nil }, ProblemNoParent, "there is no such table"},
		{"view", func(_ *Set, s *Snapshot) { s.Parent.NotTable, s.Parent.Key = "view", "" }, ProblemUnsupported, "it is a view, not a table"},
		{"by list", func(_ *Set, s *Snapshot) { s.Parent.Declarative, s.Parent.PartitionedBy = true, "LIST (region)" }, ProblemUnsupported, "it is PARTITION BY LIST (region)"},
		{"by another column", func(_ *Set, s *Snapshot) {
			s.Parent.Declarative, s.Parent.PartitionedBy, s.Parent.RangeColumn = true, "RANGE (id)", "id"
		}, ProblemUnsupported, `it is PARTITION BY RANGE (id), and key is "at"`},
		{"partitioned partition", func(_ *Set, s *Snapshot) {
			s.Parent.Declarative, s.Parent.RangeColumn, s.Partitions[0].Partitioned = true, "at", true
		}, ProblemUnsupported, "its partition app.e_2018_01 is partitioned itself"},
		{"no such column", func(_ *Set, s *Snapshot) { s.Parent.Key = "" }, ProblemUnsupported, `it has no column "at"`},
		{"bigint key", func(_ *Set, s *Snapshot) { s.Parent.Key, s.Parent.KeyOther = "", "bigint" }, ProblemUnsupported, `column "at" is of type bigint`},
		{"hours of a date", func(set *Set, s *Snapshot) { s.Parent.Key, set.Interval = KeyDate, Interval{6, Hour} }, ProblemUnsupported, `column "at" is a date and has no hours`},
		{"standby", func(_ *Set, s *Snapshot) { s.Server.Standby = true }, ProblemStandby, "the server is a standby and is left alone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := monthly(t, keep("1 month", Drop))
			snap := empty()
			snap.Partitions, snap.Strays = months(t, s, "2018-01", "2018-11"), []Stray{{Outside: true, Rows: 1}}
			test.change(&s, &snap)
			p := Make(s, snap)
			if len(p.Actions) != 0 || len(p.Withheld) != 0 || len(p.Problems) != 1 || p.Set != s.Parent || p.Empty() {
				t.Fatalf("%s", full(p))
			}
			if pr := p.Problems[0]; pr.Kind != test.kind || pr.Text != test.text || pr.Table != s.Parent || pr.Stops != StopsSet {
				t.Errorf("%+v", pr)
			}
		})
	}
	// Dates have days, and all else.
	snap := empty()
	snap.Parent.Key = KeyDate
	if p := Make(monthly(t), snap); len(p.Problems) != 0 || len(p.Actions) == 0 {
		t.Errorf("%s", full(p))
	}
}

// TestClockSkew: while the clocks disagree nothing is removed; the rest goes on.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	s := monthly(t, keep("3 months", Drop))
	for _, skew := range []time.Duration{MaxSkew, -MaxSkew, MaxSkew + 1, -MaxSkew - 1, 25 * time.Hour} {
		snap := settled(t, s, months(t, s, "2018-07", "2018-12")...)
		settle(s, &snap)
		snap.Server.Skew = skew
		want := "create e_2019_01 [2019-01-01, 2019-02-01)\nroute events\n"
		snap.Parent.Routing.Fingerprint = ""
		if skew.Abs() <= MaxSkew {
			want += "drop e_2018_07\nanalyze events"
		} else {
			want += "withheld: drop e_2018_07\nclock: events (stops set)"
		}
		expect(t, Make(s, snap), want)
	}
	snap := empty()
	snap.Server.Skew = -90*time.Minute - 400*time.Millisecond
	if got, want := Make(s, snap).Problems[0].Text, "the server's clock and this machine's differ by -1h30m0s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestPrivilegesDoNotStopThePlan: what the role may not do is said, and the
// plan is the same for who may.
func TestPrivilegesDoNotStopThePlan(t *testing.T) {
	t.Parallel()
	s := monthly(t, keep("3 months", Drop))
	snap := settled(t, s, months(t, s, "2018-07", "2018-12")...)
	may := Make(s, snap)
	snap.Parent.MayAct, snap.Parent.OwnerMayCreate = false, false
	p := Make(s, snap)
	if diff := cmp.Diff(may.Actions, p.Actions); diff != "" {
		t.Errorf("-with privileges +without:\n%s", diff)
	}
	var got []string
	for _, pr := range p.Problems {
		if got = append(got, pr.String()); pr.Kind != ProblemPrivilege || pr.Stops != StopsNone {
			t.Errorf("%+v", pr)
		}
	}
	want := []string{
		`privilege: app.events: role "keeper" may not act as the owner "owner" (GRANT the owner's role to it, as a member that inherits and may SET ROLE)`,
		`privilege: app.events: the owner "owner" may not create tables in schema "app" (GRANT CREATE ON SCHEMA to it)`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// troubled is a snapshot in which everything is to be done.
func troubled(t *testing.T, s Set) Snapshot {
	snap := empty()
	snap.Parent.Properties = append(snap.Parent.Properties,
		Property{PropIndex, "UNIQUE USING btree (id, at)", "primary key"}, Property{PropIndex, "UNIQUE USING btree (id, at)", ""},
		Property{PropReplicaIdentity, "", "index UNIQUE USING btree (id, at)"}, Property{PropComment, "", "Events"})
	all := months(t, s, "2018-01", "2018-10")
	all[0].Properties = nil
	all[2].Checks = []BoundsCheck{seedCheck(all[2].Bounds, true)}
	all[3].Known, all[3].Checks = BoundsFromRows, nil
	all[4].Violation = &Violation{Rows: 3}
	all[5].Dependents = []string{"view app.v"}
	all[6].Foreign = true
	all[7].Properties = nil
	twin := all[9]
	twin.Name.Local, twin.OID = "twin", oidOf(Name{"app", "twin"})
	snap.Partitions = append(all, twin, by(s, "wide", span(t, "2018-08-15", "2018-11-01")), by(s, "none", span(t, "2018-10-15", "2018-10-01")), unknown(by(s, "odd", Bounds{})))
	snap.Strays = []Stray{{Period: month(t, "2018-07"), Rows: 1}, {Period: month(t, "2018-10"), Rows: 1}, {Period: month(t, "2017-10"), Rows: 2}, {Outside: true, Rows: 3}}
	snap.Taken = []Name{{"app", "e_2018_12"}}
	return snap
}

// TestMakeIsDeterministic: the order in which the catalog gave its rows makes no
// difference to what is done.
func TestMakeIsDeterministic(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, s := range []Set{monthly(t), monthly(t, keep("3 months", Drop)), monthly(t, keep("1 month", Detach), func(s *Set) { s.FillGaps, s.Grants = true, GrantsExact })} {
		snap := troubled(t, s)
		want := Make(s, snap)
		if diff := cmp.Diff(want, Make(s, snap)); diff != "" {
			t.Fatalf("a second call gives another plan:\n%s", diff)
		}
		for range 50 {
			shuffled := snap
			shuffled.Partitions = slices.Clone(snap.Partitions)
			parent := *snap.Parent
			parent.Properties = slices.Clone(parent.Properties)
			shuffled.Parent = &parent
			for i := range shuffled.Partitions {
				shuffled.Partitions[i].Properties = shuffle(random, slices.Clone(shuffled.Partitions[i].Properties))
			}
			shuffle(random, shuffled.Partitions)
			shuffle(random, parent.Properties)
			if diff := cmp.Diff(normal(want), normal(Make(s, shuffled))); diff != "" {
				t.Fatalf("another order gives another plan:\n%s", diff)
			}
		}
	}
}

func shuffle[T any](random *rand.Rand, all []T) []T {
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// normal sorts what a plan says, and replaces routes by their fingerprints.
func normal(p Plan) []string {
	var out []string
	for _, a := range slices.Concat(p.Actions, p.Withheld) {
		line := a.String() + " " + a.Bounds.String()
		if a.Route != nil {
			line += " " + a.Route.Fingerprint()
		}
		var changes []string
		for _, c := range a.Changes {
			changes = append(changes, string(c.Want.Kind)+c.Want.Name+c.Want.Value+c.Have)
		}
		slices.Sort(changes)
		for _, c := range changes {
			line += " " + c
		}
		out = append(out, line)
	}
	for _, pr := range p.Problems {
		out = append(out, pr.String())
	}
	slices.Sort(out)
	return out
}
