package postgres

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// assemble makes the snapshots of what was read.
func (o *observation) assemble() {
	o.settleProperties()
	for i := range o.sets {
		snap := &o.snaps[i]
		snap.Server = o.server
		snap.HoldsUnseen = o.holdsUnseen
		p := o.parents[i]
		if p == nil {
			continue
		}
		seen := p.seen
		seen.Properties = p.handedOn()
		if seen.Declarative {
			seen.Incomplete, seen.Unmarked = o.incomplete(p.table, o.family[i])
			seen.Alike = o.alike(p.table, seen.Incomplete)
		}
		for _, check := range p.checks {
			if check.inherits {
				seen.Properties = append(seen.Properties, partition.Property{Kind: partition.PropCheck, Name: check.name, Value: check.definition})
			}
		}
		o.classify(&seen.Routing, i, p)
		snap.Parent = &seen
		if o.holdTable != nil && !o.holdTable.mayLock && seen.MayAct && snap.HoldsUnseen == "" {
			// Who acts has to lock them; who only looks need not.
			snap.Holds, snap.HoldsUnseen = nil, "the role may read but not lock it"
		}
		if seen.Key == "" {
			continue
		}
		hasRows := p.mayHaveRows()
		snap.Partitions = make([]partition.Partition, 0, len(o.family[i]))
		for _, t := range o.family[i] {
			c := o.partition(i, t, p)
			c.Alike = o.alike(t, seen.Incomplete)
			c.SameShape = t.layout.sameShape(p.layout)
			place(snap, c, t, seen.Declarative)
			hasRows = hasRows || t.mayHaveRows()
		}
		// ANALYZE of a set without rows leaves no statistics, only the mark that
		// the parent was looked at: reltuples, which is -1 before.
		seen.Analyzed = seen.Analyzed || !hasRows && p.rows >= 0
	}
}

// settleProperties makes the properties of all tables. Those that have all the
// same share them.
func (o *observation) settleProperties() {
	known := map[string][]partition.Property{}
	var key []byte
	for _, t := range o.order {
		slices.SortFunc(t.checks, func(a, b *rawCheck) int { return cmp.Compare(a.name, b.name) })
		key = binary.NativeEndian.AppendUint32(append(key[:0], t.identity, t.kind), t.layout.number)
		for _, numbers := range [][]uint32{t.facts, t.indexes} {
			key = binary.NativeEndian.AppendUint32(key, uint32(len(numbers)))
			for _, n := range numbers {
				key = binary.NativeEndian.AppendUint32(key, n)
			}
		}
		properties, ok := known[string(key)]
		if !ok {
			properties = slices.Clip(o.propertiesOf(t))
			known[string(key)] = properties
		}
		t.properties = properties
	}
}

// propertiesOf returns what a table has, in order.
func (o *observation) propertiesOf(t *table) []partition.Property {
	var out []partition.Property
	for _, n := range t.facts {
		out = append(out, o.facts[n])
	}
	for _, c := range t.layout.live {
		if c.notNull {
			out = append(out, partition.Property{Kind: partition.PropNotNull, Name: c.name})
		}
		if c.storage != "" {
			out = append(out, partition.Property{Kind: partition.PropColumnStorage, Name: c.name, Value: c.storage})
		}
	}
	identity := map[byte]string{'d': "default", 'n': "nothing", 'f': "full"}[t.identity]
	for _, n := range t.indexes {
		x := o.indexes[n]
		definition := o.indexKinds[x.kind(t.layout)].definition
		if x.identity && t.identity == 'i' {
			identity = "index " + definition
		}
		if x.valid || t.kind == 'p' { // A partitioned one is invalid until all partitions have it.
			out = append(out, partition.Property{Kind: partition.PropIndex, Name: definition, Value: x.constraint})
		}
	}
	if identity != "" {
		out = append(out, partition.Property{Kind: partition.PropReplicaIdentity, Value: identity})
	}
	// Of indexes that are alike, the first stands for all: a primary key's, or
	// another constraint's if there is one.
	rank := func(p partition.Property) int {
		switch {
		case strings.HasPrefix(p.Value, constraintKinds["p"]):
			return 0
		case p.Value != "":
			return 1
		}
		return 2
	}
	slices.SortFunc(out, func(a, b partition.Property) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Value, b.Value))
	})
	return slices.CompactFunc(out, func(a, b partition.Property) bool { return a.Kind == b.Kind && a.Name == b.Name })
}

// partition makes what the planner sees of a partition of the i-th set.
func (o *observation) partition(i int, t *table, p *parent) partition.Partition {
	c := partition.Partition{OID: t.oid, Name: t.name, Properties: t.properties, OwnTriggers: t.triggers,
		Foreign: t.kind == 'f', Partitioned: t.kind == 'p', Rows: t.rows, Bytes: t.pages * o.blockSize}
	c.InvalidIndexes = o.invalidIndexes(t)
	for _, d := range t.dependents {
		if d.parent != p.oid {
			c.Dependents = append(c.Dependents, d.text)
		}
	}
	o.bound(&c, o.sets[i].Key, t, p)
	return c
}

// invalidIndexes returns the names of a table's invalid indexes by their definition.
func (o *observation) invalidIndexes(t *table) (names map[string][]string) {
	for _, n := range t.indexes {
		if x := o.indexes[n]; !x.valid {
			if names == nil {
				names = map[string][]string{}
			}
			definition := o.indexKinds[x.kind(t.layout)].definition
			names[definition] = append(names[definition], x.name)
		}
	}
	return names
}

