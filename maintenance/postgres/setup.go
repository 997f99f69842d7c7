package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/sql"
)

// Setup makes a set that does not exist yet, up to where a first pass takes over.
type Setup struct {
	// Role is the daemon's; it is made where it is missing, and owns the parent.
	Role string
	// Database is the one that Role may connect to, by default the connection's.
	Database string
	// Schema is SQL that makes the parent.
	Schema string
	// Writers may insert, Readers may select.
	Writers, Readers []string
}

// ErrParentExists says that there is nothing to set up.
var ErrParentExists = errors.New("the parent exists already: a pass adopts it as it stands")

// Install runs the setup in one transaction: all of it is there afterwards, or
// nothing is, as where a pass would refuse the table that the schema makes.
func (s Setup) Install(ctx context.Context, conn *pgx.Conn, set partition.Set) error {
	statements, err := s.Statements(ctx, conn, set)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if exists, err := hasColumn(ctx, tx, set.Parent, ""); err != nil {
			return err
		} else if exists {
			return fmt.Errorf("%s: %w", set.Parent, ErrParentExists)
		}
		for i, st := range statements {
			if _, err := tx.Exec(ctx, st); err != nil {
				return fmt.Errorf("run %s: %w", brief(st), err)
			}
			if i != 1 {
				continue
			}
			if exists, err := hasColumn(ctx, tx, set.Parent, set.Key); err != nil {
				return err
			} else if !exists {
				return fmt.Errorf("the schema file makes no table %s with a column %q: expected one that does (--schema)", set.Parent, set.Key)
			}
		}
		return servable(ctx, conn, set)
	})
}

// servable is an error where the table that was made is none that a pass serves. It is
// asked in the transaction that makes it.
func servable(ctx context.Context, conn *pgx.Conn, set partition.Set) error {
	snaps, err := Observe(ctx, conn, []partition.Set{set})
	if err != nil {
		return fmt.Errorf("look at what the schema file makes: %w", err)
	}
	for _, p := range partition.Make(set, snaps[0]).Problems {
		if p.Kind == partition.ProblemUnsupported {
			return fmt.Errorf("the schema file makes a table that cannot be served: %s: %s (%s)", p.Table, p.Text, p.Hint)
		}
	}
	return nil
}

// Statements returns what Install runs. The role's part is a text of the sql
// package, which the server itself fills in.
func (s Setup) Statements(ctx context.Context, conn *pgx.Conn, set partition.Set) ([]string, error) {
	var role string
	err := conn.QueryRow(ctx, "SELECT format($1, $2::text, $3::text, $4::text, coalesce(nullif($5, ''), current_database()))",
		sql.Text("role.sql"), s.Role, set.Parent.Schema, quoteName(set.Parent), s.Database).Scan(&role)
	if err != nil {
		return nil, fmt.Errorf("fill in role.sql: %w", err)
	}
	parent := quoteName(set.Parent)
	out := []string{role, s.Schema, fmt.Sprintf("ALTER TABLE %s OWNER TO %s", parent, quoteIdent(s.Role))}
	for _, w := range s.Writers {
		out = append(out, fmt.Sprintf("GRANT INSERT ON TABLE %s TO %s", parent, quoteIdent(w)), grantSequences(parent, w))
	}
	for _, r := range s.Readers {
		out = append(out, fmt.Sprintf("GRANT SELECT ON TABLE %s TO %s", parent, quoteIdent(r)))
	}
	return append(out, sql.Text("tables.sql"), grantTables(s.Role)), nil
}

// grantSequences lets a role draw from the sequences that belong to the parent's
// columns: a default is evaluated with the rights of whoever inserts.
func grantSequences(parent, role string) string {
	return "DO " + dollarQuote(fmt.Sprintf(`
DECLARE s pg_catalog.regclass;
BEGIN
  FOR s IN SELECT d.objid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = d.classid
      AND d.refobjid = %s::pg_catalog.regclass AND c.relkind = 'S'
  LOOP
    EXECUTE pg_catalog.format('GRANT USAGE ON SEQUENCE %%s TO %%s', s, %s);
  END LOOP;
END `, quoteLiteral(parent), quoteLiteral(quoteIdent(role))))
}

// hasColumn tells whether the table exists and has the column; an empty column asks for the table alone.
func hasColumn(ctx context.Context, tx pgx.Tx, table partition.Name, column string) (bool, error) {
	var exists bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2
		  AND ($3 = '' OR EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = $3 AND a.attnum > 0 AND NOT a.attisdropped)))`,
		table.Schema, table.Local, column).Scan(&exists)
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", table, err)
	}
	return exists, nil
}
