package parquetfile

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

func TestPartsAndKeys(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	name := table(t, tx, "t", "i2 smallint, i4 integer, i8 bigint, d date, ts timestamp, tz timestamptz, tx text, no date")
	run(t, tx, `INSERT INTO public.t SELECT -i, i * 7, -i::bigint * 10000000000, date '0001-01-02 BC' + i * 77, timestamp '2018-11-01' + i * interval '1.0203 s',
		'2018-11-01 12:00+13:30'::timestamptz - i * interval '1 day', md5(i::text), NULL FROM generate_series(1, 3000) i`)
	plan := columnsOf(t, tx, name)
	want := sum(mustExport(t, tx, plan, name, Options{}))
	for _, c := range plan {
		files := mustExport(t, tx, plan, name, Options{Key: c.Name, RowGroupBytes: 8 << 10, PartBytes: 25 << 10})
		if len(files) < 3 || files[0].RowGroups < 2 {
			t.Errorf("there are %d parts, the first has %d row groups", len(files), files[0].RowGroups)
		}
		if got := sum(files); got != want {
			t.Errorf("all parts together have %v, want %v", got, want)
		}
		// The rows come in the table's order, so a part has those of some i.
		from := int64(1)
		for _, f := range files {
			if f.Part.Bytes < 25<<10 && f.Number < len(files) || f.Part.Bytes > 50<<10 {
				t.Errorf("part %d has %d bytes", f.Number, f.Part.Bytes)
			}
			var min, max string
			err := tx.QueryRow(t.Context(), fmt.Sprintf("SELECT coalesce(min(%[1]s)::text, ''), coalesce(max(%[1]s)::text, '') FROM (SELECT * FROM public.t OFFSET %d LIMIT %d) p",
				quote(c.Name), from-1, f.Digest.Rows)).Scan(&min, &max)
			if err != nil {
				t.Fatal(err)
			}
			from += f.Digest.Rows
			switch {
			case c.Name == "tx" || c.Name == "no":
				if f.Key != nil {
					t.Errorf("%s has the range %v", c.Name, f.Key)
				}
			case f.Key == nil:
				t.Errorf("%s has no range", c.Name)
			case *f.Key != KeyRange{min, max}:
				t.Errorf("%s has the range %v, want %s to %s", c.Name, f.Key, min, max)
			}
		}
	}
	// Where parts end does not depend on who was faster.
	var first []int64
	for range 5 {
		var lengths []int64
		for _, f := range mustExport(t, tx, plan, name, Options{RowGroupBytes: 8 << 10, PartBytes: 25 << 10, Encoders: 4}) {
			lengths = append(lengths, f.Part.Bytes)
		}
		if first == nil {
			first = lengths
		}
		if fmt.Sprint(lengths) != fmt.Sprint(first) {
			t.Errorf("parts of %v bytes, and before of %v", lengths, first)
		}
	}
}

// TestKeysAtTheEnds prints the first and the last days as the server does.
func TestKeysAtTheEnds(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	name := table(t, tx, "t", "d date, ts timestamp, tz timestamptz",
		"('4713-01-01 BC', '4713-01-01 00:00:00.1 BC', '4713-01-01 00:00:00+00 BC')",
		"('5874897-12-31', '294246-12-31 23:59:59.999999', '12018-12-31 23:59:59.123400+00')")
	plan := columnsOf(t, tx, name)
	for _, c := range plan {
		files := mustExport(t, tx, plan, name, Options{Key: c.Name})
		want := KeyRange{
			Min: ask[string](t, tx, "SELECT min("+c.Name+")::text FROM public.t"),
			Max: ask[string](t, tx, "SELECT max("+c.Name+")::text FROM public.t"),
		}
		if files[0].Key == nil || *files[0].Key != want {
			t.Errorf("%s: %v, want %v", c.Name, files[0].Key, want)
		}
	}
}

func TestNoRows(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	name := table(t, tx, "t", "a integer NOT NULL, b text[]")
	files := roundTrip(t, tx, columnsOf(t, tx, name), name, Options{Key: "a"})
	if len(files) != 1 || files[0].Digest != (Digest{}) || files[0].Key != nil || files[0].Part.Bytes == 0 {
		t.Errorf("%+v", files)
	}
}

