package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Statement is one SQL statement and the lock it takes, in words.
type Statement struct {
	SQL  string
	Lock string
	// AsSession runs it under the session's own role although its step has another.
	AsSession bool
	// Optional says that its failure undoes only itself; the action still counts as failed.
	Optional bool
}

// Step is what is committed at once: a transaction, or a statement that cannot
// run in one.
type Step struct {
	Statements []Statement
	// Alone says that the single statement runs outside of a transaction block.
	Alone bool
	// Waits says that it waits for others without blocking readers or writers,
	// and so may wait for as long as Limits.ConcurrentTimeout.
	Waits bool
	// Role is the role to act as; empty is the session's own.
	Role string
	// SetLock takes the set's creation lock first, so that the routing function does not make a partition at the same time.
	SetLock bool
	// Event goes into the history with it.
	Event *Event
}

const (
	lockNone       = "none on a table"
	accessShare    = "ACCESS SHARE on "
	shareUpdate    = "SHARE UPDATE EXCLUSIVE on "
	shareRow       = "SHARE ROW EXCLUSIVE on "
	exclusive      = "ACCESS EXCLUSIVE on "
	notNullInterim = "partition_not_null"
)

// Render returns the steps that carry out an action. It is pure: what is
// printed by a dry run is what a pass executes, but for what can only be known
// then (the batches of a sweep, the name of an archive).
func Render(set partition.Set, snap partition.Snapshot, a partition.Action) []Step {
	table := quoteName(a.Table)
	owner := snap.Parent.Owner
	if owner == snap.Server.Role {
		owner = ""
	}
	alter := func(lock, format string, args ...any) Statement {
		return Statement{SQL: "ALTER TABLE " + table + " " + fmt.Sprintf(format, args...), Lock: lock + a.Table.String()}
	}
	switch a.Kind {
	case partition.Create:
		if a.Route.Declarative {
			return []Step{{Role: owner, SetLock: true, Statements: renderDeclared(set, snap, a).all()}}
		}
		return []Step{renderCreate(set, snap, a, owner)}
	case partition.Constrain:
		return renderConstrain(set, snap, a, owner, alter)
	case partition.Align:
		return renderAlign(snap, a, owner, alter)
	case partition.Index:
		return renderIndex(snap, a, owner, alter)
	case partition.CreateDefault:
		return []Step{{Role: owner, SetLock: true, Statements: renderCreateDefault(set, snap, a)}}
	case partition.Notify:
		return renderNotify(set, snap, a, owner)
	case partition.TidyDefault:
		step := Step{Role: owner}
		for _, sql := range newExchange(set, snap, a, owner).tidySQL() {
			step.Statements = append(step.Statements, Statement{SQL: sql, Lock: exclusive + a.Table.String()})
		}
		return []Step{step}
	case partition.AttachIndex:
		return renderAttachIndex(a, owner)
	case partition.RouteRows:
		return renderRoute(set, snap, a, owner)
	case partition.Sweep:
		return []Step{{Role: owner, Statements: []Statement{{SQL: sweepSQL(set, snap, a),
			Lock: "ROW EXCLUSIVE on " + set.Parent.String() + " and " + a.Table.String()}}}}
	case partition.Retire:
		if snap.Parent.Declarative {
			return renderRetireDeclared(set, snap, a, owner).steps(snap, a)
		}
		return renderRetire(set, a, owner, alter)
	case partition.Finalize:
		return []Step{finalizeStep(set, a, owner)}
	case partition.Attach:
		return []Step{{Role: owner, SetLock: true, Statements: renderAttach(set, snap, a).all()}}
	case partition.Analyze:
		// From PostgreSQL 18 on it goes through the partitions, too, and locks them,
		// unless it is told not to (PostgreSQL documentation, ANALYZE). Those of a
		// declarative parent it always went through, one after the other.
		only, each := "", accessShare
		if snap.Server.Version >= 180000 {
			only = "ONLY "
		} else if snap.Parent.Declarative {
			each = shareUpdate
		}
		return []Step{{Alone: true, Waits: true, Role: owner, Statements: []Statement{{SQL: "ANALYZE " + only + table,
			Lock: shareUpdate + a.Table.String() + "; " + each + "each partition"}}}}
	}
	panic("no renderer for action " + string(a.Kind)) // A test walks all kinds.
}

func renderCreate(set partition.Set, snap partition.Snapshot, a partition.Action, owner string) Step {
	step := Step{Role: owner, SetLock: true}
	lock := shareUpdate + set.Parent.String() + "; the new table is nobody else's yet"
	for _, t := range creationTemplates(*a.Route) {
		step.Statements = append(step.Statements, Statement{SQL: expand(t, a.Table, snap.Parent.Key, a.Bounds), Lock: lock})
	}
	for _, kind := range optionalKinds {
		for _, t := range optionalTemplates(*a.Route, kind) {
			step.Statements = append(step.Statements, Statement{SQL: expand(t, a.Table, snap.Parent.Key, a.Bounds), Lock: lock,
				AsSession: kind == partition.PropPublication, Optional: true})
		}
	}
	return step
}

