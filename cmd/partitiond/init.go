package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp"
	"github.com/partitiond/partitiond/maintenance/postgres"
	"github.com/partitiond/partitiond/sql"
)

// initOptions are the flags of init.
type initOptions struct {
	*options
	admin  string
	schema string
	setup  postgres.Setup
	print  bool
}

func (o *options) newInit() *cobra.Command {
	i := &initOptions{options: o}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Install the parent, the trigger and a least-privilege role for a new set",
		Long: `Init makes a set that does not exist yet: the role that the daemon uses, the parent
from a schema file, the grants, and then what a first pass makes of it: the routing
trigger with its functions and the partitions ahead. It needs a role that may create
roles and tables; the daemon's own may not. An existing parent is left alone.

With --print nothing is changed anywhere: the SQL is made on a throw-away server from
the installed PostgreSQL binaries and printed, to be read, edited and run by hand.

` + exitHelp,
		Example: `  partitiond init --config config.toml --print
  partitiond init --config config.toml --admin "host=/var/run/postgresql user=postgres dbname=app" \
      --grant-insert app --grant-select readonly
  partitiond init --config config.toml --set public.events --schema events.sql`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return i.run(cmd.Context()) },
	}
	o.setFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&i.admin, "admin", "", "connection string of a role that may create roles and tables (default: the file's)")
	flags.StringVar(&i.schema, "schema", "", "SQL file that makes the parent (default: the seed schema, see the one in sql/)")
	flags.StringVar(&i.setup.Role, "role", "partitiond", "the daemon's role; it is made if it does not exist, and owns the parent")
	flags.StringArrayVar(&i.setup.Writers, "grant-insert", nil, "role that may insert into the set; repeatable")
	flags.StringArrayVar(&i.setup.Readers, "grant-select", nil, "role that may read the set; repeatable")
	flags.BoolVar(&i.print, "print", false, "only print the SQL")
	return cmd
}

func (i *initOptions) run(ctx context.Context) error {
	t, err := i.ready(newConsole(i.stderr))
	if err != nil {
		return err
	}
	m, set, err := t.oneSet()
	if err != nil {
		return err
	}
	i.setup.Schema = sql.NewSchema()
	if i.schema != "" {
		text, err := os.ReadFile(i.schema)
		if err != nil {
			return exitError{exitUsage, fmt.Errorf("--schema: %w", err)}
		}
		i.setup.Schema = string(text)
	}
	if i.print {
		return i.printSQL(ctx, t.config, m, set)
	}
	if i.admin != "" {
		m.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, i.admin) }
	}
	if err := i.install(ctx, m, set); err != nil {
		return err
	}
	hard, stop := bounded(ctx, t.config.Schedule.StopTimeout)
	report, err := m.Pass(hard, stop, []partition.Set{set})
	if err != nil {
		return exitWith("", err)
	}
	printReport(i.stdout, report)
	return exitWith(report.Status(), nil)
}

// install makes the role and the parent.
func (i *initOptions) install(ctx context.Context, d target, set partition.Set) error {
	conn, err := d.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := i.setup.Install(ctx, conn, set); err != nil {
		return exitError{exitFailed, fmt.Errorf("init: %w", err)}
	}
	return nil
}

// printSQL makes the set on a throw-away server, where nothing is in the way,
// and prints what that took.
func (i *initOptions) printSQL(ctx context.Context, c *config.Config, m target, set partition.Set) (err error) {
	server, err := pgtemp.Start(ctx, pgtemp.Options{})
	if err != nil {
		return exitError{exitFailed, fmt.Errorf("--print needs the PostgreSQL server's programs to make the SQL with: %w", err)}
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	m.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, server.URL("postgres")) }
	conn, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	roles := slices.Concat(i.setup.Writers, i.setup.Readers)
	slices.Sort(roles)
	for _, role := range slices.Compact(roles) { // A role may be both.
		if role == i.setup.Role {
			continue
		}
		if _, err := conn.Exec(ctx, "CREATE ROLE "+pgx.Identifier{role}.Sanitize()); err != nil {
			return exitError{exitFailed, err}
		}
	}
	if err := i.setup.Install(ctx, conn, set); err != nil {
		return exitError{exitFailed, fmt.Errorf("init: %w", err)}
	}
	// What is printed is for the configured database.
	if d, err := c.Database(m.Database); err == nil {
		if cc, err := d.ConnConfig(); err == nil {
			i.setup.Database = cc.Database
		}
	}
	statements, err := i.setup.Statements(ctx, conn, set)
	if err != nil {
		return exitError{exitFailed, err}
	}
	var script script
	fmt.Fprintf(&script.text, "-- The set %s, for a database that does not have it yet.\n\n", set.Parent)
	for _, st := range statements {
		script.begin()
		fmt.Fprintf(&script.text, "%s;\n\n", strings.TrimRight(st, "; \n"))
	}
	if err := script.firstPass(ctx, conn, m, set); err != nil {
		return exitError{exitFailed, fmt.Errorf("init: %w", err)}
	}
	script.commit()
	_, err = fmt.Fprint(i.stdout, script.text.String())
	return err
}
