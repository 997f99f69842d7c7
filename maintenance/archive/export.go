package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Spec says what is archived, and where.
type Spec struct {
	Place
	// Table is the partition, and OID the one it must have.
	Table partition.Name
	OID   uint32
	// Key is the column that decides a row's partition.
	Key string
}

// Ensure returns a manifest of a part that holds exactly the table's rows and
// is whole and durable. It exports the table if there is no such part yet. See the
// package documentation for what it makes of earlier attempts.
//
// The statements run in one transaction on conn, which must not be in one, and
// under the limits of its session; the transaction has ended when Ensure returns.
// The table is only read. After an error conn may be closed: COPY can only be
// abandoned with its connection. Errors to tell apart are [ErrBusy],
// [ErrOtherTable] and [*DamagedError]; a new part is then not there, or
// is not relied on by the next Ensure without another look.
func Ensure(ctx context.Context, conn *pgx.Conn, spec Spec) (Manifest, error) {
	return job{Spec: spec, reuse: true}.run(ctx, conn)
}

// Export does what [Ensure] does, but never makes do with a part that is there.
func Export(ctx context.Context, conn *pgx.Conn, spec Spec) (Manifest, error) {
	return job{Spec: spec}.run(ctx, conn)
}

// job is one export.
type job struct {
	Spec
	// reuse lets an equal part count.
	reuse bool
	// hook is told of each step. Only tests have one.
	hook func(step string)
}

func (j job) run(ctx context.Context, conn *pgx.Conn) (Manifest, error) {
	m, err := j.ensure(ctx, conn)
	if err != nil {
		return Manifest{}, fmt.Errorf("archiving %s: %w", j.Table, err)
	}
	return m, nil
}

