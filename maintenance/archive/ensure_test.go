package archive

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

const insertLate = " VALUES ('2018-11-30 23:59:59', 'late')"

func newEvents(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t, "at timestamp, body text")
	f.exec("INSERT INTO " + f.sql() + " VALUES ('2018-11-01', 'first'), ('2018-11-02', E'sec\nond')")
	return f
}

// TestArchivedButNotDropped is a daemon that died between the two.
func TestArchivedButNotDropped(t *testing.T) {
	t.Parallel()
	f := newEvents(t)
	first := f.ensure()
	second := f.ensure()
	if first.Key != second.Key || first.Content != second.Content {
		t.Errorf("archived again: %+v, then %+v", first, second)
	}
	f.wantFound(first)
	if err := f.drop(second); err != nil {
		t.Error(err)
	}
}

func TestChangedBeforeTheDrop(t *testing.T) {
	t.Parallel()
	f := newEvents(t)
	first := f.ensure()
	f.exec("INSERT INTO " + f.sql() + insertLate)
	if err := f.drop(first); !errors.Is(err, ErrChanged) {
		t.Fatalf("dropping: got %v", err)
	}
	second := f.ensure()
	if second.first() != 2 || second.Content.Rows != 3 || !slices.Equal(second.Supersedes, []string{first.name()}) {
		t.Errorf("got %s with %d rows, superseding %q", second.name(), second.Content.Rows, second.Supersedes)
	}
	f.wantFound(second)
	f.exec("DELETE FROM " + f.sql() + " WHERE body = 'late'")
	third := f.ensure() // the same rows as the first, which is gone
	if third.first() != 3 || third.Content != first.Content {
		t.Errorf("got %s with %+v, want %+v", third.name(), third.Content, first.Content)
	}
	f.wantFound(third)
	if err := f.drop(third); err != nil {
		t.Error(err)
	}
}

// TestExportAlwaysExports has one part in the end all the same.
func TestExportAlwaysExports(t *testing.T) {
	t.Parallel()
	f := newEvents(t)
	f.ensure()
	ms, err := Export(t.Context(), f.conn, f.spec)
	if err != nil || len(ms) != 1 || ms[0].first() != 2 {
		t.Fatalf("got %+v, %v", ms, err)
	}
	f.wantFound(ms...)
}

// TestMadeAgain is a month that was dropped and came back with late rows, even
// if they are equal to those that left.
func TestMadeAgain(t *testing.T) {
	t.Parallel()
	f := newEvents(t)
	first := f.ensure()
	f.exec("CREATE TABLE old (LIKE " + f.sql() + ")")
	f.exec("INSERT INTO old TABLE " + f.sql())
	if err := f.drop(first); err != nil {
		t.Fatal(err)
	}
	f.exec("CREATE TABLE " + f.sql() + " (LIKE old)")
	f.exec("INSERT INTO " + f.sql() + " TABLE old")
	f.identify()
	second := f.ensure()
	if second.first() != 2 || len(second.Supersedes) != 0 || second.Content != first.Content {
		t.Errorf("got %s with %+v, superseding %q", second.name(), second.Content, second.Supersedes)
	}
	f.wantFound(first, second)
	f.exec("INSERT INTO " + f.sql() + insertLate)
	third := f.ensure()
	if !slices.Equal(third.Supersedes, []string{second.name()}) {
		t.Errorf("the third part supersedes %q", third.Supersedes)
	}
	f.wantFound(first, third)
	// The archive has everything that ever left, once.
	f.exec("INSERT INTO old TABLE " + f.sql())
	back := partition.Name{Schema: "public", Local: "back"}
	f.restore("old", back, first, third)
	if got, want := f.digest(back), f.digest(partition.Name{Schema: "public", Local: "old"}); got != want {
		t.Errorf("loaded %s, the tables had %s", got, want)
	}
}

// TestOtherDatabase has two databases write equal tables to one store, as one
// restored from the other's dump would.
func TestOtherDatabase(t *testing.T) {
	t.Parallel()
	f := newEvents(t)
	first := f.ensure()
	g := newEvents(t)
	g.spec.Store, g.root, g.dir = f.spec.Store, f.root, f.dir
	second := g.ensure()
	f.wantFound(first, second)
	g.wantFound(first, second)
	if err := g.drop(first); !errors.Is(err, ErrOtherTable) {
		t.Errorf("dropping by the other's manifest: got %v", err)
	}
}

