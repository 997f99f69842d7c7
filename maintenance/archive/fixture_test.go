package archive

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

var november = partition.Bounds{
	From: partition.At(time.Date(2018, 11, 1, 0, 0, 0, 0, time.UTC)),
	To:   partition.At(time.Date(2018, 12, 1, 0, 0, 0, 0, time.UTC)),
}

// fixture is one table in a database, and a store for it.
type fixture struct {
	t    testing.TB
	conn *pgx.Conn
	spec Spec
	// dir is where the parts are to be.
	dir string
}

// newFixture makes a table of the given columns, one of which is the key at, in
// a database of its own.
func newFixture(t testing.TB, columns string) *fixture {
	t.Helper()
	db := pgtest.New(t)
	return fixtureOn(t, db.Conn(t), t.TempDir(), "event_2018_11", columns)
}

func fixtureOn(t testing.TB, conn *pgx.Conn, root, local, columns string) *fixture {
	t.Helper()
	f := &fixture{t: t, conn: conn, spec: Spec{
		Place: Place{Root: fileURL(root), Parent: partition.Name{Schema: "public", Local: local + "_parent"}, Bounds: november},
		Table: partition.Name{Schema: "public", Local: local},
		Key:   "at",
	}}
	f.dir = filepath.Join(root, "public."+safe(local+"_parent"), "year=2018", "month=11")
	f.exec("CREATE TABLE " + f.sql() + " (" + columns + ")")
	f.identify()
	return f
}

func fileURL(path string) string { return (&url.URL{Scheme: "file", Path: path}).String() }

func (f *fixture) sql() string { return quoted(f.spec.Table) }

func (f *fixture) exec(sql string) {
	f.t.Helper()
	if _, err := f.conn.Exec(f.t.Context(), sql); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

// identify takes the OID that the table has now.
func (f *fixture) identify() {
	f.t.Helper()
	if err := f.conn.QueryRow(f.t.Context(), "SELECT $1::text::regclass::oid", f.sql()).Scan(&f.spec.OID); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) ensure() Manifest {
	f.t.Helper()
	m, err := Ensure(f.t.Context(), f.conn, f.spec)
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

// find returns the files that Find answers with.
func (f *fixture) find() []string {
	f.t.Helper()
	manifests, err := Find(f.spec.Place)
	if err != nil {
		f.t.Fatal(err)
	}
	files := []string{}
	for _, m := range manifests {
		if err := Verify(f.t.Context(), f.spec.Root, m); err != nil {
			f.t.Errorf("found a part that is not whole: %v", err)
		}
		files = append(files, m.File)
	}
	return files
}

// wantFound asserts that the parts, and nothing else, are found and on disk.
func (f *fixture) wantFound(parts ...Manifest) {
	f.t.Helper()
	want, wantDisk := []string{}, []string{}
	for _, m := range parts {
		want = append(want, m.File)
		wantDisk = append(wantDisk, m.File, strings.TrimSuffix(m.File, dataExt)+manifestExt)
	}
	slices.Sort(wantDisk)
	if got := f.find(); !slices.Equal(got, want) {
		f.t.Errorf("found %q, want %q", got, want)
	}
	if got := f.files(); !slices.Equal(got, wantDisk) {
		f.t.Errorf("on disk are %q, want %q", got, wantDisk)
	}
}

// files lists the directory of the parts, which need not exist.
func (f *fixture) files() []string {
	f.t.Helper()
	entries, err := os.ReadDir(f.dir)
	if err != nil && !os.IsNotExist(err) {
		f.t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// drop drops the table as a maintainer would.
func (f *fixture) drop(m Manifest) error {
	f.t.Helper()
	return pgx.BeginFunc(f.t.Context(), f.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(f.t.Context(), "LOCK TABLE ONLY "+f.sql()+" IN ACCESS EXCLUSIVE MODE"); err != nil {
			return err
		}
		if err := StillEqual(f.t.Context(), tx, m, f.spec.Table); err != nil {
			return err
		}
		_, err := tx.Exec(f.t.Context(), "DROP TABLE "+f.sql())
		return err
	})
}

// restore loads the parts into a new table like the given one.
func (f *fixture) restore(like string, into partition.Name, parts ...Manifest) {
	f.t.Helper()
	f.exec("CREATE TABLE " + quoted(into) + " (LIKE " + like + " INCLUDING GENERATED)")
	for _, m := range parts {
		if err := load(f.t.Context(), f.conn, f.spec.Root, m, into); err != nil {
			f.t.Fatal(err)
		}
	}
}

// load does with a part what its manifest says.
func load(ctx context.Context, conn *pgx.Conn, root string, m Manifest, into partition.Name) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for name, value := range m.Load.Settings {
			if _, err := tx.Exec(ctx, "SELECT pg_catalog.set_config($1, $2, true)", name, value); err != nil {
				return err
			}
		}
		r, err := Open(root, m)
		if err != nil {
			return err
		}
		_, err = conn.PgConn().CopyFrom(ctx, r, "COPY "+quoted(into)+" "+m.Load.Columns+" FROM STDIN "+m.Load.Options)
		if closing := r.Close(); err == nil {
			err = closing
		}
		return err
	})
}

// digest returns what both methods, where they can be used, make of a table.
func (f *fixture) digest(name partition.Name) string {
	f.t.Helper()
	var all []string
	err := pgx.BeginFunc(f.t.Context(), f.conn, func(tx pgx.Tx) error {
		if err := configure(f.t.Context(), tx); err != nil {
			return err
		}
		t, err := look(f.t.Context(), tx, name)
		if err != nil {
			return err
		}
		for _, method := range slices.Compact([]HashMethod{HashText, t.method}) {
			c, err := t.count(f.t.Context(), tx, method, nil)
			if err != nil {
				return err
			}
			all = append(all, fmt.Sprint(c))
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// csv returns the CSV of a part.
func (f *fixture) csv(m Manifest) string {
	f.t.Helper()
	r, err := Open(f.spec.Root, m)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			f.t.Error(err)
		}
	}()
	text, err := io.ReadAll(r)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

func itoa(pid uint32) string { return strconv.FormatUint(uint64(pid), 10) }
