package monitor_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/partitiond/partitiond/maintenance/monitor"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// scrape reads the metrics as Prometheus does.
func (s *site) scrape() (families map[string]*dto.MetricFamily, text string) {
	s.t.Helper()
	res, text := s.get("/metrics")
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", res.Status, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	return families, text
}

// value returns a metric's value by its labels, as in "set=public.a action=drop";
// false if there is no such metric.
func value(families map[string]*dto.MetricFamily, name, labels string) (float64, bool) {
	for _, m := range families[name].GetMetric() {
		var have []string
		for _, l := range m.GetLabel() {
			have = append(have, l.GetName()+"="+l.GetValue())
		}
		want := strings.Fields(labels)
		slices.Sort(have)
		slices.Sort(want)
		if slices.Equal(have, want) {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
		}
	}
	return 0, false
}

func (s *site) expect(families map[string]*dto.MetricFamily, want map[string]float64) {
	s.t.Helper()
	for key, v := range want {
		name, labels, _ := strings.Cut(key, " ")
		if got, ok := value(families, "partitiond_"+name, labels); !ok || got != v {
			s.t.Errorf("%s is %v (%t), want %v", key, got, ok, v)
		}
	}
}

// TestMetrics compares what is told with what was done, and has Prometheus' own
// tool look at its form, at the alerts and at the names that the dashboard uses.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := rich(t)
	families, text := s.scrape()
	s.expect(families, map[string]float64{
		"up": 1, "config_last_reload_successful": 1, "pass_running": 0, "pass_failures_total": 0,
		// Ten months came by themselves, one of them came back late, and by_hand was made by
		// hand; and of the readings 58 days.
		"safety_net_tables_total set=public.messages":                   12,
		"safety_net_tables_total set=public.readings":                   58,
		"set_observed set=public.messages":                              1,
		"set_healthy set=public.messages":                               0,
		"set_problems set=public.messages":                              1,
		"set_parent_rows set=public.messages":                           0,
		"set_parent_rows set=public.readings":                           1,
		"set_partitions set=public.messages":                            12,
		"set_partitions set=public.readings":                            65,
		"set_held_removals set=public.messages":                         1,
		"set_withheld_removals set=public.messages":                     1,
		"set_archive_backlog_partitions set=public.messages":            1,
		"set_overdue_actions set=public.readings":                       1,
		"actions_total set=public.messages action=archive outcome=done": 3,
		"actions_total set=public.messages action=create outcome=done":  3,
		"action_rows_total set=public.messages action=archive":          300*2 + 300*4 + 300*5,
		"set_passes_total set=public.messages status=done":              2,
		"set_passes_total set=public.messages status=failed":            0,
	})
	runway, _ := value(families, "partitiond_set_runway_seconds", "set=public.messages")
	if until := s.now.Add(time.Duration(runway * float64(time.Second))); until.Sub(s.month(3)).Abs() > patience {
		t.Errorf("the runway of messages ends at %s, want %s", until, s.month(3))
	}
	var onDisk float64
	if err := s.conn.QueryRow(t.Context(), "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'messages'::regclass").Scan(&onDisk); err != nil {
		t.Fatal(err)
	}
	if got, _ := value(families, "partitiond_set_bytes", "set=public.messages"); got != onDisk {
		t.Errorf("messages takes %v bytes, not %v", onDisk, got)
	}
	if _, ok := value(families, "partitiond_set_archive_backlog_partitions", "set=public.readings"); ok {
		t.Error("a set that archives nothing has a backlog")
	}
	for _, name := range []string{"partitiond_set_last_success_timestamp_seconds", "partitiond_set_last_attempt_timestamp_seconds", "partitiond_config_last_reload_success_timestamp_seconds"} {
		if len(families[name].GetMetric()) == 0 {
			t.Errorf("there is no %s", name)
		}
	}

	// A reload that fails shows, and one that works takes it back.
	s.mon.ReloadFailed()
	families, _ = s.scrape()
	s.expect(families, map[string]float64{"config_last_reload_successful": 0})

	// Whatever alerts and dashboard ask for is there.
	used := regexp.MustCompile(`partitiond_[a-z_]+`)
	for _, file := range []string{"partitiond.rules.yml", "partitiond.dashboard.json"} {
		asked, err := os.ReadFile(filepath.Join(monitoring, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range used.FindAllString(string(asked), -1) {
			if families[name] == nil {
				t.Errorf("%s uses %s, which does not exist", file, name)
			}
		}
	}

	promtool := program(t, "PARTITIOND_PROMTOOL", "promtool")
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

const monitoring = "../../systemd/monitoring"

// TestAlerts has promtool check the alert rules and run their tests, of which each
// rule has one where it fires and one where it does not.
func TestAlerts(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile(filepath.Join(monitoring, "partitiond.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(filepath.Join(monitoring, "partitiond.test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1)
	if len(names) < 10 {
		t.Errorf("only %d alerts", len(names))
	}
	for _, n := range names {
		if strings.Count(string(tests), `"`+n[1]+`"`) < 2 {
			t.Errorf("%s is not tested both ways", n[1])
		}
	}
	promtool := program(t, "PARTITIOND_PROMTOOL", "promtool")
	for _, args := range [][]string{{"check", "rules", "partitiond.rules.yml"}, {"test", "rules", "partitiond.test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = monitoring
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestDashboard reads the dashboard as far as Grafana's own form can be known here.
func TestDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(monitoring, "partitiond.dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title  string
		UID    string
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q is not whole", p.ID, p.Title)
		}
		ids[p.ID] = true
	}
	if d.Title == "" || d.UID == "" || len(d.Panels) < 10 {
		t.Errorf("%q has %d panels", d.Title, len(d.Panels))
	}
}

// TestLookingIsBounded asks far more often than the database should be.
func TestLookingIsBounded(t *testing.T) {
	t.Parallel()
	s := newSite(t, newSet(t, "events", partition.Interval{N: 1, Unit: partition.Month}, "events_%Y_%m", 2))
	s.pass()
	var connections atomic.Int32
	s.use(func(ctx context.Context) (*pgx.Conn, error) {
		connections.Add(1)
		return pgx.Connect(ctx, s.db.URL)
	})
	var wait sync.WaitGroup
	began := time.Now()
	for range 8 {
		wait.Go(func() {
			for range 25 {
				if res, _ := s.get("/status.json"); res.StatusCode != http.StatusOK {
					t.Error(res.Status)
				}
			}
		})
	}
	wait.Wait()
	// A look takes two connections, and the next may come after ten seconds.
	if n, most := connections.Load(), 2+2*int32(time.Since(began)/(10*time.Second)); n > most {
		t.Errorf("200 requests made %d connections, at most %d are due", n, most)
	}
	// What a pass did is to be seen at once, however fresh the last look is.
	s.exec("DROP TABLE events_" + s.month(2).Format("2006_01"))
	s.pass()
	families, _ := s.scrape()
	s.expect(families, map[string]float64{"set_partitions set=public.events": 3, "set_healthy set=public.events": 1})
}

// TestWithoutDatabase shows what is known, says what is wrong, and keeps secrets.
func TestWithoutDatabase(t *testing.T) {
	t.Parallel()
	s := newSite(t, newSet(t, "events", partition.Interval{N: 1, Unit: partition.Month}, "events_%Y_%m", 2))
	s.use(func(ctx context.Context) (*pgx.Conn, error) {
		return pgx.Connect(ctx, "postgres://somebody:hunter2@127.0.0.1:1/nowhere?connect_timeout=5")
	})
	if _, err := s.m.Pass(t.Context(), nil, s.sets); err == nil {
		t.Fatal("a pass without a server")
	}
	families, metrics := s.scrape()
	s.expect(families, map[string]float64{"up": 0, "pass_failures_total": 1})
	if _, ok := value(families, "partitiond_set_runway_seconds", "set=public.events"); ok {
		t.Error("a runway is told that nobody has seen")
	}
	_, page := s.get("/")
	_, status := s.get("/status.json")
	if !strings.Contains(page, "The database cannot be looked at") || !strings.Contains(page, "See whether PostgreSQL runs") {
		t.Errorf("the page does not say what is wrong:\n%s", page)
	}
	for what, text := range map[string]string{"page": page, "metrics": metrics, "status": status} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the %s has the password in it:\n%s", what, text)
		}
	}
	if res, text := s.get("/readyz"); res.StatusCode != http.StatusServiceUnavailable || strings.Contains(text, "somebody") {
		t.Errorf("/readyz: %s %s", res.Status, text)
	}
	if res, _ := s.get("/healthz"); res.StatusCode != http.StatusOK {
		t.Errorf("/healthz: %s", res.Status)
	}
	if _, err := monitor.Look(t.Context(), monitor.Source{Databases: []monitor.Database{{Maintainer: s.m}}}); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("Look says %v", err)
	}
}
