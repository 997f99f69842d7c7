package convert

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// Forward plans how a set by inheritance becomes a declarative one. The tasks begin
// with what a pass would do to its partitions, so that they have the CHECKs, the
// indexes and the NOT NULL of their parent; nothing is removed.
func Forward(ctx context.Context, conn *pgx.Conn, set partition.Set, o Options) (Plan, error) {
	set.Retention = partition.Retention{}
	p := Plan{Set: set}
	snaps, err := postgres.Observe(ctx, conn, []partition.Set{set})
	if err != nil {
		return p, fmt.Errorf("observe: %w", err)
	}
	p.Snapshot = snaps[0]
	parent := p.Snapshot.Parent
	if parent != nil && parent.Declarative {
		p.Done = "it is partitioned declaratively already"
		return p, nil
	}
	pass := partition.Make(set, p.Snapshot)
	for _, pr := range pass.Problems {
		if pr.Kind != partition.ProblemClock {
			p.stop(string(pr.Kind), fmt.Sprintf("%s: %s", pr.Table, pr.Text), pr.Hint)
		}
	}
	if parent == nil || parent.Key == "" || parent.NotTable != "" || parent.Distributed {
		return p, nil
	}
	kept, rest := KeptName(set.Parent), DefaultName(set.Parent)
	f, err := look(ctx, conn, set, parent.OID, o, false, kept, interimName(set.Parent), rest)
	if err != nil {
		return p, err
	}
	p.Stops = append(p.Stops, f.stops...)
	for _, n := range f.taken {
		p.stop("name taken", n.String(), "rename or drop it: a conversion needs the name")
	}
	p.stopIdentity(f)
	p.prepare(pass, f)
	w := swapper{plan: &p, facts: f, parent: set.Parent, interim: interimName(set.Parent), kept: kept, aside: "_inherited"}
	for _, c := range p.Snapshot.Partitions {
		w.children = append(w.children, attached{name: c.Name, oid: c.OID, bounds: c.Bounds})
	}
	w.forward(rest)
	p.Swap.Bound, p.Swap.Event = o.Bound, o.event(&p, postgres.Converted, fmt.Sprintf("from inheritance to declarative, with %d partitions", len(w.children)))
	p.notes(f)
	return p, nil
}

// prepare lists what has to be done before the swap and is not yet.
func (p *Plan) prepare(pass partition.Plan, f facts) {
	act := func(a partition.Action) {
		p.Tasks = append(p.Tasks, Task{Title: a.String(), Action: &a, Steps: postgres.Render(p.Set, p.Snapshot, a)})
	}
	for _, a := range pass.Actions {
		switch a.Kind {
		case partition.Constrain, partition.Align, partition.Index, partition.Sweep, partition.Create, partition.RouteRows:
			act(a)
		}
	}
	notNull := partition.Property{Kind: partition.PropNotNull, Name: p.Set.Key}
	for _, c := range p.Snapshot.Partitions {
		if slices.Contains(c.Properties, notNull) || alignsNotNull(pass, c.Name, notNull) {
			continue
		}
		act(partition.Action{Kind: partition.Align, Table: c.Name, OID: c.OID, Bounds: c.Bounds,
			Reason: "its key becomes NOT NULL, by which ATTACH PARTITION knows that it need not look at the rows", Changes: []partition.Change{{Want: notNull, Missing: true}}})
	}
	for _, i := range f.indexes {
		if !i.Narrow {
			continue
		}
		want := partition.Property{Kind: partition.PropIndex, Name: i.wide()}
		for _, c := range p.Snapshot.Partitions {
			if slices.ContainsFunc(c.Properties, func(q partition.Property) bool { return q.Kind == want.Kind && q.Name == want.Name }) {
				continue
			}
			act(partition.Action{Kind: partition.Index, Table: c.Name, OID: c.OID, Bounds: c.Bounds, Reason: "for the key " + i.Name + " with the partition key in it",
				Changes: []partition.Change{{Want: want, Missing: true}}, Invalid: c.InvalidIndexes[want.Name]})
		}
	}
}

// stopIdentity stops where what logical replication sends would be by a key that changes.
func (p *Plan) stopIdentity(f facts) {
	for _, q := range p.Snapshot.Parent.Properties {
		for _, i := range f.indexes {
			if q.Kind == partition.PropReplicaIdentity && q.Value == "index "+i.Definition && i.Narrow {
				p.stop("replica identity", "it is by "+i.Name+", which lacks the partition key", "choose another one: ALTER TABLE ... REPLICA IDENTITY")
			}
		}
	}
}

func alignsNotNull(pass partition.Plan, table partition.Name, notNull partition.Property) bool {
	return slices.ContainsFunc(pass.Actions, func(a partition.Action) bool {
		return a.Kind == partition.Align && a.Table == table && slices.ContainsFunc(a.Changes, func(c partition.Change) bool { return c.Want == notNull })
	})
}

// notes says what changes for those who use the set, and what is left behind.
func (p *Plan) notes(f facts) {
	for _, v := range f.views {
		p.Notes = append(p.Notes, "the view "+v.Name+" is made anew with its own text, and so reads the new table")
	}
	for _, m := range f.mentions {
		p.Notes = append(p.Notes, "the function "+m+" names the table in its text, and goes on with the new one")
	}
	for _, i := range f.indexes {
		if i.Narrow {
			p.Notes = append(p.Notes, fmt.Sprintf("the key %s becomes %s: it no longer keeps two rows of one partition apart that differ in %s", i.Name, i.wide(), p.Set.Key))
		}
	}
	for _, q := range p.Snapshot.Parent.Properties {
		if q.Kind == partition.PropOption {
			p.Notes = append(p.Notes, fmt.Sprintf("the storage option %s stays with the present partitions: a partitioned table has none to give to new ones", q.Name))
		}
	}
}

// widened adds the key column, as the server quotes it, to the definition of a unique
// index.
func widened(definition, key string) string {
	open, end := strings.Index(definition, "("), closing(definition)
	if open < 0 || end < 0 {
		return definition
	}
	return definition[:end] + ", " + key + definition[end:]
}

// closing finds the parenthesis that ends an index's columns. Such indexes have bare
// columns only, whose names may have parentheses within double quotes.
func closing(definition string) int {
	depth, quoted := 0, false
	for i, r := range definition {
		switch {
		case r == '"':
			quoted = !quoted
		case quoted:
		case r == '(':
			depth++
		case r == ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
