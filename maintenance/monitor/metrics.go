package monitor

import (
	"context"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"github.com/partitiond/partitiond/maintenance"
)

// metrics counts what passes do, and asks the monitor for the rest when somebody
// wants to know. It is a [prometheus.Collector].
type metrics struct {
	monitor  *Monitor
	registry *prometheus.Registry

	safetyNet, passes, actions, seconds, rows, bytes, waited, retries, failures *prometheus.CounterVec
}

// desc describes a gauge that is made when it is asked for.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("partitiond_"+name, help, labels, nil)
}

var (
	descBuild    = desc("build_info", "Always 1; the labels say what runs.", "version", "go_version")
	descUp       = desc("up", "Whether the last look at the database saw it.", "database")
	descLooked   = desc("look_timestamp_seconds", "When the last look at the database that saw it ended.", "database")
	descReload   = desc("config_last_reload_successful", "Whether the configuration file was good when it was read last.")
	descReloaded = desc("config_last_reload_success_timestamp_seconds", "When the configuration that is in use was read.")
	descRunning  = desc("pass_running", "Whether a pass is at work.", "database")

	descObserved   = desc("set_observed", "Whether the set could be looked at.", "database", "set")
	descHealthy    = desc("set_healthy", "Whether partitiond check would find nothing.", "database", "set")
	descRunway     = desc("set_runway_seconds", "How long there is a partition for every row from now on.", "database", "set")
	descParentRows = desc("set_parent_rows", "Rows that sit in the parent itself, or in its default partition.", "database", "set")
	descPartitions = desc("set_partitions", "Partitions of the set.", "database", "set")
	descRows       = desc("set_rows", "Rows of the set, by the planner's estimates.", "database", "set")
	descBytes      = desc("set_bytes", "What the set's partitions take on disk with their indexes.", "database", "set")
	descProblems   = desc("set_problems", "Problems that need a person.", "database", "set")
	descOverdue    = desc("set_overdue_actions", "Actions that the last scheduled pass should have done.", "database", "set")
	descPending    = desc("set_pending_actions", "Actions that the next pass will do.", "database", "set")
	descWithheld   = desc("set_withheld_removals", "Removals that are due and that a problem stops.", "database", "set")
	descHeld       = desc("set_held_removals", "Removals that would be due but for a hold.", "database", "set")
	descBacklog    = desc("set_archive_backlog_partitions", "Partitions that are due to be archived.", "database", "set")
	descBackRows   = desc("set_archive_backlog_rows", "Rows that are due to be archived, by the planner's estimates.", "database", "set")
	descBackBytes  = desc("set_archive_backlog_bytes", "What the partitions that are due to be archived take on disk.", "database", "set")
	descNext       = desc("set_next_pass_timestamp_seconds", "When the set's next pass is due.", "database", "set")
	descAttempt    = desc("set_last_attempt_timestamp_seconds", "When a pass last ended for the set, however it went.", "database", "set")
	descSuccess    = desc("set_last_success_timestamp_seconds", "When a pass last ended for the set with all that was due done and no problem.", "database", "set")
)

var descs = []*prometheus.Desc{
	descBuild, descUp, descLooked, descReload, descReloaded, descRunning, descObserved, descHealthy, descRunway, descParentRows, descPartitions,
	descRows, descBytes, descProblems, descOverdue, descPending, descWithheld, descHeld, descBacklog, descBackRows, descBackBytes, descNext,
	descAttempt, descSuccess,
}

func newMetrics(m *Monitor) *metrics {
	c := &metrics{monitor: m, registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "partitiond", Name: name, Help: help}, labels)
		c.registry.MustRegister(vec)
		return vec
	}
	c.safetyNet = counter("safety_net_tables_total",
		"Partitions that no pass of this daemon made: nearly always the trigger did, for a row that had none.", "database", "set")
	c.passes = counter("set_passes_total", "Passes over the set by what they came to.", "database", "set", "status")
	c.actions = counter("actions_total", "Actions of passes by what became of them.", "database", "set", "action", "outcome")
	c.seconds = counter("action_seconds_total", "How long actions took, waiting included.", "database", "set", "action")
	c.rows = counter("action_rows_total", "Rows that actions moved or archived.", "database", "set", "action")
	c.bytes = counter("action_bytes_total", "Bytes that actions wrote to archives.", "database", "set", "action")
	c.waited = counter("lock_wait_seconds_total", "How long actions waited for locks that were not to be had, pauses between tries included.", "database", "set")
	c.retries = counter("lock_retries_total", "How often actions were tried again for the sake of a lock.", "database", "set")
	c.failures = counter("pass_failures_total", "Passes that did not happen at all, such as without a connection.", "database")
	c.registry.MustRegister(c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return c
}

// begin makes a database's counters, so that the first increase is seen as one.
func (c *metrics) begin(d *database) {
	c.failures.WithLabelValues(d.name)
	for _, s := range d.source.Sets {
		set := s.Parent.String()
		c.safetyNet.WithLabelValues(d.name, set)
		c.waited.WithLabelValues(d.name, set)
		c.retries.WithLabelValues(d.name, set)
		for _, status := range []maintenance.Status{maintenance.Idle, maintenance.Done, maintenance.Partly, maintenance.Failed, maintenance.Skipped, maintenance.Stopped} {
			c.passes.WithLabelValues(d.name, set, statusLabel(status))
		}
	}
}

