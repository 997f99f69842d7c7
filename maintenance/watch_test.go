package maintenance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// diary writes down what it is told, and vetoes what it is told to.
type diary struct {
	mu    sync.Mutex
	lines []string
	veto  error
}

func (d *diary) write(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) PassBegan(planned []maintenance.Planned) {
	for _, p := range planned {
		d.write("began with %d actions for %s", len(p.Plan.Actions), p.Set.Parent)
	}
}

func (d *diary) Removing(_ context.Context, _ partition.Set, a partition.Action) error {
	d.write("removing %s", a.Table)
	return d.veto
}

func (d *diary) Acted(_ partition.Set, a partition.Action, r maintenance.ActionReport) {
	d.write("%s %s failed %t", r.Action, a.Table, r.Error != "")
}

func (d *diary) SetEnded(p maintenance.Planned, r maintenance.SetReport) {
	d.write("%s is %s with %d partitions", r.Set, r.Status, len(p.Snapshot.Partitions))
}

func (d *diary) PassEnded(r maintenance.Report, err error) {
	d.write("ended %s, error %t", r.Status(), err != nil)
}

// TestWatchers tells a watcher of all that a pass does, in order, and honours a veto.
func TestWatchers(t *testing.T) {
	t.Parallel()
	s := twoOldMonths(t)
	veto := &diary{veto: errors.New("the auditor is here")}
	s.m.Watchers = []maintenance.Watcher{veto}
	s.mustPass(maintenance.Partly)
	name := func(text string) string { return s.name(strings.ReplaceAll(text, "_M", `_{{month -14 "2006_01"}}`)) }
	if !slices.Contains(veto.lines, name("removing public.chat_M")) || !slices.Contains(veto.lines, name("drop public.chat_M failed true")) {
		t.Errorf("with a veto: %q", veto.lines)
	}
	s.query = "SELECT count(*) FROM chat_master"
	s.section("result", "10")

	d := &diary{}
	s.m.Watchers = []maintenance.Watcher{d}
	s.mustPass(maintenance.Done)
	next := s.name(`public.chat_{{month -13 "2006_01"}}`)
	want := []string{
		"began with 3 actions for public.chat_master", name("removing public.chat_M"), name("drop public.chat_M failed false"),
		"removing " + next, "drop " + next + " failed false", "analyze public.chat_master failed false",
		"public.chat_master is done with 3 partitions", "ended done, error false",
	}
	if diff := cmp.Diff(want, d.lines); diff != "" {
		t.Errorf("without (-want +got):\n%s", diff)
	}

	d.lines = nil
	s.m.Connect = func(context.Context) (*pgx.Conn, error) { return nil, errors.New("nobody is at home") }
	if _, err := s.m.Pass(t.Context(), nil, s.sets); !errors.Is(err, maintenance.ErrConnect) {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"ended nothing to do, error true"}, d.lines); diff != "" {
		t.Errorf("without a server (-want +got):\n%s", diff)
	}
}
