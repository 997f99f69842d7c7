package convert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
	"github.com/partitiond/partitiond/sql"
)

// A drain cuts a wide partition of a declarative set into the set's periods.
//
// Why all of them at once. To give one period its own partition and leave the rest, the
// wide one would have to be attached again with narrower bounds. PostgreSQL does that
// either by reading all of it under ACCESS EXCLUSIVE, or by a validated CHECK, which
// cannot be had before the last row of the period has left the table (and then no reader
// of the set sees it), and which refuses the period's new rows until then. So the rows
// are copied while the wide partition goes on to be the one that everybody uses, and one
// short transaction puts all periods in its place. Each row is written once. The disk
// space is that of the wide partition a second time, as with any way that leaves
// deleted rows behind until the table goes.
//
// Why the order is that of the heap, and not oldest or newest first: nothing is to be
// seen of a period before the end, so none is in a hurry; each page is read once, no index
// on the key is needed, and so and so many pages are bounded work whatever the rows'
// dates are.
//
// How. The periods' tables are made aside as partitions of a table of which nobody
// knows, so that PostgreSQL routes the copied rows. In the same transaction a trigger on
// the wide partition begins to write down the keys of all rows that change. Then pages
// are copied, so many a transaction, each of which also writes down how far it is: a row
// that has not changed since the trigger was made is where it was, and is met once; of any
// other the key is in the log. Those are taken over by bringing the row of that key to
// what it is now, whatever it was: it does not matter when, or how often. When few are left the
// two are compared, row by row in one snapshot, but for those in the log. The swap
// takes the last of them over, detaches and drops the wide partition and attaches the others.
// Only a snapshot that is older than the copy, of a transaction that has not read the set yet, does
// not see the copied rows then (PostgreSQL documentation, 13.6 Caveats).
//
// What the state is: the tables aside are there or not, and one of them says how far the
// copy is. Killed at any statement the next call goes on from there. If the wide partition
// was truncated or rewritten meanwhile the copy begins anew; if the columns, indexes or
// constraints of the parent are others, the tables aside are made anew.
//
// The exchange of a default partition (package postgres) does without a key, which a
// default partition may lack, by copying in one snapshot; a wide partition is too large
// for one.
type drain struct {
	set  partition.Set
	snap partition.Snapshot
	wide partition.Partition
	// key are the columns of a unique key, and columns those that are written.
	key, columns []string
	parts        []part
	// begun says that tables aside are there, and fit that they are of use.
	begun, fit bool
}

// part is a table that becomes a partition.
type part struct {
	Schema, Local string
	// Bound is what follows the table's name in ATTACH PARTITION.
	Bound string
	// Bounds are the same, of a part that has yet to be made.
	Bounds partition.Bounds `db:"-"`
}

func (p part) name() partition.Name { return partition.Name{Schema: p.Schema, Local: p.Local} }

// The tables beside the set.
func (d drain) months() partition.Name { return partition.AsideName(d.set.Parent, "drain") }
func (d drain) log() partition.Name    { return partition.AsideName(d.set.Parent, "drain_log") }
func (d drain) state() partition.Name  { return partition.AsideName(d.set.Parent, "drain_state") }

// before takes what is older than the first period. It has the wide partition's name in the end.
func (d drain) before() partition.Name { return partition.AsideName(d.set.Parent, "drain_before") }

// maxDefaultRead is how much of a default partition, once for each new partition, is read
// under the locks of a swap.
const maxDefaultRead = 512 << 20

// Drain plans how the first wide partition of a declarative set is cut into periods. The
// tasks of the plan are what begins that; [RunDrain] does what comes between them and the swap.
func Drain(ctx context.Context, conn *pgx.Conn, set partition.Set, o Options) (Plan, error) {
	_, p, err := planDrain(ctx, conn, set, o)
	return p, err
}

