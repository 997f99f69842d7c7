package partition

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// kinds are all kinds of properties that are compared, in the order of repair.
var kinds = []PropertyKind{
	PropOwner, PropGrant, PropColumnGrant, PropOption, PropDefault, PropNotNull, PropColumnStorage, PropIndex,
	PropReplicaIdentity, PropPolicy, PropRowSecurity, PropComment, PropColumnComment, PropPublication,
}

func TestDiffEachKind(t *testing.T) {
	t.Parallel()
	exact := monthly(t, func(s *Set) { s.Grants = GrantsExact })
	for _, kind := range kinds {
		want := Property{kind, "name", "value"}
		other := Property{kind, "name", "other"}
		check := func(what string, parent, child []Property, want ...Change) {
			t.Helper()
			if diff := cmp.Diff(want, Diff(exact, parent, child)); diff != "" {
				t.Errorf("%s, %s: -want +got:\n%s", kind, what, diff)
			}
		}
		check("the same", []Property{want}, []Property{want})
		check("neither has it", nil, nil)
		check("missing", []Property{want}, nil, Change{Want: want, Missing: true})
		check("different", []Property{want}, []Property{other}, Change{Want: want, Have: "other"})
		check("an empty value is a value", []Property{want}, []Property{{kind, "name", ""}}, Change{Want: want})
		// Only privileges are ever taken away.
		var extra []Change
		if kind == PropGrant || kind == PropColumnGrant {
			extra = []Change{{Want: want, Have: "value", Remove: true}}
		}
		check("extra", nil, []Property{want}, extra...)
		check("the other kinds do not count", []Property{want}, []Property{want, {"unheard of", "name", "value"}})
	}
	// CHECKs are inherited, so they are no drift, and where a table is, people may choose.
	for _, kind := range []PropertyKind{PropCheck, PropTablespace} {
		if got := Diff(exact, []Property{{kind, "name", "value"}}, nil); got != nil {
			t.Errorf("%+v", got)
		}
	}
}

