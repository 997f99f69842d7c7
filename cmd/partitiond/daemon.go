package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/robfig/cron/v3"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// runDaemon makes passes until the context ends.
func (o *options) runDaemon(ctx context.Context) error {
	c, err := o.load()
	if err != nil {
		return err
	}
	sets, err := o.sets(c)
	if err != nil {
		return err
	}
	log := newLogger(c.Log, newConsole(o.stderr))
	m, err := newMaintainer(c, log)
	if err != nil {
		return err
	}
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)

	scheduler := maintenance.NewScheduler(log)
	scheduler.Set(o.jobs(c, sets, m, log))
	log.Info("started", "version", version(), "config", o.config, "sets", len(sets), "next", scheduler.Next())
	if c.Schedule.RunAtStart {
		scheduler.Start(o.pass(m, sets, log))
	}
	for {
		select {
		case <-reload:
			fresh, err := o.reload(scheduler)
			if err != nil {
				log.Error("the file is not good, the old configuration stays", "config", o.config, "error", err)
				continue
			}
			c = fresh
			log.Info("read the configuration again", "config", o.config, "sets", len(c.Sets), "next", scheduler.Next())
		case <-ctx.Done():
			log.Info("stopping", "bound", c.Schedule.StopTimeout)
			if !scheduler.Stop(c.Schedule.StopTimeout) {
				log.Warn("the pass was broken off: it did not end within the bound")
			}
			log.Info("stopped")
			return nil
		}
	}
}

// reload reads the file and gives the scheduler what it says. Logging goes on
// as it was when the daemon started, but for its level and format.
func (o *options) reload(scheduler *maintenance.Scheduler) (*config.Config, error) {
	c, err := o.load()
	if err != nil {
		return nil, err
	}
	sets, err := o.sets(c)
	if err != nil {
		return nil, err
	}
	log := newLogger(c.Log, newConsole(o.stderr))
	m, err := newMaintainer(c, log)
	if err != nil {
		return nil, err
	}
	scheduler.Set(o.jobs(c, sets, m, log))
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
// While there is no connection it goes on trying, since the server may be
// starting too, and the next time by the schedule may be a month away.
func (o *options) pass(m *maintenance.Maintainer, sets []partition.Set, log *slog.Logger) maintenance.Pass {
	return func(ctx context.Context, stop <-chan struct{}) {
		if o.dryRun {
			planned, err := m.Plan(ctx, sets)
			if err != nil {
				log.Error("the plan could not be made", "error", err)
				return
			}
			_ = o.printPlans(planned) // The exit code is for --run-now.
			return
		}
		b := backoff.NewExponentialBackOff()
		b.InitialInterval, b.MaxInterval = time.Second, time.Minute
		waiting, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-stop:
				cancel()
			case <-waiting.Done():
			}
		}()
		report, err := backoff.Retry(waiting, func() (maintenance.Report, error) {
			report, err := m.Pass(ctx, stop, sets)
			if err != nil && !errors.Is(err, maintenance.ErrConnect) {
				err = backoff.Permanent(err)
			}
			return report, err
		}, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(time.Hour), backoff.WithNotify(func(err error, wait time.Duration) {
			log.Warn("no pass yet", "error", err, "again_in", wait.Round(time.Second))
		}))
		if err != nil {
			log.Error("the pass failed", "error", err)
			return
		}
		log.Info("the pass ended", "status", string(report.Status()), "sets", len(report.Sets), "took", time.Duration(report.Seconds*float64(time.Second)).Round(time.Millisecond))
	}
}
