package maintenance

import (
	"encoding/json"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// History says what the history in the database holds.
type History struct {
	// Agent is this program.
	Agent postgres.Agent
	// Passes is how long passes are kept, and Events how long removals, restores and
	// holds; zero is for ever.
	Passes, Events partition.Interval
}

// PassedSet is what the history tells of one set of a pass.
type PassedSet struct {
	Set    string `json:"set"`
	Status Status `json:"status"`
	Error  string `json:"error,omitempty"`
	// Done counts the actions by their names.
	Done map[string]int `json:"done,omitempty"`
	// Failed has the actions that failed or were skipped, with their errors.
	Failed   []string `json:"failed,omitempty"`
	Problems int      `json:"problems,omitempty"`
}

// note says what the history tells of a pass: nothing if others are at work on all
// of its sets.
func (h History) note(r Report) *postgres.PassNote {
	n := &postgres.PassNote{Began: r.Began, Took: time.Since(r.Began), Agent: h.Agent, KeepPasses: h.Passes, KeepEvents: h.Events}
	var sets []PassedSet
	busy := false
	var ours Report
	for _, s := range r.Sets {
		if s.Status == Skipped || s.Status == "" {
			continue
		}
		ours.Sets = append(ours.Sets, s)
		n.Sets = append(n.Sets, s.Set)
		passed := PassedSet{Set: s.Set, Status: s.Status, Error: s.Error, Problems: len(s.Problems)}
		for _, a := range s.Actions {
			if a.Error != "" {
				passed.Failed = append(passed.Failed, a.Action+" "+a.Table+": "+a.Error)
				continue
			}
			if passed.Done == nil {
				passed.Done = map[string]int{}
			}
			passed.Done[a.Action]++
		}
		busy = busy || len(s.Actions) > 0 || s.Error != "" || s.Status == Stopped
		sets = append(sets, passed)
	}
	if len(sets) == 0 {
		return nil
	}
	n.Status = string(ours.Status())
	if busy {
		n.Report, _ = json.Marshal(sets) // Strings and numbers only.
	}
	return n
}
