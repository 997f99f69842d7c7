package convert

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// maxDefaultRows is how many rows of the default partition a rollback moves to the old
// parent, which it does under its locks.
const maxDefaultRows = 10_000

// Back plans how a set that [Forward] converted goes back, with all that has come since:
// its partitions inherit from the old parent again. Rows of the default partition go to
// the old parent itself, and so do those that come until the routing functions have
// been renewed and the trigger is enabled, which [Run] does next, or else the next pass.
func Back(ctx context.Context, conn *pgx.Conn, set partition.Set, o Options) (Plan, error) {
	set.Retention = partition.Retention{}
	p := Plan{Set: set}
	kept := KeptName(set.Parent)
	old := set
	old.Parent = kept
	snaps, err := postgres.Observe(ctx, conn, []partition.Set{set, old})
	if err != nil {
		return p, fmt.Errorf("observe: %w", err)
	}
	p.Snapshot = snaps[0]
	parent, before := p.Snapshot.Parent, snaps[1].Parent
	switch {
	case parent == nil:
		p.stop(string(partition.ProblemNoParent), set.Parent.String(), "")
		return p, nil
	case !parent.Declarative:
		p.Done = "it is partitioned by inheritance already"
		return p, nil
	case parent.Distributed:
		p.stopDistributed()
		return p, nil
	case before == nil || before.Declarative || before.NotTable != "":
		p.stop("no old parent", kept.String(), "only a set that was converted can go back, as long as its old parent is kept")
		return p, nil
	case !parent.MayAct || !before.MayAct || parent.Owner != before.Owner:
		p.stop(string(partition.ProblemPrivilege), fmt.Sprintf("role %q, owners %q and %q", p.Snapshot.Server.Role, parent.Owner, before.Owner), "give both parents one owner, and be a member of it")
		return p, nil
	case parent.Key == "":
		p.stop(string(partition.ProblemUnsupported), "column "+set.Key, "set key to the column that decides the partition")
		return p, nil
	}
	f, err := look(ctx, conn, set, parent.OID, o, false)
	if err != nil {
		return p, err
	}
	of, err := look(ctx, conn, old, before.OID, o, false)
	if err != nil {
		return p, err
	}
	var children []child
	var late int64
	err = reading(ctx, conn, func(tx pgx.Tx) error {
		if children, err = collect(ctx, tx, "partitions", pgx.RowToStructByPos[child], parent.OID, postgres.QuoteIdent(set.Key), string(parent.Key)); err != nil {
			return err
		}
		if i := slices.IndexFunc(children, func(c child) bool { return c.Default }); i >= 0 {
			// No more are counted than decide.
			query := fmt.Sprintf("SELECT count(*) FROM (SELECT FROM %s LIMIT %d) AS t", postgres.QuoteName(children[i].name()), maxDefaultRows+1)
			if err := tx.QueryRow(ctx, query).Scan(&late); err != nil {
				return fmt.Errorf("count the rows of %s: %w", children[i].name(), err)
			}
		}
		return nil
	})
	if err != nil {
		return p, err
	}
	if late > maxDefaultRows {
		p.stop("default partition", fmt.Sprintf("more than %d rows are in it", maxDefaultRows), "let a pass move them to partitions first")
	}
	p.stopDifferent(f, of, before, children)
	b := back{swapper: swapper{plan: &p, facts: f, parent: set.Parent, interim: interimName(set.Parent), kept: kept}, old: of, before: before, all: children}
	b.prepare()
	for _, i := range of.indexes {
		if i.Narrow && i.Contype != "" {
			if err := b.prepareKey(ctx, conn, i); err != nil {
				return p, err
			}
		}
	}
	b.write()
	p.Swap.Bound, p.Swap.Event = o.Bound, o.event(&p, postgres.Converted, fmt.Sprintf("from declarative back to inheritance, with %d partitions", len(p.Snapshot.Partitions)))
	p.reroute = true
	p.notes(facts{views: f.views, mentions: f.mentions})
	p.Notes = append(p.Notes, fmt.Sprintf("the columns of each partition are its own from now on: a column that is dropped from %s has to be dropped from them as well", set.Parent))
	return p, nil
}

