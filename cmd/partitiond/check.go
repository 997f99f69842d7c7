package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/partitiond/partitiond/maintenance"
)

func (o *options) newCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Tell whether all sets are healthy, for monitoring and CI",
		Long: `Check validates the file, connects, observes and plans, and changes nothing. It
exits with 6 if the next period's partition is missing, the trigger is missing,
disabled or altered, rows sit in the parent, there is a problem, or anything is
undone that the last scheduled pass should have done. What became due since then
is listed as pending and is no fault.

` + exitHelp,
		Example: `  partitiond check --config /etc/partitiond/config.toml
  partitiond check --config config.toml --set public.events --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.runCheck(cmd.Context()) },
	}
	o.setFlag(cmd)
	o.jsonFlag(cmd)
	return cmd
}

func (o *options) runCheck(ctx context.Context) error {
	t, err := o.ready(newConsole(o.stderr))
	if err != nil {
		return err
	}
	planned, err := t.fleet().Plan(ctx)
	if err != nil {
		return exitWith("", err)
	}
	findings := make([]maintenance.Finding, 0, len(planned))
	healthy := true
	for _, d := range t.all {
		for _, set := range d.sets {
			f := maintenance.Check(planned[len(findings)], set.Cron)
			findings, healthy = append(findings, f), healthy && f.Healthy
		}
	}
	if o.json {
		if err := printJSON(o.stdout, findings); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			o.printFinding(f)
		}
	}
	if !healthy {
		return exitError{code: exitFound}
	}
	return nil
}

func (o *options) printFinding(f maintenance.Finding) {
	word := "healthy"
	if !f.Healthy {
		word = "NOT HEALTHY"
	}
	fmt.Fprintf(o.stdout, "%s: %s (next pass %s)\n", f.Label(), word, f.NextPass.Format(time.RFC3339))
	if f.Error != "" {
		fmt.Fprintln(o.stdout, "  error:", f.Error)
	}
	printProblems(o.stdout, f.Problems)
	for _, d := range f.Overdue {
		fmt.Fprintln(o.stdout, "  overdue:", d)
	}
	for _, d := range f.Withheld {
		fmt.Fprintln(o.stdout, "  withheld:", d)
	}
	for _, d := range f.Held {
		fmt.Fprintln(o.stdout, "  held:", d)
	}
	for _, d := range f.Pending {
		fmt.Fprintln(o.stdout, "  pending:", d)
	}
}