// incomplete returns the names of a partitioned table's indexes that are not valid yet,
// and of those that cannot become so: all partitions that can have one have theirs.
func (o *observation) incomplete(t *table, family []*table) (names map[partition.Property][]string, unmarked []string) {
	able := 0
	for _, c := range family {
		if !c.detached && c.kind != 'f' {
			able++
		}
	}
	for _, n := range t.indexes {
		x := o.indexes[n]
		switch {
		case x.valid:
		case x.parts == strconv.Itoa(able):
			unmarked = append(unmarked, x.name)
		default:
			if names == nil {
				names = map[partition.Property][]string{}
			}
			p := partition.Property{Kind: partition.PropIndex, Name: o.indexKinds[x.kind(t.layout)].definition, Value: x.constraint}
			names[p] = append(names[p], x.name)
		}
	}
	return names, unmarked
}

// alike returns what a table's indexes are that have one of the definitions: a
// partitioned table's, or a partition's valid ones.
func (o *observation) alike(t *table, incomplete map[partition.Property][]string) (values map[string][]string) {
	if len(incomplete) == 0 {
		return nil
	}
	values = map[string][]string{}
	for p := range incomplete {
		values[p.Name] = nil
	}
	for _, n := range t.indexes {
		x := o.indexes[n]
		definition := o.indexKinds[x.kind(t.layout)].definition
		if _, ok := values[definition]; ok && (x.valid || t.kind == 'p') {
			values[definition] = append(values[definition], x.constraint)
		}
	}
	return values
}

// bound settles what a partition's CHECKs say of its bounds. One that it has
// from the parent holds for all partitions and so tells none from another: it
// only narrows what others say.
func (o *observation) bound(c *partition.Partition, key string, t *table, p *parent) {
	proved, claimed := partition.Everywhere, partition.Everywhere
	own, ownProof := false, false
	for _, raw := range t.checks {
		read := o.reads[checkOf{raw, key, p.seen.Key}]
		b := read.is
		readable := raw.enforced && !b.Equal(partition.Everywhere)
		fromParent := raw.inherited && p.hands(raw.name)
		if !readable || fromParent {
			c.Properties = append(c.Properties, partition.Property{Kind: partition.PropCheck, Name: raw.name, Value: raw.definition})
		}
		if !readable {
			continue
		}
		c.Checks = append(c.Checks, partition.BoundsCheck{
			Name: raw.name, Definition: raw.definition, Validated: raw.validated, Plain: b.plain, Bounds: b.Bounds,
			Local: raw.local && !raw.inherited && b.whole && !read.saysMore(t, key),
		})
		claimed = claimed.Intersect(b.Bounds)
		if raw.validated {
			proved = proved.Intersect(b.Bounds)
		}
		own = own || !fromParent
		ownProof = ownProof || !fromParent && raw.validated
	}
	if d, ok := readDeclared(t.bound, p.seen.Key); ok {
		if b, ok := d.bounds(o.values); ok {
			c.Bounds, c.Known, c.Declared = b, partition.BoundsFromCheck, t.bound
			return
		}
	}
	switch {
	case ownProof && (proved.Finite() || proved.Equal(claimed)):
		c.Bounds, c.Known = proved, partition.BoundsFromCheck
	case own:
		c.Bounds, c.Known = claimed, partition.BoundsClaimed
	default:
		c.Bounds, c.Known = partition.Everywhere, partition.BoundsUnknown
	}
}

// handedOn returns what the parent has for its partitions to have as well.
func (p *parent) handedOn() []partition.Property {
	if len(p.ownNotNull) == 0 {
		return slices.Clip(p.properties)
	}
	return slices.DeleteFunc(slices.Clone(p.properties), func(q partition.Property) bool {
		i := p.layout.column(q.Name)
		return q.Kind == partition.PropNotNull && i >= 0 && slices.Contains(p.ownNotNull, uint32(p.layout.columns[i].number))
	})
}

// hands tells whether the parent's children inherit a CHECK of that name.
func (p *parent) hands(check string) bool {
	return slices.ContainsFunc(p.checks, func(c *rawCheck) bool { return c.inherits && c.name == check })
}

// saysMore tells whether a table would lose something else with the CHECK.
func (r checkRange) saysMore(t *table, key string) bool {
	if r.notNull {
		if i := t.layout.column(key); i < 0 || !t.layout.columns[i].notNull {
			return true
		}
	}
	return r.more
}

// classify tells what the set's functions are.
func (o *observation) classify(routing *partition.Routing, set int, p *parent) {
	if p.seen.Declarative {
		o.classifyNotify(routing, set)
		return
	}
	missing := routine{state: partition.FunctionMissing}
	chosen := [3]routine{missing, missing, missing}
	for k := range chosen {
		for _, f := range o.routines[int64(3*set+k)] {
			if (k == 0) != f.isTrigger {
				continue // Another function of that name, with arguments.
			}
			// Of helpers with one name, the one counts that belongs to the trigger's.
			if chosen[k].state == partition.FunctionMissing || f.state == partition.FunctionOurs && f.fingerprint == chosen[0].fingerprint {
				chosen[k] = f
			}
		}
	}
	routing.Function, routing.Fingerprint = together(chosen)
	routing.Direct = chosen[0].direct
	// The one that makes partitions acts for its owner, who has to be the parent's,
	// and must look for nothing where whoever calls it could put something else.
	create := chosen[1]
	if routing.Function == partition.FunctionOurs && !(create.definer && create.searchPath && create.owner == p.owner) {
		routing.Function, routing.Fingerprint = partition.FunctionAltered, ""
	}
}
