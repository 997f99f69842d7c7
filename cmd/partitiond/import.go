package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/imports"
)

// importOptions are the flags of import.
type importOptions struct {
	*options
	url      string
	removals bool
}

func (o *options) newImport() *cobra.Command {
	i := &importOptions{options: o}
	cmd := &cobra.Command{
		Use:   "import [FILE]",
		Short: "Print the sets of pg_partman or of postgresql-partition-manager for the configuration",
		Long: `Import prints the sets of another partition manager as [[set]] tables for the file. It
reads the YAML file of postgresql-partition-manager, or without a FILE the table
part_config of pg_partman in the database that --url or the configuration names.
Nothing is changed anywhere.

Boundaries, names, intervals and what is made ahead stay as they are, so a first pass
makes nothing twice. What the other manager does with old partitions is printed as a
comment, unless --removals is given: look at --run-now --dry-run first. What cannot be
served is left out, with the reason, and the exit code is 3 then.

` + exitHelp,
		Example: `  partitiond import --url "host=/var/run/postgresql dbname=app" >> config.toml
  partitiond import postgresql-partition-manager.yaml >> config.toml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return i.run(cmd.Context(), args) },
	}
	i.databaseFlag(cmd)
	cmd.Flags().StringVar(&i.url, "url", "", "connection string of the database that has pg_partman (default: the configuration's)")
	cmd.MarkFlagsMutuallyExclusive("database", "url")
	cmd.Flags().BoolVar(&i.removals, "removals", false, "have old partitions removed, as the other manager does")
	return cmd
}

func (i *importOptions) run(ctx context.Context, args []string) error {
	sets, err := i.read(ctx, args)
	if err != nil {
		return err
	}
	refused := false
	for n, s := range sets {
		if n > 0 {
			fmt.Fprintln(i.stdout)
		}
		fmt.Fprint(i.stdout, s.TOML(i.removals))
		refused = refused || s.Refused != ""
	}
	if refused {
		return exitError{code: exitPartly}
	}
	return nil
}

func (i *importOptions) read(ctx context.Context, args []string) ([]imports.Set, error) {
	if len(args) == 1 {
		if i.url != "" || i.databases != nil {
			return nil, exitError{exitUsage, errors.New("--url and --database name a database: expected them without a file")}
		}
		text, err := os.ReadFile(args[0])
		if err != nil {
			return nil, exitError{exitUsage, fmt.Errorf("import: %w", err)}
		}
		sets, err := imports.Manager(text)
		if err != nil {
			return nil, exitError{exitUsage, fmt.Errorf("%s: %w", args[0], err)}
		}
		return sets, nil
	}
	conn, err := i.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	sets, err := imports.Partman(ctx, conn)
	if errors.Is(err, imports.ErrNoPartman) {
		return nil, exitError{exitUsage, fmt.Errorf("import: %w", err)}
	} else if err != nil {
		return nil, exitError{exitFailed, fmt.Errorf("import: %w", err)}
	}
	return sets, nil
}

func (i *importOptions) connect(ctx context.Context) (*pgx.Conn, error) {
	if i.url == "" {
		t, err := i.ready(newConsole(i.stderr))
		if err != nil {
			return nil, err
		}
		d, err := t.one()
		if err != nil {
			return nil, err
		}
		return d.connect(ctx)
	}
	// The error of a connection string never has its password.
	if _, err := pgx.ParseConfig(i.url); err != nil {
		return nil, exitError{exitUsage, fmt.Errorf("--url: %w", err)}
	}
	conn, err := pgx.Connect(ctx, i.url)
	if err != nil {
		return nil, exitError{exitConnect, fmt.Errorf("%w: %w", maintenance.ErrConnect, err)}
	}
	return conn, nil
}
