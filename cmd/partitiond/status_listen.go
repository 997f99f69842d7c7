package main

import (
	"context"
	"log/slog"

	"github.com/partitiond/partitiond/maintenance/monitor"
)

// watch has the monitor serve as the file says, and watch what the maintainers do.
// It is for a start and for each time that the file is read again: where the
// listener's settings changed it moves, and where that fails nothing changes.
func watch(ctx context.Context, mon *monitor.Monitor, t *targets) error {
	c := t.config
	password, err := c.MonitorPassword()
	if err != nil {
		return exitError{exitUsage, err}
	}
	listen := monitor.Listen{Network: c.Monitor.Network, Address: c.Monitor.Address, User: c.Monitor.User, Password: password}
	if err := mon.Listen(ctx, listen); err != nil {
		return exitError{exitFailed, err}
	}
	mon.Use(t.source())
	return nil
}

// unwatch ends the monitor.
func unwatch(mon *monitor.Monitor, log *slog.Logger) {
	if err := mon.Close(context.Background()); err != nil {
		log.Warn("requests to the monitor were broken off", "error", err)
	}
}
