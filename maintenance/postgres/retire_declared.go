package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// declaredRemoval are the steps by which a partition leaves a declarative parent. A
// partition can be taken out beside its users only by a statement that is a
// transaction of its own (PostgreSQL documentation, ALTER TABLE, DETACH PARTITION
// CONCURRENTLY), so it cannot go in one. A CHECK marks it first; whatever happens
// after that, the next pass knows it by that CHECK and goes on, or gives it back.
type declaredRemoval struct {
	mark, validate, detach Step
	// keep gives the table a further CHECK, where the mark cannot be renamed to it.
	keep   []Step
	remove Step
}

// steps returns those that are still to be gone.
func (r declaredRemoval) steps(snap partition.Snapshot, a partition.Action) []Step {
	if slices.ContainsFunc(snap.Detached, func(c partition.Partition) bool { return c.OID == a.OID }) {
		return append(slices.Clip(r.keep), r.remove)
	}
	return slices.Concat([]Step{r.mark, r.validate, r.detach}, r.keep, []Step{r.remove})
}

func renderRetireDeclared(set partition.Set, snap partition.Snapshot, a partition.Action, owner string) (r declaredRemoval) {
	table, parent, mark := quoteName(a.Table), quoteName(set.Parent), quoteIdent(partition.RetireMark(set.Parent))
	onTable := exclusive + a.Table.String()
	alter := func(lock, format string, args ...any) Statement {
		return Statement{SQL: "ALTER TABLE " + table + " " + fmt.Sprintf(format, args...), Lock: lock}
	}
	lock := Statement{SQL: fmt.Sprintf("LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", table), Lock: onTable}
	r.mark = Step{Role: owner, Statements: []Statement{
		{SQL: fmt.Sprintf("LOCK TABLE ONLY %s IN ACCESS SHARE MODE", parent), Lock: accessShare + set.Parent.String()}, lock,
		alter(onTable, "ADD CONSTRAINT %s CHECK (%s) NOT VALID", mark, declaredExpression(set.Key, snap.Parent.Key, a.Bounds))}}
	r.validate = Step{Alone: true, Waits: true, Role: owner, Statements: []Statement{alter(shareUpdate+a.Table.String(), "VALIDATE CONSTRAINT %s", mark)}}
	r.detach = Step{Alone: true, Role: owner, Statements: []Statement{{
		SQL:  fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s CONCURRENTLY", parent, table),
		Lock: shareUpdate + set.Parent.String() + "; " + onTable}}}
	if d := snap.Default; d != nil || snap.Parent.Distributed { // Citus refuses CONCURRENTLY.
		locks := []string{exclusive + set.Parent.String(), onTable}
		if d != nil {
			locks = slices.Insert(locks, 1, exclusive+d.Name.String())
		}
		r.detach = Step{Role: owner, Statements: []Statement{{
			SQL:  fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s", parent, table),
			Lock: strings.Join(locks, "; ")}}}
	}
	r.remove = Step{Role: owner, Statements: []Statement{lock}}
	if a.Then == partition.Detach {
		// It keeps the CHECK, under the name that is usual.
		if snap.Parent.Distributed { // Citus renames no constraints.
			r.keep = []Step{
				{Role: owner, Statements: []Statement{lock, alter(onTable, "ADD CONSTRAINT %s CHECK (%s) NOT VALID", partition.BoundsConstraint, declaredExpression(set.Key, snap.Parent.Key, a.Bounds))}},
				{Alone: true, Waits: true, Role: owner, Statements: []Statement{alter(shareUpdate+a.Table.String(), "VALIDATE CONSTRAINT %s", partition.BoundsConstraint)}}}
			r.remove.Statements = append(r.remove.Statements, alter(onTable, "DROP CONSTRAINT %s", mark))
		} else {
			r.remove.Statements = append(r.remove.Statements, alter(onTable, "RENAME CONSTRAINT %s TO %s", mark, partition.BoundsConstraint))
		}
		if s := set.Retention.Schema; s != "" && s != a.Table.Schema {
			r.remove.Statements = append(r.remove.Statements, alter(onTable, "SET SCHEMA %s", quoteIdent(s)))
		}
		return r
	}
	r.remove.Statements = append(r.remove.Statements, Statement{SQL: "DROP TABLE " + table, Lock: onTable})
	return r
}

// finalizeStep ends what DETACH CONCURRENTLY has begun.
func finalizeStep(set partition.Set, a partition.Action, owner string) Step {
	return Step{Alone: true, Role: owner, Statements: []Statement{{
		SQL:  fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s FINALIZE", quoteName(set.Parent), quoteName(a.Table)),
		Lock: shareUpdate + set.Parent.String() + "; " + exclusive + a.Table.String()}}}
}

