package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/archive/parquetfile"
)

// upload is the parts of an export on their way to the store.
type upload struct {
	job
	codec  codec
	dir    string
	source Source
	// number is the last part's, and first the first's.
	number int
	parts  []Part
	// file is the part that is being written, if there is one, and sum its SHA-256.
	file *os.File
	sum  hash.Hash
}

// export exports the table. Until the manifest has its name there is nothing
// that sweep would not remove.
func (u *upload) export(ctx context.Context, tx pgx.Tx, t table, m Manifest) (Manifest, error) {
	conditional, err := u.Store.Conditional(ctx)
	if err != nil {
		return m, err
	}
	total, err := t.estimate(ctx, tx)
	if err != nil {
		return m, err
	}
	first := u.number + 1
	err = u.codec.export(ctx, tx, t, &m, exportOptions{
		partBytes: u.PartBytes, key: u.Key,
		stream: func(w io.Writer) io.Writer {
			return &paced{ctx: ctx, w: w, limiter: newLimiter(u.BytesPerSecond), now: Progress{TotalRows: total}, tell: u.Progress, step: u.hook}
		},
		next:    func() (io.Writer, error) { return u.next(ctx) },
		done:    func(d parquetfile.Digest) error { return u.done(ctx, d) },
		restart: func() error { return u.restart(ctx, first) },
	})
	if err != nil {
		return m, err
	}
	m.Parts = u.parts
	for _, p := range m.Parts {
		m.Digest.Add(p.Digest)
	}
	u.step("copied")
	if m.KeyColumn, err = t.key(u.Key); err != nil {
		return m, err
	}
	if m.Content, err = t.count(ctx, tx, t.method, &m.KeyColumn); err != nil {
		return m, err
	}
	if m.Content.Rows != m.Digest.Rows {
		return m, fmt.Errorf("the parts have %d rows, the server counts %d", m.Digest.Rows, m.Content.Rows)
	}
	if m.ExportedAt, err = clock(ctx, tx); err != nil {
		return m, err
	}
	end(tx) // What remains is between us and the store.
	u.step("counted")
	return m, u.name(ctx, &m, first, conditional)
}

// next begins a part.
func (u *upload) next(ctx context.Context) (io.Writer, error) {
	var err error
	if u.file, err = u.Store.Temp(ctx, u.dir); err != nil {
		return nil, err
	}
	u.number++
	u.sum = sha256.New()
	return io.MultiWriter(u.file, u.sum), nil
}

// done announces the part, and then makes it an object.
func (u *upload) done(ctx context.Context, d parquetfile.Digest) error {
	length, err := u.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("looking at a part: %w", err)
	}
	p := Part{Bytes: length, SHA256: hex.EncodeToString(u.sum.Sum(nil)), Digest: d}
	p.File = partFile(u.number, p.SHA256, u.codec.ext())
	note, err := encode(pending{FormatVersion: FormatVersion, Part: p.File, Source: u.source})
	if err != nil {
		return err
	}
	if err := u.put(ctx, pendingFile(p.File), note); err != nil {
		return err
	}
	u.parts = append(u.parts, p)
	f := u.file
	u.file = nil // Put takes it, whatever becomes of it.
	return u.Store.Put(ctx, f, path.Join(u.dir, p.File))
}

// put writes the text of a manifest or a note.
func (u *upload) put(ctx context.Context, name string, text []byte) error {
	f, err := u.Store.Temp(ctx, u.dir)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		u.Store.Discard(f)
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return u.Store.Put(ctx, f, path.Join(u.dir, name))
}

// name writes the manifest, and removes the notes that it makes superfluous.
func (u *upload) name(ctx context.Context, m *Manifest, first int, conditional bool) error {
	text, err := encode(m)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	m.Key = path.Join(u.dir, manifestFile(first, hex.EncodeToString(sum[:]), conditional))
	if err := u.put(ctx, m.name(), text); err != nil {
		return err
	}
	u.step("manifest named")
	for _, p := range u.parts {
		if err := u.Store.Remove(ctx, path.Join(u.dir, pendingFile(p.File))); err != nil {
			return err
		}
	}
	u.parts = nil // They are nobody's to remove any more.
	back, err := content(ctx, u.Store, m.Key)
	if err != nil {
		return err
	}
	if string(back) != string(text) {
		return &DamagedError{Path: u.Store.URL(m.Key), Aspect: ManifestText, Want: "what was written", Got: "something else"}
	}
	return nil
}

// drop forgets the part that is being written.
func (u *upload) drop() {
	if u.file != nil {
		u.Store.Discard(u.file)
		u.file = nil
	}
}

// restart removes the parts of an attempt.
func (u *upload) restart(ctx context.Context, first int) error {
	u.drop()
	for _, p := range u.parts {
		// The note must outlive the part.
		if err := u.Store.Remove(ctx, path.Join(u.dir, p.File), path.Join(u.dir, pendingFile(p.File))); err != nil {
			return err
		}
	}
	u.parts, u.number = nil, first-1
	return nil
}

// discard removes as much as it can of a failed export, within a bounded time.
// If it was the manifest's Put that failed, nobody knows whether the manifest is
// there; then its parts must stay.
func (u *upload) discard(ctx context.Context) {
	u.drop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	l, err := list(ctx, u.Store, u.dir)
	if err != nil {
		return
	}
	_, _ = l.sweep(ctx, u.Store, u.source) // What remains, the next Ensure removes.
}
