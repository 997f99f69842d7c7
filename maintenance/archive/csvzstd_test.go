package archive

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestRecords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		csv  string
		want int64 // -1 where it is not whole
	}{
		{"a,b\n", 0},
		{"a,b\n1,2\n", 1},
		{"a\n\n\n", 2}, // two rows of one NULL
		{"a,b\n1,\"x\ny\"\n2,\"\"\"\n\"\"\"\n", 2},
		{"\"a\nb\"\n1\n", 1},
		{"a,b\n\"\",\"\n\"\n", 1},
		{"a\n\"\\.\"\n", 1},
		{"", -1},
		{"a,b", -1},
		{"a,b\n1,2", -1},
		{"a,b\n1,\"2\n", -1},
	} {
		for range 20 { // cut anywhere
			r := &records{}
			for rest := c.csv; rest != ""; {
				n := 1 + rand.IntN(len(rest))
				if _, err := io.WriteString(r, rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			got, err := r.rows()
			if err != nil {
				got = -1
			}
			if got != c.want {
				t.Fatalf("%q has %d rows, want %d", c.csv, got, c.want)
			}
		}
	}
}

func TestEncoderAndDecoderMeasureTheSame(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	e, err := newEncoder(&file)
	if err != nil {
		t.Fatal(err)
	}
	text := "a,b\n" + strings.Repeat("1,\"two\nlines\"\n", 100_000)
	for line := range strings.Lines(text) {
		if _, err := io.WriteString(e, line); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := newDecoder(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	got, err := io.ReadAll(d)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != text {
		t.Error("the text has changed")
	}
	rows, err := d.records.rows()
	if err != nil || rows != 100_000 || e.records != d.records {
		t.Errorf("decoded %d rows (%v), %+v and %+v", rows, err, e.records, d.records)
	}
	if e.raw.bytes != int64(len(text)) || e.raw.bytes != d.raw.bytes || e.raw.hex() != d.raw.hex() {
		t.Errorf("the CSV is %d bytes %s when written, %d bytes %s when read", e.raw.bytes, e.raw.hex(), d.raw.bytes, d.raw.hex())
	}
	if e.compressed.bytes != int64(file.Len()) || e.compressed.bytes != d.compressed.bytes || e.compressed.hex() != d.compressed.hex() {
		t.Errorf("the file is %d bytes %s when written, %d bytes %s when read", e.compressed.bytes, e.compressed.hex(), d.compressed.bytes, d.compressed.hex())
	}
}
