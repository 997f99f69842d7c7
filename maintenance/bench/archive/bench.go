package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/archive/parquetfile"
	"github.com/partitiond/partitiond/maintenance/bench/measure"
	"github.com/partitiond/partitiond/maintenance/pgtemp"
)

// bench is the server, the table and the files.
type bench struct {
	rows   int
	server *pgtemp.Server
	dir    string

	// source is in a transaction with the settings of an export, target in none.
	source, target *pgx.Conn
	plan           parquetfile.Plan

	raw   int64 // how long the table is in COPY's binary format
	parts []parquetfile.Part
	ways  []*measure.Way
}

// prepare starts the server and fills the table.
func prepare(ctx context.Context, progress io.Writer, rows int) (b *bench, err error) {
	b = &bench{rows: rows}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.dir, err = os.MkdirTemp("", "partitiond-bench-*"); err != nil {
		return nil, err
	}
	// Checkpoints and autovacuum would hit one way and not the other.
	b.server, err = pgtemp.Start(ctx, pgtemp.Options{Settings: map[string]string{
		"autovacuum": "off", "max_wal_size": "16GB", "checkpoint_timeout": "1h", "shared_buffers": "256MB"}})
	if err != nil {
		return nil, err
	}
	for _, conn := range []**pgx.Conn{&b.source, &b.target} {
		if *conn, err = pgx.Connect(ctx, b.server.URL("postgres")); err != nil {
			return nil, fmt.Errorf("connecting: %w", err)
		}
	}
	fmt.Fprintf(progress, "making %d rows\n", rows)
	if err := b.fill(ctx); err != nil {
		return nil, fmt.Errorf("making the table: %w", err)
	}
	b.define()
	return b, nil
}

func (b *bench) fill(ctx context.Context) error {
	if _, err := b.target.Exec(ctx, "CREATE TABLE events "+columns); err != nil {
		return err
	}
	out, in := io.Pipe()
	go func() { in.CloseWithError(newWriter().write(in, b.rows)) }()
	_, err := b.target.PgConn().CopyFrom(ctx, out, "COPY events FROM STDIN (FORMAT binary)")
	_ = out.Close() // What it has to say, CopyFrom has said.
	if err != nil {
		return err
	}
	if _, err := b.target.Exec(ctx, "VACUUM (FREEZE, ANALYZE) events"); err != nil {
		return err
	}
	tx, err := b.source.Begin(ctx)
	if err != nil {
		return err
	}
	if err := parquetfile.Configure(ctx, tx); err != nil {
		return err
	}
	if b.plan, err = parquetfile.Columns(ctx, tx, events); err != nil {
		return err
	}
	// What COPY FROM will be given.
	return b.file("rows.bin", func(w io.Writer) error {
		_, err := b.source.PgConn().CopyTo(ctx, w, b.plan.CopySQL(events))
		return err
	}, &b.raw)
}

// path is that of a file of ours.
func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// file makes a file of what is written, and tells its size.
func (b *bench) file(name string, write func(io.Writer) error, size *int64) (err error) {
	f, err := os.Create(b.path(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 256<<10)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	*size, err = f.Seek(0, io.SeekCurrent)
	return err
}

// close ends everything.
func (b *bench) close() (err error) {
	for _, conn := range []*pgx.Conn{b.source, b.target} {
		if conn != nil {
			_ = conn.Close(context.Background()) // The server goes, too.
		}
	}
	if b.server != nil {
		err = b.server.Close()
	}
	if b.dir != "" {
		err = errors.Join(err, os.RemoveAll(b.dir))
	}
	return err
}

// choose returns the ways to measure, in order, but for those that are measured as
// another's baseline.
func (b *bench) choose(prefix string) (some []*measure.Way) {
	for _, w := range b.ways {
		if strings.HasPrefix(w.Name, prefix) && !b.isBaseline(w) {
			some = append(some, w)
		}
	}
	return some
}

func (b *bench) isBaseline(w *measure.Way) bool {
	for _, other := range b.ways {
		if other.Baseline == w {
			return true
		}
	}
	return false
}
