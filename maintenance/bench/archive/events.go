package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// events is the table: one month of what people wrote, in the order of time.
var events = partition.Name{Schema: "public", Local: "events"}

const columns = `(id bigint NOT NULL, created_at timestamptz NOT NULL, user_id bigint NOT NULL, room_id integer NOT NULL,
	kind text NOT NULL, body text NOT NULL, details json, edited_at timestamptz)`

// fields is how many columns that are.
const fields = 8

// hashable is a row of the table whose type has a hash function: json has none.
const hashable = "ROW(id, created_at, user_id, room_id, kind, body, details::text, edited_at)"

// month begins on 2018-11-01, in microseconds since 2000-01-01 (PostgreSQL
// documentation, 8.5 Date/Time Types, has the range; the epoch is that of the
// binary form), and is so long.
const (
	month       = 594_345_600_000_000
	monthLength = 30 * 24 * 3600 * 1_000_000
)

// writer makes rows. The same number of rows is always the same rows.
type writer struct {
	random *rand.Rand
	words  []string
	zipf   *rand.Zipf
	row    []byte
}

func newWriter() *writer {
	random := rand.New(rand.NewPCG(7, 11)) // #nosec G404 -- the same events each time
	w := &writer{random: random}
	// Words of one to four syllables, of which few are in most of what is written, as
	// in any language: that is what compressors live on.
	const consonants, vowels = "bcdfghklmnprstvwz", "aeiou"
	for range 8000 {
		var word strings.Builder
		for range 1 + random.IntN(4) {
			word.WriteByte(consonants[random.IntN(len(consonants))])
			word.WriteByte(vowels[random.IntN(len(vowels))])
			if random.IntN(3) == 0 {
				word.WriteByte(consonants[random.IntN(len(consonants))])
			}
		}
		w.words = append(w.words, word.String())
	}
	w.zipf = rand.NewZipf(random, 1.1, 4, uint64(len(w.words)-1))
	return w
}

// write writes the rows as COPY in binary takes them (PostgreSQL documentation,
// COPY, "Binary Format").
func (w *writer) write(out io.Writer, rows int) error {
	w.row = append(w.row[:0], "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	for i := range rows {
		w.append(i, rows)
		if len(w.row) >= 64<<10 {
			if _, err := out.Write(w.row); err != nil {
				return err
			}
			w.row = w.row[:0]
		}
	}
	_, err := out.Write(append(w.row, 0xff, 0xff))
	return err
}

func (w *writer) append(i, rows int) {
	at := month + int64(float64(i)/float64(rows)*monthLength) + int64(w.random.IntN(1000))
	w.row = binary.BigEndian.AppendUint16(w.row, fields)
	w.int8(int64(i) + 1)
	w.int8(at)
	w.int8(int64(w.random.IntN(50_000)) * 7919)
	w.row = binary.BigEndian.AppendUint32(w.row, 4)
	w.row = binary.BigEndian.AppendUint32(w.row, uint32(w.random.IntN(500)))
	w.text([]string{"text", "text", "text", "reply", "code", "file"}[w.random.IntN(6)])

	length := 50 + w.random.IntN(351)
	start := len(w.row)
	w.row = append(w.row, 0, 0, 0, 0)
	for len(w.row)-start-4 < length {
		if len(w.row) > start+4 {
			w.row = append(w.row, ' ')
		}
		w.row = append(w.row, w.words[w.zipf.Uint64()]...)
		if w.random.IntN(12) == 0 {
			w.row = append(w.row, ".,?!"[w.random.IntN(4)])
		}
	}
	w.row = w.row[:start+4+length]
	binary.BigEndian.PutUint32(w.row[start:], uint32(length))

	w.text(fmt.Sprintf(`{"client": "%s", "revision": %d, "mentions": [%d, %d]}`,
		[]string{"web", "phone", "desktop"}[w.random.IntN(3)], w.random.IntN(40), w.random.IntN(50_000), w.random.IntN(50_000)))
	if w.random.IntN(20) == 0 {
		w.int8(at + int64(w.random.IntN(3600_000_000)))
	} else {
		w.row = binary.BigEndian.AppendUint32(w.row, 0xffffffff)
	}
}

func (w *writer) int8(v int64) {
	w.row = binary.BigEndian.AppendUint32(w.row, 8)
	w.row = binary.BigEndian.AppendUint64(w.row, uint64(v))
}

func (w *writer) text(s string) {
	w.row = binary.BigEndian.AppendUint32(w.row, uint32(len(s)))
	w.row = append(w.row, s...)
}
