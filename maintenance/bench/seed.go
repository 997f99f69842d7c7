package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/sql"
)

// seeded is a database with the schema that this pattern's users have. Only that
// schema knows the names, so they are read from the catalog.
type seeded struct {
	url               string
	conn              *pgx.Conn
	parent            string // quoted, with its schema
	local             string
	trigger, function string
	month             time.Time // the present one by the server's clock, in UTC
}

// written are the columns that clients write, in the order of the source's.
const written = "program_id, user_id, dialogue, created_at"

// connect makes a database, from a template if one is named, and connects to it.
func (e *env) connect(ctx context.Context, name, template string) (*pgx.Conn, error) {
	admin, err := pgx.Connect(ctx, e.server.URL("postgres"))
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	defer closeConn(admin)
	create := "CREATE DATABASE " + name
	if template != "" {
		create += " TEMPLATE " + template
		if e.server.Binaries().Major() >= 15 {
			// Copying through the WAL is what later releases do by themselves.
			create += " STRATEGY file_copy"
		}
	}
	if _, err := admin.Exec(ctx, create); err != nil {
		return nil, fmt.Errorf("making database %s: %w", name, err)
	}
	conn, err := pgx.Connect(ctx, e.server.URL(name))
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return conn, nil
}

// drop removes a database that nobody is connected to any more.
func (e *env) drop(ctx context.Context, name string) error {
	admin, err := pgx.Connect(ctx, e.server.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer closeConn(admin)
	_, err = admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
	return err
}

// closeConn closes a connection that nothing is expected of any more.
func closeConn(conn *pgx.Conn) {
	if conn != nil {
		_ = conn.Close(context.Background())
	}
}

// runSQL runs several statements.
func runSQL(ctx context.Context, conn *pgx.Conn, statements string) error {
	_, err := conn.PgConn().Exec(ctx, statements).ReadAll()
	if err != nil {
		return fmt.Errorf("%w in %.200s", err, statements)
	}
	return nil
}

// seed makes a database with the seed's schema and no rows.
func (e *env) seed(ctx context.Context, name string) (*seeded, error) {
	conn, err := e.connect(ctx, name, "")
	if err != nil {
		return nil, err
	}
	if err := runSQL(ctx, conn, sql.Text("seed.sql")); err != nil {
		closeConn(conn)
		return nil, err
	}
	return e.open(ctx, name, conn)
}

// open reads the names that a database with the seed's schema has.
func (e *env) open(ctx context.Context, name string, conn *pgx.Conn) (*seeded, error) {
	s := &seeded{url: e.server.URL(name), conn: conn}
	err := conn.QueryRow(ctx, `SELECT c.relname, c.oid::regclass::text, t.tgname, t.tgfoid::regproc::text, date_trunc('month', now() AT TIME ZONE 'UTC')
		  FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
		 WHERE NOT t.tgisinternal AND c.relnamespace = 'public'::regnamespace`).Scan(&s.local, &s.parent, &s.trigger, &s.function, &s.month)
	if err != nil {
		closeConn(conn)
		return nil, fmt.Errorf("looking for the parent: %w", err)
	}
	return s, nil
}

// at is the first day of a month, counted from the present one.
func (s *seeded) at(month int) time.Time { return s.month.AddDate(0, month, 0) }

// child is the name of a month's table.
func (s *seeded) child(month int) string {
	return partition.BaseName(partition.Name{Schema: "public", Local: s.local}) + "_" + s.at(month).Format("2006_01")
}

// literal is the beginning of a month as a constant of the key's type.
func (s *seeded) literal(month int) string { return s.at(month).Format("timestamp '2006-01-02'") }

// months makes the months' tables as the seed does: by a row of each, which is
// removed again.
func (s *seeded) months(ctx context.Context, first, last int) error {
	return runSQL(ctx, s.conn, fmt.Sprintf(`SET client_min_messages = warning;
		INSERT INTO %[1]s (%[2]s) SELECT 'p', 'u', 'first', %[3]s + n * interval '1 month' FROM generate_series(%[4]d, %[5]d) AS n;
		TRUNCATE %[1]s`, s.parent, written, s.literal(0), first, last))
}

// dropIndexes takes the parent's indexes away.
func (s *seeded) dropIndexes(ctx context.Context) error {
	return runSQL(ctx, s.conn, fmt.Sprintf(`DO $$ DECLARE i regclass; BEGIN
		FOR i IN SELECT indexrelid FROM pg_index WHERE indrelid = '%s'::regclass LOOP EXECUTE format('DROP INDEX %%s', i); END LOOP; END $$`, s.parent))
}

// pass makes one pass of the daemon's own code over the set, with what follows the
// parent and the key in the configuration, and fails unless all of it is done.
func (s *seeded) pass(ctx context.Context, policy string) (maintenance.Report, error) {
	c, err := s.configure(policy)
	if err != nil {
		return maintenance.Report{}, err
	}
	m := &maintenance.Maintainer{
		Connect:   s.another,
		Log:       slog.New(slog.DiscardHandler),
		Archiving: maintenance.Archiving{Format: archive.Format(c.Archive.Format), PartBytes: c.Archive.PartBytes},
	}
	report, err := m.Pass(ctx, ctx.Done(), []partition.Set{c.Databases[0].Sets[0].Set})
	if err == nil && report.Status() != maintenance.Done {
		err = fmt.Errorf("the pass is %q", report.Status())
		for _, set := range report.Sets {
			for _, a := range set.Actions {
				if a.Error != "" {
					err = errors.Join(err, fmt.Errorf("%s %s: %s", a.Action, a.Table, a.Error))
				}
			}
			for _, p := range set.Problems {
				err = errors.Join(err, fmt.Errorf("%s: %s", p.Kind, p.Text))
			}
		}
	}
	return report, err
}

// configure reads a configuration for the set.
func (s *seeded) configure(policy string) (*config.Config, error) {
	text := fmt.Sprintf("[database]\nurl = %q\n[[set]]\nparent = %q\nkey = \"created_at\"\n%s", s.url, "public."+s.local, policy)
	return config.Parse("bench.toml", []byte(text))
}

// another opens one more connection.
func (s *seeded) another(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, s.url) }

// convert makes the set a declarative one.
func (s *seeded) convert(ctx context.Context) error {
	c, err := s.configure("")
	if err != nil {
		return err
	}
	return converting(ctx, s.another, c.Databases[0].Sets[0].Set, false, &conversion{})
}
