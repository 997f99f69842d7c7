package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// chunk is how much CSV is handed on at once. COPY sends a message for each
// row, far too little to hash and compress by itself.
const chunk = 256 << 10

// level is the encoder's. An archive is written once and kept for years, so a
// fifth more time for a fifteenth less room is a fair price.
const level = zstd.SpeedDefault

// digest is what is known of a stream that has passed by.
type digest struct {
	bytes int64
	hash  hash.Hash
}

func newDigest() digest { return digest{hash: sha256.New()} }

// Write implements [io.Writer] and never fails.
func (d *digest) Write(p []byte) (int, error) {
	d.bytes += int64(len(p))
	return d.hash.Write(p)
}

// hex returns the SHA-256 of what has been written.
func (d *digest) hex() string { return hex.EncodeToString(d.hash.Sum(nil)) }

// records counts the records of CSV with a header line, as COPY writes it: each
// ends in a newline outside of quotes, and a quote within a quoted value is
// doubled, so that quotes only have to be counted (PostgreSQL documentation,
// COPY, "CSV Format"). A table of one column has empty lines for NULL; they
// count, where encoding/csv would skip them.
type records struct {
	ended  int64
	quoted bool
	within bool
}

// Write implements [io.Writer] and never fails.
func (r *records) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		line := p
		if end >= 0 {
			line = p[:end]
		}
		if bytes.Count(line, []byte{'"'})%2 != 0 {
			r.quoted = !r.quoted
		}
		r.within = end < 0 || r.quoted
		if end < 0 {
			break
		}
		if !r.quoted {
			r.ended++
		}
		p = p[end+1:]
	}
	return n, nil
}

// rows returns how many records there are after the header.
func (r *records) rows() (int64, error) {
	switch {
	case r.ended == 0:
		return 0, errors.New("the CSV has no header line")
	case r.within:
		return 0, errors.New("the CSV ends within a record")
	}
	return r.ended - 1, nil
}

// encoder compresses CSV that is written to it, and measures both sides.
type encoder struct {
	raw, compressed digest
	records         records
	in              *bufio.Writer
	zstd            *zstd.Encoder
}

// newEncoder writes to w. The memory that it takes does not depend on how much
// is written. It must be closed, also after an error.
func newEncoder(w io.Writer) (*encoder, error) {
	e := &encoder{raw: newDigest(), compressed: newDigest()}
	var err error
	e.zstd, err = zstd.NewWriter(io.MultiWriter(w, &e.compressed),
		zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(2), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("making a zstd encoder: %w", err)
	}
	e.in = bufio.NewWriterSize(io.MultiWriter(&e.raw, &e.records, e.zstd), chunk)
	return e, nil
}

// Write implements [io.Writer].
func (e *encoder) Write(p []byte) (int, error) { return e.in.Write(p) }

// Close writes what is left. Without its success nothing is complete.
func (e *encoder) Close() error {
	if err := errors.Join(e.in.Flush(), e.zstd.Close()); err != nil {
		return fmt.Errorf("compressing: %w", err)
	}
	return nil
}

// decoder decompresses what r holds, and measures both sides.
type decoder struct {
	raw, compressed digest
	records         records
	in              io.Reader
	zstd            *zstd.Decoder
}

func newDecoder(r io.Reader) (*decoder, error) {
	d := &decoder{raw: newDigest(), compressed: newDigest()}
	d.in = io.TeeReader(r, &d.compressed)
	var err error
	if d.zstd, err = zstd.NewReader(d.in, zstd.WithDecoderConcurrency(1)); err != nil {
		return nil, fmt.Errorf("making a zstd decoder: %w", err)
	}
	return d, nil
}

// Read implements [io.Reader] for the CSV.
func (d *decoder) Read(p []byte) (int, error) {
	n, err := d.zstd.Read(p)
	_, _ = d.raw.Write(p[:n])
	_, _ = d.records.Write(p[:n])
	return n, err
}

// close ends the decoder. The measures remain.
func (d *decoder) close() { d.zstd.Close() }
