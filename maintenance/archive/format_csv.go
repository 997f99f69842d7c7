package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"

	"github.com/partitiond/partitiond/maintenance/archive/parquetfile"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// csvFormat is [CSV].
type csvFormat struct{}

func (csvFormat) ext() string { return ".csv.zst" }

const csvOptions = "(FORMAT csv, HEADER true, ENCODING 'UTF8')"

// export has no ORDER BY: a sort would need the table's room on the server's disk.
func (csvFormat) export(ctx context.Context, tx pgx.Tx, t table, m *Manifest, o exportOptions) error {
	m.Load = &Load{Settings: parquetfile.Settings(), Columns: "(" + columnList(m.Columns) + ")", Options: csvOptions}
	w := &csvWriter{o: o}
	w.records.each = w.record
	query := "COPY (SELECT " + columnList(m.Columns) + " FROM ONLY " + t.sql() + ") TO STDOUT " + csvOptions
	_, err := tx.Conn().PgConn().CopyTo(ctx, o.stream(w), query)
	if err == nil {
		err = w.finish()
	} else {
		w.abandon()
	}
	if err != nil {
		return fmt.Errorf("copying the table: %w", err)
	}
	return nil
}

// csvChunk is how much CSV is handed on at once. COPY sends a message for each
// row, far too little to compress by itself.
const csvChunk = 256 << 10

// csvRest is after how much CSV the encoder, which works beside us, is waited for
// so that the length of the part is known.
const csvRest = 8 << 20

// csvWriter writes the output of COPY in CSV to parts, each with the header line.
type csvWriter struct {
	o       exportOptions
	records records
	header  []byte
	part    *csvPart
	begun   bool
}

// csvPart is a part that is being written.
type csvPart struct {
	digest parquetfile.Digest
	// length is that of the file, to be read only when the encoder rests.
	length int64
	// raw counts the CSV since the encoder rested.
	raw  int64
	out  io.Writer
	zstd *zstd.Encoder
	in   *bufio.Writer
}

// Write implements [io.Writer].
func (p *csvPart) Write(b []byte) (int, error) {
	n, err := p.out.Write(b)
	p.length += int64(n)
	return n, err
}

// Write implements [io.Writer].
func (w *csvWriter) Write(p []byte) (int, error) {
	if err := w.records.write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// record takes one record, behind two zero bytes.
func (w *csvWriter) record(r []byte) error {
	if w.header == nil {
		w.header = append([]byte{}, r[2:]...)
		return nil
	}
	if w.part == nil {
		if err := w.begin(); err != nil {
			return err
		}
	}
	if !utf8.Valid(r) {
		return fmt.Errorf("a row %w", parquetfile.ErrNoCharacters)
	}
	w.part.digest.AddTuple(r)
	if _, err := w.part.in.Write(r[2:]); err != nil {
		return err
	}
	if w.part.raw += int64(len(r) - 2); w.part.raw < min(w.o.partBytes, csvRest) {
		return nil
	}
	if err := errors.Join(w.part.in.Flush(), w.part.zstd.Flush()); err != nil {
		return fmt.Errorf("compressing: %w", err)
	}
	w.part.raw = 0
	if w.part.length >= w.o.partBytes {
		return w.end()
	}
	return nil
}

func (w *csvWriter) begin() error {
	out, err := w.o.next()
	if err != nil {
		return err
	}
	p := &csvPart{out: out}
	// An archive is written once and kept for years, so a fifth more time for a
	// fifteenth less room is a fair price here, where the encoder is not what bounds.
	p.zstd, err = zstd.NewWriter(p, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(2), zstd.WithEncoderCRC(true))
	if err != nil {
		return fmt.Errorf("making a zstd encoder: %w", err)
	}
	p.in = bufio.NewWriterSize(p.zstd, csvChunk)
	w.part, w.begun = p, true
	_, err = p.in.Write(w.header)
	return err
}

func (w *csvWriter) end() error {
	p := w.part
	w.part = nil
	if err := errors.Join(p.in.Flush(), p.zstd.Close()); err != nil {
		return fmt.Errorf("compressing: %w", err)
	}
	return w.o.done(p.digest)
}

// finish ends the last part. A table without rows has a part, too.
func (w *csvWriter) finish() error {
	if err := w.records.finish(); err != nil {
		return err
	}
	if !w.begun {
		if err := w.begin(); err != nil {
			return err
		}
	}
	if w.part == nil {
		return nil
	}
	return w.end()
}

// abandon ends the encoder's goroutines after an error.
func (w *csvWriter) abandon() {
	if w.part != nil {
		_ = w.part.zstd.Close() // Nobody wants what it has to say.
		w.part = nil
	}
}

func (csvFormat) read(ctx context.Context, f *partReader, _ Manifest) (parquetfile.Digest, error) {
	r, err := newCSVReader(contextReader{ctx, f})
	if err != nil {
		return parquetfile.Digest{}, err
	}
	defer r.close()
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); ctx.Err() != nil {
		return r.digest, fmt.Errorf("reading a part: %w", ctx.Err())
	} else if err != nil {
		return r.digest, &DamagedError{Aspect: Decoding, Want: "CSV in a zstd stream", Got: err.Error()}
	}
	return r.digest, nil
}

func (csvFormat) loader(_ context.Context, tx pgx.Tx, m Manifest, target partition.Name) (loader, error) {
	query := fmt.Sprintf("COPY %s (%s) FROM STDIN %s", quoted(target), columnList(m.Columns), csvOptions)
	return func(ctx context.Context, f *partReader) (parquetfile.Digest, error) {
		r, err := newCSVReader(f)
		if err != nil {
			return parquetfile.Digest{}, err
		}
		defer r.close()
		if _, err := tx.Conn().PgConn().CopyFrom(ctx, r, query); err != nil {
			return r.digest, fmt.Errorf("restoring a part: %w", err)
		}
		return r.digest, nil
	}, nil
}

// csvReader is the CSV in a part, and takes its digest on the way.
type csvReader struct {
	zstd    *zstd.Decoder
	records records
	digest  parquetfile.Digest
	headed  bool
}

func newCSVReader(r io.Reader) (*csvReader, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("making a zstd decoder: %w", err)
	}
	c := &csvReader{zstd: z}
	c.records.each = func(r []byte) error {
		if c.headed {
			c.digest.AddTuple(r)
		}
		c.headed = true
		return nil
	}
	return c, nil
}

// Read implements [io.Reader].
func (c *csvReader) Read(p []byte) (int, error) {
	n, err := c.zstd.Read(p)
	_ = c.records.write(p[:n]) // Here each never fails.
	if errors.Is(err, io.EOF) {
		if bad := c.records.finish(); bad != nil {
			return n, bad
		}
		if !c.headed {
			return n, errors.New("the CSV has no header line")
		}
	}
	return n, err
}

func (c *csvReader) close() { c.zstd.Close() }
