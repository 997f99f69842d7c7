package archive

import (
	"context"
	"fmt"
	"os/signal"
	"slices"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// task is what a child does: Ensure, and what shall go wrong in it.
type task struct {
	URL  string
	Root string
	// S3 is for a root that is no file://; credentials come by the environment.
	S3     S3Options
	Parent partition.Name
	Table  partition.Name
	OID    uint32
	// Kill is where the child sends itself SIGKILL.
	Kill point
	// Options are those of the export.
	Format    Format
	PartBytes int64
	// FileSize is the most bytes that it may write to a file.
	FileSize uint64
	// User is whom it becomes first.
	User int
}

// childTask is what a process does that a test starts from its own binary.
func childTask(k task) error {
	ctx := context.Background()
	if k.User != 0 {
		if err := syscall.Setuid(k.User); err != nil {
			return err
		}
	}
	if k.FileSize != 0 {
		signal.Ignore(syscall.SIGXFSZ) // so that write(2) fails instead
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: k.FileSize, Max: k.FileSize}); err != nil {
			return err
		}
	}
	conn, err := pgx.Connect(ctx, k.URL)
	if err != nil {
		return err
	}
	store, err := OpenStore(k.Root, k.S3)
	if err != nil {
		return err
	}
	times := 0
	hook := func(step string) {
		if step != k.Kill.Step {
			return
		}
		if times++; times == k.Kill.Time {
			pgtest.Die()
		}
	}
	j := job{reuse: true, hook: hook, Spec: Spec{
		Place: Place{Parent: k.Parent, Bounds: november}, Store: hooked(store, hook), Table: k.Table, OID: k.OID, Key: "at",
		Options: Options{Format: k.Format, PartBytes: k.PartBytes},
	}}
	_, err = j.run(ctx, conn)
	return err
}

// spawn has the fixture's table archived by a child, and returns how that ended.
func (f *fixture) spawn(k task) pgtest.Child {
	f.t.Helper()
	k.URL = f.conn.Config().ConnString()
	k.Root, k.Parent, k.Table, k.OID = f.spec.Store.URL(""), f.spec.Parent, f.spec.Table, f.spec.OID
	k.Format, k.PartBytes, k.S3 = f.spec.Format, f.spec.PartBytes, f.s3
	return pgtest.Spawn(f.t, k, f.env...)
}

// point is the time, from 1, that a step is taken.
type point struct {
	Step string
	Time int
}

// points finds out which steps there are by taking them all once. Of the many
// that are rows, the first and one in the middle are kept.
func points(t *testing.T, f *fixture) []point {
	t.Helper()
	var points []point
	times := map[string]int{}
	hook := func(step string) {
		times[step]++
		if step != "row" || times[step] == 1 || times[step] == 800 {
			points = append(points, point{step, times[step]})
		}
	}
	j := job{Spec: f.spec, reuse: true, hook: hook}
	j.Store = hooked(f.spec.Store, hook)
	if _, err := j.run(t.Context(), f.conn); err != nil {
		t.Fatal(err)
	}
	return points
}

// kill has the export killed at the point.
func (f *fixture) kill(p point) {
	f.t.Helper()
	if c := f.spawn(task{Kill: p}); !c.Killed {
		f.t.Fatalf("the child was not killed: %v\n%s", c.Err, c.Output)
	}
}

// TestKilled kills an export at every step, by SIGKILL from within, and lets
// another process go on. Whatever the step, one whole export must come of it
// that has the table's rows, and nothing else may be left.
func TestKilled(t *testing.T) {
	t.Parallel()
	testKilled(t, func(t *testing.T, f *fixture) {})
}

func testKilled(t *testing.T, prepare func(t *testing.T, f *fixture)) {
	for _, scenario := range []struct {
		name string
		// before is what was there when the killed export began.
		before func(*fixture)
		// meanwhile is what happens between the kill and the next pass.
		meanwhile func(*fixture)
		// recovery restricts the points to those before the table is looked at; the
		// rest would be those of a first export again.
		recovery bool
	}{
		{name: "first export"},
		{name: "rows change after the kill", meanwhile: func(f *fixture) { f.exec("INSERT INTO " + f.sql() + " VALUES ('2018-11-30', 'late')") }},
		{name: "export that supersedes", before: func(f *fixture) {
			f.ensure()
			f.exec("INSERT INTO " + f.sql() + " VALUES ('2018-11-29', 'late')")
		}},
		{name: "recovery of a part without manifest", recovery: true, before: func(f *fixture) { f.kill(point{"after Put part", 1}) }},
		{name: "recovery of a superseded export", recovery: true, before: func(f *fixture) {
			f.ensure()
			f.exec("INSERT INTO " + f.sql() + " VALUES ('2018-11-29', 'late')")
			f.kill(point{"after Remove part", 1})
		}},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			setup := func(t *testing.T, local string) *fixture {
				f := fixtureOn(t, db.Conn(t), t.TempDir(), local, "at timestamp NOT NULL, body text")
				f.spec.PartBytes = 100 << 10 // There are several.
				prepare(t, f)
				f.exec("INSERT INTO " + f.sql() + ` SELECT '2018-11-01'::timestamp + i * interval '1 minute',
					(SELECT string_agg(md5(i::text || j::text), E'\n') FROM generate_series(1, 12) j) FROM generate_series(1, 1000) i`)
				if scenario.before != nil {
					scenario.before(f)
				}
				return f
			}
			points := points(t, setup(t, "model"))
			if scenario.recovery {
				points = points[:slices.Index(points, point{"tidied", 1})]
			}
			for i, p := range points {
				t.Run(fmt.Sprintf("%s %d", p.Step, p.Time), func(t *testing.T) {
					f := setup(t, fmt.Sprintf("killed_%d", i))
					f.kill(p)
					f.find() // What can be seen must be whole at any time.
					if scenario.meanwhile != nil {
						scenario.meanwhile(f)
					}
					want := f.digest(f.spec.Table)
					m := f.ensure()
					f.wantFound(m)
					f.exec("CREATE TABLE kept_" + f.spec.Table.Local + " (LIKE " + f.sql() + ")")
					if err := f.drop(m); err != nil {
						t.Fatal(err)
					}
					copied := partition.Name{Schema: "public", Local: "back_" + f.spec.Table.Local}
					f.restore("kept_"+f.spec.Table.Local, copied, m)
					if got := f.digest(copied); got != want {
						t.Errorf("the archive has %s, the table had %s", got, want)
					}
				})
			}
			t.Logf("killed at %d points", len(points))
		})
	}
}