// forget drops the counters of a database that is no longer watched.
func (c *metrics) forget(name string) {
	for _, vec := range []*prometheus.CounterVec{c.safetyNet, c.passes, c.actions, c.seconds, c.rows, c.bytes, c.waited, c.retries, c.failures} {
		vec.DeletePartialMatch(prometheus.Labels{"database": name})
	}
}

// gather returns all metrics. The label of a database that has no name is left out:
// to Prometheus that is the same.
func (c *metrics) gather() ([]*dto.MetricFamily, error) {
	families, err := c.registry.Gather()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			// The labels themselves belong to the metric.
			m.Label = slices.DeleteFunc(slices.Clone(m.GetLabel()), func(l *dto.LabelPair) bool { return l.GetName() == "database" && l.GetValue() == "" })
		}
	}
	return families, err
}

func statusLabel(s maintenance.Status) string {
	if s == maintenance.Idle {
		return "idle"
	}
	return string(s)
}

func (c *metrics) acted(database, set string, r maintenance.ActionReport) {
	outcome := "done"
	switch {
	case r.Held:
		outcome = "held"
	case r.Error != "":
		outcome = "failed"
	}
	c.actions.WithLabelValues(database, set, r.Action, outcome).Inc()
	c.seconds.WithLabelValues(database, set, r.Action).Add(r.Seconds)
	c.waited.WithLabelValues(database, set).Add(r.WaitedSeconds)
	c.retries.WithLabelValues(database, set).Add(float64(r.Retries))
	if r.Rows > 0 {
		c.rows.WithLabelValues(database, set, r.Action).Add(float64(r.Rows))
	}
	if r.Bytes > 0 {
		c.bytes.WithLabelValues(database, set, r.Action).Add(float64(r.Bytes))
	}
}

func (c *metrics) ended(database string, r maintenance.SetReport) {
	c.passes.WithLabelValues(database, r.Set, statusLabel(r.Status)).Inc()
	for _, a := range r.Actions {
		if a.Skipped { // It was not tried, so nobody told of it.
			c.actions.WithLabelValues(database, r.Set, a.Action, "skipped").Inc()
		}
	}
}

// Describe implements [prometheus.Collector].
func (c *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descs {
		ch <- d
	}
}

// Collect implements [prometheus.Collector]. Of what could not be seen there is no
// value: an old one would look like the truth.
func (c *metrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	v := c.monitor.view(context.Background())
	gauge(descBuild, 1, c.monitor.version, runtime.Version())
	gauge(descReload, truth(v.reload.ok))
	gauge(descReloaded, unix(v.reload.at))
	for _, d := range v.databases {
		gauge(descRunning, truth(d.running), d.name)
		for set, at := range d.attempted {
			gauge(descAttempt, unix(at), d.name, set)
		}
		for set, at := range d.succeeded {
			gauge(descSuccess, unix(at), d.name, set)
		}
		gauge(descUp, truth(d.seen != nil && d.err == nil), d.name)
		if d.seen == nil {
			continue
		}
		if !d.goodAt.IsZero() {
			gauge(descLooked, unix(d.goodAt), d.name)
		}
		if d.err != nil {
			continue
		}
		for _, s := range d.statuses {
			collectSet(gauge, s)
		}
	}
}

func collectSet(gauge func(d *prometheus.Desc, v float64, labels ...string), s Status) {
	gauge(descObserved, truth(s.Error == ""), s.Database, s.Set)
	gauge(descHealthy, truth(s.Healthy), s.Database, s.Set)
	if !s.NextPass.IsZero() {
		gauge(descNext, unix(s.NextPass), s.Database, s.Set)
	}
	if s.Error != "" {
		return
	}
	runway := math.Inf(1)
	if s.RunwaySeconds != nil {
		runway = *s.RunwaySeconds
	}
	gauge(descRunway, runway, s.Database, s.Set)
	if s.ParentRows >= 0 {
		gauge(descParentRows, float64(s.ParentRows), s.Database, s.Set)
	}
	gauge(descPartitions, float64(s.Partitions), s.Database, s.Set)
	gauge(descRows, float64(s.Rows), s.Database, s.Set)
	gauge(descBytes, float64(s.Bytes), s.Database, s.Set)
	gauge(descProblems, float64(len(s.Problems)), s.Database, s.Set)
	gauge(descOverdue, float64(len(s.Overdue)), s.Database, s.Set)
	gauge(descPending, float64(len(s.Pending)), s.Database, s.Set)
	gauge(descWithheld, float64(len(s.Withheld)), s.Database, s.Set)
	gauge(descHeld, float64(len(s.Held)), s.Database, s.Set)
	if s.Archives {
		gauge(descBacklog, float64(s.Backlog.Partitions), s.Database, s.Set)
		gauge(descBackRows, float64(s.Backlog.Rows), s.Database, s.Set)
		gauge(descBackBytes, float64(s.Backlog.Bytes), s.Database, s.Set)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
