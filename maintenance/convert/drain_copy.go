package convert

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/time/rate"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// ErrDiffers says that the copy is not what was copied. Nothing was swapped.
var ErrDiffers = errors.New("the copied rows are not those of the partition; nothing was swapped")

const (
	// copyBatches is how many of the set's batches of rows are copied, or taken over, in
	// one transaction, for which nobody waits.
	copyBatches = 10
	pageBytes   = 8192
	// maxCatchUps bounds how often changes are taken over before they are few.
	maxCatchUps = 1000
)

// work copies what is not copied yet, until the copy is as good as the partition.
func (w *drainer) work(ctx context.Context) error {
	w.copied.TotalRows = max(0, w.wide.Rows)
	pages := w.pages()
	if w.o.BytesPerSecond > 0 {
		// So small that a second has several of them.
		pages = max(1, min(pages, w.o.BytesPerSecond/pageBytes/4))
		w.limiter = rate.NewLimiter(rate.Limit(w.o.BytesPerSecond), int(pages*pageBytes))
	}
	// A TRUNCATE, which is among the changes, has the copy begin anew.
	for more := true; more; {
		if err := w.copyAll(ctx, pages); err != nil {
			return err
		}
		if err := w.settle(ctx); err != nil {
			return err
		}
		var err error
		if more, err = w.copyPages(ctx, pages); err != nil {
			return err
		}
	}
	if err := w.foreignKeys(ctx); err != nil {
		return err
	}
	step := postgres.Step{Alone: true, Waits: true, Role: w.role(), Statements: []postgres.Statement{{SQL: "ANALYZE " + postgres.QuoteName(w.months())}}}
	if _, err := w.session.Run(ctx, w.set, w.snap, step); err != nil {
		return fmt.Errorf("analyze the copied rows: %w", err)
	}
	if err := w.compare(ctx); err != nil {
		return err
	}
	return w.settle(ctx)
}

// copyAll copies all pages that are left, and takes over changes in between.
func (w *drainer) copyAll(ctx context.Context, pages int64) error {
	for {
		if more, err := w.copyPages(ctx, pages); err != nil || !more {
			return err
		}
		if many, err := w.lags(ctx); err != nil {
			return err
		} else if many {
			if _, err := w.inTx(ctx, w.catchUp); err != nil {
				return fmt.Errorf("take over changes: %w", err)
			}
		}
	}
}

// inTx runs f in a transaction, as long as no other drain of the set can have begun.
func (w *drainer) inTx(ctx context.Context, f func(context.Context, pgx.Tx) error) (postgres.Outcome, error) {
	return w.session.InTx(ctx, w.set, w.snap, func(tx pgx.Tx) error {
		if err := w.session.StillAlone(ctx, ownLock(w.set)); err != nil {
			return err
		}
		return f(ctx, tx)
	})
}

// ownLock is what a drain locks against other drains, in the place of the set.
func ownLock(set partition.Set) partition.Set {
	set.Parent = partition.AsideName(set.Parent, "drain")
	return set
}

// pages is how many pages have as many rows as are copied at once.
func (d drain) pages() int64 {
	rows := int64(copyBatches * d.set.SweepBatch)
	if d.wide.Rows <= 0 || d.wide.Bytes < pageBytes {
		return max(1, rows/50) // Nothing is known of it.
	}
	return max(1, rows*(d.wide.Bytes/pageBytes)/d.wide.Rows)
}

// copyPages copies the next pages, and tells whether there are more.
func (w *drainer) copyPages(ctx context.Context, pages int64) (more bool, err error) {
	var read int64
	_, err = w.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		read = 0
		// The partition comes first, as with whoever truncates it.
		if _, err := tx.Exec(ctx, "LOCK TABLE ONLY "+postgres.QuoteName(w.wide.Name)+" IN ACCESS SHARE MODE"); err != nil {
			return fmt.Errorf("lock %s: %w", w.wide.Name, err)
		}
		var fit, whole bool
		var block, blocks int64
		query := fmt.Sprintf("SELECT s.source = %[1]s::pg_catalog.regclass AND s.shape = %[2]s, s.file = pg_catalog.pg_relation_filenode(s.source::pg_catalog.regclass), s.block, s.blocks FROM %[3]s AS s FOR UPDATE",
			postgres.QuoteLiteral(postgres.QuoteName(w.wide.Name)), w.shape(), postgres.QuoteName(w.state()))
		if err := tx.QueryRow(ctx, query).Scan(&fit, &whole, &block, &blocks); err != nil {
			return fmt.Errorf("look how far the copy is: %w", err)
		}
		switch {
		case !fit:
			return fmt.Errorf("%w: columns, indexes or constraints are others", errAnew)
		case block >= blocks:
			more = false
			return nil
		case !whole:
			w.log.Info("the copy begins anew, for the table was rewritten or truncated", "partition", w.wide.Name.String())
			more = true
			return exec(ctx, tx, w.resetSQL())
		}
		until := min(block+pages, blocks)
		tag, err := tx.Exec(ctx, w.copySQL(block, until))
		if err != nil {
			return fmt.Errorf("copy rows of %s: %w", w.wide.Name, err)
		}
		query = fmt.Sprintf("UPDATE %s SET block = $1, rows = rows + $2 RETURNING rows", postgres.QuoteName(w.state()))
		if err := tx.QueryRow(ctx, query, until, tag.RowsAffected()).Scan(&w.copied.Rows); err != nil {
			return fmt.Errorf("write down how far the copy is: %w", err)
		}
		more, read = true, (until-block)*pageBytes
		return nil
	})
	if err != nil || read == 0 {
		return more, err
	}
	w.copied.Bytes += read
	if w.o.Progress != nil {
		w.o.Progress(w.copied)
	}
	if w.limiter != nil {
		if r := w.limiter.ReserveN(time.Now(), int(read)); r.OK() {
			return more, w.pause(ctx, r.Delay())
		}
	}
	return more, nil
}

