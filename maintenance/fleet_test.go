package maintenance_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// fleetOf has members with one set each, whose connections are made by a function.
func fleetOf(names []string, parallel int, connect func(name string) error) maintenance.Fleet {
	f := maintenance.Fleet{Parallel: parallel}
	for _, name := range names {
		f.Members = append(f.Members, maintenance.Member{
			Maintainer: &maintenance.Maintainer{Database: name, Connect: func(context.Context) (*pgx.Conn, error) { return nil, connect(name) }},
			Sets:       []partition.Set{{Parent: partition.Name{Schema: "public", Local: "events"}}},
		})
	}
	return f
}

// A fleet works on as many databases at once as it may, and on all of them.
func TestFleetBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running, all atomic.Int32
		release := make(chan struct{})
		f := fleetOf([]string{"a", "b", "c", "d", "e", "f", "g"}, 3, func(string) error {
			running.Add(1)
			<-release
			running.Add(-1)
			all.Add(1)
			return errors.New("it is away")
		})
		for _, work := range []func() error{
			func() error { _, err := f.Pass(t.Context(), nil); return err },
			func() error { _, err := f.Plan(t.Context()); return err },
		} {
			ended := make(chan error)
			all.Store(0)
			go func() { ended <- work() }()
			for range len(f.Members) - 2 {
				synctest.Wait() // Until all that can run does.
				if n := running.Load(); n != 3 {
					t.Errorf("%d are worked on at once, expected 3", n)
				}
				release <- struct{}{}
			}
			release <- struct{}{}
			release <- struct{}{}
			if err := <-ended; !errors.Is(err, maintenance.ErrConnect) || all.Load() != 7 {
				t.Errorf("%d of 7 were worked on: %v", all.Load(), err)
			}
		}
	})
}

// A pass that is stopped begins nowhere else, and says where it did not come to.
func TestFleetStops(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	f := fleetOf([]string{"a", "b", "c"}, 1, func(string) error {
		close(stop)
		return errors.New("it is away")
	})
	report, err := f.Pass(t.Context(), stop)
	if err != nil || len(report.Sets) != 3 || report.Status() != maintenance.Stopped {
		t.Fatalf("%+v, %v", report, err)
	}
	for i, want := range []maintenance.Status{maintenance.Failed, maintenance.Stopped, maintenance.Stopped} {
		if s := report.Sets[i]; s.Status != want || s.Database != f.Members[i].Database {
			t.Errorf("%+v, expected %s", s, want)
		}
	}
}

// An error of all databases is what each of them is.
func TestFleetFailure(t *testing.T) {
	t.Parallel()
	f := fleetOf([]string{"a", "b"}, 1, func(string) error { return nil })
	other := errors.New("other")
	if err := f.Failure([]error{nil, other}); err != nil {
		t.Error(err)
	}
	if err := f.Failure([]error{maintenance.ErrConnect, other}); errors.Is(err, maintenance.ErrConnect) || errors.Is(err, other) || err == nil {
		t.Error(err)
	}
	err := f.Failure([]error{other, other})
	if !errors.Is(err, other) || err.Error() != "none of the 2 databases could be worked on:\na: other\nb: other" {
		t.Error(err)
	}
}
