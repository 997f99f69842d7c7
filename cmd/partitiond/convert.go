package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/convert"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// convertOptions are the flags of convert and partition.
type convertOptions struct {
	*options
	convert.Options
	finish               bool
	key, interval, until string
}

// defaultBound is how long a swap may keep others waiting, once it has its locks.
const defaultBound = 2 * time.Second

func (o *options) newConvert() *cobra.Command {
	v := &convertOptions{options: o}
	cmd := &cobra.Command{
		Use:   "convert SET",
		Short: "Make a set by inheritance a declarative one, without moving a row",
		Long: `Convert makes a set that is partitioned by inheritance and a trigger a declarative one
(PARTITION BY RANGE) with the same name. No row is moved and no file written anew.

First it does what takes time, while readers and writers go on: what a pass would do to
the partitions, validated CHECKs of their bounds, NOT NULL of the key, indexes. Then one
transaction swaps the parents: it waits for its locks for limits.lock_timeout at most, is
ended by the server if it then takes longer than --max-lock, and is tried again
limits.retries times. Sequences, grants, comments, policies, triggers, publications and
views go over to the new parent. The old one stays, empty, as SET_inherited.

Whatever stands in the way is listed, and then nothing is changed. Killed at any point the
old set goes on; the next call finds what has been done.

With --rollback the set goes back to inheritance, with all partitions and rows that came
since. With --finish the old parent and the routing functions are dropped.

` + exitHelp,
		Example: `  partitiond convert public.events --dry-run         what would be done, and what is in the way
  partitiond convert public.events
  partitiond convert public.events --rollback
  partitiond convert public.events --finish`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return v.convert(cmd.Context(), args[0]) },
	}
	v.flags(cmd)
	cmd.Flags().BoolVar(&v.Rollback, "rollback", false, "go back to inheritance")
	cmd.Flags().BoolVar(&v.finish, "finish", false, "drop the old parent that was kept for a rollback")
	cmd.MarkFlagsMutuallyExclusive("rollback", "finish")
	return cmd
}

func (o *options) newPartition() *cobra.Command {
	v := &convertOptions{options: o}
	cmd := &cobra.Command{
		Use:   "partition TABLE",
		Short: "Make an ordinary table the first partition of a declarative set, without moving a row",
		Long: `Partition makes a declarative set (PARTITION BY RANGE) of the table's name, and the table
with all its rows the first partition, TABLE_first. No row is moved and no file written
anew. It is done as convert does it: what takes time comes first, while readers and
writers go on, and one short transaction swaps the tables.

The first partition ends with the last period that is made ahead, or with the youngest
row's, unless --until says otherwise. From the first task on until the swap is made, rows
beyond its bounds are refused. A default partition takes them after that.

The table needs no set in the file: --key names its column, and --interval the periods.
Stop the daemon if the file has the table as a set already, for it would move its rows.

` + exitHelp,
		Example: `  partitiond partition public.events --key at --interval "1 month" --dry-run
  partitiond partition public.events --key at --interval "1 month" --widen-keys`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return v.partition(cmd.Context(), args[0]) },
	}
	v.flags(cmd)
	v.flagsOfTable(cmd)
	cmd.Flags().StringVar(&v.until, "until", "", "date from which on rows go to other partitions, such as 2027-01-01")
	return cmd
}

func (v *convertOptions) flags(cmd *cobra.Command) {
	v.databaseFlag(cmd)
	v.flagsOfSwap(cmd)
	cmd.Flags().BoolVar(&v.WidenKeys, "widen-keys", false, "add the partition key to unique and primary keys that lack it")
}

// flagsOfTable say what a set is that the file does not have.
func (v *convertOptions) flagsOfTable(cmd *cobra.Command) {
	cmd.Flags().StringVar(&v.key, "key", "", "the column of type date, timestamp or timestamptz that decides the partition")
	cmd.Flags().StringVar(&v.interval, "interval", "1 month", "how much time one partition holds")
}

func (v *convertOptions) flagsOfSwap(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&v.dryRun, "dry-run", false, "print what would be done, with the SQL and its locks, and change nothing")
	cmd.Flags().DurationVar(&v.Bound, "max-lock", defaultBound, "how long the swap may keep others waiting, once it has its locks")
}

func (v *convertOptions) convert(ctx context.Context, name string) error {
	return v.work(ctx, name, func(ctx context.Context, conn *pgx.Conn, set partition.Set) (convert.Plan, error) {
		switch {
		case v.Rollback:
			return convert.Back(ctx, conn, set, v.Options)
		case v.finish:
			return convert.Finish(ctx, conn, set, v.Options)
		}
		return convert.Forward(ctx, conn, set, v.Options)
	})
}

func (v *convertOptions) partition(ctx context.Context, name string) error {
	var until time.Time
	if v.until != "" {
		var err error
		if until, err = time.ParseInLocation(time.DateOnly, v.until, time.UTC); err != nil {
			return exitError{exitUsage, fmt.Errorf("--until %q: expected a date such as 2027-01-01", v.until)}
		}
	}
	err := v.work(ctx, name, func(ctx context.Context, conn *pgx.Conn, set partition.Set) (convert.Plan, error) {
		return convert.Whole(ctx, conn, set, until, v.Options)
	})
	if err == nil && v.key != "" && !v.dryRun {
		fmt.Fprintf(v.stdout, "\nFor the daemon's file:\n\n%s", v.more)
	}
	return err
}

// tableSet is the part of a file that makes a table a set.
func tableSet(name, key, interval string) string {
	return fmt.Sprintf("[[set]]\nparent = %q\nkey = %q\ninterval = %q\n", name, key, interval)
}