// retireDeclared removes a partition of a declarative parent; what is to be archived
// is in the archive by now. Each transaction looks again at what makes it safe.
func (s *Session) retireDeclared(ctx context.Context, set partition.Set, snap partition.Snapshot, a partition.Action, archived Archived, out *Outcome) error {
	owner := snap.Parent.Owner
	if owner == snap.Server.Role {
		owner = ""
	}
	r := renderRetireDeclared(set, snap, a, owner)
	where, err := s.standing(ctx, snap, a)
	if err != nil {
		return err
	}
	// Where rows came before the table was out it has been exported once more, and is out.
	check := cmp.Or(out.mark, markOf(set, snap, a))
	if where != standsOutside {
		if check, err = s.takeOut(ctx, set, snap, a, r, out); err != nil {
			return fmt.Errorf("%s: %w", a.Then, err)
		}
		out.mark = check
	}
	if len(r.keep) > 0 {
		named, err := hasConstraint(ctx, s.conn, a, partition.BoundsConstraint)
		if err != nil {
			return fmt.Errorf("%s: %w", a.Then, err)
		}
		if named {
			r.keep = r.keep[1:]
		}
		for _, step := range r.keep {
			if err := s.runStep(ctx, set, snap, step, out); err != nil {
				return fmt.Errorf("%s: %w", a.Then, err)
			}
		}
	}
	soon := archived.StillEqual == nil
	err = s.retry(ctx, set, out, func() error {
		return s.inTx(ctx, set, owner, func(tx pgx.Tx) error {
			return s.removeTakenOut(ctx, tx, set, snap, a, archived, r.remove, check, &soon, out)
		})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", a.Then, err)
	}
	return nil
}

// markOf returns the definition of the CHECK that marks a table which was taken out
// before, as it was observed.
func markOf(set partition.Set, snap partition.Snapshot, a partition.Action) string {
	for _, c := range snap.Detached {
		if c.OID != a.OID {
			continue
		}
		for _, ch := range c.Checks {
			if ch.Name == partition.RetireMark(set.Parent) {
				return ch.Definition
			}
		}
	}
	return ""
}

// standing is how far a partition is out of its parent.
type standing string

const (
	standsInside  standing = "inside"
	standsPending standing = "pending"
	standsOutside standing = "outside"
)

func (s *Session) standing(ctx context.Context, snap partition.Snapshot, a partition.Action) (standing, error) {
	var pending bool
	err := s.conn.QueryRow(ctx, "SELECT inhdetachpending FROM pg_catalog.pg_inherits WHERE inhrelid = $1 AND inhparent = $2", a.OID, snap.Parent.OID).Scan(&pending)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return standsOutside, nil
	case err != nil:
		return "", fmt.Errorf("look whether %s is a partition: %w", a.Table, err)
	case pending:
		return standsPending, nil
	}
	return standsInside, nil
}

// takeOut marks a partition and detaches it, and returns the mark's definition.
func (s *Session) takeOut(ctx context.Context, set partition.Set, snap partition.Snapshot, a partition.Action, r declaredRemoval, out *Outcome) (check string, err error) {
	err = s.retry(ctx, set, out, func() error {
		return s.inTx(ctx, set, r.mark.Role, func(tx pgx.Tx) error {
			check, err = s.markInTx(ctx, tx, set, snap, a, r.mark)
			return err
		})
	})
	if err != nil {
		return "", err
	}
	if err := s.runStep(ctx, set, snap, r.validate, out); err != nil {
		return "", err
	}
	if !r.detach.Alone {
		return check, s.runStep(ctx, set, snap, r.detach, out)
	}
	if s.stopped() {
		return "", ErrStopped
	}
	out.waits = waitsOf(snap, a, false)
	// Where its wait for others ends in vain, it has begun, and is to be brought to its end.
	return check, s.retry(ctx, set, out, func() error {
		where, err := s.standing(ctx, snap, a)
		switch {
		case err != nil || where == standsOutside:
			return err
		case where == standsPending:
			return s.runAlone(ctx, set, finalizeStep(set, a, r.detach.Role))
		}
		return s.runAlone(ctx, set, r.detach)
	})
}

