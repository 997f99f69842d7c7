package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// periodJSON is what is known of a period of a set.
type periodJSON struct {
	Database string `json:"database,omitempty"`
	Set      string `json:"set"`
	// Partitions are those that are there, and Events what happened, oldest first.
	Partitions []presentJSON `json:"partitions"`
	Events     []eventJSON   `json:"events"`
	// Detached are the tables that were taken out of the set and are there still.
	Detached []string `json:"detached"`
	// Archives say of each manifest whether it is in the store: ok, superseded, missing
	// or unreachable; only with --check.
	Archives map[string]string `json:"archives,omitempty"`
	// Unseen is why it cannot be told which partitions are there.
	Unseen string `json:"unseen,omitempty"`
}

// presentJSON is a partition that is there.
type presentJSON struct {
	Partition string   `json:"partition"`
	From      *string  `json:"from"`
	To        *string  `json:"to"`
	Held      []string `json:"held"`
}

// told is a period of a set, for people.
type told struct {
	periodJSON
	place   place
	present []partition.Partition
	events  []postgres.Event
	now     map[uint32]partition.Name
}

// tellSets collects what a database knows of a period.
func (h *historyOptions) tellSets(ctx context.Context, v *chronicle, c *chapter, text string) error {
	for i, set := range v.sets {
		a, ok, err := h.tellSet(ctx, v, i, c.events, text)
		if err != nil {
			return err
		}
		c.matched = c.matched || ok
		if len(a.present)+len(a.events) > 0 || h.set != "" && ok {
			if h.check {
				a.Archives = v.checkArchives(ctx, set, a.events)
			}
			c.told = append(c.told, a)
		}
	}
	return nil
}

// tell answers for a period: when was it removed, and where is it now? The errors
// are those of databases that could not be asked.
func (h *historyOptions) tell(t *targets, chapters []chapter, errs []error, text string) error {
	list := []periodJSON{}
	// Where one could not be asked it may be that one for which the text is meant.
	matched := !slices.ContainsFunc(errs, func(err error) bool { return err == nil })
	for i, c := range chapters {
		matched = matched || c.matched || errs[i] != nil
		for _, a := range c.told {
			list = append(list, a.periodJSON)
		}
	}
	if !matched {
		return exitError{exitUsage, fmt.Errorf("%q: expected a year, month or day, such as 2018-11, the beginning of a period, or the name of a partition that is or was there", text)}
	}
	if h.json {
		return printJSON(h.stdout, list)
	}
	if len(list) == 0 {
		fmt.Fprintf(h.stdout, "nothing is known of %s: no partition is there, and none was removed since the history began\n", text)
	}
	for _, c := range chapters {
		for _, a := range c.told {
			h.printTold(a, text)
		}
	}
	return nil
}

// tellSet collects what is known of a period of one set. Not ok is a text that means
// nothing there.
func (h *historyOptions) tellSet(ctx context.Context, v *chronicle, i int, events []postgres.Event, text string) (a told, ok bool, err error) {
	set, snap := v.sets[i], v.snaps[i]
	a.place = v.places[set.Parent]
	a.periodJSON = periodJSON{Database: v.Database, Set: set.Parent.String(), Partitions: []presentJSON{}, Events: []eventJSON{}, Detached: []string{}}
	if v.unseen[i] != nil {
		a.Unseen = v.unseen[i].Error()
	}
	// A calendar's period is all that overlaps it, anything else a partition's own.
	bounds, calendrical := partition.Bounds{}, calendarPeriod.MatchString(text)
	if calendrical {
		if bounds, err = periodBounds(text, a.place, snap); err != nil {
			return a, false, exitError{exitUsage, err}
		}
	}
	means := func(table partition.Name, b partition.Bounds) bool {
		if calendrical {
			return b.Overlaps(bounds)
		}
		return meansPartition(table, b, a.place.calendar, text)
	}
	for _, c := range snap.Partitions {
		if c.Known != partition.BoundsUnknown && means(c.Name, c.Bounds) {
			a.present = append(a.present, c)
		}
	}
	var oids []uint32
	var spans []partition.Bounds
	for _, e := range events {
		if e.Parent == set.Parent && e.Partition != (partition.Name{}) && means(e.Partition, e.Bounds) {
			oids, spans = append(oids, e.OID), append(spans, e.Bounds)
		}
	}
	for _, c := range a.present {
		spans = append(spans, c.Bounds)
	}
	for _, e := range events {
		if e.Parent != set.Parent || h.removals && !e.Kind.Removal() {
			continue
		}
		mine := means(e.Partition, e.Bounds)
		if e.Partition == (partition.Name{}) { // A hold, of other bounds.
			mine = slices.ContainsFunc(spans, e.Bounds.Overlaps) && (e.OID == 0 || slices.Contains(oids, e.OID) ||
				slices.ContainsFunc(a.present, func(c partition.Partition) bool { return c.OID == e.OID }))
		}
		if mine {
			a.events, a.Events = append(a.events, e), append(a.Events, v.describe(e))
		}
	}
	for _, c := range a.present {
		p := presentJSON{Partition: c.Name.String(), From: a.place.text(c.Bounds.From), To: a.place.text(c.Bounds.To), Held: []string{}}
		for _, hold := range snap.Holds {
			if hold.Covers(c) && hold.Active(snap.Server.Now) {
				p.Held = append(p.Held, fmt.Sprintf("hold %d %s", hold.ID, hold.In(a.place.wall)))
			}
		}
		a.Partitions = append(a.Partitions, p)
	}
	if a.now, err = postgres.TablesByOID(ctx, v.conn, oids); err != nil {
		return a, false, exitError{exitFailed, err}
	}
	for _, e := range a.events {
		if name, there := a.now[e.OID]; there && e.Kind == postgres.Detached {
			a.Detached = append(a.Detached, name.String())
		}
	}
	return a, calendrical || len(a.present)+len(a.events) > 0, nil
}

