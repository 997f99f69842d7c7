package monitor

import (
	"context"
	"math"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/partitiond/partitiond/maintenance"
)

// metrics counts what passes do, and asks the monitor for the rest when somebody
// wants to know. It is a [prometheus.Collector].
type metrics struct {
	monitor  *Monitor
	registry *prometheus.Registry

	safetyNet, passes, actions, seconds, rows, bytes, waited, retries *prometheus.CounterVec

	failures prometheus.Counter
}

// desc describes a gauge that is made when it is asked for.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("partitiond_"+name, help, labels, nil)
}

var (
	descBuild    = desc("build_info", "Always 1; the labels say what runs.", "version", "go_version")
	descUp       = desc("up", "Whether the last look at the database saw it.")
	descLooked   = desc("look_timestamp_seconds", "When the last look at the database that saw it ended.")
	descReload   = desc("config_last_reload_successful", "Whether the configuration file was good when it was read last.")
	descReloaded = desc("config_last_reload_success_timestamp_seconds", "When the configuration that is in use was read.")
	descRunning  = desc("pass_running", "Whether a pass is at work.")

	descObserved   = desc("set_observed", "Whether the set could be looked at.", "set")
	descHealthy    = desc("set_healthy", "Whether partitiond check would find nothing.", "set")
	descRunway     = desc("set_runway_seconds", "How long there is a partition for every row from now on.", "set")
	descParentRows = desc("set_parent_rows", "Rows that sit in the parent itself.", "set")
	descPartitions = desc("set_partitions", "Partitions of the set.", "set")
	descRows       = desc("set_rows", "Rows of the set, by the planner's estimates.", "set")
	descBytes      = desc("set_bytes", "What the set's partitions take on disk with their indexes.", "set")
	descProblems   = desc("set_problems", "Problems that need a person.", "set")
	descOverdue    = desc("set_overdue_actions", "Actions that the last scheduled pass should have done.", "set")
	descPending    = desc("set_pending_actions", "Actions that the next pass will do.", "set")
	descWithheld   = desc("set_withheld_removals", "Removals that are due and that a problem stops.", "set")
	descHeld       = desc("set_held_removals", "Removals that would be due but for a hold.", "set")
	descBacklog    = desc("set_archive_backlog_partitions", "Partitions that are due to be archived.", "set")
	descBackRows   = desc("set_archive_backlog_rows", "Rows that are due to be archived, by the planner's estimates.", "set")
	descBackBytes  = desc("set_archive_backlog_bytes", "What the partitions that are due to be archived take on disk.", "set")
	descNext       = desc("set_next_pass_timestamp_seconds", "When the set's next pass is due.", "set")
	descAttempt    = desc("set_last_attempt_timestamp_seconds", "When a pass last ended for the set, however it went.", "set")
	descSuccess    = desc("set_last_success_timestamp_seconds", "When a pass last ended for the set with all that was due done and no problem.", "set")
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
		"Partitions that no pass of this daemon made: nearly always the trigger did, for a row that had none.", "set")
	c.passes = counter("set_passes_total", "Passes over the set by what they came to.", "set", "status")
	c.actions = counter("actions_total", "Actions of passes by what became of them.", "set", "action", "outcome")
	c.seconds = counter("action_seconds_total", "How long actions took, waiting included.", "set", "action")
	c.rows = counter("action_rows_total", "Rows that actions moved or archived.", "set", "action")
	c.bytes = counter("action_bytes_total", "Bytes that actions wrote to archives.", "set", "action")
	c.waited = counter("lock_wait_seconds_total", "How long actions waited for locks that were not to be had, pauses between tries included.", "set")
	c.retries = counter("lock_retries_total", "How often actions were tried again for the sake of a lock.", "set")
	c.failures = prometheus.NewCounter(prometheus.CounterOpts{Namespace: "partitiond", Name: "pass_failures_total",
		Help: "Passes that did not happen at all, such as without a connection."})
	c.registry.MustRegister(c, c.failures, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return c
}

// begin makes a set's counters, so that the first increase is seen as one.
func (c *metrics) begin(set string) {
	c.safetyNet.WithLabelValues(set)
	c.waited.WithLabelValues(set)
	c.retries.WithLabelValues(set)
	for _, status := range []maintenance.Status{maintenance.Idle, maintenance.Done, maintenance.Partly, maintenance.Failed, maintenance.Skipped, maintenance.Stopped} {
		c.passes.WithLabelValues(set, statusLabel(status))
	}
}

func statusLabel(s maintenance.Status) string {
	if s == maintenance.Idle {
		return "idle"
	}
	return string(s)
}

func (c *metrics) acted(set string, r maintenance.ActionReport) {
	outcome := "done"
	switch {
	case r.Held:
		outcome = "held"
	case r.Error != "":
		outcome = "failed"
	}
	c.actions.WithLabelValues(set, r.Action, outcome).Inc()
	c.seconds.WithLabelValues(set, r.Action).Add(r.Seconds)
	c.waited.WithLabelValues(set).Add(r.WaitedSeconds)
	c.retries.WithLabelValues(set).Add(float64(r.Retries))
	if r.Rows > 0 {
		c.rows.WithLabelValues(set, r.Action).Add(float64(r.Rows))
	}
	if r.Bytes > 0 {
		c.bytes.WithLabelValues(set, r.Action).Add(float64(r.Bytes))
	}
}

func (c *metrics) ended(r maintenance.SetReport) {
	c.passes.WithLabelValues(r.Set, statusLabel(r.Status)).Inc()
	for _, a := range r.Actions {
		if a.Skipped { // It was not tried, so nobody told of it.
			c.actions.WithLabelValues(r.Set, a.Action, "skipped").Inc()
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
	gauge(descRunning, truth(v.running))
	for set, at := range v.attempted {
		gauge(descAttempt, unix(at), set)
	}
	for set, at := range v.succeeded {
		gauge(descSuccess, unix(at), set)
	}
	gauge(descUp, truth(v.seen != nil && v.err == nil))
	if v.seen == nil {
		return
	}
	if !v.goodAt.IsZero() {
		gauge(descLooked, unix(v.goodAt))
	}
	if v.err != nil {
		return
	}
	for _, s := range v.statuses {
		gauge(descObserved, truth(s.Error == ""), s.Set)
		gauge(descHealthy, truth(s.Healthy), s.Set)
		if !s.NextPass.IsZero() {
			gauge(descNext, unix(s.NextPass), s.Set)
		}
		if s.Error != "" {
			continue
		}
		runway := math.Inf(1)
		if s.RunwaySeconds != nil {
			runway = *s.RunwaySeconds
		}
		gauge(descRunway, runway, s.Set)
		if s.ParentRows >= 0 {
			gauge(descParentRows, float64(s.ParentRows), s.Set)
		}
		gauge(descPartitions, float64(s.Partitions), s.Set)
		gauge(descRows, float64(s.Rows), s.Set)
		gauge(descBytes, float64(s.Bytes), s.Set)
		gauge(descProblems, float64(len(s.Problems)), s.Set)
		gauge(descOverdue, float64(len(s.Overdue)), s.Set)
		gauge(descPending, float64(len(s.Pending)), s.Set)
		gauge(descWithheld, float64(len(s.Withheld)), s.Set)
		gauge(descHeld, float64(len(s.Held)), s.Set)
		if s.Archives {
			gauge(descBacklog, float64(s.Backlog.Partitions), s.Set)
			gauge(descBackRows, float64(s.Backlog.Rows), s.Set)
			gauge(descBackBytes, float64(s.Backlog.Bytes), s.Set)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
