package partition

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConstrain(t *testing.T) {
	t.Parallel()
	s := monthly(t)
	october := month(t, "2018-10").Bounds()
	year := span(t, "2018-01-01", "2019-01-01")
	seed, own := seedCheck(october, true), plainCheck(BoundsConstraint, october, true)
	ownNotValid := plainCheck(BoundsConstraint, october, false)
	theirs := plainCheck("theirs", october, true)
	inherited := seed
	inherited.Local = false
	sameName := seed
	sameName.Name = BoundsConstraint
	sameName2 := seedCheck(year, true)
	sameName2.Name = BoundsConstraint + "_range"
	for _, test := range []struct {
		name   string
		checks []BoundsCheck
		known  BoundsSource
		want   *Action // nil for nothing
	}{
		{"plain and validated", []BoundsCheck{own}, BoundsFromCheck, nil},
		{"of any name", []BoundsCheck{theirs}, BoundsFromCheck, nil},
		{"as the seed makes it", []BoundsCheck{seed}, BoundsFromCheck,
			&Action{Constraint: BoundsConstraint, Exists: ConstraintAbsent, Replaces: []BoundsCheck{seed}, Reason: "its CHECK cannot exclude it from a query"}},
		{"as the seed makes it, never validated", []BoundsCheck{seedCheck(october, false)}, BoundsClaimed,
			&Action{Constraint: BoundsConstraint, Exists: ConstraintAbsent, Replaces: []BoundsCheck{seedCheck(october, false)}, Reason: "its CHECK cannot exclude it from a query"}},
		{"interrupted before VALIDATE", []BoundsCheck{seed, ownNotValid}, BoundsFromCheck,
			&Action{Constraint: BoundsConstraint, Exists: ConstraintNotValid, Replaces: []BoundsCheck{seed}, Reason: "its range CHECK was never validated"}},
		{"interrupted before the old one went", []BoundsCheck{own, seed}, BoundsFromCheck,
			&Action{Constraint: BoundsConstraint, Exists: ConstraintValidated, Replaces: []BoundsCheck{seed}, Reason: "an older CHECK says the same again"}},
		{"one not valid beside one that is", []BoundsCheck{ownNotValid, theirs}, BoundsFromCheck, nil},
		{"the same in the other order", []BoundsCheck{theirs, ownNotValid}, BoundsFromCheck, nil},
		{"somebody else's not valid", []BoundsCheck{plainCheck("theirs", october, false)}, BoundsClaimed,
			&Action{Constraint: "theirs", Exists: ConstraintNotValid, Reason: "its range CHECK was never validated"}},
		{"an inherited one stays", []BoundsCheck{inherited}, BoundsFromCheck,
			&Action{Constraint: BoundsConstraint, Exists: ConstraintAbsent, Reason: "its CHECK cannot exclude it from a query"}},
		{"a wider plain one stays", []BoundsCheck{plainCheck("year", year, true), seed}, BoundsFromCheck,
			&Action{Constraint: BoundsConstraint, Exists: ConstraintAbsent, Replaces: []BoundsCheck{seed}, Reason: "its CHECK cannot exclude it from a query"}},
		{"each bound by a CHECK of its own", []BoundsCheck{plainCheck("from", span(t, "2018-10-01", ""), true), plainCheck("to", span(t, "", "2018-11-01"), true)}, BoundsFromCheck,
			&Action{Constraint: BoundsConstraint, Exists: ConstraintAbsent, Reason: "its CHECK cannot exclude it from a query"}},
		{"the name is taken", []BoundsCheck{sameName}, BoundsFromCheck,
			&Action{Constraint: BoundsConstraint + "_range", Exists: ConstraintAbsent, Replaces: []BoundsCheck{sameName}, Reason: "its CHECK cannot exclude it from a query"}},
		{"both names are taken", []BoundsCheck{sameName2, sameName}, BoundsFromCheck,
			&Action{Constraint: BoundsConstraint + "_range_range", Exists: ConstraintAbsent, Replaces: []BoundsCheck{sameName2, sameName}, Reason: "its CHECK cannot exclude it from a query"}},
		{"adopted by its rows", nil, BoundsFromRows,
			&Action{Constraint: BoundsConstraint, Exists: ConstraintAbsent, Reason: "adopted: all its rows lie in this period, and no CHECK says so"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			all := months(t, s, "2018-10", "2019-01")
			all[0].Checks, all[0].Known = test.checks, test.known
			p := Make(s, settled(t, s, all...))
			var want []Action
			if w := test.want; w != nil {
				w.Kind, w.Table, w.OID, w.Bounds = Constrain, all[0].Name, all[0].OID, october
				want = []Action{*w}
			}
			if diff := cmp.Diff(want, p.Actions); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestConstrainOpenEnds(t *testing.T) {
	t.Parallel()
	s := monthly(t)
	for _, b := range []Bounds{span(t, "", "2018-11-01"), span(t, "2019-02-01", "")} {
		open := by(s, "open", b)
		snap := settled(t, s, append(months(t, s, "2018-11", "2019-01"), open)...)
		expect(t, Make(s, snap), "")
		for _, c := range []BoundsCheck{seedCheck(b, true), plainCheck("theirs", b, false)} {
			snap := settled(t, s, append(months(t, s, "2018-11", "2019-01"), open)...)
			snap.Partitions[3].Checks = []BoundsCheck{c}
			expect(t, Make(s, snap), "constrain open "+b.String())
		}
	}
}

// TestViolation: the table whose rows lie outside its bounds is named and
// neither constrained nor removed; the others are.
func TestViolation(t *testing.T) {
	t.Parallel()
	s := monthly(t, keep("3 months", Drop))
	all := months(t, s, "2018-07", "2019-01")
	bad, seeded := &all[0], &all[2]
	bad.Known, bad.Checks = BoundsClaimed, []BoundsCheck{plainCheck("theirs", bad.Bounds, false)}
	bad.Violation = &Violation{Rows: 7, Nulls: 2, Examples: []string{"2018-01-01 00:00:00", "NULL"}}
	seeded.Checks = []BoundsCheck{seedCheck(seeded.Bounds, true)}
	all = append(months(t, s, "2018-06", "2018-06"), all...)
	p := Make(s, settled(t, s, all...))
	expect(t, p, `
		constrain e_2018_09 [2018-09-01, 2018-10-01)
		drop e_2018_06
		analyze events
		withheld: drop e_2018_07
		rows outside bounds: e_2018_07 (stops table)`)
	const want = "7 rows lie outside [2018-07-01, 2018-08-01), 2 of them NULL (such as 2018-01-01 00:00:00, NULL)"
	if p.Problems[0].Text != want {
		t.Errorf("%q, want %q", p.Problems[0].Text, want)
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	s := monthly(t, keep("3 months", Drop))
	odd := unknown(by(s, "odd", Bounds{}))
	odd.Properties = nil
	for _, test := range []struct {
		empty     bool
		violation *Violation
		want      string
	}{
		{false, nil, "no CHECK says which rows it may hold"},
		{true, nil, "no CHECK says which rows it may hold, and it is empty"},
		{false, &Violation{Rows: 5, Nulls: 1, Examples: []string{"2018-01-01"}},
			"no CHECK says which rows it may hold, and its 5 rows do not lie in one period, 1 of them NULL (such as 2018-01-01)"},
	} {
		odd.Empty, odd.Violation = test.empty, test.violation
		snap := settled(t, s, append(months(t, s, "2018-07", "2018-12"), odd)...)
		snap.Parent.Routing.Fingerprint = ""
		p := Make(s, snap)
		expect(t, p, `
			create e_2019_01 [2019-01-01, 2019-02-01)
			align odd
			index odd
			route events
			withheld: drop e_2018_07
			unreadable bounds: odd (stops set)`)
		if p.Problems[0].Text != test.want {
			t.Errorf("%q, want %q", p.Problems[0].Text, test.want)
		}
	}
}

func TestAlignAndIndex(t *testing.T) {
	t.Parallel()
	s := monthly(t)
	all := months(t, s, "2018-10", "2019-01")
	all[0].Properties = []Property{{Kind: PropOwner, Value: "somebody"}, {Kind: PropRowSecurity, Value: "off"}}
	all[1].Properties = slices.DeleteFunc(all[1].Properties, func(p Property) bool { return p.Kind == PropIndex })
	all[1].InvalidIndexes = map[string][]string{"USING btree (at)": {"broken_idx", "broken_idx1"}, "USING btree (id)": {"other_idx"}}
	p := Make(s, settled(t, s, all...))
	index := Property{Kind: PropIndex, Name: "USING btree (at)"}
	want := []Action{
		{Kind: Align, Table: all[0].Name, OID: all[0].OID, Bounds: all[0].Bounds, Reason: "differs from its parent in owner, grant", Changes: []Change{
			{Want: Property{Kind: PropOwner, Value: "owner"}, Have: "somebody"},
			{Want: Property{Kind: PropGrant, Name: "readonly\tSELECT"}, Missing: true},
		}},
		{Kind: Index, Table: all[0].Name, OID: all[0].OID, Bounds: all[0].Bounds, Reason: "the parent has an index that it lacks",
			Changes: []Change{{Want: index, Missing: true}}},
		{Kind: Index, Table: all[1].Name, OID: all[1].OID, Bounds: all[1].Bounds, Reason: "an interrupted build left an invalid index",
			Changes: []Change{{Want: index, Missing: true}}, Invalid: []string{"broken_idx", "broken_idx1"}},
	}
	if diff := cmp.Diff(want, p.Actions); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestForeignTablesAreLeft: what is elsewhere is neither constrained nor aligned.
func TestForeignTablesAreLeft(t *testing.T) {
	t.Parallel()
	s := monthly(t)
	all := months(t, s, "2018-10", "2019-01")
	all[0].Foreign, all[0].Properties, all[0].Checks = true, nil, []BoundsCheck{seedCheck(all[0].Bounds, true)}
	if p := Make(s, settled(t, s, all...)); !p.Empty() {
		t.Errorf("something is to be done:\n%s", full(p))
	}
}

// TestReplicaIdentityWaitsForItsIndex: setting it fails as long as the index is
// not there, and would take the other repairs of its transaction along.
func TestReplicaIdentityWaitsForItsIndex(t *testing.T) {
	t.Parallel()
	const unique = "UNIQUE USING btree (id, at)"
	identity := Property{Kind: PropReplicaIdentity, Value: "index " + unique}
	for _, test := range []struct {
		name    string
		indexes bool
		have    []Property
		want    string
	}{
		{"the index is built first", true, nil, "index e_2018_11 UNIQUE USING btree (id, at)"},
		{"the index is there", true, []Property{{Kind: PropIndex, Name: unique}}, "align e_2018_11 replica identity"},
		{"the index is a constraint's", true, []Property{{Kind: PropIndex, Name: unique, Value: "primary key"}}, "align e_2018_11 replica identity"},
		{"no index is wanted", false, nil, ""},
		{"no index is wanted, but it is there", false, []Property{{Kind: PropIndex, Name: unique}}, "align e_2018_11 replica identity"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := monthly(t, func(s *Set) { s.Indexes, s.Ahead = test.indexes, 0 })
			snap := empty()
			snap.Parent.Properties = []Property{{Kind: PropIndex, Name: unique}, identity}
			c := whole(s, month(t, "2018-11"))
			c.Properties = append(test.have, Property{Kind: PropReplicaIdentity, Value: "default"})
			snap.Partitions = []Partition{c}
			settle(s, &snap)
			var got []string
			for _, a := range Make(s, snap).Actions {
				for _, ch := range a.Changes {
					got = append(got, strings.TrimSpace(a.Verb()+" "+a.Table.Local+" "+strings.TrimSpace(cmpOr(ch.Want.Name, string(ch.Want.Kind)))))
				}
			}
			if strings.Join(got, "\n") != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// TestViolatingTableIsNotTouched: it lacks a grant and an index, and keeps
// lacking them until a person has looked at its rows.
func TestViolatingTableIsNotTouched(t *testing.T) {
	t.Parallel()
	s := monthly(t)
	all := months(t, s, "2018-10", "2019-01")
	all[0].Properties = nil
	all[0].Violation = &Violation{Rows: 1}
	expect(t, Make(s, settled(t, s, all...)), `rows outside bounds: e_2018_10 (stops table)`)
}

// TestMissingExclusionConstraint is told, since it cannot be built while rows come in.
func TestMissingExclusionConstraint(t *testing.T) {
	t.Parallel()
	s := monthly(t)
	snap := settled(t, s, months(t, s, "2018-11", "2019-01")...)
	snap.Parent.Properties = append(snap.Parent.Properties, Property{Kind: PropIndex, Name: "EXCLUDE USING gist (r WITH &&)", Value: exclusion})
	snap.Partitions = snap.Partitions[:1]
	snap.Partitions = append(snap.Partitions, made(s, snap.Parent, month(t, "2018-12").Bounds(), Name{"app", "e_2018_12"}),
		made(s, snap.Parent, month(t, "2019-01").Bounds(), Name{"app", "e_2019_01"}))
	settle(s, &snap)
	expect(t, Make(s, snap), `unsupported: e_2018_11 (stops none)`)
}
