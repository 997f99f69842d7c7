package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/lmittmann/tint"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// newMaintainer wires a database of a configuration to its server.
func newMaintainer(c *config.Config, d *config.Database, log *slog.Logger) *maintenance.Maintainer {
	host, _ := os.Hostname() // Without a name the history has none.
	if d.Name != "" {
		log = log.With("database", d.Name)
	}
	return &maintenance.Maintainer{
		Database: d.Name,
		History:  maintenance.History{Agent: postgres.Agent{Host: host, Version: version()}, Passes: c.History.Passes, Events: c.History.Events},
		// The settings are read anew each time, so that a changed password file is noticed.
		Connect: func(ctx context.Context) (*pgx.Conn, error) {
			cc, err := d.ConnConfig()
			if err != nil {
				return nil, err
			}
			return pgx.ConnectConfig(ctx, cc)
		},
		Log:      log,
		Parallel: c.Schedule.Parallel,
		Archiving: maintenance.Archiving{
			Format:    archive.Format(c.Archive.Format),
			PartBytes: c.Archive.PartBytes, BytesPerSecond: c.Archive.BytesPerSecond,
			S3: archive.S3Options{Endpoint: c.Archive.S3.Endpoint, Region: c.Archive.S3.Region, PathStyle: c.Archive.S3.PathStyle},
		},
	}
}

// newLogger logs for people on a terminal, and JSON for machines elsewhere.
func newLogger(c config.Log, w *console) *slog.Logger {
	if c.Format == config.FormatText || c.Format == config.FormatAuto && w.live {
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: c.Level, TimeFormat: time.TimeOnly, NoColor: !w.live}))
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: c.Level, ReplaceAttr: readableDurations}))
}

// readableDurations writes "1.5s" where slog's JSON would have nanoseconds.
func readableDurations(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(fmt.Sprint(a.Value.Duration()))
	}
	return a
}
