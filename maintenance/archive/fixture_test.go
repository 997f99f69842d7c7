package archive

import (
	"errors"
	"fmt"
	"io"
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
	// root is the store's directory, and dir that of the parts.
	root, dir string
	// s3 is how a store of that kind is reached by other processes.
	s3  S3Options
	env []string
}

// newFixture makes a table of the given columns, one of which is the key at, in
// a database of its own, and an archive of CSV.
func newFixture(t testing.TB, columns string) *fixture {
	t.Helper()
	db := pgtest.New(t)
	return fixtureOn(t, db.Conn(t), t.TempDir(), "event_2018_11", columns)
}

func fixtureOn(t testing.TB, conn *pgx.Conn, root, local, columns string) *fixture {
	t.Helper()
	f := &fixture{t: t, conn: conn, root: root, spec: Spec{
		Place:   Place{Parent: partition.Name{Schema: "public", Local: local + "_parent"}, Bounds: november},
		Store:   NewDirectory(root),
		Table:   partition.Name{Schema: "public", Local: local},
		Key:     "at",
		Options: Options{Format: CSV},
	}}
	f.dir = filepath.Join(root, "public."+safe(local+"_parent"), "year=2018", "month=11")
	f.exec("CREATE TABLE " + f.sql() + " (" + columns + ")")
	f.identify()
	return f
}

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
	ms, err := Ensure(f.t.Context(), f.conn, f.spec)
	if err != nil {
		f.t.Fatal(err)
	}
	if len(ms) != 1 {
		f.t.Fatalf("got %d manifests", len(ms))
	}
	return ms[0]
}

// find returns the names of the manifests that Find answers with.
func (f *fixture) find() []string {
	f.t.Helper()
	manifests, err := Find(f.t.Context(), f.spec.Store, f.spec.Place)
	if err != nil {
		f.t.Fatal(err)
	}
	names := []string{}
	for _, m := range manifests {
		if err := Verify(f.t.Context(), f.spec.Store, m, nil); err != nil {
			f.t.Errorf("found an archive that is not whole: %v", err)
		}
		names = append(names, m.name())
	}
	return names
}

// wantFound asserts that the exports, and nothing else, are found and in the store.
func (f *fixture) wantFound(exports ...Manifest) {
	f.t.Helper()
	want, wantStored := []string{}, []string{}
	for _, m := range exports {
		want = append(want, m.name())
		wantStored = append(append(wantStored, m.Key), m.partKeys()...)
	}
	slices.Sort(wantStored)
	if got := f.find(); !slices.Equal(got, want) {
		f.t.Errorf("found %q, want %q", got, want)
	}
	if got := f.keys(); !slices.Equal(got, wantStored) {
		f.t.Errorf("in the store are %q, want %q", got, wantStored)
	}
	// Nor is there anything that is no object.
	if files := f.files(); f.root != "" && len(files) != len(wantStored) {
		f.t.Errorf("on disk are %q, want %q", files, wantStored)
	}
}

// keys lists the directory of the parts as the store sees it.
func (f *fixture) keys() []string {
	f.t.Helper()
	dir, err := f.spec.dir()
	if err != nil {
		f.t.Fatal(err)
	}
	objects, err := f.spec.Store.List(f.t.Context(), dir+"/")
	if err != nil {
		f.t.Fatal(err)
	}
	keys := []string{}
	for _, o := range objects {
		keys = append(keys, o.Key)
	}
	return keys
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
		if err := StillEqual(f.t.Context(), tx, []Manifest{m}, f.spec.Table, m.Source.OID); err != nil {
			return err
		}
		_, err := tx.Exec(f.t.Context(), "DROP TABLE "+f.sql())
		return err
	})
}

// restore loads the exports into a new table like the given one.
func (f *fixture) restore(like string, into partition.Name, exports ...Manifest) {
	f.t.Helper()
	f.exec("CREATE TABLE " + quoted(into) + " (LIKE " + like + " INCLUDING GENERATED)")
	ctx := f.t.Context()
	err := pgx.BeginFunc(ctx, f.conn, func(tx pgx.Tx) error {
		for _, m := range exports {
			if err := Restore(ctx, tx, f.spec.Store, m, into, nil); err != nil {
				return err
			}
		}
		return EqualRows(ctx, tx, exports, into)
	})
	if err != nil {
		f.t.Fatal(err)
	}
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

// csv returns the CSV of an export's parts, one behind the other.
func (f *fixture) csv(m Manifest) string {
	f.t.Helper()
	var text []byte
	for _, key := range m.partKeys() {
		file, err := f.spec.Store.Open(f.t.Context(), key)
		if err != nil {
			f.t.Fatal(err)
		}
		r, err := newCSVReader(file)
		if err != nil {
			f.t.Fatal(err)
		}
		part, err := io.ReadAll(r)
		r.close()
		if err := errors.Join(err, file.Close()); err != nil {
			f.t.Fatal(err)
		}
		text = append(text, part...)
	}
	return string(text)
}

func itoa(pid uint32) string { return strconv.FormatUint(uint64(pid), 10) }