func (s *Session) markInTx(ctx context.Context, tx pgx.Tx, set partition.Set, snap partition.Snapshot, a partition.Action, step Step) (check string, err error) {
	if err := s.waitShortly(ctx, tx); err != nil {
		return "", err
	}
	if err := execAll(ctx, tx, step.Statements[0].SQL, step.Statements[1].SQL); err != nil {
		return "", err
	}
	if err := s.lock.stillHeld(ctx, tx, set); err != nil {
		return "", err
	}
	// relpartbound is deparsed under the settings under which it was observed.
	var oid uint32
	var bound *string
	var now time.Time
	err = tx.QueryRow(ctx, `SELECT c.oid, (SELECT pg_catalog.pg_get_expr(c.relpartbound, 'pg_catalog.pg_class'::pg_catalog.regclass)
			FROM pg_catalog.pg_inherits WHERE inhrelid = c.oid AND inhparent = $3), pg_catalog.clock_timestamp()
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`,
		a.Table.Schema, a.Table.Local, snap.Parent.OID).Scan(&oid, &bound, &now)
	if err != nil {
		return "", fmt.Errorf("look at %s again: %w", a.Table, err)
	}
	i := slices.IndexFunc(snap.Partitions, func(c partition.Partition) bool { return c.OID == a.OID })
	if i < 0 || oid != a.OID || bound == nil {
		return "", fmt.Errorf("%s is another table now, or none of the parent's: %w", a.Table, ErrChangedMeanwhile)
	}
	if *bound != snap.Partitions[i].Declared {
		return "", fmt.Errorf("%s is declared %s now: %w", a.Table, *bound, ErrChangedMeanwhile)
	}
	if err := stillOld(set, snap, a, now); err != nil {
		return "", err
	}
	if err := s.recheckHolds(ctx, tx, set, a, step.Role); err != nil {
		return "", err
	}
	check, _, err = markNow(ctx, tx, set, a)
	if err != nil || check != "" {
		return check, err // An earlier pass has begun.
	}
	if err := execAll(ctx, tx, step.Statements[2].SQL); err != nil {
		return "", err
	}
	check, _, err = markNow(ctx, tx, set, a)
	return check, err
}

// markNow returns the definition of a table's mark, without NOT VALID, and whether it
// is validated; it is empty where there is none.
func markNow(ctx context.Context, tx pgx.Tx, set partition.Set, a partition.Action) (check string, validated bool, err error) {
	err = tx.QueryRow(ctx, "SELECT pg_catalog.pg_get_constraintdef(oid), convalidated FROM pg_catalog.pg_constraint WHERE conrelid = $1 AND contype = 'c' AND conname = $2",
		a.OID, partition.RetireMark(set.Parent)).Scan(&check, &validated)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("look for the mark of %s: %w", a.Table, err)
	}
	return strings.TrimSuffix(check, " NOT VALID"), validated, nil
}

// hasConstraint tells whether the action's table has a constraint of that name.
func hasConstraint(ctx context.Context, q Querier, a partition.Action, name string) (has bool, err error) {
	err = q.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conrelid = $1 AND conname = $2)", a.OID, name).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("look at the constraints of %s: %w", a.Table, err)
	}
	return has, nil
}

// removeTakenOut does to a table that is out of its parent what retention asks for.
func (s *Session) removeTakenOut(ctx context.Context, tx pgx.Tx, set partition.Set, snap partition.Snapshot, a partition.Action, archived Archived, step Step, check string, soon *bool, out *Outcome) error {
	exec := func(sql string) error { return execAll(ctx, tx, sql) }
	if err := s.waitShortly(ctx, tx); err != nil {
		return err
	}
	if err := s.lockForRemoval(ctx, tx, set, a, archived, step.Statements[0].SQL, soon, exec); err != nil {
		return err
	}
	if err := s.lock.stillHeld(ctx, tx, set); err != nil {
		return err
	}
	var oid uint32
	var child bool
	var now time.Time
	err := tx.QueryRow(ctx, `SELECT c.oid, EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhrelid = c.oid), pg_catalog.clock_timestamp()
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`,
		a.Table.Schema, a.Table.Local).Scan(&oid, &child, &now)
	if err != nil {
		return fmt.Errorf("look at %s again: %w", a.Table, err)
	}
	mark, validated, err := markNow(ctx, tx, set, a)
	switch {
	case err != nil:
		return err
	case oid != a.OID || child:
		return fmt.Errorf("%s is another table now, or somebody's partition: %w", a.Table, ErrChangedMeanwhile)
	case check == "" || mark != check || !validated:
		return fmt.Errorf("%s has lost its CHECK %s: %w", a.Table, partition.RetireMark(set.Parent), ErrChangedMeanwhile)
	}
	if err := stillOld(set, snap, a, now); err != nil {
		return err
	}
	if err := s.recheckHolds(ctx, tx, set, a, step.Role); err != nil {
		return err
	}
	gone, err := s.aboutToGo(ctx, tx, set, snap, a, archived)
	if err != nil {
		return err
	}
	removal := step.Statements[1:]
	if a.Then == partition.Detach {
		moved := a
		if schema := set.Retention.Schema; schema != "" && schema != a.Table.Schema {
			if moved, err = makeRoom(ctx, tx, schema, a, exec); err != nil {
				return err
			}
			removal = renderRetireDeclared(set, snap, moved, step.Role).remove.Statements[1:]
			gone.Moved = partition.Name{Schema: schema, Local: moved.Table.Local}
			out.Archive = gone.Moved.String()
		}
		named, err := hasConstraint(ctx, tx, a, partition.BoundsConstraint)
		if err != nil {
			return err
		}
		if named {
			drop := Statement{SQL: fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", quoteName(moved.Table), quoteIdent(partition.RetireMark(set.Parent)))}
			removal = append([]Statement{drop}, removal[1:]...)
		}
	}
	return s.removeNoting(ctx, tx, step.Role, removal, gone, out)
}
