package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/sql"
)

// NotifyChannel is where the triggers of default partitions tell of rows; what they
// tell is the parent's name, as [partition.Name.String] has it (PostgreSQL
// documentation, NOTIFY).
const NotifyChannel = "partitiond"

// afterInsertRow are the bits of pg_trigger.tgtype for ROW and INSERT alone.
const afterInsertRow = 1 | 4

// notifySource is the body of the trigger's function.
func notifySource() string { return sql.Text("notify.sql") }

// classifyNotify tells from a function's source what it is.
func classifyNotify(source string) partition.FunctionState {
	switch {
	case source == notifySource():
		return partition.FunctionOurs
	case strings.Contains(source, "-- partitiond notify "):
		return partition.FunctionAltered
	}
	return partition.FunctionUnknown
}

// tells tells whether a trigger's definition has the parent's name as its argument,
// as pg_get_triggerdef quotes it.
func tells(definition string, parent partition.Name) bool {
	return strings.HasSuffix(definition, "('"+strings.ReplaceAll(parent.String(), "'", "''")+"')")
}

// renderNotify makes the trigger of a default partition, and its function. The
// function is named after the set's, and so may be called by others: it has no right
// that they have not.
func renderNotify(set partition.Set, snap partition.Snapshot, a partition.Action, owner string) []Step {
	steps := []Step{{Role: owner, Statements: []Statement{{
		SQL:  fmt.Sprintf("CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql AS %s", quoteName(set.Function), dollarQuote(notifySource())),
		Lock: lockNone}}}}
	lock := shareRow + a.Table.String()
	if state := snap.Parent.Routing; state.Trigger && state.Disabled {
		return append(steps, Step{Role: owner, Statements: []Statement{{
			SQL: fmt.Sprintf("ALTER TABLE %s ENABLE TRIGGER %s", quoteName(a.Table), quoteIdent(set.Trigger)), Lock: lock}}})
	} else if state.Trigger {
		return steps
	}
	return append(steps, Step{Role: owner, Statements: []Statement{{SQL: notifyTriggerSQL(set, a.Table), Lock: lock}}})
}

func notifyTriggerSQL(set partition.Set, table partition.Name) string {
	return fmt.Sprintf("CREATE OR REPLACE TRIGGER %s AFTER INSERT ON %s FOR EACH ROW EXECUTE FUNCTION %s(%s)",
		quoteIdent(set.Trigger), quoteName(table), quoteName(set.Function), quoteLiteral(set.Parent.String()))
}

// triggered returns the table that the i-th set's trigger is on.
func (o *observation) triggered(i int) uint32 {
	if p := o.parents[i]; !p.seen.Declarative {
		return p.oid
	}
	for _, t := range o.family[i] {
		if t.bound == "DEFAULT" {
			o.defaultOf[t.oid] = i
			return t.oid
		}
	}
	return 0
}

// addNotify notes the trigger of a default partition.
func (o *observation) addNotify(i int, r *row) {
	set, routing := o.sets[i], &o.parents[i].seen.Routing
	switch {
	case r.text(1) == partition.LogTrigger:
		routing.Others = append(routing.Others, partition.LogTrigger)
	case r.text(1) != set.Trigger:
	case r.int(2) == afterInsertRow && !r.flag(4) && r.text(5) == set.Function.Schema && r.text(6) == set.Function.Local:
		// With another argument it is ours, and made anew.
		routing.Trigger, routing.Disabled = tells(r.text(8), set.Parent), !r.flag(3)
	default:
		routing.TriggerOther = r.text(8)
	}
}

// classifyNotify tells what the function of a default partition's trigger is.
func (o *observation) classifyNotify(routing *partition.Routing, set int) {
	routing.Function = partition.FunctionMissing
	for _, f := range o.routines[int64(3*set)] {
		if f.isTrigger {
			routing.Function = f.notify
		}
	}
}

// Listen makes a session hear what the triggers of default partitions tell. Whether
// the other end is still there the server's settings for dead peers tell it; ours
// are the operating system's.
func Listen(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "LISTEN "+NotifyChannel+"; "+noticeDeath(false)); err != nil {
		return fmt.Errorf("listen for rows in default partitions: %w", err)
	}
	return nil
}
