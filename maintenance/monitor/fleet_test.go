package monitor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/monitor"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// Databases are told of by their names, and forgotten when they are gone.
func TestSeveralDatabases(t *testing.T) {
	t.Parallel()
	const all = 6
	set := newSet(t, "events", partition.Interval{N: 1, Unit: partition.Month}, "events_%Y_%m", 2)
	mon := monitor.New("1.2.3", quiet(t))
	t.Cleanup(func() {
		if err := mon.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	source := monitor.Source{Parallel: 2}
	for i := range all {
		m := &maintenance.Maintainer{Database: fmt.Sprintf("shard_%d", i), Log: quiet(t), Connect: func(context.Context) (*pgx.Conn, error) {
			return nil, errors.New("it is away")
		}}
		source.Databases = append(source.Databases, monitor.Database{Maintainer: m, Sets: []monitor.Set{{Set: set, Schedule: schedule(t, "17 3 * * *")}}})
	}
	mon.Use(source)
	s := &site{t: t, mon: mon}
	s.listen(monitor.Listen{Network: "tcp", Address: "127.0.0.1:0"})
	if res, text := s.get("/readyz"); res.StatusCode != http.StatusServiceUnavailable || text != "not ready: 6 of 6 databases cannot be looked at\n" {
		t.Errorf("%s %s", res.Status, text)
	}
	_, metrics := s.get("/metrics")
	_, page := s.get("/")
	for i := range all {
		for what, part := range map[string]string{
			metrics: fmt.Sprintf("partitiond_up{database=\"shard_%d\"} 0\n", i), page: fmt.Sprintf("<b>shard_%d</b> The database cannot be looked at", i),
		} {
			if !strings.Contains(what, part) {
				t.Errorf("expected %q in\n%s", part, what)
			}
		}
	}
	mon.Use(monitor.Source{Databases: source.Databases[2:3]})
	if _, metrics := s.get("/metrics"); strings.Contains(metrics, "shard_1") || !strings.Contains(metrics, `partitiond_pass_failures_total{database="shard_2"} 0`) {
		t.Errorf("after the others are gone:\n%s", metrics)
	}
	statuses, err := monitor.Look(t.Context(), source)
	if len(statuses) != all || err == nil || !errors.Is(err, maintenance.ErrConnect) || !strings.Contains(err.Error(), "shard_5: could not connect") {
		t.Errorf("%d statuses, %v", len(statuses), err)
	}
}
