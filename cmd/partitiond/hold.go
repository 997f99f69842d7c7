package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// holdOptions are the flags of hold add.
type holdOptions struct {
	*options
	from, to, period, until, reason string
	all                             bool
}

func (o *options) newHold() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "Keep partitions from being removed, until a date or for ever",
		Long: `A hold keeps every partition of a set that lies within its bounds, even in part,
from being dropped, archived or detached, whatever retention says: until a date, or
until somebody removes the hold. All else goes on: a held partition is repaired and
analyzed, and rows go into it. It is no problem either; a pass, --dry-run and check
list it as held. What is held counts for nothing in retention.max_share.

Holds are rows of the table partitiond.hold in the database of the sets. It goes by
the parent's name, and is made by init or by the first hold add. Who may insert and
delete there may make and end holds; the daemon's role needs SELECT and DELETE, the
latter to lock it. A removal looks for holds again, under a lock, in the transaction
that removes. If they cannot be read, nothing is removed and the exit code says so.

` + exitHelp,
		Example: `  partitiond hold add --set public.events --period 2018-11 --reason "case 4711"
  partitiond hold list
  partitiond hold remove 3`,
		RunE: func(*cobra.Command, []string) error {
			return exitError{exitUsage, errors.New("hold: expected one of add, list, remove after it")}
		},
	}
	cmd.AddCommand(o.newHoldAdd(), o.newHoldList(), o.newHoldRemove())
	return cmd
}

func (o *options) newHoldAdd() *cobra.Command {
	h := &holdOptions{options: o}
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Hold the partitions of a time",
		Long: `Add holds what lies from --from to before --to, or within --period: a year, a month,
a day, or the time of the partition with that name. One of --from and --to may be left
out. Dates are midnights in the set's time zone, and times are read by its clock.

It waits for a removal that is at work, and then prints the partitions that the hold
covers. If one of them was removed meanwhile it says so and exits with 3.

` + exitHelp,
		Example: `  partitiond hold add --set public.events --from 2018-11-01 --to 2018-12-01 --reason "case 4711"
  partitiond hold add --set public.events --period 2018 --until 2031-01-01 --reason "tax audit"
  partitiond hold add --set public.events --period events_2018_11 --reason "case 4711"
  partitiond hold add --set public.events --all --reason "moving house"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return h.add(cmd.Context()) },
	}
	o.setFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&h.from, "from", "", "first date or time to hold, such as 2018-11-01")
	flags.StringVar(&h.to, "to", "", "date or time from which on nothing is held, such as 2018-12-01")
	flags.StringVar(&h.period, "period", "", "what to hold: a year, month or day such as 2018-11, or the name of a partition")
	flags.BoolVar(&h.all, "all", false, "hold all of the set")
	flags.StringVar(&h.until, "until", "", "date or time when the hold ends (default: never)")
	flags.StringVar(&h.reason, "reason", "", "why, for whoever meets the hold later")
	return cmd
}

func (o *options) newHoldList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the holds, also those that have expired",
		Long: `List prints the holds on all sets of the databases, or on the one that --set names.

` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.listHolds(cmd.Context()) },
	}
	o.setFlag(cmd)
	o.jsonFlag(cmd)
	return cmd
}

func (o *options) newHoldRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "End a hold; what it kept is due again",
		Long: `Remove deletes the hold with the number that hold list shows.

` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.removeHold(cmd.Context(), args[0]) },
	}
	o.databaseFlag(cmd)
	return cmd
}

func (h *holdOptions) add(ctx context.Context) error {
	if err := h.checkFlags(); err != nil {
		return exitError{exitUsage, err}
	}
	t, err := h.ready(newConsole(h.stderr))
	if err != nil {
		return err
	}
	d, set, err := t.oneSet()
	if err != nil {
		return err
	}
	conn, err := d.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	before, err := look(ctx, conn, set)
	if err != nil {
		return exitError{exitFailed, err}
	}
	hold, err := h.hold(set, before)
	if err != nil {
		return exitError{exitUsage, err}
	}
	id, err := postgres.AddHold(ctx, conn, set.Parent, hold)
	if errors.Is(err, postgres.ErrHoldsMissing) {
		return exitError{exitFailed, fmt.Errorf("hold add: %w: init makes it with a new set, or an administrator does with this:\n\n%s",
			err, postgres.TablesSQL(before.Server.Role))}
	} else if err != nil {
		return exitError{exitFailed, fmt.Errorf("hold add: %w", err)}
	}
	place := placeOf(set, before)
	fmt.Fprintf(h.stdout, "hold %d: %s %s %s\n", id, maintenance.Label(d.Database, set.Parent.String()), place.bounds(hold.Bounds), hold)
	after, err := look(ctx, conn, set)
	if err != nil {
		return exitError{exitPartly, fmt.Errorf("hold %d is there, but what it covers could not be looked at: %w", id, err)}
	}
	return h.printCovered(hold, place, before, after)
}

// look observes one set that has a parent with a key.
func look(ctx context.Context, conn *pgx.Conn, set partition.Set) (partition.Snapshot, error) {
	snaps, err := postgres.Observe(ctx, conn, []partition.Set{set})
	if err != nil {
		return partition.Snapshot{}, err
	}
	if p := snaps[0].Parent; p == nil || p.Key == "" {
		return snaps[0], fmt.Errorf("there is no table %s with a column %q of a type that can be served", set.Parent, set.Key)
	}
	return snaps[0], nil
}

// printCovered lists what is held, and what was there when the command began and
// no longer is.
func (h *holdOptions) printCovered(hold partition.Hold, place place, before, after partition.Snapshot) error {
	n, gone := 0, 0
	for _, c := range after.Partitions {
		if hold.Covers(c) {
			fmt.Fprintf(h.stdout, "  covers %s %s\n", c.Name, place.bounds(c.Bounds))
			n++
		}
	}
	for _, c := range before.Partitions {
		if hold.Covers(c) && !slices.ContainsFunc(after.Partitions, func(d partition.Partition) bool { return d.OID == c.OID }) {
			fmt.Fprintf(h.stdout, "  gone: %s %s was removed before the hold took effect\n", c.Name, place.bounds(c.Bounds))
			gone++
		}
	}
	switch {
	case gone > 0:
		return exitError{code: exitPartly}
	case n == 0:
		fmt.Fprintln(h.stdout, "  covers no partition that is there now")
	}
	return nil
}

func (o *options) removeHold(ctx context.Context, text string) error {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return exitError{exitUsage, fmt.Errorf("hold remove %q: expected a number that hold list shows", text)}
	}
	t, err := o.ready(newConsole(o.stderr))
	if err != nil {
		return err
	}
	d, err := t.one()
	if err != nil {
		return err
	}
	conn, err := d.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	switch err := postgres.RemoveHold(ctx, conn, id); {
	case errors.Is(err, postgres.ErrNoHold):
		return exitError{exitUsage, err}
	case err != nil:
		return exitError{exitFailed, err}
	}
	of := ""
	if d.Database != "" {
		of = " of " + d.Database
	}
	fmt.Fprintf(o.stdout, "hold %d%s is removed\n", id, of)
	return nil
}
