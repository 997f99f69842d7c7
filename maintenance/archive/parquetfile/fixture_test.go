package parquetfile

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// file is a part in memory.
type file struct {
	bytes.Buffer
	Part
}

// export writes the table to parts in memory.
func export(ctx context.Context, tx pgx.Tx, plan Plan, table partition.Name, o Options) ([]*file, error) {
	var files []*file
	o.Next = func(n int) (io.Writer, error) {
		if n != len(files)+1 {
			return nil, fmt.Errorf("part %d begins after %d", n, len(files))
		}
		files = append(files, &file{})
		return files[n-1], nil
	}
	o.Done = func(p Part) error {
		if len(files) != p.Number || int64(files[p.Number-1].Len()) != p.Bytes {
			return fmt.Errorf("part %d of %d has %d bytes, done are %+v", len(files), p.Number, files[p.Number-1].Len(), p)
		}
		files[p.Number-1].Part = p
		return nil
	}
	w, err := NewWriter(plan, o)
	if err != nil {
		return nil, err
	}
	_, err = tx.Conn().PgConn().CopyTo(ctx, w, plan.CopySQL(table))
	if closing := w.Close(); err == nil {
		err = closing
	}
	return files, err
}

// begin starts a transaction with the settings, which ends with the test.
func begin(t testing.TB, conn *pgx.Conn) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	if err := Configure(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	return tx
}

func run(t testing.TB, tx pgx.Tx, sql string) {
	t.Helper()
	if _, err := tx.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// ask returns the only value that the query has.
func ask[T any](t testing.TB, tx pgx.Tx, sql string, args ...any) (v T) {
	t.Helper()
	if err := tx.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func public(local string) partition.Name { return partition.Name{Schema: "public", Local: local} }

func columnsOf(t testing.TB, tx pgx.Tx, table partition.Name) Plan {
	t.Helper()
	plan, err := Columns(t.Context(), tx, table)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func mustExport(t testing.TB, tx pgx.Tx, plan Plan, table partition.Name, o Options) []*file {
	t.Helper()
	files, err := export(t.Context(), tx, plan, table, o)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// copyOut returns what the server sends for the plan.
func copyOut(t testing.TB, tx pgx.Tx, plan Plan, table partition.Name) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := tx.Conn().PgConn().CopyTo(t.Context(), &b, plan.CopySQL(table)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readBack returns the tuples of all parts, framed as the server would, and
// compares the digests of each.
func readBack(t testing.TB, plan Plan, files []*file) []byte {
	t.Helper()
	all := appendHeader(nil)
	for _, f := range files {
		d, err := Read(t.Context(), bytes.NewReader(f.Buffer.Bytes()), int64(f.Len()), plan, func(tuples []byte) error {
			all = append(all, tuples...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if d != f.Digest {
			t.Errorf("part %d has %v, was written with %v", f.Number, d, f.Digest)
		}
	}
	return appendTrailer(all)
}

func sum(files []*file) (d Digest) {
	for _, f := range files {
		d.Add(f.Digest)
	}
	return d
}

// roundTrip exports the table, reads the parts back and compares the bytes, then
// restores them into an empty copy of the table and compares the bytes again.
func roundTrip(t testing.TB, tx pgx.Tx, plan Plan, table partition.Name, o Options) []*file {
	t.Helper()
	files := mustExport(t, tx, plan, table, o)
	want := copyOut(t, tx, plan, table)
	same(t, "read back", readBack(t, plan, files), want)
	copied := partition.Name{Schema: table.Schema, Local: table.Local + "_restored"}
	run(t, tx, "DROP TABLE IF EXISTS "+quoted(copied))
	run(t, tx, "CREATE TABLE "+quoted(copied)+" (LIKE "+quoted(table)+" INCLUDING GENERATED INCLUDING IDENTITY)")
	l, err := NewLoader(t.Context(), tx, plan, copied)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		d, err := l.Load(t.Context(), bytes.NewReader(f.Buffer.Bytes()), int64(f.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if d != f.Digest {
			t.Errorf("part %d was restored with %v, written with %v", f.Number, d, f.Digest)
		}
	}
	if l.sql.Create != "" {
		run(t, tx, "DROP TABLE "+quoted(staging))
	}
	same(t, "restored", copyOut(t, tx, plan, copied), want)
	return files
}

// same compares two streams, of which the first difference is shown.
func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	from := max(at-16, 0)
	show := func(b []byte) string {
		b = b[min(from, len(b)):min(at+32, len(b))]
		return hex.EncodeToString(b) + " " + fmt.Sprintf("%q", b)
	}
	t.Errorf("%s: %d bytes, want %d; from byte %d on\ngot  %s\nwant %s", what, len(got), len(want), from, show(got), show(want))
}

// table creates a table public.t, or as named, with rows of VALUES.
func table(t testing.TB, tx pgx.Tx, name, columns string, rows ...string) partition.Name {
	t.Helper()
	n := public(name)
	run(t, tx, "CREATE TABLE "+quoted(n)+" ("+columns+")")
	if len(rows) > 0 {
		run(t, tx, "INSERT INTO "+quoted(n)+" VALUES "+strings.Join(rows, ", "))
	}
	return n
}
