package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Aspect is what of an archive can differ from its manifest.
type Aspect string

// The aspects, in the order in which they are looked at.
const (
	ManifestText Aspect = "manifest"
	Length       Aspect = "bytes"
	SHA256       Aspect = "SHA-256"
	Decoding     Aspect = "format"
	Rows         Aspect = "digest of the rows"
)

// DamagedError says that a part is not what its manifest says. A part that is
// not there at all is [fs.ErrNotExist] instead.
type DamagedError struct {
	// Path is the object's URL.
	Path string
	// Aspect is the first that differs, Want and Got are its values.
	Aspect    Aspect
	Want, Got string
}

// Error implements error.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is damaged: %s: expected %s, got %s", e.Path, e.Aspect, e.Want, e.Got)
}

// Verify reads the parts back from the store and compares them with the manifest:
// size and SHA-256 of the files, and the digest of the rows that are decoded from
// them. A difference is a [*DamagedError]. progress may be nil.
func Verify(ctx context.Context, store Store, m Manifest, progress func(Progress)) error {
	codec, err := m.Format.codec()
	if err != nil {
		return err
	}
	return eachPart(ctx, store, m, progress, func(p Part, f *partReader) error {
		got, err := codec.read(ctx, f, m)
		if err == nil && got != p.Digest {
			err = &DamagedError{Aspect: Rows, Want: p.Digest.String(), Got: got.String()}
		}
		return err
	})
}

// eachPart opens the parts one after the other and calls do with each that has
// the bytes that its manifest says. The first error ends it.
func eachPart(ctx context.Context, store Store, m Manifest, progress func(Progress), do func(Part, *partReader) error) error {
	now := Progress{TotalRows: m.Digest.Rows}
	for i, key := range m.partKeys() {
		p := m.Parts[i]
		f, err := store.Open(ctx, key)
		if err != nil {
			return err
		}
		err = p.check(ctx, f)
		if err == nil {
			// As many rows as bytes, so to say.
			err = do(p, &partReader{f: f, size: p.Bytes, tell: func(read int64) {
				if progress != nil {
					progress(Progress{Rows: now.Rows + int64(float64(p.Digest.Rows)*float64(read)/float64(p.Bytes)), TotalRows: now.TotalRows, Bytes: now.Bytes + read})
				}
			}})
		}
		_ = f.Close() // It was only read.
		if d, ok := errors.AsType[*DamagedError](err); ok && d.Path == "" {
			d.Path = store.URL(key)
		}
		if err != nil {
			return err
		}
		if now.Rows, now.Bytes = now.Rows+p.Digest.Rows, now.Bytes+p.Bytes; progress != nil {
			progress(now)
		}
	}
	return nil
}

// check compares the bytes of a part, and goes back to its beginning.
func (p Part) check(ctx context.Context, f *os.File) error {
	sum := sha256.New()
	n, err := io.Copy(sum, contextReader{ctx, f})
	if err != nil {
		return fmt.Errorf("reading a part: %w", err)
	}
	if n != p.Bytes {
		return &DamagedError{Aspect: Length, Want: strconv.FormatInt(p.Bytes, 10), Got: strconv.FormatInt(n, 10)}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.SHA256 {
		return &DamagedError{Aspect: SHA256, Want: p.SHA256, Got: got}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("going back to a part's beginning: %w", err)
	}
	return nil
}

// contextReader ends a long read when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements [io.Reader].
func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Restore loads the rows of an export into the target, which has columns of the
// same names and types; others become their defaults. Triggers of the target fire
// (PostgreSQL documentation, COPY, "Notes"). Each part is proved to be the archived
// one before it is loaded, and that its rows were sent; whether they are in the
// target, [EqualRows] tells. After an error roll back; conn may be closed then.
// progress may be nil. Settings of the transaction change to those that Restore needs.
func Restore(ctx context.Context, tx pgx.Tx, store Store, m Manifest, target partition.Name, progress func(Progress)) error {
	codec, err := m.Format.codec()
	if err != nil {
		return err
	}
	if err := configure(ctx, tx); err != nil {
		return err
	}
	load, err := codec.loader(ctx, tx, m, target)
	if err != nil {
		return err
	}
	err = eachPart(ctx, store, m, progress, func(p Part, f *partReader) error {
		got, err := load(ctx, f)
		if err == nil && got != p.Digest {
			err = &DamagedError{Aspect: Rows, Want: p.Digest.String(), Got: got.String()}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("restoring %s: %w", store.URL(m.Key), err)
	}
	return nil
}