// exec runs one statement or several.
func exec(ctx context.Context, tx pgx.Tx, sql string) error {
	_, err := tx.Exec(ctx, sql)
	return err
}

// lags tells whether more changes are left than a batch.
func (w *drainer) lags(ctx context.Context) (many bool, err error) {
	query := fmt.Sprintf("SELECT count(*) > %d FROM (SELECT FROM %s LIMIT %[1]d + 1) AS l", w.set.SweepBatch, postgres.QuoteName(w.drain.log()))
	_, err = w.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, query).Scan(&many); err != nil {
			return fmt.Errorf("count the changes that are left: %w", err)
		}
		return nil
	})
	return many, err
}

// catchUp takes over changes.
func (w *drainer) catchUp(ctx context.Context, tx pgx.Tx) error {
	for _, sql := range append(byKey[:len(byKey):len(byKey)], w.catchUpSQL(copyBatches*w.set.SweepBatch, false)) {
		if err := exec(ctx, tx, sql); err != nil {
			return err
		}
	}
	return nil
}

// settle takes changes over until few are left.
func (w *drainer) settle(ctx context.Context) error {
	for range maxCatchUps {
		if _, err := w.inTx(ctx, w.catchUp); err != nil {
			return fmt.Errorf("take over changes: %w", err)
		}
		if many, err := w.lags(ctx); err != nil || !many {
			return err
		}
	}
	return fmt.Errorf("rows of %s change faster than they can be copied: try again when it is quieter", w.wide.Name)
}

// foreignKeys gives the tables what the parent refers to, now that they have their rows:
// one query then looks at all of them.
func (w *drainer) foreignKeys(ctx context.Context) error {
	type key struct {
		Schema, Local, Name, Definition string
		Made                            bool
	}
	var keys []key
	err := reading(ctx, w.session.Conn(), func(tx pgx.Tx) error {
		months, err := relation(ctx, tx, w.months())
		if err == nil {
			keys, err = collect(ctx, tx, "drain_foreign_keys", pgx.RowToStructByPos[key], w.snap.Parent.OID, months)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		table, name := postgres.QuoteName(partition.Name{Schema: k.Schema, Local: k.Local}), postgres.QuoteIdent(k.Name)
		steps := []postgres.Step{{Role: w.role(), Statements: []postgres.Statement{{SQL: fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s NOT VALID", table, name, k.Definition)}}},
			{Alone: true, Waits: true, Role: w.role(), Statements: []postgres.Statement{{SQL: fmt.Sprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s", table, name)}}}}
		if k.Made {
			steps = steps[1:]
		}
		if _, err := w.session.Run(ctx, w.set, w.snap, steps...); err != nil {
			return fmt.Errorf("give %s the foreign key %s: %w", k.Local, k.Name, err)
		}
	}
	return nil
}

// compare proves that the copy is the partition, but for what is written down.
func (w *drainer) compare(ctx context.Context) error {
	var here, there string
	_, err := w.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, w.compareSQL()).Scan(&here, &there); err != nil {
			return fmt.Errorf("compare the rows: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if here != there {
		if err := w.settle(ctx); err != nil {
			return err
		}
		if more, err := w.copyPages(ctx, 1); err != nil {
			return err
		} else if more {
			return fmt.Errorf("%w: the partition was truncated", errAnew)
		}
		return fmt.Errorf("%s: rows and their sum are %s, of the copy %s: %w", w.wide.Name, here, there, ErrDiffers)
	}
	w.log.Info("compared", "partition", w.wide.Name.String(), "rows and sum", here)
	return nil
}