// TestInDoubt changes what the manifest says of its origin, so that the part may
// be of another table. It must stay, whatever the table has become.
func TestInDoubt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*Source)
	}{
		{"another timeline", func(s *Source) { s.Timeline++ }},
		{"an unknown timeline", func(s *Source) { s.Timeline = 0 }},
		{"another cluster", func(s *Source) { s.SystemIdentifier = "1" }},
		{"an unknown cluster", func(s *Source) { s.SystemIdentifier = "" }},
		{"another database", func(s *Source) { s.DatabaseOID++ }},
		{"another table", func(s *Source) { s.OID++ }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newEvents(t)
			first := f.ensure()
			c.change(&first.Source)
			rewrite(t, f, first)
			f.exec("INSERT INTO " + f.sql() + insertLate)
			second := f.ensure()
			if len(second.Supersedes) != 0 {
				t.Errorf("supersedes %q", second.Supersedes)
			}
			f.wantFound(first, second)
		})
	}
}

// rewrite replaces a manifest on disk.
func rewrite(t *testing.T, f *fixture, m Manifest) {
	t.Helper()
	text, err := encode(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, m.name()), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestUnknownCluster archives as a role that may not ask which cluster it is on.
func TestUnknownCluster(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	f := fixtureOn(t, db.Conn(t), t.TempDir(), "event", "at timestamp, body text")
	role := db.Role(t, "owner")
	f.exec("ALTER TABLE " + f.sql() + " OWNER TO " + role)
	f.conn = db.ConnAs(t, role)
	if m := f.ensure(); m.Source.SystemIdentifier == "" || m.Source.Timeline != 1 {
		t.Errorf("an ordinary role learns %+v", m.Source)
	}
	(&fixture{t: t, conn: db.Conn(t)}).exec("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
	first := f.ensure()
	if first.first() != 2 || first.Source.SystemIdentifier != "" {
		t.Errorf("got %s from %+v", first.name(), first.Source)
	}
	if again := f.ensure(); again.Key != first.Key {
		t.Errorf("archived again as %s", again.Key)
	}
	f.exec("INSERT INTO " + f.sql() + insertLate)
	if m := f.ensure(); m.first() != 3 || len(m.Supersedes) != 0 {
		t.Errorf("got %s, superseding %q", m.name(), m.Supersedes)
	}
	if len(f.find()) != 3 {
		t.Errorf("found %q", f.find())
	}
}

// TestDamagedPart has the only part spoiled before its table was dropped.
func TestDamagedPart(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string) error{
		"flipped": flip,
		"missing": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newEvents(t)
			first := f.ensure()
			if err := damage(filepath.Join(f.dir, first.Parts[0].File)); err != nil {
				t.Fatal(err)
			}
			second := f.ensure()
			if !slices.Equal(second.Supersedes, []string{first.name()}) || second.Content != first.Content {
				t.Errorf("got %+v", second)
			}
			f.wantFound(second)
		})
	}
}

// flip changes one bit in the middle of a file.
func flip(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text[len(text)/2] ^= 1
	return os.WriteFile(path, text, 0o600)
}

// TestDamagedSuccessor keeps the old part until there is a good one.
func TestDamagedSuccessor(t *testing.T) {
	t.Parallel()
	f := newEvents(t)
	first := f.ensure()
	f.exec("INSERT INTO " + f.sql() + insertLate)
	f.kill(point{"after Put manifest", 1})
	manifests, err := Find(t.Context(), f.spec.Store, f.spec.Place)
	if err != nil || len(manifests) != 1 || manifests[0].first() != 2 {
		t.Fatalf("found %+v, %v", manifests, err)
	}
	if err := flip(filepath.Join(f.dir, manifests[0].Parts[0].File)); err != nil {
		t.Fatal(err)
	}
	if _, err := (job{Spec: f.spec}).tidy(t.Context(), first.dir(), first.Source); err != nil {
		t.Fatal(err)
	}
	if err := Verify(t.Context(), f.spec.Store, first, nil); err != nil {
		t.Errorf("the old part: %v", err)
	}
	third := f.ensure()
	if !slices.Equal(third.Supersedes, []string{first.name(), manifests[0].name()}) {
		t.Errorf("superseded %q", third.Supersedes)
	}
	f.wantFound(third)
}

