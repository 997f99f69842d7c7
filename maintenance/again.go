package maintenance

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// Again returns those of a pass's sets that are worth another try soon: another
// instance was at work on them, and may die before it is done, or the connection
// was lost, as when another server takes over. The sets are in the pass's order.
func (r Report) Again(sets []partition.Set) []partition.Set {
	var again []partition.Set
	for _, s := range sets {
		if slices.ContainsFunc(r.Sets, func(report SetReport) bool {
			return report.Set == s.Parent.String() && (report.Status == Skipped || report.lost)
		}) {
			again = append(again, s)
		}
	}
	return again
}

// lock locks the sets, on a connection of its own, which has to be to one session
// of the server. The error may be [ErrConnect], with [postgres.ErrPooled] in it.
func (m *Maintainer) lock(ctx context.Context, sets []partition.Set) (*postgres.PassLock, error) {
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	lock, err := postgres.AcquirePassLock(ctx, conn, sets)
	if err == nil && !lock.Pooled() {
		return lock, nil
	}
	if pooled := m.pooled(ctx); pooled != nil {
		return nil, errors.Join(pooled, conn.Close(context.WithoutCancel(ctx)))
	}
	if err != nil {
		return nil, errors.Join(orLost(ctx, conn, err), conn.Close(context.WithoutCancel(ctx)))
	}
	return lock, nil
}

// pooled returns an error if a pooler shares sessions, or keeps us from telling.
func (m *Maintainer) pooled(ctx context.Context) error {
	err := postgres.CheckPooling(ctx, m.connect)
	if err != nil && !errors.Is(err, ErrConnect) {
		err = fmt.Errorf("%w: %w", ErrConnect, err)
	}
	return err
}

// orLost makes an [ErrConnect] of what a lost connection caused.
func orLost(ctx context.Context, conn *pgx.Conn, err error) error {
	if err == nil || !conn.IsClosed() || ctx.Err() != nil || errors.Is(err, ErrConnect) {
		return err
	}
	return fmt.Errorf("%w any more: %w", ErrConnect, err)
}
