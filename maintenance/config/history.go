package config

import "github.com/partitiond/partitiond/maintenance/partition"

// History says how long the history in the database is kept.
type History struct {
	// Passes is how long passes are, and Events how long removals, restores and holds;
	// the zero interval is for ever.
	Passes, Events partition.Interval
}

// history reads the table of that name.
func (r *reader) history(keys historyKeys) History {
	return History{
		Passes: r.interval("history.passes", keys.Passes, defaultHistoryPasses),
		Events: r.interval("history.events", keys.Events, partition.Interval{}),
	}
}
