package parquetfile

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/readahead"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// RestoreSQL is how parts get into a table again. If no column is as text, Copy
// copies into the table, and the other statements are empty. Otherwise each part
// is copied into a temporary table, in which those columns have the type text,
// and moved from there, so that there is room needed for one part more than for
// the rows, and no WAL is written twice. All statements are for one transaction
// with the settings of [Configure]. COPY and INSERT fire the table's triggers
// (PostgreSQL documentation, COPY, "Notes"); a partitioned parent routes the rows.
type RestoreSQL struct {
	// Create makes the temporary table anew; it goes with the transaction.
	Create string
	// Copy takes [CopyReader]'s stream, for each part.
	Copy string
	// Move moves the rows from the temporary table, and Empty empties it, after
	// each part.
	Move, Empty string
}

// staging is the temporary table.
var staging = partition.Name{Schema: "pg_temp", Local: "partitiond_restore"}

// RestoreSQL returns the statements for restoring into the target, which has
// columns of the same names and types; others become their defaults.
func (p Plan) RestoreSQL(target partition.Name) RestoreSQL {
	var columns, values []string
	direct := true
	for _, c := range p {
		name, typ := quote(c.Name), c.Type
		value := name
		if c.AsText {
			direct = false
			typ, value = "pg_catalog.text", c.fromText()
		}
		columns = append(columns, name+" "+typ)
		values = append(values, value)
	}
	copyInto := func(table partition.Name) string {
		return fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT binary)", quoted(table), p.names())
	}
	if direct {
		return RestoreSQL{Copy: copyInto(target)}
	}
	// A value of a column GENERATED ALWAYS AS IDENTITY needs to be insisted on.
	return RestoreSQL{
		// Another plan may have made one earlier in the transaction.
		Create: fmt.Sprintf("DROP TABLE IF EXISTS %[1]s; CREATE TEMPORARY TABLE %[2]s (%[3]s) ON COMMIT DROP", quoted(staging), quote(staging.Local), strings.Join(columns, ", ")),
		Copy:   copyInto(staging),
		Move: fmt.Sprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s",
			quoted(target), p.names(), strings.Join(values, ", "), quoted(staging)),
		Empty: "TRUNCATE " + quoted(staging),
	}
}

// fromText returns the expression that makes a value of its text by the type's
// input function. A cast from text could be somebody's own; but that from the text
// of an array with one element calls the input function of the element. Arrays
// have no arrays, but neither has anybody casts of his own for them.
func (c Column) fromText() string {
	name := quote(c.Name)
	if strings.HasSuffix(c.Type, "[]") {
		return fmt.Sprintf("%s::%s", name, c.Type)
	}
	return fmt.Sprintf("(((ARRAY[%s])::pg_catalog.text)::%s[])[1]", name, c.Type)
}

// CopyReader is the stream for COPY ... FROM STDIN (FORMAT binary) with the rows
// of one part. Close it, also after an error.
type CopyReader struct {
	io.ReadCloser // what is read ahead of pipe
	pipe          *io.PipeReader
	done          chan struct{}
	digest        Digest
}

// ahead is how many pieces of the stream, of aheadBytes each, are decoded before the
// server wants them: so that neither waits while the other has a slow moment.
const (
	ahead      = 8
	aheadBytes = 256 << 10
)

// NewCopyReader begins to read a part. The stream ends with an error, and not
// with its trailer, if the part cannot be read to the end.
func NewCopyReader(ctx context.Context, r io.ReaderAt, size int64, plan Plan) *CopyReader {
	out, in := io.Pipe()
	stream, err := readahead.NewReadCloserSize(out, ahead, aheadBytes)
	if err != nil {
		panic(err) // It refuses sizes that are not positive.
	}
	c := &CopyReader{ReadCloser: stream, pipe: out, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		w := bufio.NewWriterSize(in, aheadBytes)
		_, err := w.Write(appendHeader(nil))
		if err == nil {
			c.digest, err = Read(ctx, r, size, plan, func(tuples []byte) error {
				_, err := w.Write(tuples)
				return err
			})
		}
		if err == nil {
			_, err = w.Write(appendTrailer(nil))
		}
		if err == nil {
			err = w.Flush()
		}
		in.CloseWithError(err)
	}()
	return c
}

// Close ends the reading. Afterwards nothing uses the part any more.
func (c *CopyReader) Close() error {
	_ = c.pipe.Close() // It never fails, and lets neither side wait for the other.
	err := c.ReadCloser.Close()
	<-c.done
	return err
}

// Digest returns that of all rows, once Read has returned [io.EOF].
func (c *CopyReader) Digest() Digest {
	<-c.done
	return c.digest
}

// Loader restores parts in one transaction.
type Loader struct {
	tx   pgx.Tx
	plan Plan
	sql  RestoreSQL
}

// NewLoader prepares restoring into the target, see [Plan.RestoreSQL]. The
// transaction must have the settings of [Configure].
func NewLoader(ctx context.Context, tx pgx.Tx, plan Plan, target partition.Name) (*Loader, error) {
	if err := configured(ctx, tx); err != nil {
		return nil, fmt.Errorf("preparing to restore into %s: %w", target, err)
	}
	l := &Loader{tx: tx, plan: plan, sql: plan.RestoreSQL(target)}
	if l.sql.Create != "" {
		if _, err := tx.Exec(ctx, l.sql.Create); err != nil {
			return nil, fmt.Errorf("creating a temporary table to restore %s: %w", target, err)
		}
	}
	return l, nil
}

// Load restores a part and returns the digest of the rows that it sent; if it is
// not that of the part, roll back. What triggers of the target make of the rows
// is not in it: to be sure, export the target again and compare.
func (l *Loader) Load(ctx context.Context, r io.ReaderAt, size int64) (Digest, error) {
	stream := NewCopyReader(ctx, r, size, l.plan)
	tag, err := l.tx.Conn().PgConn().CopyFrom(ctx, stream, l.sql.Copy)
	_ = stream.Close() // What it has to say, CopyFrom has said.
	if err != nil {
		return Digest{}, fmt.Errorf("restoring a part: %w", err)
	}
	d := stream.Digest()
	if l.sql.Move != "" {
		// Of the temporary table it is sure that no trigger keeps rows from it.
		if n := tag.RowsAffected(); n != d.Rows {
			return d, fmt.Errorf("restoring a part: the server copied %d rows of %d", n, d.Rows)
		}
		if _, err := l.tx.Exec(ctx, l.sql.Move); err != nil {
			return d, fmt.Errorf("moving restored rows to their table: %w", err)
		}
		if _, err := l.tx.Exec(ctx, l.sql.Empty); err != nil {
			return d, fmt.Errorf("emptying the temporary table: %w", err)
		}
	}
	return d, nil
}
