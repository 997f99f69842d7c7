package convert

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
	"github.com/partitiond/partitiond/sql"
)

// FirstName is what a table is called when it has become the first partition of the
// set that has its name.
func FirstName(parent partition.Name) partition.Name {
	return suffixed(partition.Name{Schema: parent.Schema, Local: partition.BaseName(parent)}, "_first")
}

// extent is what a table's rows span, in seconds since 1970 of the set's terms.
type extent struct {
	Least, Greatest *float64
	Nulls           bool
	// Check, From and To are those of the CHECK that an earlier try has left.
	Check    *bool
	From, To *float64
}

// Whole plans how an ordinary table becomes the first partition of a declarative set of
// its name, with all its rows. It takes everything from the window's past, or the
// oldest row's period, to before until; a zero until is the end of the last period that
// is made ahead, or of the youngest row's. The time is in the set's terms.
func Whole(ctx context.Context, conn *pgx.Conn, set partition.Set, until time.Time, o Options) (Plan, error) {
	set.Retention = partition.Retention{}
	p := Plan{Set: set}
	snaps, err := postgres.Observe(ctx, conn, []partition.Set{set})
	if err != nil {
		return p, fmt.Errorf("observe: %w", err)
	}
	p.Snapshot = snaps[0]
	p.Snapshot.Partitions = nil
	parent := p.Snapshot.Parent
	switch {
	case parent == nil:
		p.stop(string(partition.ProblemNoParent), set.Parent.String(), "")
		return p, nil
	case parent.Declarative:
		p.Done = "it is partitioned declaratively already"
		return p, nil
	case parent.Distributed:
		p.stopDistributed()
		return p, nil
	case parent.NotTable != "" || parent.Key == "":
		p.stop(string(partition.ProblemUnsupported), fmt.Sprintf("%s with the key %s", set.Parent, set.Key), "expected a table, and a column of type date, timestamp or timestamptz")
		return p, nil
	case !parent.MayAct || !parent.OwnerMayCreate:
		p.stop(string(partition.ProblemPrivilege), fmt.Sprintf("role %q, owner %q", p.Snapshot.Server.Role, parent.Owner), "be a member of the owner, who may create tables in the schema")
	}
	first, rest := FirstName(set.Parent), DefaultName(set.Parent)
	f, err := look(ctx, conn, set, parent.OID, o, true, first, interimName(set.Parent), rest)
	if err != nil {
		return p, err
	}
	leftovers := f.takeBuilt()
	p.Stops = append(p.Stops, f.stops...)
	for _, n := range f.taken {
		p.stop("name taken", n.String(), "rename or drop it: the name is needed")
	}
	var e extent
	err = reading(ctx, conn, func(tx pgx.Tx) error {
		query := fmt.Sprintf(sql.Text("convert/extent.sql"), postgres.QuoteIdent(set.Key), postgres.QuoteName(set.Parent))
		rows, err := tx.Query(ctx, query, parent.OID, partition.BoundsConstraint, string(parent.Key))
		if err != nil {
			return fmt.Errorf("look at the rows: %w", err)
		}
		if e, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[extent]); err != nil {
			return fmt.Errorf("look at the rows: %w", err)
		}
		return nil
	})
	if err != nil {
		return p, err
	}
	if e.Nulls {
		p.stop("rows without a key", fmt.Sprintf("%s of %s is NULL, or infinite", set.Key, set.Parent), "give those rows a date")
	}
	bounds, state := p.extent(e, until)
	p.prepareWhole(f, leftovers, bounds, state)
	p.stopIdentity(f)
	w := swapper{plan: &p, facts: f, parent: set.Parent, interim: interimName(set.Parent), kept: first, aside: "_first", whole: true,
		children: []attached{{name: first, oid: parent.OID, bounds: bounds}}}
	w.forward(rest)
	p.Swap.Bound, p.Swap.Event = o.Bound, o.event(&p, postgres.Partitioned, "the table became the first partition of a set")
	p.Swap.Event.Partition, p.Swap.Event.OID, p.Swap.Event.Bounds = first, parent.OID, bounds
	p.notes(f)
	p.Notes = append(p.Notes, fmt.Sprintf("%s becomes %s, with the rows %s", set.Parent, first, bounds))
	if state == partition.ConstraintAbsent {
		p.Notes = append(p.Notes, fmt.Sprintf("until the swap is made, rows from %s on and before %s are refused", bounds.To, bounds.From))
	}
	return p, nil
}

