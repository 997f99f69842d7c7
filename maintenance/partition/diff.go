package partition

import (
	"cmp"
	"slices"
	"strings"
)

// propertyRule says how one kind of property is compared and repaired.
type propertyRule struct {
	kind PropertyKind
	// inherited says that CREATE TABLE ... INHERITS brings it to a new partition.
	inherited bool
	// removes says that what only the partition has is taken away, and that a
	// value which is more than enough is cut back.
	removes func(Set) bool
	// applies says whether the set wants this kind repaired.
	applies func(Set) bool
	// enough says whether a partition's value will do; nil means that only equality does.
	enough func(want, have string) bool
	// concurrent says that the repair builds something and gets an action of its own.
	concurrent bool
}

func always(Set) bool { return true }

func never(Set) bool { return false }

func grantsWanted(s Set) bool { return s.Grants != GrantsOff }

func grantsExact(s Set) bool { return s.Grants == GrantsExact }

// grantOption is the value of a privilege that its holder may grant to others.
const grantOption = "with grant option"

// anyEnough: holding a privilege with grant option is more than holding it, and
// an index that serves a constraint is more than the index.
func anyEnough(want, have string) bool { return want == have || want == "" }

// propertyRules is the table of drift. Its order is the order of repair: the
// owner first, since it decides who holds the other privileges.
var propertyRules = []propertyRule{
	{kind: PropOwner, inherited: true, removes: never, applies: always},
	{kind: PropGrant, removes: grantsExact, applies: grantsWanted, enough: anyEnough},
	{kind: PropColumnGrant, removes: grantsExact, applies: grantsWanted, enough: anyEnough},
	{kind: PropOption, removes: never, applies: always},
	// New partitions go where the parent says; whoever moves an old one has a reason.
	{kind: PropTablespace, removes: never, applies: never},
	{kind: PropDefault, inherited: true, removes: never, applies: always},
	{kind: PropNotNull, inherited: true, removes: never, applies: always},
	{kind: PropColumnStorage, inherited: true, removes: never, applies: always},
	{kind: PropIndex, removes: never, applies: func(s Set) bool { return s.Indexes }, enough: anyEnough, concurrent: true},
	{kind: PropReplicaIdentity, removes: never, applies: always},
	{kind: PropPolicy, removes: never, applies: always},
	{kind: PropRowSecurity, removes: never, applies: always},
	{kind: PropComment, removes: never, applies: always},
	{kind: PropColumnComment, removes: never, applies: always},
	{kind: PropPublication, removes: never, applies: always},
}

// propertyKey identifies a property on one table.
type propertyKey struct {
	kind PropertyKind
	name string
}

// Diff returns what a partition lacks of its parent's properties, in the order
// of repair. The owner's own privileges are no properties and never differ.
func Diff(set Set, parent, child []Property) []Change {
	want, have := byKey(parent), byKey(child)
	var changes []Change
	propose := func(c Change) {
		// A table may well have the same index twice: it is proposed once.
		if !slices.Contains(changes, c) {
			changes = append(changes, c)
		}
	}
	for _, rule := range propertyRules {
		if !rule.applies(set) {
			continue
		}
		for _, p := range parent {
			if p.Kind != rule.kind {
				continue
			}
			values := have[propertyKey{p.Kind, p.Name}]
			does := func(v string) bool { return v == p.Value || rule.enough != nil && rule.enough(p.Value, v) }
			wants := want[propertyKey{p.Kind, p.Name}]
			tooMuch := func(v string) bool { return v != p.Value && does(v) && !slices.Contains(wants, v) }
			if i := slices.IndexFunc(values, tooMuch); i >= 0 && rule.removes(set) {
				propose(Change{Want: p, Have: values[i]})
				continue
			}
			// What the parent has twice, the stronger one does for both.
			stronger := func(v string) bool { return v != p.Value && does(v) }
			if slices.ContainsFunc(values, does) || slices.ContainsFunc(wants, stronger) {
				continue
			}
			c := Change{Want: p, Missing: len(values) == 0}
			if !c.Missing {
				c.Have = slices.Min(values)
			}
			propose(c)
		}
		if !rule.removes(set) {
			continue
		}
		for _, p := range child {
			if _, ok := want[propertyKey{p.Kind, p.Name}]; p.Kind == rule.kind && !ok {
				propose(Change{Want: p, Have: p.Value, Remove: true})
			}
		}
	}
	for _, c := range restored(changes, parent) {
		propose(c)
	}
	return changes
}

