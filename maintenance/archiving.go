package maintenance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// Archiving says how partitions are archived, for all sets that do so.
type Archiving struct {
	// Format is [archive.Parquet] if it is empty.
	Format archive.Format
	// PartBytes is the length from which a file is whole, and BytesPerSecond bounds
	// what is read from the server; see [archive.Options].
	PartBytes, BytesPerSecond int64
	// S3 is for sets whose archive is there.
	S3 archive.S3Options
	// Wrap, if it is not nil, is put around each store that is opened. It lets tests see,
	// and spoil, all that is asked of one.
	Wrap func(archive.Store) archive.Store
	// Progress, if it is not nil, is told how far each export is, about once for each
	// megabyte. Otherwise the log tells it every half minute.
	Progress func(set partition.Name, table partition.Name, p archive.Progress)
}

// progressEvery is how often the log tells how far an export is.
const progressEvery = 30 * time.Second

// OpenStore returns the store of a set's archive. It is the same for all sets
// with the same URL, and does no I/O.
func (m *Maintainer) OpenStore(set partition.Set) (archive.Store, error) {
	url := set.Retention.Archive
	if s, ok := m.stores.Load(url); ok {
		return s.(archive.Store), nil
	}
	s, err := archive.OpenStore(url, m.Archiving.S3)
	if err != nil {
		return nil, fmt.Errorf("opening the archive %s: %w", url, err)
	}
	if m.Archiving.Wrap != nil {
		s = m.Archiving.Wrap(s)
	}
	first, _ := m.stores.LoadOrStore(url, s)
	return first.(archive.Store), nil
}

// export joins the two adapters, which do not know each other: it is a
// [postgres.Export] made of the archive package.
func (m *Maintainer) export(ctx context.Context, conn *pgx.Conn, set partition.Set, snap partition.Snapshot, a partition.Action) (postgres.Archived, error) {
	store, err := m.OpenStore(set)
	if err != nil {
		return postgres.Archived{}, err
	}
	restored, err := postgres.RestoredFrom(ctx, conn, a.OID)
	if err != nil {
		return postgres.Archived{}, err
	}
	place := archive.Place{Parent: set.Parent, Bounds: a.Bounds, Location: set.Calendar(snap.Parent.Key)}
	if len(restored) == 0 {
		if err := m.graceForLate(ctx, conn, store, place, set, snap, a); err != nil {
			return postgres.Archived{}, err
		}
	}
	exports, err := archive.Ensure(ctx, conn, archive.Spec{
		Place: place, Store: store, Table: a.Table, OID: a.OID, Key: set.Key, Restored: restored,
		Options: archive.Options{
			Format: m.Archiving.Format, PartBytes: m.Archiving.PartBytes, BytesPerSecond: m.Archiving.BytesPerSecond,
			Progress: m.progress(set, a),
		},
	})
	if err != nil {
		return postgres.Archived{}, err
	}
	var archived postgres.Archived
	var urls []string
	for _, e := range exports {
		archived.Rows += e.Content.Rows
		archived.Bytes += e.Bytes()
		urls = append(urls, store.URL(e.Key))
	}
	archived.Location, archived.URLs = strings.Join(urls, " "), urls
	archived.StillEqual = func(ctx context.Context, tx pgx.Tx) error {
		err := archive.StillEqual(ctx, tx, exports, a.Table, a.OID)
		if errors.Is(err, archive.ErrChanged) {
			return fmt.Errorf("%w: %w", postgres.ErrRowsChanged, err)
		}
		return err
	}
	return archived, nil
}

// graceForLate holds a table that late rows of an archived period have made, once
// and for the set's grace, so that the rows still to come get into the same
// export. The error then is [postgres.ErrHeld].
func (m *Maintainer) graceForLate(ctx context.Context, conn *pgx.Conn, store archive.Store, place archive.Place, set partition.Set, snap partition.Snapshot, a partition.Action) error {
	if set.Retention.LateGrace <= 0 {
		return nil
	}
	exports, err := archive.Find(ctx, store, place)
	if err != nil {
		return fmt.Errorf("look for an earlier archive of %s: %w", a.Table, err)
	}
	ours := func(e archive.Manifest) bool { return e.Source.OID == a.OID }
	if len(exports) == 0 || slices.ContainsFunc(exports, ours) {
		return nil
	}
	return postgres.HoldLate(ctx, conn, set, a, snap.Server.Now)
}

// progress returns what is told how far an export is.
func (m *Maintainer) progress(set partition.Set, a partition.Action) func(archive.Progress) {
	if tell := m.Archiving.Progress; tell != nil {
		return func(p archive.Progress) { tell(set.Parent, a.Table, p) }
	}
	began := time.Now()
	last := began
	return func(p archive.Progress) {
		now := time.Now()
		if now.Sub(last) < progressEvery {
			return
		}
		last = now
		m.Log.Info("archiving", append([]any{"set", set.Parent.String(), "partition", a.Table.String()}, progressArgs(p, now.Sub(began))...)...)
	}
}

// progressArgs puts progress into words for the log.
func progressArgs(p archive.Progress, took time.Duration) []any {
	args := []any{slog.Int64("rows", p.Rows), slog.Float64("mb_per_second", float64(p.Bytes)/1e6/took.Seconds())}
	if p.TotalRows > p.Rows && p.Rows > 0 {
		left := time.Duration(float64(took) * float64(p.TotalRows-p.Rows) / float64(p.Rows))
		args = append(args, slog.Int64("of_about", p.TotalRows), slog.Duration("left", left.Round(time.Second)))
	}
	return args
}
