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
	"github.com/partitiond/partitiond/maintenance/partition"
)

// define lists the ways.
func (b *bench) define() {
	limit := &way{name: "limit: COPY in binary, thrown away", run: b.copyAway}
	copyFrom := &way{name: "COPY FROM of a file in binary", before: b.emptyTarget, run: b.copyFrom}
	b.ways = []*way{
		limit,
		{name: "Parquet export", baseline: limit, run: b.export},
		{name: "Parquet verification: parts read back", baseline: limit, before: b.need, run: b.readBack},
		{name: "server: count and sum of hashes", baseline: limit, run: b.hash},
		{name: "COPY in CSV, zstd at its default level", baseline: limit, run: b.csv},
		{name: "pg_dump -Fc", baseline: limit, run: b.dump("-Fc")},
		{name: "pg_dump -Fc -Z1", baseline: limit, run: b.dump("-Fc", "-Z1")},
		copyFrom,
		{name: "restore of Parquet", baseline: copyFrom, before: b.needAndEmpty, run: b.restore},
	}
}

func (b *bench) copyAway(ctx context.Context) (usage, error) {
	tag, err := b.source.PgConn().CopyTo(ctx, io.Discard, b.plan.CopySQL(events))
	if err == nil && tag.RowsAffected() != int64(b.rows) {
		err = fmt.Errorf("%d rows came", tag.RowsAffected())
	}
	return usage{size: b.raw}, err
}

func (b *bench) part(n int) string { return b.path(fmt.Sprintf("part-%05d.parquet", n)) }

// export writes parts, with their digests.
func (b *bench) export(ctx context.Context) (u usage, err error) {
	b.parts = nil
	var f *os.File
	w, err := parquetfile.NewWriter(b.plan, parquetfile.Options{
		Key:  "created_at",
		Next: func(n int) (_ io.Writer, err error) { f, err = os.Create(b.part(n)); return f, err },
		Done: func(p parquetfile.Part) error {
			b.parts = append(b.parts, p)
			u.size += p.Bytes
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

func (b *bench) readBack(ctx context.Context) (usage, error) {
	return usage{}, b.eachPart(func(f *os.File, p parquetfile.Part) (parquetfile.Digest, error) {
		return parquetfile.Read(ctx, f, p.Bytes, b.plan, nil)
	})
}

func (b *bench) hash(ctx context.Context) (usage, error) {
	var rows int64
	var sum string
	err := b.source.QueryRow(ctx, "SELECT count(*), sum(hash_record_extended("+hashable+", 0)::numeric)::text FROM ONLY public.events").Scan(&rows, &sum)
	return usage{}, err
}

// csv is what an archive in CSV costs at the least, without a digest.
func (b *bench) csv(ctx context.Context) (u usage, err error) {
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
	}, &u.size)
	return u, err
}

func (b *bench) dump(options ...string) func(context.Context) (usage, error) {
	return func(ctx context.Context) (u usage, err error) {
		args := append(options, "--table=public.events", "--file="+b.path("rows.dump"), "--dbname="+b.server.URL("postgres"))
		cmd := exec.CommandContext(ctx, b.server.Binaries().Path("pg_dump"), args...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return u, fmt.Errorf("%w\n%s", err, out)
		}
		u.child(cmd.ProcessState)
		info, err := os.Stat(b.path("rows.dump"))
		if err != nil {
			return u, err
		}
		u.size = info.Size()
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

func (b *bench) copyFrom(ctx context.Context) (usage, error) {
	f, err := os.Open(b.path("rows.bin"))
	if err != nil {
		return usage{}, err
	}
	defer f.Close() // It was only read.
	tag, err := b.target.PgConn().CopyFrom(ctx, f, "COPY restored FROM STDIN (FORMAT binary)")
	if err == nil && tag.RowsAffected() != int64(b.rows) {
		err = fmt.Errorf("%d rows were copied", tag.RowsAffected())
	}
	return usage{size: b.raw}, err
}

func (b *bench) restore(ctx context.Context) (u usage, err error) {
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
		u.size += p.Bytes
		return l.Load(ctx, f, p.Bytes)
	}); err != nil {
		return u, err
	}
	return u, tx.Commit(ctx)
}
