package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// showState prints the partitions.
func (d *demo) showState(s *demoState) {
	rows := [][]string{{"partition", "holds", "its CHECK is on", "rows", "indexes", "readonly", "size"}}
	for _, t := range s.tables {
		reads := "refused"
		if t.readable {
			reads = "reads"
		}
		rows = append(rows, []string{t.name, t.bounds, t.check, counted(t.rows), fmt.Sprint(t.indexes), reads, sized(t.bytes)})
	}
	d.show.table("lllrrlr", rows)
	d.show.line("  partitions ahead: %d; rows in the parent itself: %d; rows in all: %s", s.ahead, s.stray, counted(s.total.rows))
}

// showMeasures prints what was timed.
func (d *demo) showMeasures(s *demoState) {
	d.show.line("")
	d.show.block(s.query.text)
	d.show.line("  scans %s: %s; takes %s", tablesScanned(s), scanKinds(s.query.scans), took(s.query.median))
	d.show.line("  inserts through the parent: %s rows a second", counted(int64(s.insert)))
	if s.refused[0] != "" {
		d.show.fold("  ", fmt.Sprintf("a row from role app, with INSERT on the parent and no more: %q", s.refused[0]))
	}
}

func tablesScanned(s *demoState) string {
	return fmt.Sprintf("%d of %d tables", len(s.query.scans), len(s.tables)+1)
}

// scanKinds sums up which kinds of scans there are, as in "18 Seq Scan, 1 Index Scan".
func scanKinds(scans []string) string {
	var kinds, out []string
	count := map[string]int{}
	for _, kind := range scans {
		if count[kind]++; count[kind] == 1 {
			kinds = append(kinds, kind)
		}
	}
	for _, kind := range kinds {
		out = append(out, fmt.Sprintf("%d %s", count[kind], kind))
	}
	return strings.Join(out, ", ")
}

func took(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 10 {
		return fmt.Sprintf("%.2f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// showPlan sums a plan up, and shows one action as it will be run.
func (d *demo) showPlan(p maintenance.Planned) {
	var verbs []string
	count, reason := map[string]int{}, map[string]string{}
	for _, a := range p.Plan.Actions {
		verb := a.Verb()
		if count[verb]++; count[verb] == 1 {
			verbs, reason[verb] = append(verbs, verb), a.Reason
		}
	}
	rows := [][]string{{"action", "times", "why (the first)"}}
	for _, verb := range verbs {
		rows = append(rows, []string{verb, fmt.Sprint(count[verb]), reason[verb]})
	}
	d.show.table("lrl", rows)
	printProblems(d.show, maintenance.Problems(p.Plan.Problems))
	i := slices.IndexFunc(p.Plan.Actions, func(a partition.Action) bool { return a.Kind == partition.Constrain })
	if i < 0 {
		return
	}
	a := p.Plan.Actions[i]
	d.show.line("")
	d.show.line("  for example, %s %s:", a.Verb(), a.Table)
	for n, step := range postgres.Render(p.Set, p.Snapshot, a) {
		if n > 0 {
			d.show.line("    -- commit")
		}
		for _, st := range step.Statements {
			d.show.line("    -- lock: %s", st.Lock)
			d.show.fold("    ", st.SQL+";")
		}
	}
}

// showReport sums a pass up, and says all of it where something went wrong.
func (d *demo) showReport(r maintenance.Report) {
	if r.Status() != maintenance.Done {
		printReport(d.show, r)
		return
	}
	actions := 0
	for _, s := range r.Sets {
		actions += len(s.Actions)
	}
	d.show.line("%s: %d actions in %.1f s", r.Status(), actions, r.Seconds)
}

// compare prints what the pass changed, side by side.
func (d *demo) compare(b, a *demoState) {
	rows := [][]string{
		{"", "before", "after", ""},
		{"one user's messages of a month", took(b.query.median), took(a.query.median), times(float64(b.query.median) / float64(a.query.median))},
		{"  tables that it scans", tablesScanned(b), tablesScanned(a), ""},
		{"  how", scanKinds(b.query.scans), scanKinds(a.query.scans), ""},
		{"inserts a second", counted(int64(b.insert)), counted(int64(a.insert)), times(a.insert / b.insert)},
		{"  indexes to keep, a partition", fmt.Sprint(indexes(b)), fmt.Sprint(indexes(a)), ""},
		{"role app inserts, this month", yes(b.refused[0] == ""), yes(a.refused[0] == ""), ""},
		{"  and one without a table", yes(b.refused[1] == ""), yes(a.refused[1] == ""), ""},
		{"partitions ahead", fmt.Sprint(b.ahead), fmt.Sprint(a.ahead), ""},
		{"partitions that readonly reads", readable(b), readable(a), ""},
		{"rows in the parent itself", fmt.Sprint(b.stray), fmt.Sprint(a.stray), ""},
	}
	d.show.table("lrrr", rows)
	d.show.line("  Times are medians, here and now, planning included; PostgreSQL's settings are its defaults.")
}

func times(ratio float64) string {
	if ratio >= 10 {
		return fmt.Sprintf("%.0f times as fast", ratio)
	}
	return fmt.Sprintf("%.1f times as fast", ratio)
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func indexes(s *demoState) int {
	n := 0
	for _, t := range s.tables {
		n = max(n, t.indexes)
	}
	return n
}

func readable(s *demoState) string {
	n := 0
	for _, t := range s.tables {
		if t.readable {
			n++
		}
	}
	return fmt.Sprintf("%d of %d", n, len(s.tables))
}
