package archive

import (
	"context"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/archive/parquetfile"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// Format is how rows become files.
type Format string

// The formats. Parquet is what analytics programs read best, see the package
// parquetfile for its types; CSV is what everything reads.
const (
	Parquet Format = "parquet"
	CSV     Format = "csv"
)

// compression is that of all formats.
const compression = "zstd"

// codec is what a format can do.
type codec interface {
	// ext returns the extension of the parts' names.
	ext() string
	// export streams the table to parts and fills in what it knows of the manifest.
	export(ctx context.Context, tx pgx.Tx, t table, m *Manifest, o exportOptions) error
	// read reads a part, whose file has been found to be the right one, and returns
	// the digest of its rows. What cannot be read is a [*DamagedError].
	read(ctx context.Context, f *partReader, m Manifest) (parquetfile.Digest, error)
	// loader prepares to load parts into a table, in a transaction with the settings of configure.
	loader(ctx context.Context, tx pgx.Tx, m Manifest, target partition.Name) (loader, error)
}

// loader loads a part and returns the digest of the rows that it sent.
type loader func(ctx context.Context, f *partReader) (parquetfile.Digest, error)

// exportOptions are what an export needs of its surroundings.
type exportOptions struct {
	// partBytes is the length from which a part is whole.
	partBytes int64
	// key is the column that decides a row's partition.
	key string
	// stream wraps the writer that takes the server's stream.
	stream func(io.Writer) io.Writer
	// next begins a part, done ends it, and restart forgets all of them.
	next    func() (io.Writer, error)
	done    func(parquetfile.Digest) error
	restart func() error
}

func (f Format) codec() (codec, error) {
	switch f {
	case Parquet:
		return parquetFormat{}, nil
	case CSV:
		return csvFormat{}, nil
	}
	return nil, fmt.Errorf("the archive's format is %q: this program knows %q and %q", f, Parquet, CSV)
}
