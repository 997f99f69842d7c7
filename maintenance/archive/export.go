package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Spec says what is archived, where and how.
type Spec struct {
	Place
	Store Store
	// Table is the partition, and OID the one it must have.
	Table partition.Name
	OID   uint32
	// Key is the column that decides a row's partition.
	Key string
	// Restored names the manifests, by their keys, that the table was restored from
	// if it was: as long as it has the same rows, they are its archive.
	Restored []string
	// Options are the rest.
	Options
}

// Options say how exports are made.
type Options struct {
	// Format is Parquet if it is empty.
	Format Format
	// PartBytes is the length from which a part is whole, 256 MiB if it is 0. S3 keeps
	// a part in a temporary file until it has been uploaded.
	PartBytes int64
	// BytesPerSecond limits the stream from the server; 0 is no limit.
	BytesPerSecond int64
	// Progress, if it is not nil, is told how far the export is, about once for each
	// megabyte.
	Progress func(Progress)
}

// Ensure returns the manifests of exports that together hold exactly the table's
// rows and are whole and durable: one, unless the table was restored from several.
// It exports the table if there are none yet. See the package documentation for
// what it makes of earlier attempts.
//
// The statements run in one transaction on conn, which must not be in one, and
// under the limits of its session; the transaction has ended when Ensure returns.
// The table is only read. After an error conn may be closed: COPY can only be
// abandoned with its connection. Errors to tell apart are [ErrBusy],
// [ErrOtherTable] and [*DamagedError]; a new export is then not there, or
// is not relied on by the next Ensure without another look.
func Ensure(ctx context.Context, conn *pgx.Conn, spec Spec) ([]Manifest, error) {
	return job{Spec: spec, reuse: true}.run(ctx, conn)
}

// Export does what [Ensure] does, but never makes do with what is there.
func Export(ctx context.Context, conn *pgx.Conn, spec Spec) ([]Manifest, error) {
	return job{Spec: spec}.run(ctx, conn)
}

// job is one export.
type job struct {
	Spec
	// reuse lets an equal export count.
	reuse bool
	// hook is told of each step between the stores'. Only tests have one.
	hook func(step string)
}

func (j job) step(name string) {
	if j.hook != nil {
		j.hook(name)
	}
}

func (j job) run(ctx context.Context, conn *pgx.Conn) ([]Manifest, error) {
	if j.Format == "" {
		j.Format = Parquet
	}
	if j.PartBytes <= 0 {
		j.PartBytes = 256 << 20
	}
	ms, err := j.ensure(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("archiving %s: %w", j.Table, err)
	}
	return ms, nil
}

func (j job) ensure(ctx context.Context, conn *pgx.Conn) ([]Manifest, error) {
	codec, err := j.Format.codec()
	if err != nil {
		return nil, err
	}
	dir, err := j.dir()
	if err != nil {
		return nil, err
	}
	unlock, err := j.Store.Lock(ctx, parentDir(j.Parent))
	if err != nil {
		return nil, err
	}
	defer unlock()
	j.step("locked")
	tx, t, err := j.begin(ctx, conn)
	if err != nil {
		return nil, err
	}
	defer end(tx)
	j.step("table locked")
	there, err := j.tidy(ctx, dir, t.source)
	if err != nil {
		return nil, err
	}
	j.step("tidied")
	if j.reuse {
		if ms, err := j.reusable(ctx, tx, t, there); err != nil || len(ms) > 0 {
			return ms, err
		}
	}
	u := &upload{job: j, codec: codec, dir: dir, source: t.source, number: there.last}
	m, err := u.export(ctx, tx, t, j.describe(t, there))
	if err != nil {
		// Of a store that is gone nothing can be removed now: the next Ensure will.
		u.discard(ctx)
		return nil, err
	}
	if err := Verify(ctx, j.Store, m, nil); err != nil {
		return nil, err
	}
	j.step("verified")
	if there, err = list(ctx, j.Store, dir); err != nil {
		return nil, err
	}
	_, err = there.settle(ctx, j.Store, m.Key)
	return []Manifest{m}, err
}

// tidy removes what earlier exports left, and returns what is there then.
func (j job) tidy(ctx context.Context, dir string, source Source) (listing, error) {
	l, err := list(ctx, j.Store, dir)
	if err != nil {
		return l, err
	}
	swept, err := l.sweep(ctx, j.Store, source)
	if err != nil {
		return l, err
	}
	settled, err := l.settle(ctx, j.Store, "")
	if err != nil {
		return l, err
	}
	if !swept && !settled {
		return l, nil
	}
	return list(ctx, j.Store, dir)
}

