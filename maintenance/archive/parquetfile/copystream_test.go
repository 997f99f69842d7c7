package parquetfile

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
)

// two is a plan of two columns, and tuple a tuple of it.
var two = Plan{
	{Name: "a", Type: "integer", TypeOID: pgtype.Int4OID, Base: pgtype.Int4OID, Typmod: -1, Parquet: Int32},
	{Name: "b", Type: "text", TypeOID: pgtype.TextOID, Base: pgtype.TextOID, Typmod: -1, Parquet: String},
}

func tuple(a int32, b string) string {
	t := appendUint32(appendUint32([]byte{0, 2}, 4), uint32(a))
	return string(append(appendUint32(t, uint32(len(b))), b...))
}

const (
	head    = signature + "\x00\x00\x00\x00\x00\x00\x00\x00"
	trailer = "\xff\xff"
	nulls   = "\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff"
)

// cut returns the batches of the stream, which comes in chunks of n bytes.
func cut(in string, n, limit int) (batches []string, rows int, err error) {
	s := newStream(2, limit, func(raw []byte, r int) ([]byte, error) {
		batches = append(batches, string(raw))
		rows += r
		clear(raw) // It is not the stream's any more.
		return nil, nil
	})
	s.reserve = 1 // for the lengths that are wrong
	for len(in) > 0 {
		n := min(n, len(in))
		if err := s.write([]byte(in[:n])); err != nil {
			return batches, rows, err
		}
		in = in[n:]
	}
	return batches, rows, s.finish()
}

func TestStreamInChunks(t *testing.T) {
	t.Parallel()
	tuples := []string{tuple(1, "x"), nulls, tuple(-1, ""), tuple(2, strings.Repeat("y", 300)), tuple(3, "z")}
	all := strings.Join(tuples, "")
	for _, frame := range []string{head, signature + "\x00\x00\xff\xff\x00\x00\x00\x05extra"} {
		in := frame + all + trailer
		for n := 1; n <= len(in); n++ {
			got, rows, err := cut(in, n, 1)
			if err != nil {
				t.Fatalf("in chunks of %d: %v", n, err)
			}
			if strings.Join(got, "|") != strings.Join(tuples, "|") || rows != len(tuples) {
				t.Fatalf("in chunks of %d: %d rows in %q", n, rows, got)
			}
			if got, rows, err := cut(in, n, 1<<20); err != nil || len(got) != 1 || got[0] != all || rows != len(tuples) {
				t.Fatalf("in chunks of %d as one batch: %d rows in %q, %v", n, rows, got, err)
			}
		}
	}
}

// TestStreamCutsBatches sends much in one Write: the batches are not much longer
// than their limit all the same.
func TestStreamCutsBatches(t *testing.T) {
	t.Parallel()
	one := tuple(7, strings.Repeat("x", 100))
	got, rows, err := cut(head+strings.Repeat(one, 10_000)+trailer, 1<<30, 10_000)
	if err != nil || rows != 10_000 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	for _, b := range got {
		if len(b) >= 10_000+len(one) {
			t.Errorf("a batch has %d bytes", len(b))
		}
	}
}

