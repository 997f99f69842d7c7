package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/convert"
)

// drainOptions are its flags.
type drainOptions struct {
	convertOptions
	abandon bool
	// megabytes is the rate, below 0 that of the configuration.
	megabytes int
}

func (o *options) newDrain() *cobra.Command {
	v := &drainOptions{convertOptions: convertOptions{options: o}}
	cmd := &cobra.Command{
		Use:   "drain SET",
		Short: "Cut a partition that reaches over many periods into those, while it is used",
		Long: `Drain cuts the first partition of a declarative set that reaches over several periods,
such as the one that partition has made of a table, into the set's periods.

Tables for the periods are made aside, and the rows copied to them, pages at a time, while
the set is read and written as ever; a trigger notes the keys of rows that change. Then
both are compared, and one transaction puts the periods in the partition's place: it waits
for its locks for limits.lock_timeout at most, is ended by the server if it then takes
longer than --max-lock, and is tried again limits.retries times. So each row is seen once
at any time. Until the end the rows are on disk twice.

Interrupted or killed at any point, the next call goes on. Passes go on meanwhile: the
set is locked against them at the beginning and at the end only. What a drain that is not
to be finished has made, --abandon removes; the trigger costs writers something until then.

The set needs a unique key, such as a primary key. Whatever stands in the way is listed,
and then nothing is changed.

` + exitHelp,
		Example: `  partitiond drain public.events --dry-run
  partitiond drain public.events --megabytes-per-second 20
  partitiond drain public.events --abandon`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(cmd.Context(), args[0]) },
	}
	v.databaseFlag(cmd)
	v.flagsOfSwap(cmd)
	v.flagsOfTable(cmd)
	cmd.Flags().IntVar(&v.megabytes, "megabytes-per-second", -1, "how much is copied each second at most, 0 is no limit; by default archive.megabytes_per_second")
	cmd.Flags().BoolVar(&v.abandon, "abandon", false, "remove what an unfinished drain has made")
	cmd.MarkFlagsMutuallyExclusive("abandon", "dry-run")
	return cmd
}

func (v *drainOptions) run(ctx context.Context, name string) error {
	if v.megabytes < -1 || v.megabytes > 100_000 {
		return exitError{exitUsage, fmt.Errorf("--megabytes-per-second %d: expected 0 to 100000", v.megabytes)}
	}
	console := newConsole(v.stderr)
	w, err := v.prepare(console, name)
	if err != nil {
		return err
	}
	if v.dryRun {
		return v.show(ctx, w.connect, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
			return convert.Drain(ctx, conn, w.set, v.Options)
		})
	}
	hard, stop := bounded(ctx, w.config.Schedule.StopTimeout)
	if v.abandon {
		r := convert.Result{Plan: convert.Plan{Set: w.set}}
		return v.told(w.set, r, convert.AbandonDrain(hard, stop, w.connect, w.set, w.Log))
	}
	o := convert.DrainOptions{Options: v.Options, BytesPerSecond: int64(v.megabytes) << 20, Progress: w.progress(console)}
	if v.megabytes < 0 {
		o.BytesPerSecond = w.config.Archive.BytesPerSecond
	}
	r, err := convert.RunDrain(hard, stop, w.connect, w.set, o, w.Log)
	console.end()
	return v.told(w.set, r, err)
}

// logEvery is how often the log tells of progress where there is no terminal.
const logEvery = 30 * time.Second

// progress shows how far a drain is, on a terminal in place and otherwise in the log.
func (w work) progress(c *console) func(convert.Copied) {
	last := time.Now()
	return func(p convert.Copied) {
		c.tell("draining "+w.set.Parent.String(), archive.Progress(p))
		if !c.live && time.Since(last) >= logEvery {
			last = time.Now()
			w.Log.Info("draining", "set", w.set.Parent.String(), "rows", p.Rows, "of", p.TotalRows)
		}
	}
}