func planDrain(ctx context.Context, conn *pgx.Conn, set partition.Set, o Options) (d drain, p Plan, err error) {
	set.Retention = partition.Retention{}
	p = Plan{Set: set}
	snaps, err := postgres.Observe(ctx, conn, []partition.Set{set})
	if err != nil {
		return d, p, fmt.Errorf("observe: %w", err)
	}
	p.Snapshot = snaps[0]
	parent := p.Snapshot.Parent
	switch {
	case parent == nil:
		p.stop(string(partition.ProblemNoParent), set.Parent.String(), "")
		return d, p, nil
	case !parent.Declarative || parent.NotTable != "":
		p.stop("not declarative", set.Parent.String(), "an ordinary table becomes a set by: partitiond partition; one by inheritance a declarative one by: partitiond convert")
		return d, p, nil
	case parent.Key == "" || parent.RangeColumn != set.Key:
		p.stop(string(partition.ProblemUnsupported), fmt.Sprintf("%s with the key %s", set.Parent, set.Key), "set key to the column that decides the partition")
		return d, p, nil
	case !parent.MayAct || !parent.OwnerMayCreate:
		p.stop(string(partition.ProblemPrivilege), fmt.Sprintf("role %q, owner %q", p.Snapshot.Server.Role, parent.Owner), "be a member of the owner, who may create tables in the schema")
		return d, p, nil
	}
	d = drain{set: set, snap: p.Snapshot}
	err = reading(ctx, conn, func(tx pgx.Tx) error {
		oid, err := relation(ctx, tx, d.months())
		d.begun = oid != 0
		return err
	})
	if err != nil {
		return d, p, err
	}
	if err := d.find(ctx, conn, &p); err != nil {
		return d, p, err
	}
	if len(d.parts) > 0 {
		if err := d.look(ctx, conn, &p); err != nil {
			return d, p, err
		}
	}
	switch {
	case d.begun && !d.fit:
		p.Done = ""
		p.Tasks = []Task{{Title: "remove what an earlier call has left, which does not fit any more", Steps: []postgres.Step{d.tidyStep()}}}
		return d, p, nil
	case p.Done != "" || len(p.Stops) > 0:
		return d, p, nil
	case !d.begun:
		p.Tasks = []Task{{Title: fmt.Sprintf("make %d tables aside, and write down what changes in %s from then on", len(d.parts), d.wide.Name), Steps: []postgres.Step{d.beginStep()}}}
	}
	d.copy(&p)
	d.swap(&p, o)
	p.Notes = append(p.Notes, fmt.Sprintf("%s, of about %d rows, is cut into %d partitions; until the end its rows are on disk twice", d.wide.Name, d.wide.Rows, len(d.parts)))
	if p.Snapshot.Default == nil {
		p.Notes = append(p.Notes, fmt.Sprintf("there is no default partition: rows older than %s will be refused, unless there are some already", d.parts[0].Bound))
	}
	return d, p, nil
}

// find looks for the first partition that reaches over several periods with rows in it or
// ahead, and cuts it; what an earlier call has cut stays so.
func (d *drain) find(ctx context.Context, conn *pgx.Conn, p *Plan) error {
	key := d.snap.Parent.Key
	wides := slices.Clone(d.snap.Partitions)
	slices.SortFunc(wides, func(a, b partition.Partition) int { return a.Bounds.From.Compare(b.Bounds.From) })
	window := d.set.Window.Past.AddTo(d.set.Wall(d.snap.Server.Now, key), -1)
	for _, c := range wides {
		if c.Known == partition.BoundsUnknown || c.Foreign || c.Partitioned || within(d.set, key, c.Bounds) {
			continue
		}
		if c.Bounds.To.Inf != 0 {
			p.stop("no upper bound", fmt.Sprintf("%s is %s", c.Name, c.Bounds), "give it one: where the last period ends nobody can tell")
			return nil
		}
		oldest, ok, err := d.oldest(ctx, conn, c, window)
		if err != nil {
			return err
		}
		if !ok {
			continue // No rows that belong to a period: there is nothing to cut.
		}
		before, periods := partition.Cut(d.set, key, c.Bounds, oldest)
		if len(periods) < 2 {
			continue
		}
		d.wide = c
		if !before.Empty() {
			periods = append([]partition.Branch{{Bounds: before, Table: d.before()}}, periods...)
		}
		for _, b := range periods {
			d.parts = append(d.parts, part{b.Table.Schema, b.Table.Local, postgres.ForValuesSQL(key, b.Bounds), b.Bounds})
		}
		return nil
	}
	p.Done = "none of its partitions reaches over several periods"
	return nil
}

// within tells whether bounds lie within one period.
func within(set partition.Set, key partition.KeyType, b partition.Bounds) bool {
	return b.Finite() && set.PeriodOf(b.From.Time, key).Bounds().Covers(b)
}

