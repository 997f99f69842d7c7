package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/monitor"
	"github.com/partitiond/partitiond/maintenance/notify"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/systemd"
)

// runDaemon makes passes until the context ends.
func (o *options) runDaemon(ctx context.Context) error {
	t, err := o.ready(newConsole(o.stderr))
	if err != nil {
		return err
	}
	c, log := t.config, t.log
	told, err := notifyOptions(c, log, serverPatience)
	if err != nil {
		return err
	}
	unit, notifier := systemd.NewUnit(log, c.Schedule.Location), notify.New(told)
	t.tell(unit, notifier)
	mon := monitor.New(version(), log)
	defer unwatch(mon, log)
	if err := watch(ctx, mon, t); err != nil {
		return err
	}
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)

	scheduler := maintenance.NewScheduler(log)
	listeners := o.newListeners(ctx, scheduler)
	listeners.follow(t)
	scheduler.Set(o.jobs(t), c.Schedule.Databases)
	log.Info("started", append([]any{"version", version(), "config", o.config}, append(t.logged(), "next", scheduler.Next())...)...)
	next := func() time.Time { return scheduler.Next().In(c.Schedule.Location) }
	unit.Ready(next(), "")
	if c.Schedule.RunAtStart {
		for _, d := range t.all {
			scheduler.Start(d.Database, o.pass(d.Maintainer, plain(d.sets)))
		}
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
			fresh, err := o.reload(ctx, scheduler, unit, notifier, listeners, mon)
			if err != nil {
				unit.Ready(next(), "the file is not good, the old configuration stays")
				mon.ReloadFailed()
				log.Error("the file is not good, the old configuration stays", "config", o.config, "error", err)
				continue
			}
			c = fresh.config
			unit.Ready(next(), "")
			log.Info("read the configuration again", append([]any{"config", o.config}, append(fresh.logged(), "next", scheduler.Next())...)...)
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
func (o *options) reload(ctx context.Context, scheduler *maintenance.Scheduler, unit *systemd.Unit, notifier *notify.Notifier, listeners *listeners, mon *monitor.Monitor) (*targets, error) {
	t, err := o.ready(newConsole(o.stderr))
	if err != nil {
		return nil, err
	}
	told, err := notifyOptions(t.config, t.log, serverPatience)
	if err != nil {
		return nil, err
	}
	if err := watch(ctx, mon, t); err != nil {
		return nil, err
	}
	notifier.Configure(told)
	t.tell(unit, notifier)
	listeners.follow(t)
	scheduler.Set(o.jobs(t), t.config.Schedule.Databases)
	return t, nil
}

// logged is what the log says of all databases together.
func (t *targets) logged() []any {
	if !t.several() {
		return []any{"sets", t.count()}
	}
	return []any{"databases", len(t.all), "sets", t.count()}
}

// tell has the unit and the notifier watch all databases, and the unit no others.
func (t *targets) tell(unit *systemd.Unit, notifier *notify.Notifier) {
	unit.Keep(t.names())
	for _, d := range t.all {
		d.Watchers = append(d.Watchers, unit.Watch(d.Database), notifier.Watch(d.Database))
	}
}

// jobs groups the sets of each database by schedule and time zone, in the order of
// the file.
func (o *options) jobs(t *targets) []maintenance.Job {
	type key struct{ cron, zone string }
	var jobs []maintenance.Job
	for _, d := range t.all {
		var order []key
		groups := map[key][]config.Set{}
		for _, s := range d.sets {
			k := key{s.CronText, s.Location.String()}
			if groups[k] == nil {
				order = append(order, k)
			}
			groups[k] = append(groups[k], s)
		}
		for _, k := range order {
			jobs = append(jobs, maintenance.Job{Database: d.Database, Schedule: groups[k][0].Cron, Pass: o.pass(d.Maintainer, plain(groups[k]))})
		}
	}
	return jobs
}

// pass returns what the scheduler runs: a pass, or the printing of its plan.
// Without a connection all of it is to be tried again soon, since the server may be
// starting too, or another one taking over; where another instance is at work,
// what that one may leave behind.
func (o *options) pass(m *maintenance.Maintainer, sets []partition.Set) maintenance.Pass {
	log := m.Log
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
			return o.pass(m, sets)
		case err != nil:
			log.Error("the pass failed", "error", err)
			return nil
		}
		log.Info("the pass ended", "status", string(report.Status()), "sets", len(report.Sets), "took", time.Duration(report.Seconds*float64(time.Second)).Round(time.Millisecond))
		if again := report.Again(sets); len(again) > 0 {
			return o.pass(m, again)
		}
		return nil
	}
}
