package postgres

import (
	"cmp"
	"slices"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// assemble makes the snapshots of what was read.
func (o *observation) assemble() {
	for _, t := range o.order {
		o.finish(t)
	}
	for i := range o.sets {
		snap := &o.snaps[i]
		snap.Server = o.server
		p := o.parents[i]
		if p == nil {
			continue
		}
		seen := p.seen
		seen.Properties = p.properties
		o.classify(&seen.Routing, i, p)
		snap.Parent = &seen
		if seen.Key == "" {
			continue
		}
		columns := p.live()
		hasRows := p.hasPages
		for j, t := range o.family[i] {
			c := o.partition(i, j, t, p)
			c.SameShape = t.sameShape(columns)
			snap.Partitions = append(snap.Partitions, c)
			hasRows = hasRows || t.pages > 0 || t.rows > 0
		}
		// ANALYZE of a set without rows leaves no statistics, only the mark that
		// the parent was looked at: reltuples, which is -1 before.
		seen.Analyzed = seen.Analyzed || !hasRows && p.rows >= 0
	}
}

// finish adds to a table's properties what its indexes and the like make, and
// puts them in order.
func (o *observation) finish(t *table) {
	identity := map[byte]string{'d': "default", 'n': "nothing", 'f': "full"}[t.identity]
	for _, x := range t.indexes {
		definition := o.indexKinds[x.kind].definition
		if x.identity && t.identity == 'i' {
			identity = "index " + definition
		}
		if x.valid && definition != "" {
			t.properties = append(t.properties, partition.Property{Kind: partition.PropIndex, Name: definition, Value: x.constraint})
		}
	}
	if identity != "" {
		t.properties = append(t.properties, partition.Property{Kind: partition.PropReplicaIdentity, Value: identity})
	}
	slices.SortFunc(t.properties, func(a, b partition.Property) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
	})
}

// partition makes what the planner sees of the j-th partition of the i-th set.
func (o *observation) partition(i, j int, t *table, p *parent) partition.Partition {
	c := partition.Partition{OID: t.oid, Name: t.name, Properties: t.properties, OwnTriggers: t.triggers,
		Foreign: t.kind == 'f', Rows: t.rows, Bytes: t.pages * o.blockSize}
	for _, x := range t.indexes {
		if definition := o.indexKinds[x.kind].definition; !x.valid && definition != "" {
			if c.InvalidIndexes == nil {
				c.InvalidIndexes = map[string][]string{}
			}
			c.InvalidIndexes[definition] = append(c.InvalidIndexes[definition], x.name)
		}
	}
	for _, d := range t.dependents {
		if d.parent != p.oid {
			c.Dependents = append(c.Dependents, d.text)
		}
	}
	proved, claimed := partition.Everywhere, partition.Everywhere
	for k, read := range o.reads[i][j] {
		b, readable, plain := read.bounds(o.values)
		if !readable {
			continue
		}
		raw := t.checks[k]
		c.Checks = append(c.Checks, partition.BoundsCheck{
			Name: raw.name, Definition: raw.definition, Validated: raw.validated, Plain: plain, Bounds: b,
			// What says something else besides must not go.
			Local: raw.local && !read.more && !read.notNull,
		})
		claimed = claimed.Intersect(b)
		if raw.validated {
			proved = proved.Intersect(b)
		}
	}
	switch {
	case !proved.Equal(partition.Everywhere):
		c.Bounds, c.Known = proved, partition.BoundsFromCheck
	case !claimed.Equal(partition.Everywhere):
		c.Bounds, c.Known = claimed, partition.BoundsClaimed
	default:
		c.Bounds, c.Known = partition.Everywhere, partition.BoundsUnknown
	}
	return c
}

// classify tells what the set's functions are.
func (o *observation) classify(routing *partition.Routing, set int, p *parent) {
	var sources [3]string
	var chosen [3]routine
	for k := range sources {
		for _, f := range o.routines[int64(3*set+k)] {
			if (k == 0) != f.isTrigger {
				continue // Another function of that name, with arguments.
			}
			if state, _ := classifyFunction(f.source); sources[k] == "" || state == partition.FunctionOurs {
				sources[k], chosen[k] = f.source, f
			}
		}
	}
	routing.Function, routing.Fingerprint = classifyRouting(sources)
	// The one that makes partitions acts for its owner, who has to be the parent's.
	if routing.Function == partition.FunctionOurs && (!chosen[1].definer || chosen[1].owner != p.owner) {
		routing.Function, routing.Fingerprint = partition.FunctionAltered, ""
	}
}
