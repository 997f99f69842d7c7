package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/convert"
)

func drainSection() section {
	return section{name: "drain", title: "Making an ordinary table a set, and its rows months, under load", run: runDrain}
}

// drainRows are in the table beforehand.
const drainRows = 5_000_000

// runDrain has a table become the first partition of a set, and that cut into months.
func runDrain(ctx context.Context, e *env) (t table, err error) {
	rows := max(2000, int(drainRows*e.scale))
	c := &converted{env: e, url: e.server.URL("convert")}
	if err := c.configure(ctx); err != nil {
		return t, err
	}
	fmt.Fprintln(e.log, "  making the table")
	err = sqls(ctx, c.url, "CREATE TABLE event_master (id bigserial, user_id integer, kind integer, body text, created_at timestamp NOT NULL, PRIMARY KEY (id, created_at)); CREATE INDEX ON event_master (user_id)",
		fmt.Sprintf(`INSERT INTO event_master (user_id, kind, body, created_at)
			SELECT i %% 100000, 1 + i %% 100, md5(i::text), date_trunc('month', localtimestamp) - interval '%[1]d months' + i * (interval '1 second' * 86400 * 30 * %[1]d / %[2]d) FROM generate_series(0, %[2]d - 1) i`,
			convertMonths-1, rows), "VACUUM (FREEZE, ANALYZE)", "CHECKPOINT")
	if err != nil {
		return t, err
	}
	size, err := c.text(ctx, "SELECT pg_size_pretty(pg_table_size('event_master')) || ', and ' || pg_size_pretty(pg_indexes_size('event_master')) || ' of indexes'")
	if err != nil {
		return t, err
	}
	ways := []*conversion{{name: "the load, alone"}, {name: "the table becomes a partition", run: c.whole}, {name: "its rows go to months", run: c.drain}}
	written, err := c.underLoad(ctx, ways)
	if err != nil {
		return t, err
	}
	if err := errors.Join(c.pass(ctx), c.pass(ctx)); err != nil {
		return t, err
	}
	if err := c.noneLost(ctx, strconv.Itoa(rows), written); err != nil {
		return t, err
	}
	partitions, err := c.text(ctx, "SELECT count(DISTINCT tableoid) FROM event_master")
	if err != nil {
		return t, err
	}
	t = conversionTable(ways)
	t.notes = []string{fmt.Sprintf("%d rows of %d months, %s. %s The drain copies all rows as fast as it can, compares them, and swaps. Rows lost: 0, of all that are in %s partitions now.", rows, convertMonths-1, size, c.load(), partitions)}
	return t, nil
}

// whole makes the table the first partition of a set.
func (c *converted) whole(ctx context.Context, w *conversion) error {
	return w.swapped(convert.Run(ctx, nil, c.connect, c.set, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
		return convert.Whole(ctx, conn, c.set, time.Time{}, bound)
	}, slog.New(slog.DiscardHandler)))
}

// drain cuts that partition into months.
func (c *converted) drain(ctx context.Context, w *conversion) error {
	return w.swapped(convert.RunDrain(ctx, nil, c.connect, c.set, convert.DrainOptions{Options: bound}, slog.New(slog.DiscardHandler)))
}