func TestDiffOrder(t *testing.T) {
	t.Parallel()
	var parent []Property
	for _, kind := range kinds {
		parent = append(parent, Property{kind, "a", "value"}, Property{kind, "b", "value"})
	}
	slices.Reverse(parent)
	var got, want []PropertyKind
	changes := Diff(monthly(t), parent, nil)
	for _, c := range changes {
		got = append(got, c.Want.Kind)
	}
	for _, kind := range kinds {
		want = append(want, kind, kind)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// What builds without locks is parted from what is short, in the same order.
	short, builds := splitChanges(changes)
	if len(builds) != 2 || builds[0].Want.Kind != PropIndex || len(short)+len(builds) != len(changes) {
		t.Errorf("%d short, builds %+v", len(short), builds)
	}
	if slices.ContainsFunc(short, func(c Change) bool { return c.Want.Kind == PropIndex }) {
		t.Error("an index is short")
	}
}

func TestGrantModes(t *testing.T) {
	t.Parallel()
	parent := []Property{{PropGrant, "a\tSELECT", ""}, {PropGrant, "b\tSELECT", "with grant option"}, {PropColumnGrant, "id\ta\tUPDATE", ""}}
	child := []Property{{PropGrant, "b\tSELECT", ""}, {PropGrant, "c\tDELETE", ""}, {PropGrant, "\tSELECT", ""}, {PropColumnGrant, "id\tc\tUPDATE", "with grant option"}}
	add := []Change{
		{Want: parent[0], Missing: true},
		{Want: parent[1]},
		{Want: parent[2], Missing: true},
	}
	exact := []Change{
		add[0], add[1],
		{Want: child[1], Remove: true},
		{Want: child[2], Remove: true},
		add[2],
		{Want: child[3], Have: "with grant option", Remove: true},
	}
	for mode, want := range map[GrantMode][]Change{GrantsAdd: add, GrantsExact: exact, GrantsOff: nil} {
		s := monthly(t, func(s *Set) { s.Grants = mode })
		if diff := cmp.Diff(want, Diff(s, parent, child)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", mode, diff)
		}
	}
}

// TestGrantOptionOfItsOwn: more than is asked for is enough, unless the
// privileges are to be the same.
func TestGrantOptionOfItsOwn(t *testing.T) {
	t.Parallel()
	exact := monthly(t, func(s *Set) { s.Grants = GrantsExact })
	for kind, name := range map[PropertyKind]string{PropGrant: "a\tSELECT", PropColumnGrant: "id\ta\tSELECT"} {
		plain, option := Property{kind, name, ""}, Property{kind, name, grantOption}
		cut := []Change{{Want: plain, Have: grantOption}}
		for _, test := range []struct {
			name          string
			parent, child []Property
			add, exact    []Change
		}{
			{"only the partition's", []Property{plain}, []Property{option}, nil, cut},
			{"one of two grants of the partition", []Property{plain}, []Property{plain, option}, nil, cut},
			{"two grants of the parent", []Property{plain, plain}, []Property{option}, nil, cut},
			{"both", []Property{option}, []Property{option}, nil, nil},
			{"one of two grants of the parent", []Property{plain, option}, []Property{option}, nil, nil},
			{"only the parent's", []Property{option}, []Property{plain}, []Change{{Want: option}}, []Change{{Want: option}}},
		} {
			if diff := cmp.Diff(test.add, Diff(monthly(t), test.parent, test.child)); diff != "" {
				t.Errorf("%s, %s, add: -want +got:\n%s", kind, test.name, diff)
			}
			if diff := cmp.Diff(test.exact, Diff(exact, test.parent, test.child)); diff != "" {
				t.Errorf("%s, %s, exact: -want +got:\n%s", kind, test.name, diff)
			}
		}
	}
}

// TestRevokedAlong: what a REVOKE takes along is granted again, after it.
func TestRevokedAlong(t *testing.T) {
	t.Parallel()
	exact := monthly(t, func(s *Set) { s.Grants = GrantsExact })
	onTable, others, onColumn, other := Property{PropGrant, "a\tSELECT", ""}, Property{PropGrant, "b\tSELECT", ""},
		Property{PropColumnGrant, "id\ta\tINSERT", grantOption}, Property{PropColumnGrant, "id\tb\tINSERT", ""}
	unlike := []Property{{PropGrant, "b\tDELETE", ""}, {PropColumnGrant, "at\tb\tUPDATE", ""}}
	parent := append([]Property{onTable, others, onColumn, other}, unlike...)
	with := func(more ...Property) []Property { return append(slices.Clone(parent), more...) }
	again := func(p Property) Change { return Change{Want: p, Have: p.Value} }
	remove := func(p Property) Change { return Change{Want: p, Have: p.Value, Remove: true} }
	insert, insertOption := Property{PropGrant, "a\tINSERT", ""}, Property{PropGrant, "a\tINSERT", grantOption}
	update, public := Property{PropColumnGrant, "at\ta\tUPDATE", grantOption}, Property{PropGrant, "\tINSERT", ""}
	for _, test := range []struct {
		name  string
		child []Property
		want  []Change
	}{
		{"the holder's columns", with(insert), []Change{remove(insert), again(onColumn)}},
		{"all that the holder may have granted", with(insertOption), []Change{remove(insertOption), again(onColumn), again(other)}},
		{"by an option that is cut", with(Property{PropGrant, "a\tSELECT", grantOption}), []Change{{Want: onTable, Have: grantOption}, again(others)}},
		{"of one column", with(update), []Change{remove(update), again(unlike[1])}},
		{"of nobody's columns", with(public), []Change{remove(public)}},
		{"what is missing anyway", append(slices.Clone(parent[:3]), insertOption), []Change{
			{Want: unlike[0], Missing: true}, remove(insertOption), {Want: other, Missing: true}, {Want: unlike[1], Missing: true}, again(onColumn)}},
	} {
		if diff := cmp.Diff(test.want, Diff(exact, parent, test.child)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.name, diff)
		}
	}
	// A grant that loses its option after the table's took all of it along.
	plain := Property{PropColumnGrant, "id\ta\tINSERT", ""}
	want := []Change{remove(insert), {Want: plain, Have: grantOption}, again(plain)}
	if diff := cmp.Diff(want, Diff(exact, []Property{plain}, []Property{insert, onColumn})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestIndexesAreOptional(t *testing.T) {
	t.Parallel()
	parent := []Property{{PropIndex, "USING btree (a)", ""}, {PropComment, "", "c"}}
	if got := Diff(monthly(t, func(s *Set) { s.Indexes = false }), parent, nil); len(got) != 1 || got[0].Want.Kind != PropComment {
		t.Errorf("%+v", got)
	}
}

// TestIndexesSeenTwice: a table can have an index for its primary key and the
// same once more, and either will do where an index is wanted.
func TestIndexesSeenTwice(t *testing.T) {
	t.Parallel()
	index := func(value string) Property { return Property{PropIndex, "UNIQUE USING btree (id, at)", value} }
	plain, primary, unique := index(""), index("primary key"), index("unique constraint")
	for _, test := range []struct {
		name          string
		parent, child []Property
		want          []Change
	}{
		{"a key serves as the index", []Property{plain}, []Property{primary}, nil},
		{"an index is no key", []Property{primary}, []Property{plain}, []Change{{Want: primary}}},
		{"one key is not the other", []Property{primary}, []Property{unique}, []Change{{Want: primary, Have: "unique constraint"}}},
		{"both", []Property{plain, primary}, []Property{primary, plain}, nil},
		{"both, in the other order", []Property{primary, plain}, []Property{plain, primary}, nil},
		{"the key is there, and the index twice", []Property{primary}, []Property{plain, primary, plain}, nil},
		{"both are lacking", []Property{plain, primary}, nil, []Change{{Want: primary, Missing: true}}},
		{"the parent's is there twice", []Property{plain, plain}, nil, []Change{{Want: plain, Missing: true}}},
	} {
		if diff := cmp.Diff(test.want, Diff(monthly(t), test.parent, test.child)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.name, diff)
		}
	}
}

// TestNewPartitionsAreComplete: what a new partition is given, together with what
// it inherits, leaves nothing to repair.
func TestNewPartitionsAreComplete(t *testing.T) {
	t.Parallel()
	inherits := map[PropertyKind]bool{PropOwner: true, PropDefault: true, PropNotNull: true, PropColumnStorage: true}
	byDefault := []Property{{PropReplicaIdentity, "", "default"}, {PropRowSecurity, "", "off"}}
	var parent []Property
	for _, kind := range kinds {
		parent = append(parent, Property{kind, "b", "value"}, Property{kind, "a", ""})
	}
	for _, extra := range [][]Property{nil, byDefault} {
		parent := append(slices.Clone(parent), extra...)
		child := slices.Clone(forNew(parent))
		for _, p := range child {
			if inherits[p.Kind] || slices.Contains(byDefault, p) {
				t.Errorf("%+v comes by itself", p)
			}
		}
		for _, p := range parent {
			if inherits[p.Kind] {
				child = append(child, p)
			}
		}
		child = append(child, byDefault...)
		if got := Diff(monthly(t), parent, child); got != nil {
			t.Errorf("%+v", got)
		}
	}
	// The order is that of repair, and by name: replica identity needs its index.
	var order []string
	for _, p := range forNew(parent) {
		order = append(order, string(p.Kind)+" "+p.Name)
	}
	want := []string{"grant a", "grant b", "column grant a", "column grant b", "storage option a", "storage option b", "index a", "index b",
		"replica identity a", "replica identity b", "policy a", "policy b", "row security a", "row security b", "comment a", "comment b",
		"column comment a", "column comment b", "publication a", "publication b"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := forNew([]Property{{PropIndex, "USING btree (a)", ""}, {PropIndex, "USING btree (a)", ""}}); len(got) != 1 {
		t.Errorf("the same index twice: %+v", got)
	}
}

// TestGrantNames: what a column or a role is called never becomes part of another
// name, or of the privilege, which SQL has as it is.
func TestGrantNames(t *testing.T) {
	t.Parallel()
	names := []string{"a", "", "\t", "\\", `\t`, "\\\t", "a\tSELECT", `a\`, "\tALL ON TABLE x TO y; --", `\\t`, "tab\t\tbed"}
	seen := map[Property]bool{}
	for _, column := range names {
		for _, role := range names {
			p := Grant(column, role, "INSERT", "")
			if c, r, privilege := SplitGrant(p); c != column || r != role || privilege != "INSERT" {
				t.Errorf("%q and %q became %q, %q, %q", column, role, c, r, privilege)
			}
			if seen[p] {
				t.Errorf("%q of another column and role", p.Name)
			}
			seen[p] = true
		}
	}
	if p := Grant("", "readonly", "SELECT", "with grant option"); p != (Property{PropGrant, "readonly\tSELECT", "with grant option"}) {
		t.Errorf("%+v", p)
	}
}
