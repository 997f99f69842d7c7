package prove

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// firstOfClient is the number of the first row that a client writes, and firstAgain that of
// one who comes after him.
const (
	firstOfClient = 1_000_000
	firstAgain    = 2_000_000
)

// client is somebody who writes rows while something else happens, and knows of each
// what the server told him.
type client struct {
	scenario
	model  ledger
	conn   *pgx.Conn
	parent string
	key    string
	// kind is the type of the column by which rows are known.
	kind string
	// there are the rows that were there before him.
	there []string
}

// write has a client write rows with the numbers from first on until it is stopped, and
// returns the ledger with what he was told is committed.
func (l *lab) write(t *testing.T, w *world, model ledger, first int) (ledger, func()) {
	t.Helper()
	c := &client{scenario: l.scenario, model: maps.Clone(model), parent: quoted(w.set.Parent), key: pgx.Identifier{w.set.Key}.Sanitize()}
	if l.roams {
		c.there = slices.Sorted(maps.Keys(model))
	}
	var err error
	if c.conn, err = connect(t.Context(), l.server.URL(w.super.Config().Database)); err != nil {
		t.Fatal(err)
	}
	c.kind = w.strings("SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = $1::text::regclass AND attname = $2", c.parent, l.id)[0]
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = c.conn.Close(context.Background()) }()
		for n := first; ; n++ {
			select {
			case <-ended:
				return
			default:
			}
			if err := c.turn(t.Context(), n); err != nil {
				t.Errorf("a client: %v", err)
				return
			}
			time.Sleep(2 * time.Millisecond) // It is a client like others, and no flood.
		}
	}()
	return c.model, func() { close(ended); <-done }
}

// turn writes a row; where the scenario lets him, he changes or deletes the one before,
// too, and looks whether all that he has written is to be seen.
func (c *client) turn(ctx context.Context, n int) error {
	month := 0
	if len(c.months) > 0 {
		month = c.months[n%len(c.months)]
	}
	if c.isLate(n) {
		month = c.late
	}
	id, before := strconv.Itoa(n), strconv.Itoa(n-1)
	_, err := c.conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s (%s, %s) VALUES ($1::text::%s, date_trunc('month', localtimestamp) + make_interval(months => $2))", c.parent, c.id, c.key, c.kind), id, month)
	var pgErr *pgconn.PgError
	if c.isLate(n) && errors.As(err, &pgErr) && pgErr.Code == "23514" {
		return nil // There is no such month any more, and no default partition.
	}
	if err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	c.model[id] = row{}
	if c.edit == "" {
		return nil
	}
	switch n % 4 {
	case 1:
		return c.update(ctx, before, fmt.Sprintf("%s = 'edited %s'", c.edit, before), "true")
	case 3:
		return c.remove(ctx, before)
	}
	if err := c.roam(ctx, n); err != nil {
		return err
	}
	return c.look(ctx)
}

// roam changes or deletes a row that was there before, or has it go to another month.
func (c *client) roam(ctx context.Context, n int) error {
	if len(c.there) == 0 {
		return nil
	}
	id := c.there[n*37%len(c.there)]
	switch n / 2 % 3 {
	case 0:
		return c.update(ctx, id, fmt.Sprintf("%s = 'edited at %d'", c.edit, n), "true")
	case 1:
		return c.remove(ctx, id)
	}
	return c.update(ctx, id, fmt.Sprintf("%[1]s = %[1]s - interval '1 month'", c.key), c.key+" >= date_trunc('month', localtimestamp)")
}

// update changes a row, if it is there and such as it has to be.
func (c *client) update(ctx context.Context, id, set, such string) error {
	var now row
	err := c.conn.QueryRow(ctx, fmt.Sprintf("UPDATE %s AS t SET %s WHERE %s = $1::text::%s AND %s RETURNING to_jsonb(t) - $2::text", c.parent, set, c.id, c.kind, such), id, c.id).Scan(&now)
	switch {
	case err == nil:
		c.model[id] = now
	case !errors.Is(err, pgx.ErrNoRows): // Who is told of no row has changed none.
		return fmt.Errorf("update: %w", err)
	}
	return nil
}

func (c *client) remove(ctx context.Context, id string) error {
	tag, err := c.conn.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE %s = $1::text::%s", c.parent, c.id, c.kind), id)
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if tag.RowsAffected() > 0 {
		delete(c.model, id)
	}
	return nil
}

// isLate tells whether the n-th row is of a month that leaves the set meanwhile.
func (c *client) isLate(n int) bool { return c.late != 0 && n%32 == 5 }

// look finds each row of the client once, whatever is moved at that moment, but for
// those that may leave the set.
func (c *client) look(ctx context.Context) error {
	first := 0
	if len(c.months) > 0 {
		first = slices.Min(c.months)
	}
	var there int
	err := c.conn.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM %s WHERE %s >= %d AND %s >= date_trunc('month', localtimestamp) + make_interval(months => $1)",
		c.parent, c.id, firstOfClient, c.key), first).Scan(&there)
	if err != nil {
		return fmt.Errorf("look: %w", err)
	}
	written := 0
	for id := range c.model {
		if n, err := strconv.Atoi(id); err == nil && n >= firstOfClient && !c.isLate(n) {
			written++
		}
	}
	if there != written {
		return fmt.Errorf("of %d rows that were written %d are to be seen", written, there)
	}
	return nil
}
