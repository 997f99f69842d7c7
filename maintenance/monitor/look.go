package monitor

import (
	"context"
	"time"

	"golang.org/x/sync/singleflight"

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

// due tells whether the database is to be looked at anew. What a look at all of
// them takes together is given. The caller has the lock.
func (d *database) due(now time.Time, took time.Duration) bool {
	if d.seen == nil {
		return true
	}
	age := now.Sub(d.seen.at)
	// What a pass has changed is shown at once, but a pass at each second is no
	// reason to look each second.
	return age >= max(lookEvery, lookShare*took) || d.stale && age >= max(time.Second, d.seen.took)
}

type listed struct {
	at       time.Time
	archived []partition.Archived
	err      error
}

// look sees to it that what is known of the sets is of some seconds ago at most,
// unless looking takes longer.
func (m *Monitor) look(ctx context.Context) {
	m.mu.Lock()
	var took time.Duration
	for _, d := range m.databases {
		if d.seen != nil {
			took += d.seen.took
		}
	}
	now := time.Now()
	var due []*database
	for _, d := range m.databases {
		if d.due(now, took) {
			due = append(due, d)
		}
	}
	if len(due) == 0 || m.ctx.Err() != nil {
		m.mu.Unlock()
		return
	}
	m.looks.Add(1)
	slots := m.slots
	m.mu.Unlock()
	var done []<-chan singleflight.Result
	for _, d := range due {
		done = append(done, m.flight.DoChan(d.name, func() (any, error) {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
				d.lookNow()
			case <-m.ctx.Done():
			}
			return nil, nil
		}))
	}
	finished := make(chan struct{})
	go func() {
		defer m.looks.Done()
		for _, d := range done {
			<-d
		}
		close(finished)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (d *database) lookNow() {
	m := d.monitor
	m.mu.Lock()
	source, turn := d.source, d.turn
	d.stale = false
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(m.ctx, lookTimeout)
	defer cancel()
	began := time.Now()
	statuses, planned, err := look(ctx, source.Maintainer, source.Sets, d.listArchive)
	now := time.Now()
	if err != nil && m.ctx.Err() == nil {
		source.Maintainer.Log.Warn("the monitor could not look at the sets", "error", err)
	}
	next := &seen{at: now, took: now.Sub(began), statuses: statuses, err: err, goodAt: now}

	m.mu.Lock()
	defer m.mu.Unlock()
	if d.source.Maintainer != source.Maintainer {
		return // The configuration is another by now.
	}
	if err != nil {
		if next.goodAt = (time.Time{}); d.seen != nil {
			next.statuses, next.goodAt = d.seen.statuses, d.seen.goodAt
		}
	} else if d.turn == turn && turn%2 == 0 {
		for _, p := range planned {
			d.compare(p)
		}
	}
	d.seen = next
}

// listArchive is [Archives] with a memory.
func (d *database) listArchive(ctx context.Context, mt *maintenance.Maintainer, set partition.Set) ([]partition.Archived, error) {
	name := set.Parent.String()
	m := d.monitor
	m.mu.Lock()
	have, ok := d.archives[name]
	m.mu.Unlock()
	if ok && time.Since(have.at) < archiveEvery && (have.err == nil || time.Since(have.at) < lookEvery*6) {
		return have.archived, have.err
	}
	ctx, cancel := context.WithTimeout(ctx, archiveTimeout)
	defer cancel()
	archived, err := Archives(ctx, mt, set)
	m.mu.Lock()
	defer m.mu.Unlock()
	d.archives[name] = listed{time.Now(), archived, err}
	return archived, err
}
