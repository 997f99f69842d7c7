package main

import (
	"context"
	"fmt"
	"time"

	"github.com/partitiond/partitiond/maintenance/bench/measure"
)

// dropRows is how many rows the month has that is removed.
const dropRows = 10_000_000

// removal is what one way to remove a month took, and left.
type removal struct{ seconds, wal, left []float64 }

// dropping compares a pass that retires a month with DELETE of the same rows and
// VACUUM, each on a copy of one adopted set.
func dropping(ctx context.Context, e *env) (t table, err error) {
	rows := max(1000, int(dropRows*e.scale))
	fmt.Fprintf(e.log, "  filling a month with %d rows\n", rows)
	if err := e.fillOld(ctx, rows); err != nil {
		return t, err
	}
	var deleted, dropped removal
	var size float64
	// One of these rounds takes as long as all of another section.
	rounds := min(e.rounds, 2)
	for round := range rounds {
		fmt.Fprintf(e.log, "  round %d of %d\n", round+1, rounds)
		for _, side := range []struct {
			out    *removal
			remove func(context.Context, *seeded) error
		}{{&deleted, deleteMonth}, {&dropped, retireMonth}} {
			if size, err = e.removeOnce(ctx, side.out, side.remove); err != nil {
				return t, err
			}
		}
	}
	t.head = []string{"removing a month", "DELETE and VACUUM", "a pass", "ratio"}
	row := func(what, format string, a, b []float64, unit float64) {
		ratio := "-"
		if measure.Median(b) > 0 {
			ratio = measure.Thousands(measure.Median(a) / measure.Median(b))
		}
		t.rows = append(t.rows, []string{what, fmt.Sprintf(format, measure.Median(a)/unit), fmt.Sprintf(format, measure.Median(b)/unit), ratio})
	}
	row("seconds", "%.2f", deleted.seconds, dropped.seconds, 1)
	row("WAL, MB", "%.2f", deleted.wal, dropped.wal, 1e6)
	row("size of the month afterwards, MB", "%.1f", deleted.left, dropped.left, 1e6)
	t.notes = []string{fmt.Sprintf("%s rows, %.0f MB with the indexes. The pass is a whole one: it observes, replaces the routing function, drops the month and renews "+
		"the parent's statistics. DELETE leaves an empty table of which VACUUM can cut off the rows, but not the indexes. "+
		"Medians of %d rounds.", measure.Thousands(float64(rows)), size/1e6, rounds)}
	return t, nil
}

// oldMonth is the month that is removed, and keepPolicy what makes it due.
const (
	oldMonth   = -13
	keepPolicy = "retention = { keep = \"12 months\", then = \"drop\", max_share = 1 }\n"
)

// fillOld makes an adopted set with one full month that is due.
func (e *env) fillOld(ctx context.Context, rows int) error {
	s, err := e.seed(ctx, "filled")
	if err != nil {
		return err
	}
	defer closeConn(s.conn)
	// One index is the least that DELETE leaves to VACUUM; the seed's hash indexes would take it longer.
	if err := s.dropIndexes(ctx); err != nil {
		return err
	}
	if err := runSQL(ctx, s.conn, "CREATE INDEX ON "+s.parent+" (created_at)"); err != nil {
		return err
	}
	if err := s.months(ctx, oldMonth, 0); err != nil {
		return err
	}
	if err := s.fill(ctx, oldMonth, rows); err != nil {
		return err
	}
	if _, err := s.pass(ctx, ""); err != nil {
		return err
	}
	return s.vacuum(ctx)
}

// removeOnce removes the month from a copy, and tells how big it was.
func (e *env) removeOnce(ctx context.Context, out *removal, remove func(context.Context, *seeded) error) (size float64, err error) {
	conn, err := e.connect(ctx, "copied", "filled")
	if err != nil {
		return 0, err
	}
	s, err := e.open(ctx, "copied", conn)
	if err != nil {
		return 0, err
	}
	defer closeConn(s.conn)
	if size, err = s.size(ctx); err != nil {
		return 0, err
	}
	if err := runSQL(ctx, s.conn, "CHECKPOINT"); err != nil {
		return 0, err
	}
	var at string
	if err := s.conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&at); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := remove(ctx, s); err != nil {
		return 0, err
	}
	out.seconds = append(out.seconds, time.Since(began).Seconds())
	var wal float64
	if err := s.conn.QueryRow(ctx, "SELECT (pg_current_wal_insert_lsn() - $1::text::pg_lsn)::float8", at).Scan(&wal); err != nil {
		return 0, err
	}
	left, err := s.size(ctx)
	if err != nil {
		return 0, err
	}
	out.wal, out.left = append(out.wal, wal), append(out.left, left)
	closeConn(s.conn)
	return size, e.drop(ctx, "copied")
}

// size is that of the old month with its indexes, and 0 without it.
func (s *seeded) size(ctx context.Context) (bytes float64, err error) {
	err = s.conn.QueryRow(ctx, "SELECT coalesce(pg_total_relation_size(to_regclass($1)), 0)::float8", s.child(oldMonth)).Scan(&bytes)
	return bytes, err
}

func deleteMonth(ctx context.Context, s *seeded) error {
	if err := runSQL(ctx, s.conn, fmt.Sprintf("DELETE FROM %s WHERE created_at >= %s AND created_at < %s", s.parent, s.literal(oldMonth), s.literal(oldMonth+1))); err != nil {
		return err
	}
	return runSQL(ctx, s.conn, "VACUUM "+s.child(oldMonth))
}

func retireMonth(ctx context.Context, s *seeded) error {
	if _, err := s.pass(ctx, keepPolicy); err != nil {
		return err
	}
	if left, err := s.size(ctx); err != nil || left > 0 {
		return fmt.Errorf("the month is still there (%v)", err)
	}
	return nil
}
