package main

import (
	"context"
	"log/slog"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/monitor"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// watch has the monitor serve as the file says, and watch what the maintainer does.
// It is for a start and for each time that the file is read again: where the
// listener's settings changed it moves, and where that fails nothing changes.
func watch(ctx context.Context, mon *monitor.Monitor, c *config.Config, sets []partition.Set, m *maintenance.Maintainer) error {
	password, err := c.MonitorPassword()
	if err != nil {
		return exitError{exitUsage, err}
	}
	listen := monitor.Listen{Network: c.Monitor.Network, Address: c.Monitor.Address, User: c.Monitor.User, Password: password}
	if err := mon.Listen(ctx, listen); err != nil {
		return exitError{exitFailed, err}
	}
	mon.Use(monitor.Source{Maintainer: m, Sets: monitored(c, sets)})
	return nil
}

// monitored gives sets their schedules, in their order.
func monitored(c *config.Config, sets []partition.Set) []monitor.Set {
	out := make([]monitor.Set, 0, len(sets))
	for _, s := range sets {
		if found, err := c.Find(s.Parent.String()); err == nil { // Every set comes from the file.
			out = append(out, monitor.Set{Set: s, Schedule: found.Cron})
		}
	}
	return out
}

// unwatch ends the monitor.
func unwatch(mon *monitor.Monitor, log *slog.Logger) {
	if err := mon.Close(context.Background()); err != nil {
		log.Warn("requests to the monitor were broken off", "error", err)
	}
}