// oldest returns the oldest date in a partition that is not before the window.
func (d *drain) oldest(ctx context.Context, conn *pgx.Conn, c partition.Partition, window time.Time) (at time.Time, ok bool, err error) {
	kind, key := d.snap.Parent.Key, postgres.QuoteIdent(d.set.Key)
	query := fmt.Sprintf("SELECT %s FROM (SELECT %s AS k FROM ONLY %s WHERE %[2]s >= %[4]s ORDER BY 1 LIMIT 1) AS oldest",
		postgres.KeyMomentSQL("k", kind), key, postgres.QuoteName(c.Name), postgres.KeyLiteral(kind, partition.At(window)))
	var seconds *float64
	err = reading(ctx, conn, func(tx pgx.Tx) error { return tx.QueryRow(ctx, query).Scan(&seconds) })
	if errors.Is(err, pgx.ErrNoRows) || err == nil && seconds == nil {
		return at, false, nil
	}
	if err != nil {
		return at, false, fmt.Errorf("look for the oldest row of %s: %w", c.Name, err)
	}
	return time.UnixMicro(int64(*seconds * 1e6)).UTC(), true, nil
}

// look reads what the catalog says: what is in the way, the key, and what an earlier
// call has made.
func (d *drain) look(ctx context.Context, conn *pgx.Conn, p *Plan) error {
	parent := d.snap.Parent.OID
	return reading(ctx, conn, func(tx pgx.Tx) error {
		stops, err := collect(ctx, tx, "drain_stops", pgx.RowToStructByPos[Stop], parent, d.wide.OID, partition.DrainTrigger)
		if err != nil {
			return err
		}
		p.Stops = append(p.Stops, stops...)
		type columns struct{ Key, Columns []string }
		found, err := collect(ctx, tx, "drain_key", pgx.RowToStructByPos[columns], parent)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			d.key, d.columns = found[0].Key, found[0].Columns
		}
		if d.begun {
			return d.resume(ctx, tx)
		}
		for _, t := range d.parts {
			if oid, err := relation(ctx, tx, t.name()); err != nil {
				return err
			} else if oid != 0 {
				p.stop("name taken", t.name().String(), "rename or drop it: the name is needed")
			}
		}
		d.stopDefault(p)
		return d.stopLocks(ctx, tx, p)
	})
}

// resume reads what an earlier call has made, and whether that is of use.
func (d *drain) resume(ctx context.Context, tx pgx.Tx) error {
	months, err := relation(ctx, tx, d.months())
	if err != nil {
		return err
	}
	if d.parts, err = collect(ctx, tx, "drain_parts", pgx.RowToStructByPos[part], months); err != nil {
		return err
	}
	query := fmt.Sprintf("SELECT s.source = %d AND s.shape = %s AND s.bound = pg_get_expr(c.relpartbound, c.oid) FROM %s s JOIN pg_class c ON c.oid = %[1]d", d.wide.OID, d.shape(), postgres.QuoteName(d.state()))
	if err := tx.QueryRow(ctx, query).Scan(&d.fit); err != nil {
		return fmt.Errorf("look at what an earlier call has left: %w", err)
	}
	d.fit = d.fit && len(d.parts) > 0
	return nil
}

// stopDefault stops where the swap would read too much of a default partition.
func (d *drain) stopDefault(p *Plan) {
	def := d.snap.Default
	switch {
	case def == nil && d.set.DefaultPartition:
		p.stop("no default partition", d.set.Parent.String(), "let a pass make it first, or set default_partition = false: rows of periods that the partition takes now would be refused")
	case def != nil && def.Bytes*int64(len(d.parts)) > maxDefaultRead:
		p.stop("default partition", fmt.Sprintf("%s has %d bytes, which each of %d partitions has PostgreSQL read under a lock", def.Name, def.Bytes, len(d.parts)), "let a pass move its rows to partitions first")
	}
}

// stopLocks stops where one transaction would need more locks than the server has room for.
func (d *drain) stopLocks(ctx context.Context, tx pgx.Tx, p *Plan) error {
	var room, each int
	err := tx.QueryRow(ctx, `SELECT current_setting('max_locks_per_transaction')::int * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int) / 2,
		4 + (SELECT count(*) FROM pg_index WHERE indrelid = $1)`, d.snap.Parent.OID).Scan(&room, &each)
	if err != nil {
		return fmt.Errorf("look at the room for locks: %w", err)
	}
	if need := len(d.parts) * each; need > room {
		p.stop("too many periods", fmt.Sprintf("%d, for which one transaction needs about %d locks, more than half of what the server has room for", len(d.parts), need),
			"choose a longer interval, or raise max_locks_per_transaction")
	}
	return nil
}

// shape is an expression for what the tables have to be like.
func (d drain) shape() string {
	return fmt.Sprintf("("+sql.Text("convert/drain_shape.sql")+")", d.snap.Parent.OID)
}