// work is what is worked on.
type work struct {
	target
	config  *config.Config
	set     partition.Set
	connect convert.Connect
}

// prepare reads the configuration and finds the set of that name.
func (v *convertOptions) prepare(c *console, name string) (w work, err error) {
	if v.Bound <= 0 {
		return w, exitError{exitUsage, fmt.Errorf("--max-lock %s: expected a duration above zero, such as 2s", v.Bound)}
	}
	if v.key != "" {
		v.more = tableSet(name, v.key, v.interval)
	}
	v.set = name
	t, err := v.ready(c)
	if err != nil {
		return w, err
	}
	w.config = t.config
	if w.target, w.set, err = t.oneSet(); err != nil {
		return w, err
	}
	v.Agent = w.History.Agent
	w.connect = func(ctx context.Context) (*pgx.Conn, error) {
		conn, err := w.Connect(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", maintenance.ErrConnect, err)
		}
		return conn, nil
	}
	return w, nil
}

// work prints a plan for the set of that name, or carries it out.
func (v *convertOptions) work(ctx context.Context, name string, planFor func(context.Context, *pgx.Conn, partition.Set) (convert.Plan, error)) error {
	w, err := v.prepare(newConsole(v.stderr), name)
	if err != nil {
		return err
	}
	plan := func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) { return planFor(ctx, conn, w.set) }
	if v.dryRun {
		return v.show(ctx, w.connect, plan)
	}
	hard, stop := bounded(ctx, w.config.Schedule.StopTimeout)
	r, err := convert.Run(hard, stop, w.connect, w.set, plan, w.Log)
	return v.told(w.set, r, err)
}

// told says what has become of the set.
func (v *convertOptions) told(set partition.Set, r convert.Result, err error) error {
	switch {
	case errors.Is(err, convert.ErrStops):
		printStops(v.stdout, r.Plan)
		return exitError{exitPartly, fmt.Errorf("%s: %w", set.Parent, err)}
	case errors.Is(err, convert.ErrBusy):
		return exitError{exitBusy, fmt.Errorf("%s: %w", set.Parent, err)}
	case errors.Is(err, postgres.ErrStopped):
		return exitError{exitStopped, fmt.Errorf("%s: %w", set.Parent, err)}
	case err != nil && (r.Swapped || r.Tasks > 0):
		return exitError{exitPartly, fmt.Errorf("%s: %w", set.Parent, err)}
	case err != nil:
		return exitWith("", fmt.Errorf("%s: %w", set.Parent, err))
	case r.Plan.Done != "":
		fmt.Fprintf(v.stdout, "%s: nothing to do: %s\n", set.Parent, r.Plan.Done)
	case r.Swapped:
		fmt.Fprintf(v.stdout, "%s: done; others could have waited for %s at most, %d tries before\n", set.Parent, r.Held.Round(time.Millisecond), r.Retries)
	default:
		fmt.Fprintf(v.stdout, "%s: done\n", set.Parent)
	}
	printNotes(v.stdout, r.Plan)
	return nil
}

// show prints what would be done, and what is in the way.
func (v *convertOptions) show(ctx context.Context, connect func(context.Context) (*pgx.Conn, error), plan convert.Planner) error {
	conn, err := connect(ctx)
	if err != nil {
		return exitError{exitConnect, err}
	}
	defer conn.Close(context.WithoutCancel(ctx))
	p, err := plan(ctx, conn)
	if err != nil {
		return exitError{exitFailed, err}
	}
	printStops(v.stdout, p)
	if p.Done != "" {
		fmt.Fprintf(v.stdout, "%s: nothing to do: %s\n", p.Set.Parent, p.Done)
		return nil
	}
	printNotes(v.stdout, p)
	for _, t := range p.Tasks {
		fmt.Fprintf(v.stdout, "\n-- %s\n", t.Title)
		for i, step := range t.Steps {
			if i > 0 {
				fmt.Fprintln(v.stdout, "-- commit")
			}
			printStatements(v.stdout, step.Statements)
		}
	}
	if len(p.Copy) > 0 {
		fmt.Fprintf(v.stdout, "\n-- the copy: pages a transaction, and the changes in between, until few are left; each statement is committed\n")
		printStatements(v.stdout, p.Copy)
	}
	if len(p.Swap.Lock) > 0 {
		fmt.Fprintf(v.stdout, "\n-- the swap, one transaction: waits for its locks for %s at most, and is ended %s after it has them\n", p.Set.Limits.LockTimeout, p.Swap.Bound)
		for _, part := range [][]postgres.Statement{p.Swap.Build, p.Swap.Lock, p.Swap.Change} {
			printStatements(v.stdout, part)
		}
		for _, step := range p.After {
			fmt.Fprintln(v.stdout, "-- commit")
			printStatements(v.stdout, step.Statements)
		}
	}
	if len(p.Stops) > 0 {
		return exitError{code: exitPartly}
	}
	return nil
}

func printStatements(w io.Writer, statements []postgres.Statement) {
	for _, st := range statements {
		fmt.Fprintf(w, "-- lock: %s\n%s;\n", st.Lock, st.SQL)
	}
}

func printStops(w io.Writer, p convert.Plan) {
	for _, s := range p.Stops {
		fmt.Fprintf(w, "in the way: %s\n", s)
		if s.Hint != "" {
			fmt.Fprintf(w, "            %s\n", strings.TrimSpace(s.Hint))
		}
	}
}

func printNotes(w io.Writer, p convert.Plan) {
	for _, n := range p.Notes {
		fmt.Fprintln(w, "note:", n)
	}
}