type alterFunc func(lock, format string, args ...any) Statement

// renderConstrain goes in an order in which the table is never without a CHECK:
// the new one is added NOT VALID, validated under a lock that lets rows in, and
// only then does the old one go.
func renderConstrain(set partition.Set, snap partition.Snapshot, a partition.Action, owner string, alter alterFunc) []Step {
	name := quoteIdent(a.Constraint)
	var steps []Step
	if a.Exists == partition.ConstraintAbsent {
		steps = append(steps, Step{Role: owner, Statements: []Statement{
			alter(exclusive, "ADD CONSTRAINT %s CHECK (%s) NOT VALID", name, boundsExpression(set.Key, snap.Parent.Key, a.Bounds))}})
	}
	if a.Exists != partition.ConstraintValidated {
		steps = append(steps, Step{Alone: true, Waits: true, Role: owner, Statements: []Statement{alter(shareUpdate, "VALIDATE CONSTRAINT %s", name)}})
	}
	if len(a.Replaces) > 0 {
		var drops []string
		for _, c := range a.Replaces {
			drops = append(drops, "DROP CONSTRAINT "+quoteIdent(c.Name))
		}
		steps = append(steps, Step{Role: owner, Statements: []Statement{alter(exclusive, "%s", strings.Join(drops, ", "))}})
	}
	return steps
}

// renderAlign does all that is short in one transaction. NOT NULL comes after,
// by way of a CHECK that is validated without blocking writers, which spares
// SET NOT NULL its own scan (PostgreSQL documentation, ALTER TABLE).
func renderAlign(snap partition.Snapshot, a partition.Action, owner string, alter alterFunc) []Step {
	var first Step
	var rest []Step
	first.Role = owner
	for _, c := range a.Changes {
		if c.Want.Kind == partition.PropNotNull {
			column := quoteIdent(c.Want.Name)
			rest = append(rest,
				Step{Role: owner, Statements: []Statement{
					alter(exclusive, "DROP CONSTRAINT IF EXISTS %s", notNullInterim),
					alter(exclusive, "ADD CONSTRAINT %s CHECK (%s IS NOT NULL) NOT VALID", notNullInterim, column)}},
				Step{Alone: true, Waits: true, Role: owner, Statements: []Statement{alter(shareUpdate, "VALIDATE CONSTRAINT %s", notNullInterim)}},
				Step{Role: owner, Statements: []Statement{
					alter(exclusive, "ALTER COLUMN %s SET NOT NULL", column),
					alter(exclusive, "DROP CONSTRAINT %s", notNullInterim)}})
			continue
		}
		for _, t := range propertyTemplates(c) {
			lock := exclusive + a.Table.String()
			switch c.Want.Kind {
			case partition.PropGrant, partition.PropColumnGrant:
				// PostgreSQL 18 began to lock what it grants on.
				if lock = lockNone; snap.Server.Version >= 180000 {
					lock = accessShare + a.Table.String()
				}
			case partition.PropComment, partition.PropColumnComment, partition.PropPublication:
				lock = shareUpdate + a.Table.String()
			case partition.PropOption:
				// Of a table's storage parameters one alone takes more (PostgreSQL
				// documentation, ALTER TABLE, SET).
				if c.Want.Name != "user_catalog_table" {
					lock = shareUpdate + a.Table.String()
				}
			}
			first.Statements = append(first.Statements, Statement{
				SQL: expand(t, a.Table, snap.Parent.Key, a.Bounds), Lock: lock,
				// Both need roles that the parent's owner need not be a member of.
				AsSession: c.Want.Kind == partition.PropOwner || c.Want.Kind == partition.PropPublication,
				Optional:  c.Want.Kind == partition.PropPublication,
			})
		}
	}
	if len(first.Statements) == 0 {
		return rest
	}
	return append([]Step{first}, rest...)
}

// renderIndex builds concurrently, and under a name that follows from the
// definition, so that a build that was interrupted is found again.
func renderIndex(snap partition.Snapshot, a partition.Action, owner string, alter alterFunc) []Step {
	var steps []Step
	for _, name := range a.Invalid {
		index := partition.Name{Schema: a.Table.Schema, Local: name}
		steps = append(steps, Step{Alone: true, Role: owner, Statements: []Statement{
			{SQL: "DROP INDEX CONCURRENTLY IF EXISTS " + quoteName(index), Lock: shareUpdate + a.Table.String()}}})
	}
	want := a.Changes[0].Want
	name := quoteIdent(indexName(a.Table, want, a.Nth))
	given := name + " "
	if a.Nth > 0 && want.Value == "" {
		given = "" // The server finds a name that no other has.
	}
	unique, definition := splitIndex(want.Name)
	steps = append(steps, Step{Alone: true, Waits: true, Role: owner, Statements: []Statement{{
		SQL:  fmt.Sprintf("CREATE %sINDEX CONCURRENTLY %sON %s %s", unique, given, quoteName(a.Table), definition),
		Lock: shareUpdate + a.Table.String()}}})
	if want.Value != "" {
		word, deferrable := constraintWords(want.Value)
		steps = append(steps, Step{Role: owner, Statements: []Statement{
			alter(exclusive, "%s", strings.TrimSpace(fmt.Sprintf("ADD CONSTRAINT %[1]s %[2]s USING INDEX %[1]s %[3]s", name, word, deferrable)))}})
	}
	return steps
}

