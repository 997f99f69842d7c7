package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// planJSON is a plan for machines.
type planJSON struct {
	Database string                      `json:"database,omitempty"`
	Set      string                      `json:"set"`
	Actions  []actionJSON                `json:"actions"`
	Problems []maintenance.ProblemReport `json:"problems"`
	Withheld []string                    `json:"withheld"`
	Held     []string                    `json:"held"`
	Error    string                      `json:"error,omitempty"`
}

type actionJSON struct {
	Action     string          `json:"action"`
	Table      string          `json:"table"`
	Bounds     string          `json:"bounds,omitempty"`
	Reason     string          `json:"reason"`
	Statements []statementJSON `json:"statements"`
}

type statementJSON struct {
	SQL  string `json:"sql"`
	Lock string `json:"lock"`
	// Transaction numbers what is committed together, from 1.
	Transaction int `json:"transaction"`
}

// printPlans prints what a pass would do. A plan with problems that a pass
// could not mend exits as the pass would, except that looking needs no privilege.
func (o *options) printPlans(planned []maintenance.Planned) error {
	var report maintenance.Report
	plans := make([]planJSON, 0, len(planned))
	for _, p := range planned {
		plan := describePlan(p)
		plans = append(plans, plan)
		status := maintenance.Idle
		switch {
		case p.Err != nil:
			status = maintenance.Failed
		case slices.ContainsFunc(p.Plan.Problems, func(pr partition.Problem) bool { return pr.Kind != partition.ProblemPrivilege }):
			status = maintenance.Partly
		}
		report.Sets = append(report.Sets, maintenance.SetReport{Status: status})
	}
	o.printing.Lock()
	defer o.printing.Unlock()
	if o.json {
		if err := printJSON(o.stdout, plans); err != nil {
			return err
		}
	} else {
		for _, p := range plans {
			writePlan(o.stdout, p)
		}
	}
	return exitWith(report.Status(), nil)
}

func describePlan(p maintenance.Planned) planJSON {
	out := planJSON{Database: p.Database, Set: p.Set.Parent.String(), Actions: []actionJSON{}, Problems: maintenance.Problems(p.Plan.Problems), Withheld: []string{},
		Held: maintenance.Held(p.Plan.Held)}
	if p.Err != nil {
		out.Error = p.Err.Error()
	}
	for _, a := range p.Plan.Actions {
		action := actionJSON{Action: a.Verb(), Table: a.Table.String(), Reason: a.Reason}
		if a.Bounds.Finite() {
			action.Bounds = a.Bounds.String()
		}
		for i, step := range postgres.Render(p.Set, p.Snapshot, a) {
			for _, st := range step.Statements {
				action.Statements = append(action.Statements, statementJSON{SQL: st.SQL, Lock: st.Lock, Transaction: i + 1})
			}
		}
		out.Actions = append(out.Actions, action)
	}
	for _, a := range p.Plan.Withheld {
		out.Withheld = append(out.Withheld, a.String())
	}
	return out
}

func writePlan(w io.Writer, p planJSON) {
	name := maintenance.Label(p.Database, p.Set)
	if p.Error != "" {
		fmt.Fprintf(w, "%s: %s\n", name, p.Error)
		return
	}
	if len(p.Actions) == 0 && len(p.Problems) == 0 {
		fmt.Fprintf(w, "%s: nothing to do\n", name)
	} else {
		fmt.Fprintf(w, "%s: %d actions, %d problems\n", name, len(p.Actions), len(p.Problems))
	}
	printProblems(w, p.Problems)
	for _, d := range p.Held {
		fmt.Fprintln(w, "  held:", d)
	}
	for _, d := range p.Withheld {
		fmt.Fprintln(w, "  withheld:", d)
	}
	for _, a := range p.Actions {
		fmt.Fprintf(w, "\n%s %s %s\n  -- %s\n", a.Action, a.Table, a.Bounds, a.Reason)
		last := 0
		for _, st := range a.Statements {
			if last != 0 && st.Transaction != last {
				fmt.Fprintln(w, "  -- commit")
			}
			last = st.Transaction
			fmt.Fprintf(w, "  -- lock: %s\n  %s;\n", st.Lock, strings.ReplaceAll(st.SQL, "\n", "\n  "))
		}
	}
}
