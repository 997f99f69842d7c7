package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// Aspect is what of a part can differ from its manifest.
type Aspect string

// The aspects, in the order in which they are looked at.
const (
	CompressedBytes  Aspect = "compressed bytes"
	CompressedSHA256 Aspect = "SHA-256 of the file"
	Decompression    Aspect = "decompression"
	RawBytes         Aspect = "bytes of CSV"
	RawSHA256        Aspect = "SHA-256 of the CSV"
	Records          Aspect = "rows"
)

// DamagedError says that a part is not what its manifest says. A part that is
// not there at all is [fs.ErrNotExist] instead.
type DamagedError struct {
	// Path is the file's.
	Path string
	// Aspect is the first that differs, Want and Got are its values.
	Aspect    Aspect
	Want, Got string
}

// Error implements error.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is damaged: %s: expected %s, got %s", e.Path, e.Aspect, e.Want, e.Got)
}

// Verify reads the part back from the store and compares it with the manifest:
// size and SHA-256 of the file, size and SHA-256 of the CSV in it, and the number of
// its records. A difference is a [*DamagedError].
func Verify(ctx context.Context, root string, m Manifest) error {
	dir, err := rootPath(root)
	if err != nil {
		return err
	}
	return verify(ctx, dir, m)
}

func verify(ctx context.Context, root string, m Manifest) error {
	f, err := openPart(root, m)
	if err != nil {
		return err
	}
	path := f.Name()
	defer func() { _ = f.Close() }() // It is only read.
	d, err := newDecoder(contextReader{ctx, f})
	if err != nil {
		return err
	}
	defer d.close()

	_, decompressing := io.Copy(io.Discard, struct{ io.Reader }{d})
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("verifying %s: %w", path, err)
	}
	d.close() // It may still read ahead.
	if _, err := io.Copy(io.Discard, d.in); err != nil {
		return fmt.Errorf("reading an archive to verify it: %w", err)
	}
	differs := func(a Aspect, want, got string) error {
		if want == got {
			return nil
		}
		return &DamagedError{Path: path, Aspect: a, Want: want, Got: got}
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	if err := differs(CompressedBytes, number(m.CompressedBytes), number(d.compressed.bytes)); err != nil {
		return err
	}
	if err := differs(CompressedSHA256, m.SHA256, d.compressed.hex()); err != nil {
		return err
	}
	if decompressing != nil {
		return &DamagedError{Path: path, Aspect: Decompression, Want: "a zstd stream", Got: decompressing.Error()}
	}
	if err := differs(RawBytes, number(m.RawBytes), number(d.raw.bytes)); err != nil {
		return err
	}
	if err := differs(RawSHA256, m.RawSHA256, d.raw.hex()); err != nil {
		return err
	}
	rows, err := d.records.rows()
	if err != nil {
		return &DamagedError{Path: path, Aspect: Records, Want: number(m.Content.Rows), Got: err.Error()}
	}
	return differs(Records, number(m.Content.Rows), number(rows))
}

// contextReader ends a long read when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Open returns the CSV of a part, header line first, for COPY with the
// manifest's [Load]. At the end of the stream, Read returns a [*DamagedError]
// instead of [io.EOF] if the CSV is not what was exported, so load in one
// transaction. By hand:
//
//	zstd -dc part.csv.zst | psql -c "\copy t from stdin csv header"
//
// The package documentation says which values an old psql cannot load so.
func Open(root string, m Manifest) (io.ReadCloser, error) {
	dir, err := rootPath(root)
	if err != nil {
		return nil, err
	}
	f, err := openPart(dir, m)
	if err != nil {
		return nil, err
	}
	d, err := newDecoder(f)
	if err != nil {
		_ = f.Close() // It was only read.
		return nil, err
	}
	return &part{file: f, decoder: d, manifest: m}, nil
}

// part is an open part.
type part struct {
	file     *os.File
	decoder  *decoder
	manifest Manifest
}

// Read implements [io.Reader].
func (p *part) Read(b []byte) (int, error) {
	n, err := p.decoder.Read(b)
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF):
		err = &DamagedError{Path: p.file.Name(), Aspect: Decompression, Want: "a zstd stream", Got: err.Error()}
	case p.decoder.raw.hex() != p.manifest.RawSHA256:
		err = &DamagedError{Path: p.file.Name(), Aspect: RawSHA256, Want: p.manifest.RawSHA256, Got: p.decoder.raw.hex()}
	}
	return n, err
}

// Close implements [io.Closer].
func (p *part) Close() error {
	p.decoder.close()
	if err := p.file.Close(); err != nil {
		return fmt.Errorf("closing an archive: %w", err)
	}
	return nil
}