func (j job) ensure(ctx context.Context, conn *pgx.Conn) (Manifest, error) {
	d, err := j.directory(j.hook)
	if err != nil {
		return Manifest{}, err
	}
	unlock, err := d.lock()
	if err != nil {
		return Manifest{}, err
	}
	defer unlock()
	d.step("locked")
	if err := errors.Join(d.sweep(), d.settle(ctx)); err != nil {
		return Manifest{}, err
	}
	there, err := d.list()
	if err != nil {
		return Manifest{}, err
	}

	tx, t, err := j.begin(ctx, conn)
	if err != nil {
		return Manifest{}, err
	}
	defer end(tx)
	d.step("table locked")
	if j.reuse {
		if m, err := j.reusable(ctx, tx, t, d, there); err != nil || m.File != "" {
			return m, err
		}
	}
	m := j.describe(t)
	for _, o := range there.manifests {
		if m.Source.mayReplace(o.Source) {
			m.Supersedes = append(m.Supersedes, o.File)
		}
	}
	if m, err = j.write(ctx, tx, t, d, m, there.last+1); err != nil {
		return Manifest{}, errors.Join(err, d.sweep())
	}
	if err := verify(ctx, d.root, m); err != nil {
		return Manifest{}, err
	}
	d.step("verified")
	return m, d.settle(ctx)
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

// reusable returns the latest part that holds the table's rows under the same
// bounds, so that it will be found by them, or none.
func (j job) reusable(ctx context.Context, tx pgx.Tx, t table, d directory, there listing) (Manifest, error) {
	candidates := live(there.manifests)
	for i := len(candidates) - 1; i >= 0; i-- {
		m := candidates[i]
		if !t.source.same(m.Source) || !m.Bounds.Partition().Equal(j.Bounds) {
			continue
		}
		if err := t.compare(ctx, tx, m); errors.Is(err, ErrChanged) {
			continue
		} else if err != nil {
			return Manifest{}, err
		}
		if err := verify(ctx, d.root, m); damaged(err) {
			continue
		} else if err != nil {
			return Manifest{}, err
		}
		// Whoever wrote it may have died before it was durable.
		return m, d.sync()
	}
	return Manifest{}, nil
}

// describe returns what is known of the part before it is written.
func (j job) describe(t table) Manifest {
	return Manifest{
		FormatVersion: FormatVersion,
		Format:        "csv",
		Compression:   "zstd",
		Parent:        Name(j.Parent),
		Source:        t.source,
		Bounds:        boundsOf(j.Bounds, j.location()),
		TimeZone:      j.location().String(),
		Columns:       t.columns,
		Generated:     t.generated,
		Load: Load{
			Settings: maps.Clone(settings),
			Columns:  "(" + t.list() + ")",
			Options:  "(FORMAT csv, HEADER true, ENCODING 'UTF8')",
		},
	}
}

// write exports the table as the part with the given number. Until the
// manifest has its name there is nothing that sweep would not remove.
func (j job) write(ctx context.Context, tx pgx.Tx, t table, d directory, m Manifest, number int) (Manifest, error) {
	f, err := d.temp()
	if err != nil {
		return m, err
	}
	defer func() { _ = f.Close() }() // For the ways out before finish.
	d.step("temporary file made")
	if err := t.copyTo(ctx, tx, d, f, &m); err != nil {
		return m, err
	}
	d.step("copied")
	if m.Key, err = t.key(j.Key); err != nil {
		return m, err
	}
	rows := m.Content.Rows
	if m.Content, err = t.count(ctx, tx, t.method, &m.Key); err != nil {
		return m, err
	}
	if m.Content.Rows != rows {
		return m, fmt.Errorf("the file has %d rows, the server counts %d", rows, m.Content.Rows)
	}
	if m.ExportedAt, err = clock(ctx, tx); err != nil {
		return m, err
	}
	end(tx) // What remains is between us and the disk.
	d.step("counted")
	if err := finish(f); err != nil {
		return m, err
	}
	d.step("data on disk")

	name := fmt.Sprintf("part-%04d-%s", number, m.SHA256[:12])
	m.File = name + dataExt
	m.Path = filepath.ToSlash(filepath.Join(d.rel, m.File))
	described, err := writeManifest(d, m)
	if err != nil {
		return m, err
	}
	// The order of what follows must also hold after a power failure, hence a
	// sync after each: no manifest without its part, and no part without its manifest
	// or the temporary file that proves that it is a leftover.
	if err := d.sync(); err != nil {
		return m, err
	}
	d.step("temporary files durable")
	if err := errors.Join(d.publish(f.Name(), m.File), syncDir(d.path(""))); err != nil {
		return m, err
	}
	d.step("data named")
	if err := errors.Join(d.publish(described, name+manifestExt), syncDir(d.path(""))); err != nil {
		return m, err
	}
	d.step("manifest named")
	if err := d.remove(filepath.Base(f.Name()), filepath.Base(described)); err != nil {
		return m, err
	}
	d.step("temporary files removed")
	return m, nil
}

// copyTo streams the table into the file and notes what went through. There is
// no ORDER BY: a sort would need the table's room on the server's disk.
func (t table) copyTo(ctx context.Context, tx pgx.Tx, d directory, f io.Writer, m *Manifest) error {
	e, err := newEncoder(f)
	if err != nil {
		return err
	}
	query := "COPY (SELECT " + t.list() + " FROM ONLY " + t.sql() + ") TO STDOUT " + m.Load.Options
	tag, err := tx.Conn().PgConn().CopyTo(ctx, stepWriter{d, e}, query)
	if err := errors.Join(err, e.Close()); err != nil {
		return fmt.Errorf("copying the table: %w", err)
	}
	rows, err := e.records.rows()
	if err != nil {
		return err
	}
	if rows != tag.RowsAffected() {
		return fmt.Errorf("the file has %d rows, the server copied %d", rows, tag.RowsAffected())
	}
	m.Content.Rows = rows
	m.RawBytes, m.RawSHA256 = e.raw.bytes, e.raw.hex()
	m.CompressedBytes, m.SHA256 = e.compressed.bytes, e.compressed.hex()
	return nil
}

// stepWriter makes each row a step.
type stepWriter struct {
	d directory
	w io.Writer
}

func (s stepWriter) Write(p []byte) (int, error) {
	s.d.step("copying")
	return s.w.Write(p)
}

// writeManifest writes the manifest to a temporary file and returns its path.
func writeManifest(d directory, m Manifest) (string, error) {
	text, err := m.encode()
	if err != nil {
		return "", err
	}
	f, err := d.temp()
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // For the ways out before finish.
	if _, err := f.Write(text); err != nil {
		return "", fmt.Errorf("writing the manifest: %w", err)
	}
	if err := finish(f); err != nil {
		return "", err
	}
	d.step("manifest on disk")
	return f.Name(), nil
}
