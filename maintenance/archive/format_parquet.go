package archive

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/archive/parquetfile"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// parquetFormat is [Parquet].
type parquetFormat struct{}

func (parquetFormat) ext() string { return ".parquet" }

func (parquetFormat) export(ctx context.Context, tx pgx.Tx, t table, m *Manifest, o exportOptions) error {
	plan, err := parquetfile.Columns(ctx, tx, t.name)
	if err != nil {
		return err
	}
	err = exportParquet(ctx, tx, t, plan, o)
	// Values without a form in Parquet are only found on the way; with their columns
	// as text, one more attempt does.
	if bad, ok := errors.AsType[*parquetfile.NoNativeFormError](err); ok {
		if err := o.restart(); err != nil {
			return err
		}
		if plan, err = plan.AsText(bad.Columns...); err != nil {
			return err
		}
		err = exportParquet(ctx, tx, t, plan, o)
	}
	m.Parquet = plan
	return err
}

func exportParquet(ctx context.Context, tx pgx.Tx, t table, plan parquetfile.Plan, o exportOptions) error {
	w, err := parquetfile.NewWriter(plan, parquetfile.Options{
		PartBytes: o.partBytes, Key: o.key,
		Next: func(int) (io.Writer, error) { return o.next() },
		Done: func(p parquetfile.Part) error { return o.done(p.Digest) },
	})
	if err != nil {
		return err
	}
	_, err = tx.Conn().PgConn().CopyTo(ctx, o.stream(w), plan.CopySQL(t.name))
	closing := w.Close()
	if err != nil { // What closing says then follows from it.
		return fmt.Errorf("copying the table: %w", err)
	}
	return closing
}

func (parquetFormat) read(ctx context.Context, f *partReader, m Manifest) (parquetfile.Digest, error) {
	d, err := parquetfile.Read(ctx, f, f.size, m.Parquet, nil)
	if err != nil && ctx.Err() == nil {
		err = &DamagedError{Aspect: Decoding, Want: "a Parquet file", Got: err.Error()}
	}
	return d, err
}

func (parquetFormat) loader(ctx context.Context, tx pgx.Tx, m Manifest, target partition.Name) (loader, error) {
	l, err := parquetfile.NewLoader(ctx, tx, m.Parquet, target)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, f *partReader) (parquetfile.Digest, error) {
		return l.Load(ctx, f, f.size)
	}, nil
}