// stopDifferent compares the two parents in what partitions cannot have otherwise.
func (p *Plan) stopDifferent(f, of facts, before *partition.Parent, children []child) {
	for _, s := range f.stops {
		switch s.Kind {
		// What the old parent could not have stands in nobody's way back.
		case "unique key without the partition key", "exclusion constraint", "CHECK that is not inherited", "publication by the root", "CHECK that is not validated", "foreign key":
		default:
			p.Stops = append(p.Stops, s)
		}
	}
	now := p.Snapshot.Parent
	text := func(c partition.Column) string { return c.Name + " " + c.Type }
	for _, c := range now.Columns {
		if !slices.ContainsFunc(before.Columns, func(o partition.Column) bool { return text(o) == text(c) }) {
			p.stop("column that differs", text(c)+" is new", "give "+KeptName(p.Set.Parent).String()+" the same columns")
		}
	}
	for _, c := range before.Columns {
		if !slices.ContainsFunc(now.Columns, func(o partition.Column) bool { return text(o) == text(c) }) {
			p.stop("column that differs", text(c)+" is gone", "give "+KeptName(p.Set.Parent).String()+" the same columns")
		}
	}
	for _, t := range f.triggers {
		if !slices.ContainsFunc(of.triggers, func(o trigger) bool { return o.Name == t.Name }) {
			p.stop("trigger", t.Name+" has been made since", "drop it; a parent by inheritance does not pass its triggers on")
		}
	}
	for _, k := range f.foreignKeys {
		if !slices.ContainsFunc(of.foreignKeys, func(o foreignKey) bool { return o.Definition == k.Definition }) {
			p.stop("foreign key", k.Name+" has been made since", "drop it, or make it on "+KeptName(p.Set.Parent).String()+" as well")
		}
	}
	for _, c := range children {
		if c.Relkind == "p" {
			p.stop("partition with partitions", c.name().String(), "it is partitioned itself")
		}
	}
}

// back writes the way from a declarative parent to the one that was kept.
type back struct {
	swapper
	old    facts
	before *partition.Parent
	all    []child
}

