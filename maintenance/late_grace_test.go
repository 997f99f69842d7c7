package maintenance_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// lateRows archives a month and lets 20 rows come late for it, which get a day.
func lateRows(t *testing.T) *scenario {
	t.Helper()
	s := archivedMonth(t, archive.Parquet)
	s.mustPass(maintenance.Done)
	s.sets[0].Retention.LateGrace = 24 * time.Hour
	s.section("late.sql", fmt.Sprintf(oldRows, 20))
	return s
}

// TestLateGrace has more rows come late, in two batches: they stay for the grace,
// and then become one further export, together.
func TestLateGrace(t *testing.T) {
	t.Parallel()
	s := lateRows(t)
	s.mustPass(maintenance.Done)
	s.query = "SELECT kind, partition_oid::regclass, until - now() BETWEEN interval '23 hours' AND interval '1 day', reason FROM partitiond.hold"
	s.section("result", s.name(`late | events_{{month -14 "2006_01"}} | t | rows came late for an archived period`))
	s.heldLeft()
	s.mustPass(maintenance.Idle)
	s.section("later.sql", fmt.Sprintf(oldRows, 7))
	s.mustPass(maintenance.Idle)
	s.section("expire.sql", "UPDATE partitiond.hold SET until = now()")
	s.mustPass(maintenance.Done)
	request := s.request()
	if len(request.Manifests) != 2 || request.Manifests[0].Late || !request.Manifests[1].Late || request.Manifests[1].Content.Rows != 27 {
		t.Errorf("the exports are %+v, want a second of 27 late rows", request.Manifests)
	}
	s.section("left", "")
	// Another table of late rows has a grace of its own, and the first one's hold is forgotten.
	s.section("again.sql", fmt.Sprintf(oldRows, 3))
	s.mustPass(maintenance.Done) // A branch for it.
	s.query = "SELECT count(*) FROM partitiond.hold"
	s.section("result", "1")
}

// TestLateGraceRemoved: who removes the hold of late rows does not get another one.
func TestLateGraceRemoved(t *testing.T) {
	t.Parallel()
	s := lateRows(t)
	s.mustPass(maintenance.Done)
	holds, err := postgres.Holds(t.Context(), s.conn, s.sets[0].Parent)
	if err != nil || len(holds) != 1 {
		t.Fatalf("the holds are %v, %v", holds, err)
	}
	if err := postgres.RemoveHold(t.Context(), s.conn, holds[0].ID); err != nil {
		t.Fatal(err)
	}
	s.mustPass(maintenance.Done)
	if got := len(s.request().Manifests); got != 2 {
		t.Errorf("there are %d exports, want 2", got)
	}
	s.section("left", "")
}

// TestLateWithoutHolds: a role that may hold nothing archives at once.
func TestLateWithoutHolds(t *testing.T) {
	t.Parallel()
	s := lateRows(t)
	s.section("none.sql", "DROP SCHEMA partitiond CASCADE") // As if the role had done all that.
	s.keeper()
	s.mustPass(maintenance.Done)
	if got := len(s.request().Manifests); got != 2 {
		t.Errorf("there are %d exports, want 2", got)
	}
}
