package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

func locksSection() section {
	return section{
		name:  "locks",
		title: "What writers and readers notice of maintenance",
		run:   runLocks,
	}
}

// locks is the benchmark of what the load waits for while a set is maintained.
type locks struct {
	*env
	now time.Time
	// reader is how long a reader's transaction stays open, window how long the load is
	// watched with one, and quiet how long it is watched without.
	reader, window, quiet time.Duration
	// last and rest are how many rows the current month and each other month have.
	last, rest int
	serial     int
}

// way is one way to maintain a set: run once, and once more after the reader has
// gone, if there is one.
type lockWay struct {
	name, template string
	run            func(ctx context.Context, url string) error
	// done fails if something is left to do.
	done func(ctx context.Context, url string) error

	alone, without, with result
}

// result is what was seen in one situation, in all rounds.
type result struct {
	inserts, reads stalls
	took           time.Duration
	// locked is how long an insert waited for a lock of a table, at most.
	locked time.Duration
	// lost inserts are those that failed or whose row is not there.
	lost int
}

func runLocks(ctx context.Context, e *env) (t table, err error) {
	l := &locks{env: e, now: time.Now().UTC(),
		reader: scaled(time.Minute, e.scale, 5*time.Second), quiet: scaled(30*time.Second, e.scale, 3*time.Second),
		last: max(1000, int(1e6*e.scale)), rest: max(1000, int(2e5*e.scale))}
	l.window = l.reader + l.quiet/2
	if err := l.prepare(ctx); err != nil {
		return t, err
	}
	pass := l.passWay()
	ways := []*lockWay{pass.lockWay, l.naiveWay()}
	partman, err := l.partmanWay(ctx)
	if err != nil {
		return t, err
	}
	if partman != nil {
		ways = append(ways, partman)
	}
	// Rounds are long here, and each adds to the worst.
	rounds := min(e.rounds, 2)
	for round := range rounds {
		for _, w := range ways {
			fmt.Fprintf(e.log, "  round %d of %d: %s\n", round+1, rounds, w.name)
			if err := l.measure(ctx, w); err != nil {
				return t, fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	return l.report(ways, pass, rounds), nil
}

func scaled(d time.Duration, scale float64, least time.Duration) time.Duration {
	return max(least, time.Duration(float64(d)*scale))
}

// measure watches the load alone, beside the maintenance, and beside that and a reader.
func (l *locks) measure(ctx context.Context, w *lockWay) error {
	if w.template == setTemplate && w.name != passName {
		// The load is the pass's, and so it is alone.
	} else if err := l.watch(ctx, w, &w.alone, nil, 0); err != nil {
		return fmt.Errorf("alone: %w", err)
	}
	if err := l.watch(ctx, w, &w.without, w.run, 0); err != nil {
		return fmt.Errorf("without a reader: %w", err)
	}
	if err := l.watch(ctx, w, &w.with, w.run, l.reader); err != nil {
		return fmt.Errorf("with a reader: %w", err)
	}
	return nil
}

// watch watches the load for a while, on a new copy of the set.
func (l *locks) watch(ctx context.Context, w *lockWay, into *result, run func(context.Context, string) error, reader time.Duration) (err error) {
	window := l.quiet
	if reader > 0 {
		window = l.window
	}
	logged := len(l.lockWaits())
	db, drop, err := l.copyOf(ctx, w.template)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // Ends the load, should something else fail.
	streams := l.streams(w.template)
	for _, s := range streams {
		if err := s.start(ctx, l.server, l.dir, db); err != nil {
			return err
		}
	}
	url := l.server.URL(db)
	gone, err := l.read(ctx, url, w.template, reader)
	if err != nil {
		return err
	}
	if err := sleep(ctx, warmUp); err != nil {
		return err
	}
	from := time.Now()
	to := from.Add(window)
	if run != nil {
		if err := run(ctx, url); err != nil {
			return err
		}
		into.took = max(into.took, time.Since(from))
		if err := <-gone; err != nil {
			return err
		}
		if reader > 0 {
			if err := run(ctx, url); err != nil {
				return err
			}
		}
		if now := time.Now(); now.After(to) {
			to = now // It has taken longer than the load is watched for.
		}
	}
	if err := sleep(ctx, time.Until(to)); err != nil {
		return err
	}
	inserts, lost, err := streams[0].wait()
	if err != nil {
		return err
	}
	reads, unread, err := streams[1].wait()
	if err != nil {
		return err
	}
	if unread > 0 {
		return fmt.Errorf("%d readers failed: %s", unread, streams[1].stderr.String())
	}
	if waits := l.lockWaits(); len(waits) > logged {
		into.locked = max(into.locked, slices.Max(waits[logged:]))
	}
	into.inserts.join(within(inserts, from, to))
	into.reads.join(within(reads, from, to))
	missing, err := l.missing(ctx, url, w.template, inserts)
	into.lost += lost + missing
	if err == nil && run != nil {
		err = w.done(ctx, url)
	}
	return err
}

// read reads the whole set in a transaction that stays open for a while. The channel
// tells when it has ended.
func (l *locks) read(ctx context.Context, url, template string, last time.Duration) (<-chan error, error) {
	gone := make(chan error, 1)
	if last == 0 {
		close(gone)
		return gone, nil
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	_, err = conn.PgConn().Exec(ctx, "SET application_name = 'a long report'; BEGIN; SELECT count(*) FROM "+parentOf[template]).ReadAll()
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	go func() {
		err := sleep(ctx, warmUp+last)
		gone <- errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}()
	return gone, nil
}

// missing counts the inserts whose row is not there, or that are there without having
// been reported.
func (l *locks) missing(ctx context.Context, url, template string, all []transaction) (int, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx) // It has only read.
	var rows int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM "+parentOf[template]+" WHERE kind = 0").Scan(&rows); err != nil {
		return 0, err
	}
	for _, t := range all {
		if !t.failed {
			rows--
		}
	}
	return max(rows, -rows), nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