// restored returns the privileges that have to be granted again, because others
// that are taken away may take them along: REVOKE on a table revokes the same
// privilege on its columns, and where a grant option goes, so does what its
// holder granted (PostgreSQL documentation, REVOKE).
func restored(changes []Change, parent []Property) []Change {
	var out []Change
	takes := func(c Change) bool { return c.Remove || c.Want.Value == "" && c.Have == grantOption }
	for _, c := range changes {
		if !takes(c) {
			continue
		}
		column, role, privilege := SplitGrant(c.Want)
		for _, p := range parent {
			if p.Kind != PropGrant && p.Kind != PropColumnGrant {
				continue
			}
			col, r, priv := SplitGrant(p)
			along := priv == privilege && (column == "" || col == column) && (c.Have == grantOption || r == role)
			given := func(c Change) bool { return c.Want == p && !takes(c) }
			if along && p != c.Want && !slices.ContainsFunc(changes, given) {
				out = append(out, Change{Want: p, Have: p.Value})
			}
		}
	}
	return out
}

// A name may hold any character but a zero byte, the tab between them, too.
var (
	escapeGrant   = strings.NewReplacer(`\`, `\\`, "\t", `\t`)
	unescapeGrant = strings.NewReplacer(`\\`, `\`, `\t`, "\t")
)

// Grant returns the [PropGrant] of a role, or its [PropColumnGrant] where there is a
// column. Role "" is PUBLIC.
func Grant(column, role, privilege, value string) Property {
	p := Property{Kind: PropGrant, Name: escapeGrant.Replace(role) + "\t" + privilege, Value: value}
	if column != "" {
		p.Kind, p.Name = PropColumnGrant, escapeGrant.Replace(column)+"\t"+p.Name
	}
	return p
}

// SplitGrant takes the name of a [PropGrant] or a [PropColumnGrant] apart; the column
// of a privilege on a table is empty.
func SplitGrant(p Property) (column, role, privilege string) {
	rest := p.Name
	if p.Kind == PropColumnGrant {
		column, rest, _ = strings.Cut(rest, "\t")
	}
	role, privilege, _ = strings.Cut(rest, "\t")
	return unescapeGrant.Replace(column), unescapeGrant.Replace(role), privilege
}

// forNew returns what a new partition has to be given because it does not
// inherit it, in the order of repair.
func forNew(parent []Property) []Property {
	var out []Property
	sorted := slices.Compact(sortedProperties(parent))
	for _, rule := range propertyRules {
		for _, p := range sorted {
			if p.Kind == rule.kind && !rule.inherited && !isDefault(p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// isDefault tells whether every new table has the property anyway.
func isDefault(p Property) bool {
	return p.Kind == PropReplicaIdentity && p.Value == "default" || p.Kind == PropRowSecurity && p.Value == "off"
}

func sortedProperties(ps []Property) []Property {
	return slices.SortedFunc(slices.Values(ps), func(a, b Property) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Name, b.Name), strings.Compare(a.Value, b.Value))
	})
}

// byKey returns the values of each property: an index can be there twice, once
// for a constraint and once by itself.
func byKey(ps []Property) map[propertyKey][]string {
	m := make(map[propertyKey][]string, len(ps))
	for _, p := range ps {
		key := propertyKey{p.Kind, p.Name}
		m[key] = append(m[key], p.Value)
	}
	return m
}

// waitsForIndex tells whether the change makes an index the replica identity
// that the partition has not got yet.
func waitsForIndex(c Change, child []Property) bool {
	index, ok := strings.CutPrefix(c.Want.Value, "index ")
	return c.Want.Kind == PropReplicaIdentity && ok &&
		!slices.ContainsFunc(child, func(p Property) bool { return p.Kind == PropIndex && p.Name == index })
}

// splitChanges parts what needs a build without locks from what is short.
func splitChanges(changes []Change) (short, builds []Change) {
	for _, c := range changes {
		i := slices.IndexFunc(propertyRules, func(r propertyRule) bool { return r.kind == c.Want.Kind })
		if propertyRules[i].concurrent {
			builds = append(builds, c)
		} else {
			short = append(short, c)
		}
	}
	return short, builds
}