// prepare gives partitions that came since the CHECK by which PostgreSQL leaves them
// out of queries, since their bounds go with the declarative parent.
func (b *back) prepare() {
	role := b.before.Owner
	if role == b.plan.Snapshot.Server.Role {
		role = ""
	}
	for _, c := range b.all {
		if c.Default || c.Expression == "" || c.Checked != nil && *c.Checked {
			continue
		}
		table, name := postgres.QuoteName(c.name()), postgres.QuoteIdent(partition.BoundsConstraint)
		t := Task{Title: fmt.Sprintf("constrain %s: its bounds go with the declarative parent", c.name())}
		if c.Checked == nil {
			t.Steps = append(t.Steps, postgres.Step{Role: role, Statements: []postgres.Statement{{Lock: exclusive + c.name().String(),
				SQL: fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s) NOT VALID", table, name, c.Expression)}}})
		}
		t.Steps = append(t.Steps, postgres.Step{Alone: true, Waits: true, Role: role, Statements: []postgres.Statement{{
			SQL: fmt.Sprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s", table, name), Lock: "SHARE UPDATE EXCLUSIVE on " + c.name().String()}}})
		b.plan.Tasks = append(b.plan.Tasks, t)
	}
}

// prepareKey has the unique index built on each partition by which the key of the old
// parent, without the partition key, takes the place of the one that was widened.
func (b *back) prepareKey(ctx context.Context, conn *pgx.Conn, i index) error {
	var oids []uint32
	for _, c := range b.all {
		if !c.Default {
			oids = append(oids, c.OID)
		}
	}
	var there []built
	err := reading(ctx, conn, func(tx pgx.Tx) (err error) {
		there, err = collect(ctx, tx, "built", pgx.RowToStructByPos[built], oids, bare(i.Definition))
		return err
	})
	if err != nil {
		return err
	}
	for _, c := range b.all {
		if c.Default || slices.ContainsFunc(there, func(x built) bool { return x.Table == c.OID && x.Valid }) {
			continue
		}
		a := partition.Action{Kind: partition.Index, Table: c.name(), OID: c.OID, Reason: "for the key " + i.Name + " without the partition key",
			Changes: []partition.Change{{Want: partition.Property{Kind: partition.PropIndex, Name: i.Definition}, Missing: true}}}
		for _, x := range there {
			if x.Table == c.OID {
				a.Invalid = append(a.Invalid, x.Name)
			}
		}
		b.plan.Tasks = append(b.plan.Tasks, Task{Title: a.String(), Action: &a, Steps: postgres.Render(b.plan.Set, b.plan.Snapshot, a)})
	}
	return nil
}

func (b *back) write() {
	s := &b.plan.Swap
	now, was := postgres.QuoteName(b.parent), postgres.QuoteName(b.kept)
	b.lock(&s.Lock)
	b.add(&s.Lock, exclusive+b.kept.String(), "LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", was)
	b.guard(&s.Change)
	b.align(&s.Change)
	b.disableRouting(&s.Change, b.kept, b.old.triggers)
	for _, c := range b.all {
		b.add(&s.Change, underLock, "ALTER TABLE %s DETACH PARTITION %s", now, postgres.QuoteName(c.name()))
		if c.Default {
			b.empty(&s.Change, c)
			continue
		}
		for _, i := range b.old.indexes {
			if i.Narrow && i.Contype != "" {
				b.rekey(&s.Change, c.name(), i.Contype, bare(i.wide()), bare(i.Definition))
			}
		}
		b.add(&s.Change, underLock, "ALTER TABLE %s INHERIT %s", postgres.QuoteName(c.name()), was)
	}
	b.hand(&s.Change)
	b.add(&s.Change, underLock, "ALTER TABLE %s RENAME TO %s", now, postgres.QuoteIdent(b.interim.Local))
	b.add(&s.Change, underLock, "ALTER TABLE %s RENAME TO %s", was, postgres.QuoteIdent(b.parent.Local))
	for _, v := range b.views {
		b.add(&s.Change, underLock, "%s", v.Statement)
	}
	// It has neither partitions nor rows, and whatever else used it stopped us.
	b.add(&s.Change, underLock, "DROP TABLE %s", postgres.QuoteName(b.interim))
	for _, i := range b.old.indexes {
		for _, j := range b.indexes {
			if sameIndex(i, j) {
				b.renameIndex(&s.Change, b.parent, i, i.Name, j.Name)
				break
			}
		}
	}
	b.plan.After = append(b.plan.After, analyze(b.plan, b.parent))
}

// sameIndex tells whether an index of the old parent is what one of the new was made of.
func sameIndex(old, now index) bool {
	want := old.Definition
	if old.Narrow {
		want = old.wide()
	}
	// The old name is followed by what put it aside.
	return want == now.Definition && old.Contype == now.Contype && suffixed(partition.Name{Local: now.Name}, "_inherited").Local == old.Name
}

// guard is the same as on the way there, with nothing to look for in the parent.
func (b *back) guard(to *[]postgres.Statement) {
	var oids []string
	for _, c := range b.all {
		oids = append(oids, strconv.FormatUint(uint64(c.OID), 10))
	}
	slices.Sort(oids)
	b.unchanged(to, oids, "")
}

// align gives the old parent what the new one has got since: privileges above all,
// policies and row security, comments, defaults, publications and indexes.
func (b *back) align(to *[]postgres.Statement) {
	exact := b.plan.Set
	exact.Grants, exact.Indexes = partition.GrantsExact, true
	for _, c := range partition.Diff(exact, b.plan.Snapshot.Parent.Properties, b.before.Properties) {
		switch c.Want.Kind {
		case partition.PropOwner, partition.PropPublication, partition.PropOption:
			continue
		case partition.PropIndex:
			if slices.ContainsFunc(b.old.indexes, func(i index) bool { return i.Narrow && i.wide() == c.Want.Name }) {
				continue // It has the narrow one.
			}
		case partition.PropNotNull: // Its partitions have it, and it has no rows.
			b.add(to, underLock, "ALTER TABLE ONLY %s ALTER COLUMN %s SET NOT NULL", postgres.QuoteName(b.kept), postgres.QuoteIdent(c.Want.Name))
			continue
		}
		for _, sql := range postgres.PropertySQL(b.kept, c) {
			b.add(to, underLock, "%s", sql)
		}
	}
}

// empty moves the rows of the default partition to the old parent itself, whose
// triggers must not send them where their function thinks that they belong: it may
// be older than the partitions.
func (b *back) empty(to *[]postgres.Statement, c child) {
	var columns []string
	for _, col := range b.plan.Snapshot.Parent.Columns {
		if !col.Generated {
			columns = append(columns, postgres.QuoteIdent(col.Name))
		}
	}
	list, was := strings.Join(columns, ", "), postgres.QuoteName(b.kept)
	b.add(to, underLock, "ALTER TABLE %s DISABLE TRIGGER USER", was)
	b.add(to, underLock, "WITH moved AS (DELETE FROM %s RETURNING %s) INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM moved",
		postgres.QuoteName(c.name()), list, was, list, list)
	for _, t := range b.old.triggers {
		if t.Name == b.plan.Set.Trigger {
			continue
		}
		state := map[string]string{"O": "ENABLE TRIGGER", "R": "ENABLE REPLICA TRIGGER", "A": "ENABLE ALWAYS TRIGGER"}[t.Enabled]
		if state != "" {
			b.add(to, underLock, "ALTER TABLE %s %s %s", was, state, postgres.QuoteIdent(t.Name))
		}
	}
	b.add(to, underLock, "DROP TABLE %s", postgres.QuoteName(c.name()))
}

// hand gives sequences and publications back.
func (b *back) hand(to *[]postgres.Statement) {
	now, was := postgres.QuoteName(b.parent), postgres.QuoteName(b.kept)
	for _, s := range b.sequences {
		if !s.Identity {
			b.add(to, "SHARE UPDATE EXCLUSIVE on the sequence", "ALTER SEQUENCE %s OWNED BY %s.%s", s.Name, was, postgres.QuoteIdent(s.Column))
			continue
		}
		b.add(to, noLock, "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence(%s, %s), last_value, is_called) FROM %s",
			postgres.QuoteLiteral(was), postgres.QuoteLiteral(s.Column), s.Name)
	}
	for _, q := range b.plan.Snapshot.Parent.Properties {
		if q.Kind != partition.PropPublication {
			continue
		}
		for _, sql := range postgres.PropertySQL(b.parent, partition.Change{Want: q, Have: q.Value})[:1] {
			*to = append(*to, postgres.Statement{SQL: sql, Lock: "SHARE UPDATE EXCLUSIVE on " + now, AsSession: true})
		}
		b.property(to, b.kept, q)
	}
}
