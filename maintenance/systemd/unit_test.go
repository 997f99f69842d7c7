package systemd

import (
	"errors"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/systemd/systemdtest"
)

func newUnit() *Unit { return NewUnit(slog.New(slog.DiscardHandler), time.UTC) }

func TestMessages(t *testing.T) {
	m := systemdtest.Listen(t)
	u := newUnit()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	next := time.Date(2026, 12, 1, 2, 0, 0, 0, time.UTC)
	expect := func(want string) {
		t.Helper()
		if got := m.Next(); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	u.Ready(next.In(berlin), "")
	expect("READY=1\nSTATUS=waiting; next pass 2026-12-01 03:00 CET")
	u.Reloading()
	if got := m.Next(); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*\nSTATUS=reading the configuration$`).MatchString(got) {
		t.Errorf("a reload is told by %q", got)
	}
	u.Ready(next, "the file\nis not good")
	expect("READY=1\nSTATUS=the file is not good; waiting; next pass 2026-12-01 02:00 UTC")
	u.Show(next.Add(time.Hour))
	expect("STATUS=the file is not good; waiting; next pass 2026-12-01 03:00 UTC")
	u.Alive()
	expect("WATCHDOG=1")
	u.Stopping()
	expect("STOPPING=1\nSTATUS=stopping: waiting for the current transaction")
}

// While something runs, and only where the unit has a watchdog, it is told that
// the program is alive.
func TestWatchdog(t *testing.T) {
	m := systemdtest.Listen(t)
	t.Setenv("WATCHDOG_USEC", "30000")
	newUnit().While(func() {
		for range 3 {
			if got := m.Next(); got != "WATCHDOG=1" {
				t.Errorf("got %q", got)
			}
		}
	})
	for _, usec := range []string{"", "much"} {
		t.Setenv("WATCHDOG_USEC", usec)
		ticks, end := newUnit().Watchdog()
		if end(); ticks != nil {
			t.Errorf("WATCHDOG_USEC=%s makes it tick", usec)
		}
	}
}

// A program without a main loop sends each change, and the last one in any case.
func TestFollow(t *testing.T) {
	m := systemdtest.Listen(t)
	u := newUnit()
	w := u.Watch("")
	end := u.Follow()
	w.PassBegan(make([]maintenance.Planned, 2))
	if got := m.Next(); !strings.HasPrefix(got, "STATUS=pass over 2 sets since ") {
		t.Errorf("got %q", got)
	}
	w.PassEnded(maintenance.Report{Began: time.Date(2026, 12, 1, 2, 0, 0, 0, time.UTC)}, nil)
	end()
	want := "STATUS=no pass runs; last pass 2026-12-01 02:00 UTC: nothing to do"
	if got := m.Next(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Without systemd, or when it is gone, nothing happens but one line in the log.
func TestNobodyListens(t *testing.T) {
	var log strings.Builder
	u := NewUnit(slog.New(slog.NewTextHandler(&log, nil)), time.UTC)
	t.Setenv("NOTIFY_SOCKET", "")
	u.Ready(time.Now(), "")
	if log.Len() > 0 {
		t.Errorf("without systemd it logs %s", &log)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	for range 3 {
		u.Alive()
	}
	if strings.Count(log.String(), "\n") != 1 {
		t.Errorf("it logs\n%s", &log)
	}
}

// TestStatus follows the status through passes.
func TestStatus(t *testing.T) {
	t.Parallel()
	u := newUnit()
	w := u.Watch("")
	u.state.next = time.Date(2026, 12, 2, 3, 0, 0, 0, time.UTC)
	began := time.Date(2026, 12, 1, 3, 0, 1, 0, time.UTC)
	set := func(name string) partition.Set {
		return partition.Set{Parent: partition.Name{Schema: "public", Local: name}}
	}
	retire := func(then partition.Then, table string) partition.Action {
		return partition.Action{Kind: partition.Retire, Then: then, Table: partition.Name{Schema: "public", Local: table}}
	}
	remove := func(s string, then partition.Then, table string) {
		if err := w.Removing(t.Context(), set(s), retire(then, table)); err != nil {
			t.Error(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		select {
		case <-u.Changed():
		default:
			t.Error("nobody is told of the change")
		}
		if got := u.status(); got != "STATUS="+want {
			t.Errorf("got  %s\nwant STATUS=%s", got, want)
		}
	}
	w.PassBegan(make([]maintenance.Planned, 3))
	u.state.databases[""].began = began
	expect("pass over 3 sets since 03:00:01")
	remove("x", partition.Archive, "x_2025_10")
	expect("pass over 3 sets since 03:00:01; archiving public.x_2025_10")
	remove("y", partition.Drop, "y_2025_10")
	expect("pass over 3 sets since 03:00:01; archiving public.x_2025_10; dropping public.y_2025_10")
	w.Acted(set("x"), partition.Action{}, maintenance.ActionReport{})
	expect("pass over 3 sets since 03:00:01; dropping public.y_2025_10")
	w.SetEnded(maintenance.Planned{Set: set("y")}, maintenance.SetReport{})
	expect("pass over 3 sets since 03:00:01, 1 done")
	w.PassEnded(maintenance.Report{Began: began, Sets: []maintenance.SetReport{
		{Set: "public.x", Status: maintenance.Partly, Problems: make([]maintenance.ProblemReport, 2)},
		{Set: "public.y", Status: maintenance.Done},
		{Set: "public.z", Status: maintenance.Partly, Problems: make([]maintenance.ProblemReport, 1), Actions: []maintenance.ActionReport{
			{Error: "no"}, {}, {Error: "held", Held: true}, {Error: "skipped", Skipped: true},
		}},
		{Set: "public.a", Status: maintenance.Failed, Error: "no parent"}, {Set: "public.b", Status: maintenance.Skipped},
	}}, nil)
	expect("waiting; next pass 2026-12-02 03:00 UTC; last pass 2026-12-01 03:00 UTC: partly " +
		"(public.x: 2 problems, public.z: 2 actions failed and 1 problem, public.a: failed, 1 more)")
	w.PassEnded(maintenance.Report{Began: began}, errors.Join(maintenance.ErrConnect, errors.New("password authentication failed")))
	expect("waiting; next pass 2026-12-02 03:00 UTC; last pass 2026-12-01 03:00 UTC: could not connect to PostgreSQL")
	w.PassEnded(maintenance.Report{Began: began, Sets: []maintenance.SetReport{{Status: maintenance.Done}}}, nil)
	w.PassBegan(make([]maintenance.Planned, 1))
	u.state.databases[""].began = began
	expect("pass over 1 set since 03:00:01; last pass 2026-12-01 03:00 UTC: done")
}

// TestStatusOfSeveral sums up the passes over several databases.
func TestStatusOfSeveral(t *testing.T) {
	t.Parallel()
	u := newUnit()
	began := time.Date(2026, 1, 5, 3, 0, 1, 0, time.UTC)
	a, b, c := u.Watch("shard_01"), u.Watch("shard_02"), u.Watch("shard_03")
	expect := func(want string) {
		t.Helper()
		if got := u.status(); got != "STATUS="+want {
			t.Errorf("got  %s\nwant STATUS=%s", got, want)
		}
	}
	a.PassBegan(make([]maintenance.Planned, 2))
	u.state.databases["shard_01"].began = began
	expect("pass over 2 sets of shard_01 since 03:00:01")
	b.PassBegan(make([]maintenance.Planned, 3))
	set := partition.Set{Parent: partition.Name{Schema: "public", Local: "x"}}
	if err := b.Removing(t.Context(), set, partition.Action{Then: partition.Archive, Table: partition.Name{Schema: "public", Local: "x_2025_10"}}); err != nil {
		t.Error(err)
	}
	a.SetEnded(maintenance.Planned{Set: set}, maintenance.SetReport{})
	expect("pass over 5 sets of 2 databases since 03:00:01, 1 done; archiving shard_02 public.x_2025_10")
	a.PassEnded(maintenance.Report{Began: began, Sets: []maintenance.SetReport{{Database: "shard_01", Set: "public.x", Status: maintenance.Done}}}, nil)
	b.PassEnded(maintenance.Report{Began: began.Add(time.Minute), Sets: []maintenance.SetReport{{Database: "shard_02", Set: "public.x", Status: maintenance.Failed}}}, nil)
	c.PassEnded(maintenance.Report{Began: began}, maintenance.ErrConnect)
	expect("no pass runs; last pass 2026-01-05 03:01 UTC: partly (shard_02 public.x: failed, shard_03: could not connect to PostgreSQL)")
	u.Keep([]string{"shard_01", "shard_03"})
	b.PassEnded(maintenance.Report{Began: began.Add(time.Hour)}, nil) // It is of the past.
	expect("no pass runs; last pass 2026-01-05 03:00 UTC: partly (shard_03: could not connect to PostgreSQL)")
	if u.Watch("shard_01") != a {
		t.Error("what is known of a database is not kept")
	}
}

// The longest status stays one that systemctl can show.
func TestStatusIsBounded(t *testing.T) {
	t.Parallel()
	r := maintenance.Report{}
	for range 1000 {
		r.Sets = append(r.Sets, maintenance.SetReport{Set: "public.events", Status: maintenance.Failed})
	}
	want := "failed (public.events: failed, public.events: failed, public.events: failed, 997 more)"
	if diff := cmp.Diff(want, outcome(r.Status(), faults(r))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