// TestForeignPart has a part without a manifest, of which nothing shows that
// an export of ours left it.
func TestForeignPart(t *testing.T) {
	t.Parallel()
	f := newEvents(t)
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(f.dir, "part-0007-0123456789ab.csv.zst")
	if err := os.WriteFile(foreign, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := f.ensure()
	if m.first() != 8 {
		t.Errorf("the export is %s", m.name())
	}
	if text, err := os.ReadFile(foreign); err != nil || !bytes.Equal(text, []byte("precious")) {
		t.Errorf("the foreign part is now %q, %v", text, err)
	}
	if got := f.find(); !slices.Equal(got, []string{m.name()}) {
		t.Errorf("found %q", got)
	}
}

// TestNeighbours has two weeks of one month in one directory.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	f := newEvents(t)
	f.spec.Bounds.To = partition.At(november.From.Time.AddDate(0, 0, 7))
	first := f.ensure()
	g := *f
	g.spec.Table.Local = "event_2018_11_08"
	g.spec.Bounds = partition.Bounds{From: f.spec.Bounds.To, To: partition.At(november.From.Time.AddDate(0, 0, 14))}
	g.exec("CREATE TABLE " + g.sql() + " (LIKE " + f.sql() + ")")
	g.identify()
	second := g.ensure()
	if first.dir() != second.dir() || first.first() == second.first() {
		t.Errorf("the parts are %s and %s", first.Key, second.Key)
	}
	if got := f.find(); !slices.Equal(got, []string{first.name()}) {
		t.Errorf("found %q", got)
	}
	if got := g.find(); !slices.Equal(got, []string{second.name()}) {
		t.Errorf("found %q", got)
	}
}

// TestOtherBounds has the bounds of a table corrected before it was dropped.
func TestOtherBounds(t *testing.T) {
	t.Parallel()
	f := newEvents(t)
	first := f.ensure()
	f.spec.Bounds.To = partition.At(november.To.Time.AddDate(0, 0, -1))
	second := f.ensure()
	if !slices.Equal(second.Supersedes, []string{first.name()}) {
		t.Errorf("superseded %q", second.Supersedes)
	}
	f.wantFound(second)
}

// TestInstants archives a month of Berlin.
func TestInstants(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "at timestamptz")
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	f.spec.Location = berlin
	f.spec.Bounds = partition.Bounds{
		From: partition.At(time.Date(2018, 11, 1, 0, 0, 0, 0, berlin).UTC()),
		To:   partition.At(time.Date(2018, 12, 1, 0, 0, 0, 0, berlin).UTC()),
	}
	f.exec("INSERT INTO " + f.sql() + " VALUES ('2018-11-01 00:00 Europe/Berlin')")
	m := f.ensure()
	if m.TimeZone != "Europe/Berlin" || m.KeyColumn.Min != "2018-10-31 23:00:00+00" || m.KeyColumn.Type != "timestamp with time zone" {
		t.Errorf("got %+v in %s", m.KeyColumn, m.TimeZone)
	}
	f.wantFound(m) // in year=2018/month=11
}

func TestBusy(t *testing.T) {
	t.Parallel()
	f := newEvents(t)
	unlock, err := f.spec.Store.Lock(t.Context(), parentDir(f.spec.Parent))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Ensure(t.Context(), f.conn, f.spec); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	unlock()
	f.wantFound(f.ensure())
}

func TestFindWithoutArchive(t *testing.T) {
	t.Parallel()
	place := Place{Parent: partition.Name{Schema: "a", Local: "b"}, Bounds: november}
	if got, err := Find(t.Context(), NewDirectory(t.TempDir()), place); err != nil || len(got) != 0 {
		t.Errorf("found %+v, %v", got, err)
	}
}

// TestUnreadableManifest must not be passed over: the part may be the table's.
func TestUnreadableManifest(t *testing.T) {
	t.Parallel()
	f := newEvents(t)
	m := f.ensure()
	if err := os.Truncate(filepath.Join(f.dir, m.name()), 100); err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprint(f.files())
	if _, err := Ensure(t.Context(), f.conn, f.spec); err == nil {
		t.Error("no error")
	}
	if after := fmt.Sprint(f.files()); after != before {
		t.Errorf("on disk was %s, is %s", before, after)
	}
}
