package monitor

import (
	"context"
	"slices"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

const (
	// lookEvery is how old a look becomes at least before the next.
	lookEvery = 10 * time.Second
	// lookShare bounds how much of the time is spent looking where a look is slow,
	// as it is while tables have to be scanned for their bounds: a twentieth.
	lookShare = 20
	// lookTimeout bounds a look.
	lookTimeout = 5 * time.Minute
	// patience is how long somebody who asks is kept waiting for a new look; then
	// the last one has to do. Prometheus waits for ten seconds by default.
	patience = 6 * time.Second
	// archiveEvery is how old the list of an archive becomes: it may take a request
	// for each month that it has.
	archiveEvery = 10 * time.Minute
	// archiveTimeout bounds the listing of one archive.
	archiveTimeout = 30 * time.Second
)

// seen is what a look saw.
type seen struct {
	// at is when the look ended, by this machine's clock, and took how long it was.
	at       time.Time
	took     time.Duration
	statuses []Status
	// err is why the last look saw nothing; then the statuses are those of the last
	// that did, of goodAt.
	err    error
	goodAt time.Time
}

func (s *seen) fresh(now time.Time) bool {
	return now.Sub(s.at) < max(lookEvery, lookShare*s.took)
}

type listed struct {
	at       time.Time
	archived []partition.Archived
	err      error
}

// look returns what the sets look like, as of some seconds ago at most, unless
// looking takes longer. It is nil if there was no look yet.
func (m *Monitor) look(ctx context.Context) *seen {
	m.mu.Lock()
	have := m.seen
	// What a pass has changed is shown at once, but a pass at each second is no
	// reason to look each second.
	fresh := have != nil && have.fresh(time.Now()) && (!m.stale || time.Since(have.at) < max(time.Second, have.took))
	if fresh || m.source.Maintainer == nil || m.ctx.Err() != nil {
		m.mu.Unlock()
		return have
	}
	m.looks.Add(1)
	m.mu.Unlock()
	done := m.flight.DoChan("", func() (any, error) {
		m.lookNow()
		return nil, nil
	})
	finished := make(chan struct{})
	go func() {
		defer m.looks.Done()
		<-done
		close(finished)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen
}

func (m *Monitor) lookNow() {
	m.mu.Lock()
	source, turn := m.source, m.turn
	m.stale = false
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(m.ctx, lookTimeout)
	defer cancel()
	began := time.Now()
	statuses, planned, err := look(ctx, source.Maintainer, source.Sets, m.listArchive)
	now := time.Now()
	if err != nil && m.ctx.Err() == nil {
		m.log.Warn("the monitor could not look at the sets", "error", err)
	}
	next := &seen{at: now, took: now.Sub(began), statuses: statuses, err: err, goodAt: now}

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.source.Maintainer != source.Maintainer {
		return // The configuration is another by now.
	}
	if err != nil {
		if next.goodAt = (time.Time{}); m.seen != nil {
			next.statuses, next.goodAt = m.seen.statuses, m.seen.goodAt
		}
	} else if m.turn == turn && turn%2 == 0 {
		for _, p := range planned {
			m.compare(p)
		}
	}
	m.seen = next
}

// listArchive is [Archives] with a memory.
func (m *Monitor) listArchive(ctx context.Context, mt *maintenance.Maintainer, set partition.Set) ([]partition.Archived, error) {
	name := set.Parent.String()
	m.mu.Lock()
	have, ok := m.archives[name]
	m.mu.Unlock()
	if ok && time.Since(have.at) < archiveEvery && (have.err == nil || time.Since(have.at) < lookEvery*6) {
		return have.archived, have.err
	}
	ctx, cancel := context.WithTimeout(ctx, archiveTimeout)
	defer cancel()
	archived, err := Archives(ctx, mt, set)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.archives[name] = listed{time.Now(), archived, err}
	return archived, err
}

// view is one consistent picture of everything, for the page and for metrics.
type view struct {
	*seen
	reload   reload
	running  bool
	failed   error
	next     time.Time
	statuses []Status
	// attempted and succeeded are by set.
	attempted, succeeded map[string]time.Time
}

func (m *Monitor) view(ctx context.Context) view {
	s := m.look(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	v := view{seen: s, reload: m.reload, running: m.turn%2 == 1, failed: m.failed,
		attempted: map[string]time.Time{}, succeeded: map[string]time.Time{}}
	now := time.Now()
	for _, set := range m.source.Sets {
		name := set.Parent.String()
		if next := set.Schedule.Next(now); v.next.IsZero() || next.Before(v.next) {
			v.next = next.In(set.Location)
		}
		if at, ok := m.attempted[name]; ok {
			v.attempted[name] = at
		}
		if at, ok := m.succeeded[name]; ok {
			v.succeeded[name] = at
		}
	}
	if s == nil {
		return v
	}
	v.statuses = slices.Clone(s.statuses)
	for i := range v.statuses {
		if last, ok := m.last[v.statuses[i].Set]; ok {
			last.Ended = last.Ended.In(v.statuses[i].Now.Location())
			v.statuses[i].Last = &last
		}
	}
	return v
}
