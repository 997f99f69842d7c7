package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/notify"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/systemd"
)

// runOnce makes one pass, or prints its plan, and answers with its exit code.
func (o *options) runOnce(ctx context.Context) error {
	console := newConsole(o.stderr)
	t, err := o.ready(console)
	if err != nil {
		return err
	}
	return o.passOnce(ctx, console, t)
}

// passOnce does the same with what was read.
func (o *options) passOnce(ctx context.Context, console *console, t *targets) error {
	told, err := notifyOptions(t.config, t.log, 0)
	if err != nil {
		return err
	}
	if console.live { // Otherwise the log tells it.
		for _, d := range t.all {
			d.Archiving.Progress = func(_, table partition.Name, p archive.Progress) {
				console.tell("archiving "+maintenance.Label(d.Database, table.String()), p)
			}
		}
	}
	if o.dryRun {
		planned, err := t.fleet().Plan(ctx)
		if err != nil {
			return exitWith("", err)
		}
		return o.printPlans(planned)
	}
	unit, notifier := systemd.NewUnit(t.log, t.config.Schedule.Location), notify.New(told)
	t.tell(unit, notifier)
	endStatus := unit.Follow()
	hard, stop := bounded(ctx, t.config.Schedule.StopTimeout)
	report, err := t.fleet().Pass(hard, stop)
	console.end()
	endStatus()
	notifier.Close(notifyBound)
	if err != nil {
		return exitWith("", err)
	}
	if o.json {
		if err := printJSON(o.stdout, report); err != nil {
			return err
		}
	} else {
		printReport(o.stdout, report)
	}
	return exitWith(report.Status(), nil)
}

// bounded turns a context that ends when the program is asked to stop into a
// channel that closes then, and a context that ends a while later.
func bounded(ctx context.Context, bound time.Duration) (hard context.Context, stop <-chan struct{}) {
	hard, end := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(bound, end) })
	return hard, ctx.Done()
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return exitError{exitFailed, fmt.Errorf("print the result: %w", err)}
	}
	return nil
}

// flushed ends a table.
func flushed(w *tabwriter.Writer, what string) error {
	if err := w.Flush(); err != nil {
		return exitError{exitFailed, fmt.Errorf("print the %s: %w", what, err)}
	}
	return nil
}

// printReport sums a pass up; its log has the details.
func printReport(w io.Writer, r maintenance.Report) {
	for _, s := range r.Sets {
		counts := map[string]int{}
		var order []string
		failed := 0
		for _, a := range s.Actions {
			if a.Error != "" {
				if !a.Held {
					failed++
				}
				continue
			}
			if counts[a.Action]++; counts[a.Action] == 1 {
				order = append(order, a.Action)
			}
		}
		line := fmt.Sprintf("%s: %s", s.Label(), s.Status)
		for i, verb := range order {
			sep := ", "
			if i == 0 {
				sep = " ("
			}
			line += fmt.Sprintf("%s%s %d", sep, verb, counts[verb])
		}
		if len(order) > 0 {
			line += ")"
		}
		if failed > 0 {
			line += fmt.Sprintf(", %d failed", failed)
		}
		fmt.Fprintln(w, line)
		if s.Error != "" {
			fmt.Fprintln(w, "  error:", s.Error)
		}
		for _, a := range s.Actions {
			if a.Failed() {
				fmt.Fprintf(w, "  failed: %s %s: %s\n", a.Action, a.Table, a.Error)
			}
			if a.Unrecorded {
				fmt.Fprintf(w, "  not in the history, for there is none: %s %s (see partitiond history)\n", a.Action, a.Table)
			}
		}
		printProblems(w, s.Problems)
		for _, d := range s.Withheld {
			fmt.Fprintln(w, "  withheld:", d)
		}
		for _, d := range s.Held {
			fmt.Fprintln(w, "  held:", d)
		}
		for _, d := range s.Due {
			fmt.Fprintln(w, "  still due:", d)
		}
	}
}

func printProblems(w io.Writer, problems []maintenance.ProblemReport) {
	for _, p := range problems {
		fmt.Fprintf(w, "  problem: %s: %s: %s\n", p.Kind, p.Table, p.Text)
		if p.Hint != "" {
			fmt.Fprintf(w, "           %s\n", p.Hint)
		}
	}
}
