package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// passJSON is a pass for machines.
type passJSON struct {
	Database string    `json:"database,omitempty"`
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"`
	// Passes is more than 1 where passes without work are summed up, with the last one's times.
	Passes      int64           `json:"passes"`
	Status      string          `json:"status"`
	Sets        []string        `json:"sets"`
	Report      json.RawMessage `json:"report"`
	Role        string          `json:"role"`
	Application string          `json:"application,omitempty"`
	Host        string          `json:"host,omitempty"`
	Version     string          `json:"version,omitempty"`
}

func (h *historyOptions) listPasses(t *targets, chapters []chapter) error {
	loc := t.config.Schedule.Location
	list := []passJSON{}
	for i, c := range chapters {
		for _, p := range c.passes {
			list = append(list, passJSON{t.all[i].Database, p.Began.In(loc), p.Ended.In(loc), p.Passes, p.Status, p.Sets, p.Report, p.Role, p.Application, p.Agent.Host, p.Agent.Version})
		}
	}
	if h.json {
		return printJSON(h.stdout, list)
	}
	if len(list) == 0 {
		fmt.Fprintln(h.stdout, "no passes")
		return nil
	}
	for i, c := range chapters {
		for _, p := range c.passes {
			if err := h.printPass(t.all[i].Database, p, loc); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *historyOptions) printPass(database string, p postgres.RecordedPass, loc *time.Location) error {
	fmt.Fprintf(h.stdout, "%s  %s, %s, by %s", maintenance.Label(database, p.Began.In(loc).Format("2006-01-02 15:04:05 MST")), p.Status, p.Ended.Sub(p.Began).Round(time.Millisecond),
		who(p.Role, p.Application, p.Agent, p.Address, p.Address.IsValid()))
	if p.Report == nil {
		fmt.Fprintf(h.stdout, ": the last of %d that did nothing, over %s", p.Passes, strings.Join(p.Sets, ", "))
	}
	fmt.Fprintln(h.stdout)
	var sets []maintenance.PassedSet
	if err := json.Unmarshal(p.Report, &sets); err != nil && p.Report != nil {
		return exitError{exitFailed, fmt.Errorf("read the report of a pass: %w", err)}
	}
	for _, s := range sets {
		printPassedSet(h, s)
	}
	return nil
}

func printPassedSet(h *historyOptions, s maintenance.PassedSet) {
	line := fmt.Sprintf("  %s: %s", s.Set, s.Status)
	for _, verb := range slices.Sorted(maps.Keys(s.Done)) {
		line += fmt.Sprintf(", %s %d", verb, s.Done[verb])
	}
	if s.Problems > 0 {
		line += fmt.Sprintf(", %d problems", s.Problems)
	}
	fmt.Fprintln(h.stdout, line)
	if s.Error != "" {
		fmt.Fprintln(h.stdout, "    error:", s.Error)
	}
	for _, f := range s.Failed {
		fmt.Fprintln(h.stdout, "    failed:", f)
	}
}