// extent returns the bounds of the first partition, and how far its CHECK has got.
func (p *Plan) extent(e extent, until time.Time) (partition.Bounds, partition.ConstraintState) {
	at := func(seconds float64) time.Time { return time.UnixMicro(int64(seconds * 1e6)).UTC() }
	if e.Check != nil && e.From != nil && e.To != nil {
		state := partition.ConstraintNotValid
		if *e.Check {
			state = partition.ConstraintValidated
		}
		return partition.Bounds{From: partition.At(at(*e.From)), To: partition.At(at(*e.To))}, state
	}
	key := p.Snapshot.Parent.Key
	now := p.Set.Wall(p.Snapshot.Server.Now, key)
	from, to := p.Set.Window.Past.AddTo(now, -1), now
	if e.Least != nil && at(*e.Least).Before(from) {
		from = at(*e.Least)
	}
	last := p.Set.PeriodOf(to, key)
	for range p.Set.Ahead {
		last = p.Set.PeriodOf(last.To, key)
	}
	if e.Greatest != nil && !at(*e.Greatest).Before(last.To) {
		last = p.Set.PeriodOf(at(*e.Greatest), key)
	}
	end := last.To
	if !until.IsZero() {
		end = until
	}
	return partition.Bounds{From: partition.At(p.Set.PeriodOf(from, key).From), To: partition.At(end)}, partition.ConstraintAbsent
}

// takeBuilt takes out what an earlier task built for a key that is widened: the new
// parent is to have it once, as the key. Those that were not finished are the result.
func (f *facts) takeBuilt() map[string][]string {
	leftovers := map[string][]string{}
	for _, n := range slices.Clone(f.indexes) {
		if !n.Narrow {
			continue
		}
		f.indexes = slices.DeleteFunc(f.indexes, func(i index) bool {
			built := i.Contype == "" && i.Definition == n.wide()
			if built && !i.Valid {
				leftovers[i.Definition] = append(leftovers[i.Definition], i.Name)
				f.stops = slices.DeleteFunc(f.stops, func(s Stop) bool {
					return s.Kind == "invalid index" && strings.HasPrefix(s.What, i.Name+" of ")
				})
			}
			return built
		})
	}
	return leftovers
}

func (p *Plan) prepareWhole(f facts, leftovers map[string][]string, bounds partition.Bounds, state partition.ConstraintState) {
	table, parent := p.Set.Parent, p.Snapshot.Parent
	act := func(a partition.Action) {
		a.Table, a.OID, a.Bounds = table, parent.OID, bounds
		p.Tasks = append(p.Tasks, Task{Title: a.String(), Action: &a, Steps: postgres.Render(p.Set, p.Snapshot, a)})
	}
	if state != partition.ConstraintValidated {
		act(partition.Action{Kind: partition.Constrain, Constraint: partition.BoundsConstraint, Exists: state, Reason: "a CHECK proves where its rows belong"})
	}
	notNull := partition.Property{Kind: partition.PropNotNull, Name: p.Set.Key}
	if !slices.Contains(parent.Properties, notNull) {
		act(partition.Action{Kind: partition.Align, Reason: "its key becomes NOT NULL", Changes: []partition.Change{{Want: notNull, Missing: true}}})
	}
	for _, i := range f.indexes {
		want := partition.Property{Kind: partition.PropIndex, Name: i.wide()}
		if i.Narrow && !slices.ContainsFunc(parent.Properties, func(q partition.Property) bool { return q.Kind == want.Kind && q.Name == want.Name }) {
			act(partition.Action{Kind: partition.Index, Reason: "for the key " + i.Name + " with the partition key in it", Changes: []partition.Change{{Want: want, Missing: true}}, Invalid: leftovers[want.Name]})
		}
	}
}