func TestManyColumns(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	var columns, values []string
	for i := range 1600 {
		columns = append(columns, fmt.Sprintf("c%d %s", i, []string{"integer", "bool", "smallint", "timestamp"}[i%4]))
		values = append(values, []string{"i", "i % 3 = 0", "NULL", "timestamp '2018-11-01'"}[i%4])
	}
	name := table(t, tx, "t", strings.Join(columns, ", "))
	run(t, tx, "INSERT INTO public.t SELECT "+strings.Join(values, ", ")+" FROM generate_series(1, 140) i")
	plan := columnsOf(t, tx, name)
	files := mustExport(t, tx, plan, name, Options{RowGroupBytes: 64 << 10})
	same(t, "read back", readBack(t, plan, files), copyOut(t, tx, plan, name))
	// The footer of many column chunks ends a part, too.
	if len(files) < 2 || files[0].RowGroups*len(plan) > maxChunks || (files[0].RowGroups+1)*len(plan) <= maxChunks {
		t.Errorf("%d parts, the first of %d row groups", len(files), files[0].RowGroups)
	}
}

// broken fails after some bytes.
type broken struct{ left int }

var errBroken = errors.New("broken")

func (b *broken) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

// TestFailures lets everything fail that can, and looks for what is left running.
func TestFailures(t *testing.T) {
	var tuples strings.Builder
	for i := range int32(5000) {
		tuples.WriteString(tuple(i, fmt.Sprintf("%x", i*i*i)))
	}
	good := head + tuples.String() + trailer
	writes := func(int) (io.Writer, error) { return io.Discard, nil }
	nothing := func(Part) error { return nil }
	before := runtime.NumGoroutine()
	for name, c := range map[string]struct {
		plan Plan
		o    Options
		in   string
		want string
	}{
		"Next":          {two, Options{Next: func(int) (io.Writer, error) { return nil, errBroken }, Done: nothing}, good, "beginning part 1: broken"},
		"Next again":    {two, Options{Next: func(n int) (io.Writer, error) { return io.Discard, map[int]error{2: errBroken}[n] }, Done: nothing, PartBytes: 1}, good, "beginning part 2: broken"},
		"Done":          {two, Options{Next: writes, Done: func(Part) error { return errBroken }, PartBytes: 1}, good, "after part 1: broken"},
		"Done at last":  {two, Options{Next: writes, Done: func(Part) error { return errBroken }}, good, "after part 1: broken"},
		"no room":       {two, Options{Next: func(int) (io.Writer, error) { return &broken{}, nil }, Done: nothing}, good, "broken"},
		"no room later": {two, Options{Next: func(int) (io.Writer, error) { return &broken{20 << 10}, nil }, Done: nothing}, good, "broken"},
		"a short value": {two, Options{Next: writes, Done: nothing}, head + "\x00\x02\x00\x00\x00\x03abc\xff\xff\xff\xff" + trailer, `"a", type integer, has 3 bytes, not 4`},
		"cut off":       {two, Options{Next: writes, Done: nothing}, good[:len(good)-1], "without its trailer"},
		"nothing":       {two, Options{Next: writes, Done: nothing}, "", "without its trailer"},
	} {
		c.o.RowGroupBytes = 4 << 10
		w, err := NewWriter(c.plan, c.o)
		if err != nil {
			t.Fatal(err)
		}
		for in := c.in; len(in) > 0 && err == nil; in = in[min(100, len(in)):] {
			_, err = io.WriteString(w, in[:min(100, len(in))])
		}
		closing := w.Close()
		if closing == nil || !strings.Contains(closing.Error(), c.want) || err != nil && err != closing {
			t.Errorf("%s: Write %v, Close %v, want %q", name, err, closing, c.want)
		}
		if again := w.Close(); again != closing {
			t.Errorf("%s: closed again: %v", name, again)
		}
	}
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are left of %d", runtime.NumGoroutine(), before)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	base := Options{Next: func(int) (io.Writer, error) { return io.Discard, nil }, Done: func(Part) error { return nil }}
	for name, change := range map[string]func(*Options){
		"level":        func(o *Options) { o.Level = 23 },
		"row group":    func(o *Options) { o.RowGroupBytes = 64<<20 + 1 },
		"no row group": func(o *Options) { o.RowGroupBytes = -1 },
		"encoders":     func(o *Options) { o.Encoders = 9 },
		"no part":      func(o *Options) { o.PartBytes = -1 },
		"no key":       func(o *Options) { o.Key = "nobody" },
		"no Next":      func(o *Options) { o.Next = nil },
		"no Done":      func(o *Options) { o.Done = nil },
	} {
		o := base
		change(&o)
		if _, err := NewWriter(two, o); err == nil {
			t.Errorf("%s: there is a writer", name)
		}
	}
	if _, err := NewWriter(Plan{}, base); err == nil {
		t.Error("there is a writer of no columns")
	}
	w, err := NewWriter(two, base)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil {
		t.Error("a part without a stream is complete")
	}
}
