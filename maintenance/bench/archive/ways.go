package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/klauspost/compress/zstd"

	"github.com/partitiond/partitiond/maintenance/archive/parquetfile"
	"github.com/partitiond/partitiond/maintenance/bench/measure"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// define lists the ways.
func (b *bench) define() {
	limit := &measure.Way{Name: "limit: COPY in binary, thrown away", Run: b.copyAway}
	copyFrom := &measure.Way{Name: "COPY FROM of a file in binary", Before: b.emptyTarget, Run: b.copyFrom}
	b.ways = []*measure.Way{
		limit,
		{Name: "Parquet export", Baseline: limit, Run: b.export},
		{Name: "Parquet verification: parts read back", Baseline: limit, Before: b.need, Run: b.readBack},
		{Name: "server: count and sum of hashes", Baseline: limit, Run: b.hash},
		{Name: "COPY in CSV, zstd at its default level", Baseline: limit, Run: b.csv},
		{Name: "pg_dump -Fc", Baseline: limit, Run: b.dump("-Fc")},
		{Name: "pg_dump -Fc -Z1", Baseline: limit, Run: b.dump("-Fc", "-Z1")},
		copyFrom,
		{Name: "restore of Parquet", Baseline: copyFrom, Before: b.needAndEmpty, Run: b.restore},
	}
}

func (b *bench) copyAway(ctx context.Context) (measure.Usage, error) {
	tag, err := b.source.PgConn().CopyTo(ctx, io.Discard, b.plan.CopySQL(events))
	if err == nil && tag.RowsAffected() != int64(b.rows) {
		err = fmt.Errorf("%d rows came", tag.RowsAffected())
	}
	return measure.Usage{Size: b.raw}, err
}

func (b *bench) part(n int) string { return b.path(fmt.Sprintf("part-%05d.parquet", n)) }

// export writes parts, with their digests.
func (b *bench) export(ctx context.Context) (u measure.Usage, err error) {
	b.parts = nil
	var f *os.File
	w, err := parquetfile.NewWriter(b.plan, parquetfile.Options{
		Key:  "created_at",
		Next: func(n int) (_ io.Writer, err error) { f, err = os.Create(b.part(n)); return f, err },
		Done: func(p parquetfile.Part) error {
			b.parts = append(b.parts, p)
			u.Size += p.Bytes
			return f.Close()
		},
	})
	if err != nil {
		return u, err
	}
	_, err = b.source.PgConn().CopyTo(ctx, w, b.plan.CopySQL(events))
	if closing := w.Close(); err == nil {
		err = closing
	}
	return u, err
}

// need makes the parts, if there are none.
func (b *bench) need(ctx context.Context) error {
	if b.parts != nil {
		return nil
	}
	_, err := b.export(ctx)
	return err
}

func (b *bench) eachPart(do func(f *os.File, p parquetfile.Part) (parquetfile.Digest, error)) error {
	rows := int64(0)
	for _, p := range b.parts {
		f, err := os.Open(b.part(p.Number))
		if err != nil {
			return err
		}
		d, err := do(f, p)
		_ = f.Close() // It was only read.
		if err != nil {
			return err
		}
		if d != p.Digest {
			return fmt.Errorf("part %d has %v, and was written with %v", p.Number, d, p.Digest)
		}
		rows += d.Rows
	}
	if rows != int64(b.rows) {
		return fmt.Errorf("the parts have %d rows", rows)
	}
	return nil
}

func (b *bench) readBack(ctx context.Context) (measure.Usage, error) {
	return measure.Usage{}, b.eachPart(func(f *os.File, p parquetfile.Part) (parquetfile.Digest, error) {
		return parquetfile.Read(ctx, f, p.Bytes, b.plan, nil)
	})
}

func (b *bench) hash(ctx context.Context) (measure.Usage, error) {
	var rows int64
	var sum string
	err := b.source.QueryRow(ctx, "SELECT count(*), sum(hash_record_extended("+hashable+", 0)::numeric)::text FROM ONLY public.events").Scan(&rows, &sum)
	return measure.Usage{}, err
}

// csv is what an archive in CSV costs at the least, without a digest.
func (b *bench) csv(ctx context.Context) (u measure.Usage, err error) {
	err = b.file("rows.csv.zst", func(w io.Writer) error {
		z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(2))
		if err != nil {
			return err
		}
		in := bufio.NewWriterSize(z, 256<<10)
		_, err = b.source.PgConn().CopyTo(ctx, in, "COPY (SELECT "+b.plan.SelectList()+" FROM ONLY public.events) TO STDOUT (FORMAT csv, HEADER true)")
		if err == nil {
			err = in.Flush()
		}
		if closing := z.Close(); err == nil {
			err = closing
		}
		return err
	}, &u.Size)
	return u, err
}

func (b *bench) dump(options ...string) func(context.Context) (measure.Usage, error) {
	return func(ctx context.Context) (u measure.Usage, err error) {
		args := append(options, "--table=public.events", "--file="+b.path("rows.dump"), "--dbname="+b.server.URL("postgres"))
		cmd := exec.CommandContext(ctx, b.server.Binaries().Path("pg_dump"), args...)
		if out, err := u.Child(cmd); err != nil {
			return u, fmt.Errorf("%w\n%s", err, out)
		}
		info, err := os.Stat(b.path("rows.dump"))
		if err != nil {
			return u, err
		}
		u.Size = info.Size()
		return u, nil
	}
}

// restored is the table that rows are restored into.
var restored = partition.Name{Schema: "public", Local: "restored"}

// emptyTarget makes it anew, and leaves the server nothing to write of before.
func (b *bench) emptyTarget(ctx context.Context) error {
	for _, sql := range []string{"DROP TABLE IF EXISTS restored", "CREATE TABLE restored (LIKE events)", "CHECKPOINT"} {
		if _, err := b.target.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) needAndEmpty(ctx context.Context) error {
	if err := b.need(ctx); err != nil {
		return err
	}
	return b.emptyTarget(ctx)
}

func (b *bench) copyFrom(ctx context.Context) (measure.Usage, error) {
	f, err := os.Open(b.path("rows.bin"))
	if err != nil {
		return measure.Usage{}, err
	}
	defer f.Close() // It was only read.
	tag, err := b.target.PgConn().CopyFrom(ctx, f, "COPY restored FROM STDIN (FORMAT binary)")
	if err == nil && tag.RowsAffected() != int64(b.rows) {
		err = fmt.Errorf("%d rows were copied", tag.RowsAffected())
	}
	return measure.Usage{Size: b.raw}, err
}

func (b *bench) restore(ctx context.Context) (u measure.Usage, err error) {
	tx, err := b.target.Begin(ctx)
	if err != nil {
		return u, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if err := parquetfile.Configure(ctx, tx); err != nil {
		return u, err
	}
	l, err := parquetfile.NewLoader(ctx, tx, b.plan, restored)
	if err != nil {
		return u, err
	}
	if err := b.eachPart(func(f *os.File, p parquetfile.Part) (parquetfile.Digest, error) {
		u.Size += p.Bytes
		return l.Load(ctx, f, p.Bytes)
	}); err != nil {
		return u, err
	}
	return u, tx.Commit(ctx)
}