// indexName makes a name from the table's, and a digest of the definition and of how
// many there are that are the same.
func indexName(table partition.Name, want partition.Property, nth int) string {
	text := want.Name + "\x00" + want.Value
	if nth > 0 {
		text += fmt.Sprintf("\x00%d", nth)
	}
	sum := sha256.Sum256([]byte(text))
	suffix := "_" + hex.EncodeToString(sum[:4]) + "_idx"
	base := table.Local
	for len(base)+len(suffix) > partition.MaxNameBytes {
		base = strings.ToValidUTF8(base[:len(base)-1], "")
	}
	return base + suffix
}

func renderRoute(set partition.Set, snap partition.Snapshot, a partition.Action, owner string) []Step {
	functions := Step{Role: owner}
	for _, sql := range routeFunctions(*a.Route) {
		functions.Statements = append(functions.Statements, Statement{SQL: sql, Lock: lockNone})
	}
	steps := []Step{functions}
	state := snap.Parent.Routing
	lock := shareRow + set.Parent.String()
	if !state.Trigger {
		steps = append(steps, Step{Role: owner, Statements: []Statement{{
			SQL: fmt.Sprintf("CREATE OR REPLACE TRIGGER %s BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION %s()",
				quoteIdent(set.Trigger), quoteName(set.Parent), quoteName(set.Function)), Lock: lock}}})
	} else if state.Disabled {
		steps = append(steps, Step{Role: owner, Statements: []Statement{{
			SQL: fmt.Sprintf("ALTER TABLE %s ENABLE TRIGGER %s", quoteName(set.Parent), quoteIdent(set.Trigger)), Lock: lock}}})
	}
	return steps
}

// sweepSQL moves one batch of rows out of the parent. A row is deleted and
// inserted by one statement, so every snapshot sees it exactly once; rows that
// others hold are left for the next batch.
func sweepSQL(set partition.Set, snap partition.Snapshot, a partition.Action) string {
	return moveSQL(snap, set.Parent, a.Table, boundsExpression(set.Key, snap.Parent.Key, a.Bounds), set.SweepBatch)
}

// moveSQL moves the rows for which a condition holds from one table to another; with
// a batch, so many of those that nobody else holds.
func moveSQL(snap partition.Snapshot, from, to partition.Name, condition string, batch int) string {
	var columns []string
	for _, c := range snap.Parent.Columns {
		if !c.Generated {
			columns = append(columns, quoteIdent(c.Name))
		}
	}
	list := strings.Join(columns, ", ")
	source := quoteName(from)
	if batch > 0 {
		condition = fmt.Sprintf("ctid = ANY (ARRAY(SELECT ctid FROM ONLY %s WHERE %s LIMIT %d FOR UPDATE SKIP LOCKED))", source, condition, batch)
	}
	return fmt.Sprintf("WITH moved AS (DELETE FROM ONLY %s WHERE %s RETURNING %s) "+
		"INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM moved",
		source, condition, list, quoteName(to), list, list)
}

// renderRetire shows the removal itself; what proves it safe happens in the
// same transaction, see [Session.retire].
func renderRetire(set partition.Set, a partition.Action, owner string, alter alterFunc) []Step {
	locks := []Statement{
		{SQL: fmt.Sprintf("LOCK TABLE ONLY %s IN ACCESS SHARE MODE", quoteName(set.Parent)), Lock: accessShare + set.Parent.String()},
		{SQL: fmt.Sprintf("LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", quoteName(a.Table)), Lock: exclusive + a.Table.String()},
	}
	step := Step{Role: owner, Statements: locks}
	if a.Then == partition.Detach {
		step.Statements = append(step.Statements, alter(exclusive, "NO INHERIT %s", quoteName(set.Parent)))
		if set.Retention.Schema != "" && set.Retention.Schema != a.Table.Schema {
			step.Statements = append(step.Statements, alter(exclusive, "SET SCHEMA %s", quoteIdent(set.Retention.Schema)))
		}
		return []Step{step}
	}
	step.Statements = append(step.Statements, Statement{SQL: "DROP TABLE " + quoteName(a.Table), Lock: exclusive + a.Table.String()})
	return []Step{step}
}
