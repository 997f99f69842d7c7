package parquetfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

// memory returns a part of the tuples.
func inMemory(t testing.TB, plan Plan, tuples string) *file {
	t.Helper()
	f := &file{}
	w, err := NewWriter(plan, Options{
		RowGroupBytes: 128,
		Next:          func(int) (io.Writer, error) { return &f.Buffer, nil },
		Done:          func(p Part) error { f.Part = p; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, head+tuples+trailer); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestDamagedPart changes every byte of a file: either that is noticed, or the
// rows are what they were, for not all of the file is about rows.
func TestDamagedPart(t *testing.T) {
	t.Parallel()
	var tuples string
	for i := range int32(20) {
		tuples += tuple(i*i, "a value") + nulls
	}
	f := inMemory(t, two, tuples)
	good := f.Buffer.Bytes()
	noticed := 0
	read := func(b []byte) {
		t.Helper()
		switch d, err := Read(t.Context(), bytes.NewReader(b), int64(len(b)), two, nil); {
		case err != nil:
			noticed++
		case d != f.Digest:
			noticed++ // by whoever compares the digests
		default:
			var back bytes.Buffer
			_, err := Read(t.Context(), bytes.NewReader(b), int64(len(b)), two, func(b []byte) error { back.Write(b); return nil })
			if err != nil || back.String() != tuples {
				t.Errorf("rows of the right digest are %q (%v)", back.String(), err)
			}
		}
	}
	for i := range good {
		for _, change := range []byte{0x01, 0x80, 0xff} {
			b := bytes.Clone(good)
			b[i] ^= change
			read(b)
		}
	}
	if all := 3 * len(good); noticed < all/2 {
		t.Errorf("of %d changes %d were noticed", all, noticed)
	}
	for n := range good {
		if _, err := Read(t.Context(), bytes.NewReader(good), int64(n), two, nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	// Each page has a checksum, so that nothing in the data passes.
	b := bytes.Clone(good)
	at := bytes.Index(b, []byte("a value"))
	if at < 0 {
		t.Fatal("no page has the text as it is")
	}
	b[at]++
	if _, err := Read(t.Context(), bytes.NewReader(b), int64(len(b)), two, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("with a changed value: %v", err)
	}
}

func TestReadOtherPlans(t *testing.T) {
	t.Parallel()
	f := inMemory(t, two, tuple(1, "x"))
	change := func(f func(Plan)) Plan {
		p := Plan{two[0], two[1]}
		f(p)
		return p
	}
	for name, plan := range map[string]Plan{
		"none":          {},
		"fewer":         two[:1],
		"more":          {two[0], two[1], {Name: "c", Base: 25, Typmod: -1, Parquet: String}},
		"another order": {two[1], two[0]},
		"another name":  change(func(p Plan) { p[0].Name = "A" }),
		"one name":      change(func(p Plan) { p[0].Name = "b" }),
		"another type":  change(func(p Plan) { p[0].Base, p[0].Parquet = 20, Int64 }),
		"another form":  change(func(p Plan) { p[0].Parquet = Int64 }),
		"other bytes":   change(func(p Plan) { p[1].Base, p[1].Parquet = 17, Binary }),
		"not as text":   change(func(p Plan) { p[1].Base = 600 }),
		"a date":        change(func(p Plan) { p[0].Base, p[0].Parquet = 1082, Date }),
	} {
		if d, err := Read(t.Context(), bytes.NewReader(f.Buffer.Bytes()), int64(f.Len()), plan, nil); err == nil {
			t.Errorf("%s: the part has %v", name, d)
		}
	}
	if _, err := Read(t.Context(), bytes.NewReader(f.Buffer.Bytes()), int64(f.Len()), two, nil); err != nil {
		t.Error(err)
	}
}

func TestReadStops(t *testing.T) {
	t.Parallel()
	var tuples string
	for i := range int32(200) {
		tuples += tuple(i, "a value")
	}
	f := inMemory(t, two, tuples)
	if f.RowGroups < 10 {
		t.Fatalf("there are %d row groups", f.RowGroups)
	}
	stop := errors.New("stop")
	calls := 0
	_, err := Read(t.Context(), bytes.NewReader(f.Buffer.Bytes()), int64(f.Len()), two, func([]byte) error {
		if calls++; calls == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || calls != 3 {
		t.Errorf("after %d calls: %v", calls, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Read(ctx, bytes.NewReader(f.Buffer.Bytes()), int64(f.Len()), two, func([]byte) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	// The stream of a damaged part has no trailer, so that the server refuses it.
	b := bytes.Clone(f.Buffer.Bytes())
	b[bytes.LastIndex(b[:len(b)/2], []byte("a value"))]++
	c := NewCopyReader(t.Context(), bytes.NewReader(b), int64(len(b)), two)
	got, err := io.ReadAll(c)
	if !errors.Is(err, ErrDamaged) || bytes.HasSuffix(got, []byte(trailer)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	// And one that nobody reads on ends when it is closed.
	c = NewCopyReader(t.Context(), bytes.NewReader(f.Buffer.Bytes()), int64(f.Len()), two)
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	closed := make(chan struct{})
	go func() { defer close(closed); _ = c.Close() }()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Error("Close waits for ever")
	}
}