func TestStreamDamaged(t *testing.T) {
	t.Parallel()
	good := tuple(1, "x")
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "without its trailer"},
		{"text", "1\tx\n\\.\n", "no COPY stream in binary format"},
		{"newlines converted", "PGCOPY\r\n\xff\r\n\x00", "no COPY stream in binary format"},
		{"within the signature", signature[:5], "without its trailer"},
		{"within the header", head[:17], "without its trailer"},
		{"with OIDs", signature + "\x00\x01\x00\x00\x00\x00\x00\x00" + trailer, "flags 0x10000"},
		{"an extension below zero", signature + "\x00\x00\x00\x00\xff\xff\xff\xff", "extension of -1 bytes"},
		{"within the extension", signature + "\x00\x00\x00\x00\x00\x00\x00\x09abc", "without its trailer"},
		{"no trailer", head + good, "without its trailer"},
		{"within a field count", head + good + "\x00", "without its trailer"},
		{"within a length", head + "\x00\x02\x00\x00", "without its trailer"},
		{"within a value", head + good[:8], "without its trailer"},
		{"too few fields", head + "\x00\x01" + trailer, "byte 19: a tuple has 1 fields, not 2"},
		{"too many fields", head + good + "\x00\x03", "byte 34: a tuple has 3 fields, not 2"},
		{"fields below -1", head + "\xff\xfe", "has -2 fields"},
		{"a length below -1", head + "\x00\x02\xff\xff\xff\xfe", "length -2"},
		{"a length above all", head + "\x00\x02\x40\x00\x00\x00", "length 1073741824"},
		{"a tuple after the trailer", head + trailer + good, "after its trailer"},
		{"a byte after the trailer", head + good + trailer + "\x00", "after its trailer"},
	} {
		for _, n := range []int{1, 7, 1 << 20} {
			if _, _, err := cut(c.in, n, 1); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, in chunks of %d: %v, want %q", c.name, n, err, c.want)
			}
		}
		// The writer says so, too, and no part is done.
		w, err := NewWriter(two, Options{
			Next: func(int) (io.Writer, error) { return io.Discard, nil },
			Done: func(p Part) error { t.Errorf("%s: done is %+v", c.name, p); return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(w, c.in)
		if closing := w.Close(); closing == nil || err != nil && !errors.Is(closing, err) {
			t.Errorf("%s: Write has %v, Close has %v", c.name, err, closing)
		}
		if _, err := w.Write([]byte{0}); err == nil {
			t.Errorf("%s: can be written to after it was closed", c.name)
		}
	}
}

// FuzzStream writes anything, in any chunks. What is accepted comes back, and
// nothing panics.
func FuzzStream(f *testing.F) {
	f.Add([]byte(head+tuple(1, "x")+nulls+trailer), 3)
	f.Add([]byte(head+trailer), 1)
	f.Add([]byte(signature+"\x00\x00\x00\x01\x00\x00\x00\x02ab"+tuple(1, "")+trailer), 1000)
	f.Add([]byte(head+"\x00\x02\x00\x00\x00\x03abc\xff\xff\xff\xff"+trailer), 5)
	f.Add([]byte(head+tuple(1, "x")), 2)
	f.Add([]byte(head+"\x00\x02\x3f\xff\xff\xff"), 2)
	f.Fuzz(func(t *testing.T, in []byte, n int) {
		n = max(n, 1)
		batches, rows, err := cut(string(in), n, 50)
		whole, all, again := cut(string(in), len(in)+1, 1<<20)
		if (err == nil) != (again == nil) {
			t.Fatalf("in chunks of %d: %v; at once: %v", n, err, again)
		}
		if err == nil && (strings.Join(batches, "") != strings.Join(whole, "") || rows != all) {
			t.Fatalf("in chunks of %d: %q; at once: %q", n, batches, whole)
		}
		var out file
		w, werr := NewWriter(two, Options{
			RowGroupBytes: 64,
			Next:          func(int) (io.Writer, error) { return &out.Buffer, nil },
			Done:          func(p Part) error { out.Part = p; return nil },
		})
		if werr != nil {
			t.Fatal(werr)
		}
		w.stream.reserve = 1
		if _, werr = w.Write(in); werr == nil {
			werr = w.Close()
		} else if w.Close() == nil {
			t.Fatal("Close has forgotten the error")
		}
		if werr != nil {
			return // Values are checked by the encoder, too.
		}
		if err != nil {
			t.Fatalf("written was what is %v", err)
		}
		var back bytes.Buffer
		d, rerr := Read(t.Context(), bytes.NewReader(out.Buffer.Bytes()), int64(out.Len()), two, func(b []byte) error {
			back.Write(b)
			return nil
		})
		if rerr != nil || d != out.Digest || back.String() != strings.Join(whole, "") {
			t.Fatalf("read back: %v, %v of %v\n%q\n%q", rerr, d, out.Digest, back.String(), whole)
		}
	})
}
