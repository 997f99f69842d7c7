package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/monitor"
	"github.com/partitiond/partitiond/maintenance/notify"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/systemd"
)

// runDaemon makes passes until the context ends.
func (o *options) runDaemon(ctx context.Context) error {
	c, sets, m, err := o.ready(newConsole(o.stderr))
	if err != nil {
		return err
	}
	log := m.Log
	told, err := notifyOptions(c, log, serverPatience)
	if err != nil {
		return err
	}
	unit, notifier := systemd.NewUnit(log, c.Schedule.Location), notify.New(told)
	m.Watchers = append(m.Watchers, unit, notifier)
	mon := monitor.New(version(), log)
	defer unwatch(mon, log)
	if err := watch(ctx, mon, c, sets, m); err != nil {
		return err
	}
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)

	scheduler := maintenance.NewScheduler(log)
	scheduler.Set(o.jobs(c, sets, m, log))
	log.Info("started", "version", version(), "config", o.config, "sets", len(sets), "next", scheduler.Next())
	next := func() time.Time { return scheduler.Next().In(c.Schedule.Location) }
	unit.Ready(next(), "")
	if c.Schedule.RunAtStart {
		scheduler.Start(o.pass(m, sets, log))
	}
	watchdog, end := unit.Watchdog()
	defer end()
	for {
		select {
		case <-watchdog:
			unit.Alive()
		case <-unit.Changed():
			unit.Show(next())
		case <-reload:
			unit.Reloading()
			fresh, err := o.reload(ctx, scheduler, unit, notifier, mon)
			if err != nil {
				unit.Ready(next(), "the file is not good, the old configuration stays")
				mon.ReloadFailed()
				log.Error("the file is not good, the old configuration stays", "config", o.config, "error", err)
				continue
			}
			c = fresh
			unit.Ready(next(), "")
			log.Info("read the configuration again", "config", o.config, "sets", len(c.Sets), "next", scheduler.Next())
		case <-ctx.Done():
			log.Info("stopping", "bound", c.Schedule.StopTimeout)
			unit.Stopping()
			unit.While(func() {
				if !scheduler.Stop(c.Schedule.StopTimeout) {
					log.Warn("the pass was broken off: it did not end within the bound")
				}
				notifier.Close(notifyBound)
			})
			log.Info("stopped")
			return nil
		}
	}
}

// reload reads the file and gives the scheduler what it says. Logging goes on
// as it was when the daemon started, but for its level and format.
func (o *options) reload(ctx context.Context, scheduler *maintenance.Scheduler, unit *systemd.Unit, notifier *notify.Notifier, mon *monitor.Monitor) (*config.Config, error) {
	c, sets, m, err := o.ready(newConsole(o.stderr))
	if err != nil {
		return nil, err
	}
	told, err := notifyOptions(c, m.Log, serverPatience)
	if err != nil {
		return nil, err
	}
	if err := watch(ctx, mon, c, sets, m); err != nil {
		return nil, err
	}
	notifier.Configure(told)
	m.Watchers = append(m.Watchers, unit, notifier)
	scheduler.Set(o.jobs(c, sets, m, m.Log))
	return c, nil
}

// jobs groups the sets by schedule and time zone, in the order of the file.
func (o *options) jobs(c *config.Config, sets []partition.Set, m *maintenance.Maintainer, log *slog.Logger) []maintenance.Job {
	type key struct{ cron, zone string }
	var order []key
	groups := map[key][]partition.Set{}
	schedules := map[key]cron.Schedule{}
	for _, s := range sets {
		found, err := c.Find(s.Parent.String())
		if err != nil {
			continue // Every set comes from the file.
		}
		k := key{found.CronText, found.Location.String()}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k], schedules[k] = append(groups[k], s), found.Cron
	}
	jobs := make([]maintenance.Job, len(order))
	for i, k := range order {
		jobs[i] = maintenance.Job{Schedule: schedules[k], Pass: o.pass(m, groups[k], log)}
	}
	return jobs
}

// pass returns what the scheduler runs: a pass, or the printing of its plan.
// Without a connection all of it is to be tried again soon, since the server may be
// starting too, or another one taking over; where another instance is at work,
// what that one may leave behind.
func (o *options) pass(m *maintenance.Maintainer, sets []partition.Set, log *slog.Logger) maintenance.Pass {
	return func(ctx context.Context, stop <-chan struct{}) maintenance.Pass {
		if o.dryRun {
			planned, err := m.Plan(ctx, sets)
			if err != nil {
				log.Error("the plan could not be made", "error", err)
				return nil
			}
			_ = o.printPlans(planned) // The exit code is for --run-now.
			return nil
		}
		report, err := m.Pass(ctx, stop, sets)
		switch {
		case errors.Is(err, maintenance.ErrConnect):
			log.Warn("no pass yet", "error", err)
			return o.pass(m, sets, log)
		case err != nil:
			log.Error("the pass failed", "error", err)
			return nil
		}
		log.Info("the pass ended", "status", string(report.Status()), "sets", len(report.Sets), "took", time.Duration(report.Seconds*float64(time.Second)).Round(time.Millisecond))
		if again := report.Again(sets); len(again) > 0 {
			return o.pass(m, again, log)
		}
		return nil
	}
}
