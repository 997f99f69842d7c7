package maintenance

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// exportPartition joins the two adapters, which do not know each other: it is a
// [postgres.Export] made of the archive package.
func exportPartition(ctx context.Context, conn *pgx.Conn, set partition.Set, snap partition.Snapshot, a partition.Action) (postgres.Archived, error) {
	m, err := archive.Ensure(ctx, conn, archive.Spec{
		Place: archive.Place{
			Root: set.Retention.Archive, Parent: set.Parent, Bounds: a.Bounds,
			Location: set.Calendar(snap.Parent.Key),
		},
		Table: a.Table, OID: a.OID, Key: set.Key,
	})
	if err != nil {
		return postgres.Archived{}, err
	}
	return postgres.Archived{
		Location: set.Retention.Archive + "/" + m.Path,
		Rows:     m.Content.Rows,
		Bytes:    m.CompressedBytes,
		StillEqual: func(ctx context.Context, tx pgx.Tx) error {
			err := archive.StillEqual(ctx, tx, m, a.Table)
			if errors.Is(err, archive.ErrChanged) {
				return fmt.Errorf("%w: %w", postgres.ErrRowsChanged, err)
			}
			return err
		},
	}, nil
}
