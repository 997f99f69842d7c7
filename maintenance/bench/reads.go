package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/bench/measure"
)

// readMonths and readRows are how many months there are, and how many rows each has.
const readMonths, readRows = 36, 60_000

// reads compares queries through the parent on the seed's schema with the same ones
// on a copy of it that one pass has adopted, and on one with just what they need.
func reads(ctx context.Context, e *env) (t table, err error) {
	rows := max(500, int(readRows*e.scale))
	fmt.Fprintf(e.log, "  filling %d months\n", readMonths)
	if err := e.fillMonths(ctx, "seeded", rows); err != nil {
		return t, err
	}
	fmt.Fprintf(e.log, "  adopting them\n")
	conn, err := e.connect(ctx, "adopted", "seeded")
	if err != nil {
		return t, err
	}
	after, err := e.open(ctx, "adopted", conn)
	if err != nil {
		return t, err
	}
	defer closeConn(after.conn)
	report, err := after.pass(ctx, "")
	if err != nil {
		return t, err
	}
	if conn, err = e.connect(ctx, "byhand", "seeded"); err != nil {
		return t, err
	}
	hand, err := e.open(ctx, "byhand", conn)
	if err != nil {
		return t, err
	}
	defer closeConn(hand.conn)
	if err := hand.constrain(ctx); err != nil {
		return t, err
	}
	if conn, err = pgx.Connect(ctx, e.server.URL("seeded")); err != nil {
		return t, fmt.Errorf("connecting: %w", err)
	}
	before, err := e.open(ctx, "seeded", conn)
	if err != nil {
		return t, err
	}
	defer closeConn(before.conn)
	sides := []*seeded{before, hand, after}
	for _, s := range sides {
		if err := s.vacuum(ctx); err != nil {
			return t, err
		}
	}

	where := fmt.Sprintf("WHERE created_at >= '%s' AND created_at < '%s'", before.at(-20).Format(time.DateOnly), before.at(-19).Format(time.DateOnly))
	t.head = []string{"query of the parent", "seed, ms", "range CHECKs by hand, ms", "times faster", "adopted, ms", "times faster"}
	for _, q := range []struct{ name, text string }{
		{"one month", "SELECT count(*) FROM %s " + where},
		{"one user's rows of one month", "SELECT count(dialogue) FROM %s " + where + " AND user_id = 'u42'"},
	} {
		fmt.Fprintf(e.log, "  %s\n", q.name)
		took, err := e.compareReads(ctx, sides, q.text)
		if err != nil {
			return t, fmt.Errorf("%s: %w", q.name, err)
		}
		row := []string{q.name, fmt.Sprintf("%.2f", measure.Median(took[0]))}
		for _, is := range took[1:] {
			row = append(row, fmt.Sprintf("%.2f", measure.Median(is)), times(took[0], is))
		}
		t.rows = append(t.rows, row)
	}
	t.notes = []string{fmt.Sprintf("%d months of %s rows, planning included. By hand they got no more than a range CHECK and one index, of the users. "+
		"The pass that adopted them took %.1f s, most of it for indexes.",
		readMonths, measure.Thousands(float64(rows)), report.Seconds)}
	return t, nil
}

// compareReads runs a query by turns on all sides, several times a round, and tells the
// rounds' medians in milliseconds.
func (e *env) compareReads(ctx context.Context, sides []*seeded, query string) (took [][]float64, err error) {
	const repeats = 7
	var answers []int64
	took = make([][]float64, len(sides))
	for round := range e.rounds {
		for i := range sides {
			side := (i + round) % len(sides)
			var now []float64
			for range repeats {
				var answer int64
				began := time.Now()
				// The simple protocol plans anew each time, as a query that comes once is.
				if err := sides[side].conn.QueryRow(ctx, fmt.Sprintf(query, sides[side].parent), pgx.QueryExecModeSimpleProtocol).Scan(&answer); err != nil {
					return nil, err
				}
				now = append(now, time.Since(began).Seconds()*1000)
				answers = append(answers, answer)
			}
			took[side] = append(took[side], measure.Median(now))
		}
	}
	if answers[0] == 0 || len(slices.Compact(answers)) != 1 {
		return nil, fmt.Errorf("the answers differ, or find nothing: %d", answers)
	}
	return took, nil
}

// constrain gives each month's table a plain range CHECK in place of the seed's, and an
// index of the users, as somebody would do by hand.
func (s *seeded) constrain(ctx context.Context) error {
	for m := 1 - readMonths; m <= 0; m++ {
		err := runSQL(ctx, s.conn, fmt.Sprintf(`DO $$ DECLARE c name; BEGIN
			FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = '%[1]s'::regclass AND contype = 'c' LOOP EXECUTE format('ALTER TABLE %[1]s DROP CONSTRAINT %%I', c); END LOOP; END $$;
			ALTER TABLE %[1]s ADD CHECK (created_at >= %[2]s AND created_at < %[3]s); CREATE INDEX ON %[1]s USING hash (user_id)`,
			s.child(m), s.literal(m), s.literal(m+1)))
		if err != nil {
			return err
		}
	}
	return nil
}

// fillMonths makes a database with the seed's schema and rows in each month's table.
func (e *env) fillMonths(ctx context.Context, name string, rows int) error {
	s, err := e.seed(ctx, name)
	if err != nil {
		return err
	}
	defer closeConn(s.conn)
	if err := s.months(ctx, 1-readMonths, 0); err != nil {
		return err
	}
	for m := 1 - readMonths; m <= 0; m++ {
		if err := s.fill(ctx, m, rows); err != nil {
			return err
		}
	}
	return s.vacuum(ctx)
}

// fill puts rows straight into a month's table, in the order of time.
func (s *seeded) fill(ctx context.Context, month, rows int) error {
	return runSQL(ctx, s.conn, fmt.Sprintf(`INSERT INTO %[1]s (%[2]s) SELECT 'p' || i %% 8, 'u' || i %% %[5]d, repeat('hello ', 8),
		%[3]s + i * interval '27 days' / %[4]d FROM generate_series(1, %[4]d) AS i`, s.child(month), written, s.literal(month), rows, max(50, min(1000, rows/20))))
}

// vacuum does to the tables what autovacuum does in production.
func (s *seeded) vacuum(ctx context.Context) error {
	rows, err := s.conn.Query(ctx, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::text::regclass", s.parent)
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, table := range tables {
		if err := runSQL(ctx, s.conn, "VACUUM (ANALYZE) "+table); err != nil {
			return err
		}
	}
	return nil
}