// checkArchives asks the set's store for the manifests of the events.
func (v *chronicle) checkArchives(ctx context.Context, set partition.Set, events []postgres.Event) map[string]string {
	found := map[string]string{}
	state := "missing"
	var err error
	if set.Retention.Archive == "" {
		state = "unreachable: the set has no archive in the configuration any more"
	} else {
		var store archive.Store
		if store, err = v.OpenStore(set); err == nil {
			var listed []archive.Listed
			// What cannot be read of it says nothing of what can.
			if listed, err = archive.List(ctx, store, set.Parent); err != nil {
				state = "unreachable: " + err.Error()
			}
			for _, e := range listed {
				found[store.URL(e.Key)] = "ok"
				if e.Superseded {
					found[store.URL(e.Key)] = "superseded"
				}
			}
		}
	}
	if err != nil {
		state = "unreachable: " + err.Error()
	}
	out := map[string]string{}
	for _, e := range events {
		for _, url := range e.Archives {
			if out[url] = found[url]; out[url] == "" {
				out[url] = state
			}
		}
	}
	return out
}

func (h *historyOptions) printTold(a told, text string) {
	fmt.Fprintf(h.stdout, "%s %s\n", maintenance.Label(a.Database, a.Set), text)
	line := func(format string, args ...any) { fmt.Fprintf(h.stdout, "  "+format+"\n", args...) }
	for _, e := range a.events {
		name := labelOf(e.Bounds, a.place.calendar)
		if e.Partition != (partition.Name{}) {
			name = e.Partition.String()
		}
		at, by := e.At.In(a.place.wall).Format("2006-01-02 15:04:05 MST"), who(e.Role, e.Application, e.Agent, e.Address, e.Address.IsValid())
		switch e.Kind {
		case postgres.HoldMade:
			until := "for ever"
			if !e.Until.IsZero() {
				until = "until " + e.Until.In(a.place.wall).Format("2006-01-02 15:04 MST")
			}
			line("%s  held: hold %d on %s %s, by %s: %s", at, e.Hold, name, until, by, e.Reason)
		case postgres.HoldEnded:
			line("%s  hold %d on %s ended, by %s: %s", at, e.Hold, name, by, e.Reason)
		case postgres.Restored:
			line("%s  restored: %s, %s, by %s", at, name, size(e), by)
			for _, url := range e.Archives {
				line("    from %s", url)
			}
		case postgres.Converted, postgres.Partitioned, postgres.Drained:
			line("%s  %s, by %s", at, changed(a.Set, e), by)
			line("    why: %s", e.Reason)
		default:
			h.printRemoval(a, e, at, name, by, line)
		}
	}
	for i, c := range a.present {
		line("there now: %s %s", c.Name, a.place.bounds(c.Bounds))
		for _, held := range a.Partitions[i].Held {
			line("  held: %s", held)
		}
	}
	switch {
	case a.Unseen != "":
		line("what is there now cannot be told: %s", a.Unseen)
	case len(a.present) == 0 && len(a.events) > 0:
		line("there now: nothing in the set")
	case len(a.present) == 0:
		line("nothing is known of it: no partition is there, and none was removed since the history began")
	}
}

// changed says what became of a set or of a partition of it.
func changed(set string, e postgres.Event) string {
	switch e.Kind {
	case postgres.Partitioned:
		return fmt.Sprintf("made a set: %s, with %s", set, e.Partition)
	case postgres.Drained:
		return fmt.Sprintf("drained: %s, %s", e.Partition, size(e))
	}
	return "converted: " + set
}

func (h *historyOptions) printRemoval(a told, e postgres.Event, at, name, by string, line func(string, ...any)) {
	done := map[postgres.EventKind]string{postgres.Dropped: "dropped", postgres.Detached: "detached", postgres.ArchivedAndDropped: "archived and dropped"}[e.Kind]
	line("%s  %s: %s, %s, by %s", at, done, name, size(e), by)
	line("    why: %s", e.Reason)
	now, there := a.now[e.OID]
	switch {
	case e.Kind == postgres.Dropped:
		line("    where: nowhere; it was dropped without an archive")
	case e.Kind == postgres.Detached && there:
		line("    where: in the table %s", now)
	case e.Kind == postgres.Detached:
		line("    where: the table %s, which is gone since", e.Moved)
	}
	for _, url := range e.Archives {
		state := ""
		if s := a.Archives[url]; s != "" {
			state = " (" + strings.ToUpper(s[:1]) + s[1:] + ")"
		}
		line("    where: %s%s", url, state)
	}
}
