package monitor

import (
	"context"
	"time"
)

// view is one consistent picture of everything, for the page and for metrics.
type view struct {
	databases []databaseView
	reload    reload
	running   bool
	next      time.Time
	// statuses are those of all databases, in their order.
	statuses []Status
}

// databaseView is the picture of one database.
type databaseView struct {
	*seen   // nil before the first look
	name    string
	running bool
	failed  error
	// attempted and succeeded are by set.
	attempted, succeeded map[string]time.Time
}

func (m *Monitor) view(ctx context.Context) view {
	m.look(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	v := view{reload: m.reload}
	now := time.Now()
	for _, d := range m.databases {
		of := databaseView{seen: d.seen, name: d.name, running: d.turn%2 == 1, failed: d.failed,
			attempted: map[string]time.Time{}, succeeded: map[string]time.Time{}}
		v.running = v.running || of.running
		for _, set := range d.source.Sets {
			name := set.Parent.String()
			if next := set.Schedule.Next(now); v.next.IsZero() || next.Before(v.next) {
				v.next = next.In(set.Location)
			}
			if at, ok := d.attempted[name]; ok {
				of.attempted[name] = at
			}
			if at, ok := d.succeeded[name]; ok {
				of.succeeded[name] = at
			}
		}
		v.databases = append(v.databases, of)
		if d.seen == nil {
			continue
		}
		for _, s := range d.seen.statuses {
			if last, ok := d.last[s.Set]; ok {
				last.Ended = last.Ended.In(s.Now.Location())
				s.Last = &last
			}
			v.statuses = append(v.statuses, s)
		}
	}
	return v
}

// looked is since when the picture is as it is: when the look ended that is the
// oldest of those that are shown. It is zero if nothing was seen.
func (v view) looked() time.Time {
	var oldest, oldestGood time.Time
	for _, d := range v.databases {
		if d.seen == nil || d.goodAt.IsZero() {
			continue
		}
		if oldest.IsZero() || d.goodAt.Before(oldest) {
			oldest = d.goodAt
		}
		if d.err == nil && (oldestGood.IsZero() || d.goodAt.Before(oldestGood)) {
			oldestGood = d.goodAt
		}
	}
	if !oldestGood.IsZero() {
		return oldestGood // Notices say of the others that they are older.
	}
	return oldest
}

// notices puts on top what is wrong with the daemon, then with its databases, and
// then with their sets.
func (v view) notices() []Notice {
	out := []Notice{}
	for _, d := range v.databases {
		out = append(out, d.looks()...)
	}
	if !v.reload.ok {
		out = append(out, Notice{What: "The configuration file is not good; what was read before is in use.", Do: "The log names the line. Mend it and reload."})
	}
	for _, d := range v.databases {
		if d.failed != nil && (d.seen == nil || d.err == nil) {
			out = append(out, Notice{Database: d.name, What: "The last pass did not happen: " + d.failed.Error(), Do: "The next pass tries again."})
		}
	}
	for _, s := range v.statuses {
		out = append(out, s.Notices()...)
	}
	return out
}

// looks says what keeps the database from being looked at.
func (d databaseView) looks() []Notice {
	switch {
	case d.seen == nil:
		return []Notice{{Database: d.name, What: "The sets have not been looked at yet.", Do: "Look again in a moment."}}
	case d.err != nil && d.goodAt.IsZero():
		return []Notice{{Database: d.name, What: "The database cannot be looked at: " + d.err.Error(), Do: "See whether PostgreSQL runs and lets the daemon in."}}
	case d.err != nil:
		return []Notice{{Database: d.name, What: "The database cannot be looked at: " + d.err.Error(),
			Do: "See whether PostgreSQL runs and lets the daemon in. What is below was seen before."}}
	}
	return nil
}
