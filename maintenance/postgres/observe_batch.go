package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/partitiond/partitiond/sql"
)

// batch is a number of statements that go to the server in one round trip. They
// are sent without a name, so that a transaction pooler between does no harm,
// and answered as text.
type batch struct {
	statements []statement
	// Where failed is set, the statements from the one numbered optional on may
	// fail: it is told why. They have to come after a COMMIT.
	optional int
	failed   func(why string)
}

type statement struct {
	name string
	sql  string
	args []argument
	row  func(*row)
}

// add queues the query in sql/observe/name.sql. Each row of its result is
// handed to f.
func (b *batch) add(name string, f func(*row), args ...argument) {
	b.addText(name, observeSQL(name), f, args...)
}

func (b *batch) addText(name, text string, f func(*row), args ...argument) {
	b.statements = append(b.statements, statement{name: name, sql: text, args: args, row: f})
}

func observeSQL(name string) string { return sql.Text("observe/" + name + ".sql") }

// mayFail says that what is queued from here on may fail, without harm to what
// was queued before.
func (b *batch) mayFail(failed func(why string)) { b.optional, b.failed = len(b.statements), failed }

// run sends the batch and reads the answers. After an error the rest of the
// batch has not been executed.
func (b *batch) run(ctx context.Context, conn *pgx.Conn, pool texts) error {
	var out pgconn.Batch
	for _, s := range b.statements {
		values, formats := make([][]byte, len(s.args)), make([]int16, len(s.args))
		for i, a := range s.args {
			values[i], formats[i] = a.value, a.format
		}
		out.ExecParams(s.sql, values, nil, formats, nil)
	}
	results := conn.PgConn().ExecBatch(ctx, &out)
	at := 0
	var bad error
	for results.NextResult() {
		s := b.statements[at]
		if err := s.read(results.ResultReader(), pool); err != nil {
			if b.failed != nil && at >= b.optional {
				b.failed(err.Error())
			} else {
				bad = errors.Join(bad, err)
			}
		}
		at++
	}
	if err := results.Close(); err != nil {
		// A query may fail after its answer has begun; at is beyond it then, but COMMIT
		// is no query.
		if b.failed != nil && at >= b.optional && refused(conn, err) {
			b.failed(briefError(err))
			return bad
		}
		return fmt.Errorf("%s: %w", b.statements[min(at, len(b.statements)-1)].name, err)
	}
	return bad
}

// refused tells whether the server has refused one statement, and nothing else
// has happened to the session.
func refused(conn *pgx.Conn, err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && !conn.IsClosed() && pgErr.Severity == "ERROR"
}

// read hands each row to the statement. An error of the server itself comes
// again when the batch is closed.
func (s statement) read(reader *pgconn.ResultReader, pool texts) error {
	r := row{pool: pool}
	for reader.NextRow() {
		if r.values = reader.Values(); s.row != nil {
			s.row(&r)
		}
	}
	if _, err := reader.Close(); err != nil {
		return nil
	}
	if r.err != nil {
		return fmt.Errorf("read the answer of %s: %w", s.name, r.err)
	}
	return nil
}

// texts keeps one copy of texts that many rows repeat, as the names of
// columns and roles.
type texts map[string]string

func (p texts) of(b []byte) string {
	if s, ok := p[string(b)]; ok {
		return s
	}
	s := string(b)
	p[s] = s
	return s
}

// row is one row of an answer, as text. The first value that is not what it
// should be is kept in err.
type row struct {
	values [][]byte
	pool   texts
	err    error
	// list is what oids returned last.
	list []uint32
}

func (r *row) null(i int) bool { return r.values[i] == nil }

// text is empty for NULL.
func (r *row) text(i int) string { return r.pool.of(r.values[i]) }

// once is as text, of a text that no other row is likely to have.
func (r *row) once(i int) string { return string(r.values[i]) }

func (r *row) flag(i int) bool { return len(r.values[i]) == 1 && r.values[i][0] == 't' }

// char is the value of type "char", 0 for NULL.
func (r *row) char(i int) byte {
	if len(r.values[i]) == 0 {
		return 0
	}
	return r.values[i][0]
}

func (r *row) int(i int) int64 { return r.parse(string(r.values[i])) }

func (r *row) parse(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil && r.err == nil {
		r.err = err
	}
	return n
}

func (r *row) oid(i int) uint32 { return uint32(r.int(i)) }

// oids is the value of an array of OIDs, or of one, until the next call.
func (r *row) oids(i int) []uint32 {
	r.list = r.list[:0]
	for text := range bytes.SplitSeq(bytes.Trim(r.values[i], "{}"), []byte{','}) {
		n := uint32(0)
		for _, c := range text {
			if c < '0' || c > '9' {
				r.err = fmt.Errorf("%q is no array of OIDs", r.values[i])
			}
			n = 10*n + uint32(c-'0')
		}
		r.list = append(r.list, n)
	}
	return r.list
}

// time is a number of microseconds since 1970, the zero time for NULL.
func (r *row) time(i int) time.Time {
	if r.null(i) {
		return time.Time{}
	}
	return time.UnixMicro(r.int(i)).UTC()
}

// argument is the value of a query's parameter, as text or in binary.
type argument struct {
	value  []byte
	format int16
}

func textArg(s string) argument { return argument{value: []byte(s)} }

// textArray is an array as PostgreSQL reads it (PostgreSQL documentation,
// 8.15.6 Array Input and Output Syntax).
func textArray(values []string) argument {
	var b []byte
	b = append(b, '{')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		for j := range len(v) {
			if v[j] == '"' || v[j] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, v[j])
		}
		b = append(b, '"')
	}
	return argument{value: append(b, '}')}
}

// oidArray and smallintArray are in the binary format, which takes the server a
// fraction of the time: the number of dimensions, a flag for NULLs, the type, the
// length and the first index, and then each value with its length (array_recv in
// PostgreSQL's utils/adt/arrayfuncs.c).
func oidArray(values []uint32) argument {
	b := arrayHeader(pgtype.OIDOID, len(values))
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, 4)
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return argument{b, pgx.BinaryFormatCode}
}

func smallintArray(values []int16) argument {
	b := arrayHeader(pgtype.Int2OID, len(values))
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, 2)
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	return argument{b, pgx.BinaryFormatCode}
}

func arrayHeader(element uint32, length int) []byte {
	b := make([]byte, 0, 20+8*length)
	dimensions := min(1, length)
	for _, v := range []uint32{uint32(dimensions), 0, element} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	if length == 0 {
		return b
	}
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, uint32(length)), 1)
}
