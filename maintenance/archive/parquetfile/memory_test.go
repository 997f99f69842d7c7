package parquetfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/partitiond/partitiond/maintenance/bench/measure"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// envMeasure makes the test program write, read and restore the rows of that name
// of shapes, on the server of envServer, and print how much memory that took.
const (
	envMeasure = "PARQUETFILE_MEASURE"
	envServer  = "PARQUETFILE_SERVER"
)

// envRows says how many rows there shall be of those that are many, say 2000000 or
// 20000000. It changes nothing in how much memory is enough.
const envRows = "PARQUETFILE_ROWS"

// many is the name of those.
const many = "many rows"

// shapes are rows that are hard on memory: how many, how long the value of their
// only long column is, and how much resident memory, in MiB, is enough for them.
// Of a value that is larger than a row group, up to four copies are needed.
var shapes = map[string]struct {
	rows, length int
	enough       float64
}{
	many:    {rows: 500_000, length: 200, enough: 256},
	"10 KB": {rows: 30_000, length: 10_000, enough: 256},
	"50 MB": {rows: 3, length: 50_000_000, enough: 320},
}

// softLimit is the GOMEMLIMIT with which that much is enough.
const softLimit = "200MiB"

// TestMemory writes, reads and restores in a process of its own.
func TestMemory(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the resident memory of a process is only known on Linux")
	}
	if pgtest.Race {
		t.Skip("the race detector takes many times the memory")
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			program, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), program)
			cmd.Env = append(os.Environ(), envMeasure+"="+name, envServer+"="+pgtest.DB(t), "GOMEMLIMIT="+softLimit, "TMPDIR="+t.TempDir())
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
			fields := strings.Fields(string(out))
			mib, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil || mib < 1 || mib > shape.enough {
				t.Errorf("the peak is %g MiB (%v), and should be at most %g", mib, err, shape.enough)
			}
		})
	}
}

// measured is the child.
func measured(name string) int {
	shape, ok := shapes[name]
	if !ok {
		fmt.Println("there are no such rows as", name)
		return 2
	}
	if text := os.Getenv(envRows); text != "" && name == many {
		n, err := strconv.Atoi(text)
		if err != nil {
			fmt.Println(envRows, "is no number:", err)
			return 2
		}
		shape.rows = n
	}
	if err := circle(context.Background(), shape.rows, shape.length); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// circle makes parts of a synthetic stream, reads them, restores them on the
// server and exports them from there again. What it prints last is the peak.
func circle(ctx context.Context, rows, length int) (err error) {
	plan := Plan{
		{Name: "id", Type: "bigint", Base: pgtype.Int8OID, Typmod: -1, Parquet: Int64},
		{Name: "at", Type: "timestamp", Base: pgtype.TimestampOID, Typmod: -1, Parquet: Timestamp},
		{Name: "long", Type: "bytea", Base: pgtype.ByteaOID, Typmod: -1, Parquet: Binary},
	}
	written := &onDisk{}
	defer func() { err = errors.Join(err, written.remove()) }()
	if err := written.write(plan, func(w io.Writer) error { return generate(w, rows, length) }); err != nil {
		return err
	}
	want := written.digest()
	if want.Rows != int64(rows) {
		return fmt.Errorf("%d rows were written", want.Rows)
	}
	fmt.Printf("%d rows in %d parts; peak in MiB after writing %.0f, ", rows, len(written.parts), measure.Peak())

	for i, p := range written.parts {
		d, err := Read(ctx, written.files[i], p.Bytes, plan, func([]byte) error { return nil })
		if err != nil {
			return err
		}
		if d != p.Digest {
			return fmt.Errorf("part %d has %v, not %v", p.Number, d, p.Digest)
		}
	}
	fmt.Printf("reading %.0f, ", measure.Peak())

	conn, err := pgx.Connect(ctx, os.Getenv(envServer))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	if err := Configure(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "CREATE TABLE public.restored (id bigint, at timestamp, long bytea)"); err != nil {
		return err
	}
	l, err := NewLoader(ctx, tx, plan, public("restored"))
	if err != nil {
		return err
	}
	for i, p := range written.parts {
		d, err := l.Load(ctx, written.files[i], p.Bytes)
		if err != nil {
			return err
		}
		if d != p.Digest {
			return fmt.Errorf("part %d was restored with %v, not %v", p.Number, d, p.Digest)
		}
	}
	fmt.Printf("restoring %.0f, ", measure.Peak())

	again := &onDisk{}
	defer func() { err = errors.Join(err, again.remove()) }()
	if err := again.write(plan, func(w io.Writer) error {
		_, err := conn.PgConn().CopyTo(ctx, w, plan.CopySQL(public("restored")))
		return err
	}); err != nil {
		return err
	}
	if got := again.digest(); got != want {
		return fmt.Errorf("the server has %v, not %v", got, want)
	}
	fmt.Printf("exporting from the server %.0f\n", measure.Peak())
	return nil
}

// onDisk is parts in files.
type onDisk struct {
	parts []Part
	files []*os.File
}

// write writes what source sends.
func (o *onDisk) write(plan Plan, source func(io.Writer) error) error {
	w, err := NewWriter(plan, Options{
		Next: func(int) (io.Writer, error) {
			f, err := os.CreateTemp("", "parquetfile")
			if err == nil {
				o.files = append(o.files, f)
			}
			return f, err
		},
		Done: func(p Part) error { o.parts = append(o.parts, p); return nil },
	})
	if err != nil {
		return err
	}
	err = source(w)
	return errors.Join(err, w.Close())
}

func (o *onDisk) digest() (d Digest) {
	for _, p := range o.parts {
		d.Add(p.Digest)
	}
	return d
}

func (o *onDisk) remove() (err error) {
	for _, f := range o.files {
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return err
}

// generate writes rows as a server would; half of what is in their long value
// cannot be compressed. It takes little memory itself.
func generate(w io.Writer, rows, length int) error {
	random := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 64<<10)
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	var row []byte
	for i := range rows {
		row = append(row[:0], 0, 3)
		row = appendUint64(appendUint32(row, 8), uint64(i))
		row = appendUint64(appendUint32(row, 8), uint64(i)*1_000_003)
		row = appendUint32(row, uint32(length))
		for left := length; left > 0; {
			n := min(left, len(noise))
			_, _ = random.Read(noise[:n/2]) // It never fails.
			if row = append(row, noise[:n]...); len(row) >= len(noise) {
				if _, err := w.Write(row); err != nil {
					return err
				}
				row = row[:0]
			}
			left -= n
		}
		if _, err := w.Write(row); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, trailer)
	return err
}
