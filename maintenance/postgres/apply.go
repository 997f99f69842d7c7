package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Outcome is what applying one action came to.
type Outcome struct {
	// Took is the wall time of all of it, Waited the part spent waiting for
	// locks that were not granted in time, and between tries.
	Took, Waited time.Duration
	Retries      int
	// Rows and Bytes are what was moved or archived, where the action does that.
	Rows, Bytes int64
	// Archive is where a retired partition is now.
	Archive string
	// Unrecorded tells that a partition was removed, or a set changed, without a row in
	// the history, since there is none, and the role may not make it.
	Unrecorded bool
	Blockers   []Blocker

	action  partition.Action
	waits   waits
	lastTag pgconn.CommandTag
	notes   []error
	// mark is the CHECK under which the action itself has taken its table out of a
	// declarative parent.
	mark string
}

// Apply carries out one action. A nil error means that all of it is committed.
// An error leaves the partition's rows where they were, or in both the table
// and the archive, never in neither.
func (s *Session) Apply(ctx context.Context, set partition.Set, snap partition.Snapshot, a partition.Action) (Outcome, error) {
	out := Outcome{action: a, waits: waitsOf(snap, a, false)}
	began := time.Now()
	err := s.apply(ctx, set, snap, a, &out)
	out.Took = time.Since(began)
	return out, errors.Join(append([]error{err}, out.notes...)...)
}

func (s *Session) apply(ctx context.Context, set partition.Set, snap partition.Snapshot, a partition.Action, out *Outcome) error {
	switch a.Kind {
	case partition.RouteRows:
		var err error
		if a.Route, err = s.existingBranches(ctx, snap, a.Route); err != nil {
			return err
		}
		if err := s.ownRoutingFunctions(ctx, set, snap); err != nil {
			return err
		}
	case partition.Create:
		if a.Route.Declarative && snap.Default != nil {
			return s.createBesideDefault(ctx, set, snap, a, Render(set, snap, a)[0].Role, out)
		}
	case partition.Attach:
		if snap.Default != nil {
			return s.createBesideDefault(ctx, set, snap, a, Render(set, snap, a)[0].Role, out)
		}
	case partition.Sweep:
		return s.sweep(ctx, set, snap, a, out)
	case partition.Retire:
		return s.retire(ctx, set, snap, a, out)
	case partition.Index:
		for _, name := range a.Invalid {
			if err := s.stillInvalid(ctx, partition.Name{Schema: a.Table.Schema, Local: name}); err != nil {
				return err
			}
		}
	}
	for _, step := range Render(set, snap, a) {
		if err := s.runStep(ctx, set, snap, step, out); err != nil {
			if name := interimConstraint(a); name != "" && isCheckViolation(err) {
				return errors.Join(err, s.dropConstraint(ctx, set, snap, a, name, out))
			}
			if a.Kind == partition.Create && s.madeMeanwhile(ctx, snap, a, err) {
				return nil // What it may lack the next look tells.
			}
			return err
		}
	}
	return nil
}

func isCheckViolation(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "23514"
}

// interimConstraint names the CHECK that the action adds NOT VALID before it has
// looked at the rows.
func interimConstraint(a partition.Action) string {
	switch {
	case a.Kind == partition.Constrain && a.Exists == partition.ConstraintAbsent:
		return a.Constraint
	case a.Kind == partition.Align:
		return notNullInterim
	}
	return ""
}

