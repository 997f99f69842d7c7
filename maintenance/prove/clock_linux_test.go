package prove

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// shifted is a server that lives by a clock of its own.
type shifted struct {
	*pgtemp.Server
	file *os.File
	by   atomic.Int64
}

// newShifted starts a server whose clock can be shifted.
func newShifted(t *testing.T) *shifted {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("there is no C compiler to build another clock with; the race detector needs one, too")
	}
	// The server's user has to get there.
	dir, err := os.MkdirTemp("", "prove")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	library, file := filepath.Join(dir, "clock.so"), filepath.Join(dir, "shift")
	if out, err := exec.CommandContext(t.Context(), cc, "-O2", "-shared", "-fPIC", "-o", library, filepath.Join("testdata", "clock.c")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := &shifted{}
	if s.file, err = os.Create(file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.file.Close() })
	if err := s.file.Chmod(0o644); err != nil {
		t.Fatal(err)
	}
	s.shift(t, 0)
	binaries, err := pgtemp.Find()
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nexec env LD_PRELOAD='%s' CLOCK_SHIFT='%s' '%s' \"$@\"\n", library, file, binaries.Path("postgres"))
	if err := os.WriteFile(filepath.Join(dir, "postgres"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binaries.Path("initdb"), filepath.Join(dir, "initdb")); err != nil {
		t.Fatal(err)
	}
	binaries.Dir = dir
	s.Server = pgtest.Server(t, pgtemp.Options{Binaries: binaries})
	return s
}

// shift has the server's clock differ from this machine's.
func (s *shifted) shift(t *testing.T, by time.Duration) {
	t.Helper()
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], uint64(int64(by/time.Second)))
	s.by.Store(int64(by))
	if _, err := s.file.WriteAt(b[:], 0); err != nil {
		t.Error(err)
	}
}

// clock is that of a machine whose clock is the server's.
func (s *shifted) clock() time.Time { return time.Now().Add(time.Duration(s.by.Load())) }

const tenYears = 3653 * 24 * time.Hour

// TestClockJumps has the clock jump by ten years, of the server alone or of both
// machines, and back again. While something is wrong nothing is removed; and rows
// that come meanwhile are as safe as others.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	server := newShifted(t)
	s := scenario{id: "id", then: partition.Archive, passes: []string{""},
		tables: events + rowsOf("events", "id, at", "-11", "0", 0),
		config: eventSet + `retention = { keep = "12 months", then = "archive", archive = "{{archive}}", late_grace = "0s" }`}
	l := newLabOn(t, s, server.Server)
	for _, c := range []struct {
		name string
		by   time.Duration
		both bool
		// problem is what the pass has to see.
		problem partition.ProblemKind
	}{
		{"the server's ahead", tenYears, false, partition.ProblemClock},
		{"the server's back", -tenYears, false, partition.ProblemClock},
		{"both ahead", tenYears, true, partition.ProblemShare},
		{"both back", -tenYears, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			name, directory := l.copy(t)
			defer l.drop(t, name, directory)
			w := l.world(t, name, directory)
			defer l.leave(w)
			server.shift(t, c.by)
			defer server.shift(t, 0)
			if c.both {
				w.m.Clock = server.clock
			}
			model := maps.Clone(l.model)
			model["-1"] = row{}
			before := w.strings("SELECT inhrelid::text FROM pg_inherits")
			report, err := w.m.Pass(t.Context(), nil, []partition.Set{w.set})
			if err != nil || report.Sets[0].Error != "" {
				t.Fatalf("%v: %+v", err, report)
			}
			seen := len(report.Sets[0].Problems) == 0 && c.problem == ""
			for _, p := range report.Sets[0].Problems {
				seen = seen || p.Kind == string(c.problem)
			}
			if !seen {
				t.Errorf("the problems are %v, want %q", report.Sets[0].Problems, c.problem)
			}
			for _, a := range report.Sets[0].Actions {
				if a.Error != "" || a.Action == string(partition.Archive) {
					t.Errorf("%s %s: %q", a.Action, a.Table, a.Error)
				}
			}
			w.exec(w.super, "INSERT INTO events (id, at) VALUES (-1, now())")
			if got := w.strings("SELECT inhrelid::text FROM pg_inherits WHERE inhrelid::text = ANY ($1)", before); len(got) != len(before) {
				t.Errorf("of %d partitions %d are left", len(before), len(got))
			}
			if err := model.check(w.look(), nil); err != nil {
				t.Error(err)
			}
			server.shift(t, 0)
			if c.by < 0 {
				// What is ten years old by now may go to the archive.
				w.set.Retention.MaxShare, w.archived.Retention.MaxShare = 1, 1
			}
			l.settled(t, w, model, c.name)
		})
	}
}