// begin starts the transaction. The lock comes before the snapshot, which the
// first query takes, so that the snapshot is not older than what the lock lets
// through: TRUNCATE and table rewrites do not respect snapshots (PostgreSQL
// documentation, 13.6 Caveats).
func (j job) begin(ctx context.Context, conn *pgx.Conn) (_ pgx.Tx, _ table, err error) {
	if status := conn.PgConn().TxStatus(); status != 'I' {
		return nil, table{}, fmt.Errorf("the connection is in a transaction (status %c)", status)
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, table{}, fmt.Errorf("starting a transaction: %w", err)
	}
	defer func() {
		if err != nil {
			end(tx)
		}
	}()
	if _, err := tx.Exec(ctx, "LOCK TABLE ONLY "+quoted(j.Table)+" IN ACCESS SHARE MODE"); err != nil {
		return nil, table{}, fmt.Errorf("locking the table: %w", err)
	}
	if err := configure(ctx, tx); err != nil {
		return nil, table{}, err
	}
	t, err := look(ctx, tx, j.Table)
	if err != nil {
		return nil, table{}, err
	}
	if t.source.OID != j.OID {
		return nil, table{}, fmt.Errorf("%s has OID %d, meant was OID %d: %w", j.Table, t.source.OID, j.OID, ErrOtherTable)
	}
	if _, err := t.key(j.Key); err != nil {
		return nil, table{}, err
	}
	return tx, t, nil
}

// end ends a transaction that has changed nothing, whatever has become of it.
// The context of the work may be over, and a dead server must not hold us up.
func end(tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = tx.Rollback(ctx)
}

// reusable returns the latest export that holds the table's rows, or those that
// it was restored from if they still do, or none.
func (j job) reusable(ctx context.Context, tx pgx.Tx, t table, there listing) ([]Manifest, error) {
	candidates := there.of(j.Place)
	for i := len(candidates) - 1; i >= 0; i-- {
		if m := candidates[i]; t.source.same(m.Source) {
			if ok, err := j.holds(ctx, tx, t, m); ok || err != nil {
				return []Manifest{m}, err
			}
		}
	}
	return j.restored(ctx, tx, t, candidates)
}

// holds tells whether an export holds the table's rows and is whole.
func (j job) holds(ctx context.Context, tx pgx.Tx, t table, m Manifest) (bool, error) {
	if err := t.compare(ctx, tx, m); errors.Is(err, ErrChanged) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return whole(ctx, j.Store, m)
}

func whole(ctx context.Context, store Store, m Manifest) (bool, error) {
	err := Verify(ctx, store, m, nil)
	if damaged(err) {
		return false, nil
	}
	return err == nil, err
}

// restored returns the exports that the table was restored from, if all of
// them are there and the table has their columns, their rows and no others.
func (j job) restored(ctx context.Context, tx pgx.Tx, t table, candidates []Manifest) ([]Manifest, error) {
	if len(j.Restored) == 0 {
		return nil, nil
	}
	var from []Manifest
	for _, key := range j.Restored {
		for _, m := range candidates {
			if m.Key == key {
				from = append(from, m)
			}
		}
	}
	if len(from) != len(j.Restored) || t.sameColumns(from[0]) != nil {
		return nil, nil
	}
	if err := EqualRows(ctx, tx, from, j.Table); errors.Is(err, ErrChanged) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	for _, m := range from {
		if ok, err := whole(ctx, j.Store, m); !ok || err != nil {
			return nil, err
		}
	}
	return from, nil
}

// describe returns what is known of the export before it is made.
func (j job) describe(t table, there listing) Manifest {
	m := Manifest{
		FormatVersion: FormatVersion,
		Format:        j.Format,
		Compression:   compression,
		Parent:        Name(j.Parent),
		Source:        t.source,
		Bounds:        boundsOf(j.Bounds, j.location()),
		TimeZone:      j.location().String(),
		Columns:       t.columns,
		Generated:     t.generated,
	}
	for _, o := range there.manifests {
		if m.Source.mayReplace(o.Source) {
			m.Supersedes = append(m.Supersedes, o.name())
		}
	}
	for _, o := range there.of(j.Place) {
		if slices.Contains(j.Restored, o.Key) {
			m.RestoredFrom = append(m.RestoredFrom, o.name())
		} else {
			m.Late = m.Late || !m.Source.same(o.Source)
		}
	}
	return m
}