// dropConstraint takes a CHECK back that the rows turned out to violate: left
// behind NOT VALID it would refuse updates of those rows.
func (s *Session) dropConstraint(ctx context.Context, set partition.Set, snap partition.Snapshot, a partition.Action, name string, out *Outcome) error {
	step := Render(set, snap, a)[0]
	step.Statements = []Statement{{SQL: fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s", quoteName(a.Table), quoteIdent(name))}}
	return s.runStep(ctx, set, snap, step, out)
}

// madeMeanwhile tells whether a partition could not be made because it is there by
// now: a row has come that needed it.
func (s *Session) madeMeanwhile(ctx context.Context, snap partition.Snapshot, a partition.Action, failed error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(failed, &pgErr) || pgErr.Code != "42P07" {
		return false
	}
	var there bool
	err := s.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE i.inhparent = $1 AND n.nspname = $2 AND c.relname = $3)`, snap.Parent.OID, a.Table.Schema, a.Table.Local).Scan(&there)
	return err == nil && there
}

// existingBranches drops the branches whose partition is not there, because
// making it has failed: a branch without its table would refuse rows, which the
// dynamic path does not. Of the others it finds the OIDs.
func (s *Session) existingBranches(ctx context.Context, snap partition.Snapshot, r *partition.Route) (*partition.Route, error) {
	rows, err := s.conn.Query(ctx, `SELECT n.nspname, c.relname, c.oid FROM pg_inherits i
		JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.inhparent = $1`, snap.Parent.OID)
	if err != nil {
		return nil, fmt.Errorf("list the partitions: %w", err)
	}
	oids := map[partition.Name]uint32{}
	var name partition.Name
	var oid uint32
	if _, err := pgx.ForEachRow(rows, []any{&name.Schema, &name.Local, &oid}, func() error { oids[name] = oid; return nil }); err != nil {
		return nil, fmt.Errorf("list the partitions: %w", err)
	}
	existing := func(branches []partition.Branch) (out []partition.Branch) {
		for _, b := range branches {
			if b.OID = oids[b.Table]; b.OID != 0 {
				out = append(out, b)
			}
		}
		return out
	}
	kept := *r
	kept.Near, kept.Rest = existing(r.Near), existing(r.Rest)
	return &kept, nil
}

// ownRoutingFunctions gives routing functions that are there already, adopted or
// made for another owner, to the parent's owner, who has to be able to replace them.
func (s *Session) ownRoutingFunctions(ctx context.Context, set partition.Set, snap partition.Snapshot) error {
	names := routeNames(set.Function)
	rows, err := s.conn.Query(ctx, `SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE n.nspname = $1 AND pg_get_userbyid(p.proowner) <> $2
		  AND (p.proname = $3 AND p.pronargs = 0 OR p.proname = ANY ($4) AND p.prosrc LIKE '%-- partitiond route %')`,
		set.Function.Schema, snap.Parent.Owner, names[0].Local, []string{names[1].Local, names[2].Local})
	if err != nil {
		return fmt.Errorf("look up the routing functions' owners: %w", err)
	}
	signatures, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look up the routing functions' owners: %w", err)
	}
	for _, signature := range signatures {
		if _, err := s.conn.Exec(ctx, fmt.Sprintf("ALTER FUNCTION %s OWNER TO %s", signature, quoteIdent(snap.Parent.Owner))); err != nil {
			return fmt.Errorf("give the function %s to the parent's owner: %w", signature, err)
		}
	}
	return nil
}

// stillInvalid makes sure that an index is a leftover right before it goes:
// somebody else's build may just have been finished.
func (s *Session) stillInvalid(ctx context.Context, index partition.Name) error {
	var valid bool
	err := s.conn.QueryRow(ctx, `SELECT x.indisvalid FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`, index.Schema, index.Local).Scan(&valid)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("look at the invalid index %s: %w", index, err)
	case valid:
		return fmt.Errorf("index %s has become valid meanwhile", index)
	}
	return nil
}

// sweep moves rows in batches until none is left, or only rows that other
// sessions hold.
func (s *Session) sweep(ctx context.Context, set partition.Set, snap partition.Snapshot, a partition.Action, out *Outcome) error {
	step := Render(set, snap, a)[0]
	for {
		if err := s.runStep(ctx, set, snap, step, out); err != nil {
			return err
		}
		moved := out.lastTag.RowsAffected()
		out.Rows += moved
		if moved < int64(set.SweepBatch) {
			break
		}
	}
	if out.Rows < a.Rows {
		return fmt.Errorf("%d of %d rows moved: others are held by sessions or kept by a trigger", out.Rows, a.Rows)
	}
	return nil
}
