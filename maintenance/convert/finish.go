package convert

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// Finish plans the end of a conversion: the old parent goes, with the functions that
// routed its rows. There is no way back after that.
func Finish(ctx context.Context, conn *pgx.Conn, set partition.Set, o Options) (Plan, error) {
	p := Plan{Set: set}
	old := set
	old.Parent = KeptName(set.Parent)
	snaps, err := postgres.Observe(ctx, conn, []partition.Set{set, old})
	if err != nil {
		return p, fmt.Errorf("observe: %w", err)
	}
	p.Snapshot = snaps[1]
	switch {
	case snaps[0].Parent == nil || !snaps[0].Parent.Declarative:
		p.stop("not converted", set.Parent.String(), "expected a declarative set")
		return p, nil
	case p.Snapshot.Parent == nil:
		p.Done = "its old parent is gone already"
		return p, nil
	case len(p.Snapshot.Partitions) > 0:
		p.stop("old parent with children", old.Parent.String(), "a child that came to it later would go with it")
		return p, nil
	}
	role := p.Snapshot.Parent.Owner
	if role == p.Snapshot.Server.Role {
		role = ""
	}
	step := postgres.Step{Role: role, Event: o.event(&p, postgres.Converted, fmt.Sprintf("finished: its old parent %s was dropped", old.Parent))}
	var rows bool
	err = reading(ctx, conn, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM ONLY "+postgres.QuoteName(old.Parent)+")").Scan(&rows); err != nil {
			return fmt.Errorf("look for rows in the old parent: %w", err)
		}
		// Only those that partitiond has made.
		found, err := tx.Query(ctx, `SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
			WHERE n.nspname = $1 AND p.proname = ANY ($2) AND p.prosrc LIKE '%-- partitiond route %' AND p.prolang <> 0
			  AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgfoid = p.oid AND t.tgrelid <> $3) ORDER BY 1`,
			set.Function.Schema, []string{set.Function.Local, set.Function.Local + "_create", set.Function.Local + "_fits"}, p.Snapshot.Parent.OID)
		if err != nil {
			return fmt.Errorf("look for the routing functions: %w", err)
		}
		functions, err := pgx.CollectRows(found, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("look for the routing functions: %w", err)
		}
		step.Statements = append(step.Statements, postgres.Statement{SQL: "DROP TABLE " + postgres.QuoteName(old.Parent), Lock: exclusive + old.Parent.String()})
		for _, f := range functions {
			step.Statements = append(step.Statements, postgres.Statement{SQL: "DROP FUNCTION " + f, Lock: noLock})
		}
		return nil
	})
	if err != nil {
		return p, err
	}
	if rows {
		p.stop("rows", "in "+old.Parent.String(), "move them to "+set.Parent.String())
	}
	p.Tasks = []Task{{Title: fmt.Sprintf("drop %s, which is empty, and what routed its rows", old.Parent), Steps: []postgres.Step{step}}}
	return p, nil
}
