package parquetfile

import (
	"encoding/hex"
	"fmt"

	"github.com/parquet-go/parquet-go/bloom/xxhash"
)

// Digest tells rows apart from other rows, in whatever order they come. It is
// their number and the sum of their hashes. The digests of parts add up to that
// of the table.
//
// A row's hash is of its tuple in COPY's binary format (PostgreSQL documentation,
// COPY, "Binary Format"), from the field count to the last value: a missing or
// doubled row, a value in another row, NULL for an empty string all change it.
// It is two sums modulo 2^64, never an XOR, in which rows cancel that are there
// twice: the first sums XXH64 with seed 0 of the tuple, the second that of the
// tuple without the two bytes of its field count, which are the same for all
// rows. The shift by two bytes gives the hash's lanes other words, so that what
// collides in one does not therefore collide in the other.
//
// It guards against mistakes and faults, which miss each of the 2^128 values alike.
// A cryptographic hash costs four times as much, and in a sum would not stop a
// forger either: sets of rows with a given sum can be found by the generalised
// birthday attack. Against him there is the SHA-256 of the file.
type Digest struct {
	Rows int64 `json:"rows"`
	Sum  Sum   `json:"sum"`
}

// add adds one tuple.
func (d *Digest) add(tuple []byte) {
	d.Rows++
	d.Sum[0] += xxhash.Sum64(tuple)
	d.Sum[1] += xxhash.Sum64(tuple[2:])
}

// Add adds the rows of another digest.
func (d *Digest) Add(o Digest) {
	d.Rows += o.Rows
	d.Sum[0] += o.Sum[0]
	d.Sum[1] += o.Sum[1]
}

// String is for people.
func (d Digest) String() string { return fmt.Sprintf("%d rows with sum %s", d.Rows, d.Sum) }

// Sum is the sums of a [Digest]. Its text is 32 hexadecimal digits.
type Sum [2]uint64

// String implements [fmt.Stringer].
func (s Sum) String() string { return fmt.Sprintf("%016x%016x", s[0], s[1]) }

// MarshalText implements [encoding.TextMarshaler].
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Sum) UnmarshalText(text []byte) error {
	var b [16]byte
	if len(text) != 32 {
		return fmt.Errorf("the sum %q has %d digits, not 32", text, len(text))
	}
	if _, err := hex.Decode(b[:], text); err != nil {
		return fmt.Errorf("reading the sum %q: %w", text, err)
	}
	*s = Sum{uint64At(b[:]), uint64At(b[8:])}
	return nil
}

// AddTuple adds one tuple of COPY's binary format, or whatever else is to be told
// apart like that: two bytes, which count once, and the rest, which counts twice.
func (d *Digest) AddTuple(tuple []byte) { d.add(tuple) }
