package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// The frame of COPY's binary format (PostgreSQL documentation, COPY, "Binary
// Format"): a signature, flags, the length of an extension and the extension;
// then tuples, and in place of a field count -1 at the end.
const (
	signature    = "PGCOPY\n\xff\r\n\x00"
	headerLength = len(signature) + 4 + 4
	// criticalFlags are those that change the meaning of what follows; bit 16 is that
	// of the OIDs that tables had before release 12.
	criticalFlags = 0xffff0000
)

// appendHeader appends a header, and appendTrailer what follows the last tuple.
func appendHeader(dst []byte) []byte  { return append(append(dst, signature...), make([]byte, 8)...) }
func appendTrailer(dst []byte) []byte { return append(dst, 0xff, 0xff) }

const (
	// maxValue is above what any value of PostgreSQL has in binary: its memory
	// chunks end at one gigabyte.
	maxValue = 1<<30 - 1
	// piece is how much of a Write is looked at at once. So a batch is cut close to
	// its limit, however large the writes are.
	piece = 64 << 10
)

// stream cuts what COPY sends into batches of whole tuples, wherever the chunks
// of the stream end. It only walks from length to length; what is in the values
// is looked at when a batch is encoded.
type stream struct {
	columns int
	// limit is the length from which a batch is whole, and full takes it: raw is its
	// own from then on. It returns the memory for the next one.
	limit int
	// reserve is the most that is allocated at once because a length announces it.
	reserve int
	full    func(raw []byte, rows int) (next []byte, err error)

	header    []byte // until it is whole
	extension uint32 // bytes of it that are to be skipped
	began     bool   // the header has ended
	ended     bool   // the trailer was seen

	raw    []byte // the batch, and maybe the beginning of a tuple
	rows   int    // whole tuples in raw
	whole  int    // where the last of them ends
	at     int    // what is before it has been looked at
	fields int    // of the tuple, still to come; -1 before its field count
	offset int64  // of raw in the stream, for messages
}

func newStream(columns, limit int, full func([]byte, int) ([]byte, error)) *stream {
	return &stream{columns: columns, limit: limit, reserve: 128 << 20, full: full, fields: -1}
}

// write takes the next chunk.
func (s *stream) write(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), piece)
		if err := s.take(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// finish hands over the last batch, if the stream is whole.
func (s *stream) finish() error {
	if !s.ended {
		return fmt.Errorf("the COPY stream ends at byte %d without its trailer: %w", s.offset+int64(len(s.raw)), io.ErrUnexpectedEOF)
	}
	if s.rows == 0 {
		return nil
	}
	raw, rows := s.raw[:s.whole], s.rows
	s.raw, s.rows = nil, 0
	_, err := s.full(raw, rows)
	return err
}

func (s *stream) take(p []byte) error {
	if s.ended {
		return errors.New("the COPY stream goes on after its trailer")
	}
	if !s.began {
		rest, err := s.begin(p)
		if err != nil || len(rest) == 0 {
			return err
		}
		p = rest
	}
	if need := len(s.raw) + len(p); need > cap(s.raw) && need > 4*piece && need <= s.limit {
		// It is the first batch, and of more than a few rows. append would copy it for
		// each step by which it grows.
		s.raw = slices.Grow(s.raw, s.limit+2*piece-len(s.raw))
	}
	s.raw = append(s.raw, p...)
	return s.walk()
}

// begin takes the header, and returns what follows it.
func (s *stream) begin(p []byte) ([]byte, error) {
	if missing := headerLength - len(s.header); missing > 0 {
		n := min(missing, len(p))
		s.header, p = append(s.header, p[:n]...), p[n:]
		got := s.header[:min(len(s.header), len(signature))]
		if string(got) != signature[:len(got)] {
			return nil, fmt.Errorf("this is no COPY stream in binary format: it begins with %q", got)
		}
		if n < missing {
			return nil, nil
		}
		if flags := binary.BigEndian.Uint32(s.header[len(signature):]); flags&criticalFlags != 0 {
			return nil, fmt.Errorf("the COPY stream has the flags %#x, whose meaning is unknown", flags)
		}
		s.extension = binary.BigEndian.Uint32(s.header[len(signature)+4:])
		if s.extension > maxValue {
			return nil, fmt.Errorf("the COPY stream has a header extension of %d bytes", int32(s.extension))
		}
		s.offset = int64(headerLength) + int64(s.extension)
	}
	n := min(int(s.extension), len(p))
	s.extension -= uint32(n)
	s.began = s.extension == 0
	return p[n:], nil
}

// walk goes from length to length as far as raw goes.
func (s *stream) walk() error {
	for {
		if s.fields < 0 {
			if len(s.raw)-s.at < 2 {
				return nil
			}
			switch count := int(int16At(s.raw[s.at:])); {
			case count == -1 && len(s.raw) == s.at+2:
				s.ended = true
				return nil
			case count == -1:
				return errors.New("the COPY stream goes on after its trailer")
			case count != s.columns:
				return s.errorf("a tuple has %d fields, not %d", count, s.columns)
			}
			s.at += 2
			s.fields = s.columns
		}
		for ; s.fields > 0; s.fields-- {
			if len(s.raw)-s.at < 4 {
				return nil
			}
			length := int(int32At(s.raw[s.at:]))
			if length == -1 {
				s.at += 4
				continue
			}
			if length < 0 || length > maxValue {
				return s.errorf("a field has length %d", length)
			}
			if missing := s.at + 4 + length - len(s.raw); missing > 0 {
				if missing > piece && cap(s.raw)-len(s.raw) < piece {
					// Otherwise append would make twice the room that a large value needs.
					s.raw = slices.Grow(s.raw, min(missing, s.reserve))
				}
				return nil
			}
			s.at += 4 + length
		}
		s.fields = -1
		s.rows++
		s.whole = s.at
		if s.whole >= s.limit {
			if err := s.cut(); err != nil {
				return err
			}
		}
	}
}

// cut hands over the whole tuples.
func (s *stream) cut() error {
	raw, rest, rows := s.raw[:s.whole], s.raw[s.whole:], s.rows
	beginning := slices.Clone(rest) // at most a piece; the memory of raw is given away
	s.offset += int64(s.whole)
	s.raw, s.rows, s.whole, s.at = nil, 0, 0, 0
	next, err := s.full(raw, rows)
	if err != nil {
		return err
	}
	s.raw = append(next[:0], beginning...)
	return nil
}

func (s *stream) errorf(format string, args ...any) error {
	return fmt.Errorf("the COPY stream is damaged at byte %d: %s", s.offset+int64(s.at), fmt.Sprintf(format, args...))
}
