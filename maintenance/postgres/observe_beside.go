package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// shared is what a second connection needs in order to see what the first one does.
type shared struct {
	// snapshot is its number, since is when that server was started.
	snapshot, since string
}

// errElsewhere says that the second connection is to another server than the first.
var errElsewhere = errors.New("the second connection does not lead to the same server")

// begin queues the start of the transaction, if there is none.
func (o *observation) begin(b *batch) {
	if !o.within {
		b.addText("begin", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", nil)
	}
	o.addSettings(b)
}

func (o *observation) addSettings(b *batch) {
	b.add("settings", nil, milliseconds(o.lockTimeout), milliseconds(catalogTimeout))
}

const serverSince = "pg_catalog.pg_postmaster_start_time()::pg_catalog.text"

// share begins the transaction and lets another one have its snapshot (PostgreSQL
// documentation, 9.27.5 Snapshot Synchronization Functions).
func (o *observation) share(ctx context.Context) error {
	var b batch
	o.begin(&b)
	b.addText("snapshot", "SELECT pg_catalog.pg_export_snapshot(), "+serverSince, func(r *row) {
		o.shared = shared{snapshot: r.text(0), since: r.text(1)}
	})
	return o.run(ctx, &b, nil)
}

// join queues the start of the transaction that has the same snapshot: before its
// first query, but BEGIN is none.
func (o *observation) join(b *batch) {
	b.addText("begin", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", nil)
	b.addText("snapshot", "SET TRANSACTION SNAPSHOT "+quoteLiteral(o.shared.snapshot), nil)
	o.addSettings(b)
	b.addText("server", "SELECT "+serverSince, func(r *row) {
		if r.text(0) != o.shared.since && r.err == nil {
			r.err = errElsewhere
		}
	})
}

// run makes one round trip of the catalogs, and one on the second connection at the
// same time, if there is something for it.
func (o *observation) run(ctx context.Context, here, there *batch) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	replay, done := func() error { return nil }, make(chan error, 1)
	if there == nil || len(there.statements) == 0 {
		done <- nil
	} else {
		recorded, again := there.record()
		replay = func() error { return again(o.pool) }
		go func() { done <- recorded.run(ctx, o.beside, texts{}) }()
	}
	err := here.run(ctx, o.conn, o.pool)
	if err != nil {
		cancel() // The other answer is of no use any more.
	}
	if other := <-done; err == nil && other != nil {
		err = fmt.Errorf("on the second connection: %w", other)
	}
	if err == nil {
		err = replay()
	}
	if err != nil {
		return err
	}
	if o.vanished {
		return errVanished
	}
	return nil
}

// record returns a batch that only keeps the rows, and what hands them to the
// statements of this one: those are not made for two at a time, and some need what
// the first connection has read.
func (b *batch) record() (recorded *batch, replay func(texts) error) {
	rows := make([][][][]byte, len(b.statements))
	recorded = &batch{}
	for i, s := range b.statements {
		if s.row != nil {
			s.row = func(r *row) {
				values := make([][]byte, len(r.values))
				for j, v := range r.values {
					values[j] = bytes.Clone(v)
				}
				rows[i] = append(rows[i], values)
			}
		}
		recorded.statements = append(recorded.statements, s)
	}
	return recorded, func(pool texts) error {
		for i, s := range b.statements {
			r := row{pool: pool}
			for _, r.values = range rows[i] {
				s.row(&r)
			}
			if r.err != nil {
				return fmt.Errorf("read the answer of %s: %w", s.name, r.err)
			}
		}
		return nil
	}
}
