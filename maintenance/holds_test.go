package maintenance_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// TestHoldDuringPass adds a hold when a pass has planned a removal, and before it
// is carried out. The month stays, and that is no failure of the pass.
func TestHoldDuringPass(t *testing.T) {
	t.Parallel()
	for _, then := range []string{"drop", "detach", "archive"} {
		t.Run(then, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			archive := ""
			if then == "archive" {
				archive = `, archive = "file://` + s.archive + `"`
			}
			s.section("parent.sql", `CREATE TABLE events (id serial, at timestamp NOT NULL, what text)`)
			s.section("set.toml", "[[set]]\nparent = \"public.events\"\nkey = \"at\"\n")
			s.pass(maintenance.Done)
			s.section("rows.sql", `INSERT INTO events (at) VALUES ('2018-11-05')`)
			s.section("set.toml", "[[set]]\nparent = \"public.events\"\nkey = \"at\"\nretention = { keep = \"12 months\", then = \""+then+"\", max_share = 1"+archive+" }\n")
			connect, connections := s.m.Connect, 0
			s.m.Connect = func(ctx context.Context) (*pgx.Conn, error) {
				// The first is for the lock, the second for the plan.
				if connections++; connections == 3 {
					h := partition.Hold{Bounds: partition.Everywhere, Kind: partition.HoldManual, Reason: "case"}
					if _, err := postgres.AddHold(ctx, s.conn, s.sets[0].Parent, h); err != nil {
						return nil, err
					}
				}
				return connect(ctx)
			}
			report := s.pass(maintenance.Done)
			removals := 0
			for _, a := range report.Actions {
				if a.Action == then {
					removals++
					if !a.Held || !strings.Contains(a.Error, "it is held for ever (case)") {
						t.Errorf("the removal is %+v", a)
					}
				}
			}
			if removals != 1 || len(report.Held) != 1 || report.Held[0] != then+" public.events_2018_11: for ever (case)" {
				t.Errorf("the report is %+v", report)
			}
			s.query = "SELECT count(*) FROM events"
			s.section("result", "1")
			s.section("left", "held "+then+" public.events_2018_11")
			s.pass(maintenance.Idle)
		})
	}
}

// pass makes one pass, which has to end so.
func (s *scenario) pass(want maintenance.Status) maintenance.SetReport {
	s.t.Helper()
	report, err := s.m.Pass(s.t.Context(), nil, s.sets)
	if err != nil || report.Status() != want {
		s.t.Fatalf("the pass is %s, want %s: %v\n%s", report.Status(), want, err, passed(report))
	}
	return report.Sets[0]
}
