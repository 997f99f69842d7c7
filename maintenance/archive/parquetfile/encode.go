package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
)

// encoder turns batches of tuples into row groups, one after the other.
type encoder struct {
	plan   Plan
	codecs []codec
	key    int // the key's column, or -1
	failed *failed

	// values are those of one block, by column; those of 16 bytes are in arena.
	values [][]parquet.Value
	arena  []byte
	// page is how many bytes each column has got since its last page.
	page []int
}

// A block is what is gathered before it goes to the columns: few enough values
// to stay in the processor's caches, and few enough bytes that a page, which ends
// with a block, does not become much larger than it should.
const (
	blockValues = 8 << 10
	blockRows   = 1 << 10
	blockBytes  = 256 << 10
)

func newEncoder(plan Plan, codecs []codec, key int, f *failed) *encoder {
	e := &encoder{plan: plan, codecs: codecs, key: key, failed: f,
		values: make([][]parquet.Value, len(plan)), page: make([]int, len(plan))}
	rows := min(max(blockValues/len(plan), 1), blockRows)
	for i := range e.values {
		e.values[i] = make([]parquet.Value, 0, rows)
	}
	e.arena = make([]byte, 0, 16*blockValues)
	return e
}

// encode encodes the batch's tuples, and gives their memory away. If a value of
// some column has no native form, or one before had none, the row group is
// unusable and only the columns of that kind are noted.
func (e *encoder) encode(b *batch, free func([]byte)) error {
	columns := b.group.ColumnWriters()
	clear(e.page)
	for left := b.raw; len(left) > 0; {
		n, err := e.block(left, &b.digest, &b.keys)
		if err != nil {
			return err
		}
		left = left[n:]
		for i, v := range e.values {
			if !e.failed.some() {
				if _, err := columns[i].WriteRowValues(v); err != nil {
					return e.wrap(i, err)
				}
			}
			// What the values point to shall not be kept by them.
			clear(v)
			e.values[i] = v[:0]
		}
		e.arena = e.arena[:0]
		if len(left) == 0 {
			// All has been copied, and the columns need memory to compress.
			memory := b.raw
			left, b.raw = nil, nil
			free(memory)
		}
		for i, c := range columns {
			if (len(left) == 0 || e.page[i] >= pageBytes) && !e.failed.some() {
				if err := c.Flush(); err != nil {
					return e.wrap(i, err)
				}
				e.page[i] = 0
			}
		}
	}
	return nil
}

func (e *encoder) wrap(column int, err error) error {
	return fmt.Errorf("encoding the column %q: %w", e.plan[column].Name, err)
}

// block gathers the values of some tuples and returns how long those are.
func (e *encoder) block(raw []byte, d *Digest, keys *span) (at int, err error) {
	rows := cap(e.values[0])
	for ; rows > 0 && at < len(raw) && at < blockBytes; rows-- {
		start := at
		at += 2
		for i := range e.codecs {
			length := int(int32At(raw[at:]))
			at += 4
			if length < 0 {
				e.values[i] = append(e.values[i], parquet.Value{}.Level(0, 0, i))
				continue
			}
			e.page[i] += length
			v, ok, err := e.value(i, raw[at:at+length:at+length])
			if err != nil {
				return at, err
			}
			at += length
			if !ok {
				e.failed.add(i)
			}
			if i == e.key {
				keys.add(v.Int64())
			}
			e.values[i] = append(e.values[i], v.Level(0, 1, i))
		}
		d.add(raw[start:at])
	}
	return at, nil
}

// lengths are those of the values of types that have one.
var lengths = [kindJSONB + 1]int{
	kindBool: 1, kindInt2: 2, kindInt4: 4, kindInt8: 8, kindFloat4: 4, kindFloat8: 8,
	kindDate: 4, kindTimestamp: 8, kindUUID: 16,
}

// ErrNoCharacters says that the server would not take back what it printed: before
// release 15 a byte of type "char" that is not ASCII comes as it is.
var ErrNoCharacters = errors.New("is not UTF-8, and so could not be restored")

// value returns a field's value, and whether there is one.
func (e *encoder) value(i int, b []byte) (v parquet.Value, ok bool, err error) {
	c := &e.codecs[i]
	if n := lengths[c.kind]; n != 0 && len(b) != n {
		return v, false, fmt.Errorf("a value of the column %q, type %s, has %d bytes, not %d", e.plan[i].Name, e.plan[i].Type, len(b), n)
	}
	switch c.kind {
	case kindBool:
		if b[0] > 1 {
			return v, false, fmt.Errorf("a value of the column %q is a boolean with the byte %d", e.plan[i].Name, b[0])
		}
		return parquet.BooleanValue(b[0] == 1), true, nil
	case kindInt2:
		return parquet.Int32Value(int32(int16At(b))), true, nil
	case kindInt4:
		return parquet.Int32Value(int32At(b)), true, nil
	case kindInt8:
		return parquet.Int64Value(int64At(b)), true, nil
	case kindFloat4:
		return parquet.FloatValue(math.Float32frombits(binary.BigEndian.Uint32(b))), true, nil
	case kindFloat8:
		return parquet.DoubleValue(math.Float64frombits(uint64At(b))), true, nil
	case kindDate:
		days, ok := parquetDate(int32At(b))
		return parquet.Int32Value(days), ok, nil
	case kindTimestamp:
		micros, ok := parquetMicros(int64At(b))
		return parquet.Int64Value(micros), ok, nil
	case kindUUID:
		return parquet.FixedLenByteArrayValue(b), true, nil
	case kindJSONB:
		// A version and the text, see jsonb_send in PostgreSQL's
		// src/backend/utils/adt/jsonb.c. There is but version 1.
		if len(b) == 0 || b[0] != 1 {
			return v, false, nil
		}
		return parquet.ByteArrayValue(b[1:]), true, nil
	case kindBytes:
		if c.text && !utf8.Valid(b) {
			return v, false, fmt.Errorf("a value of the column %q, type %s, %w", e.plan[i].Name, e.plan[i].Type, ErrNoCharacters)
		}
		return parquet.ByteArrayValue(b), true, nil
	}
	if len(b) < numericHeader {
		return v, false, fmt.Errorf("a value of the column %q is a numeric of %d bytes", e.plan[i].Name, len(b))
	}
	u, minus, ok := parseNumeric(b, c.precision, c.scale)
	if minus {
		u = u.negate()
	}
	switch c.kind {
	case kindDecimal32:
		return parquet.Int32Value(int32(u.lo)), ok, nil
	case kindDecimal64:
		return parquet.Int64Value(int64(u.lo)), ok, nil
	}
	start := len(e.arena)
	e.arena = binary.BigEndian.AppendUint64(e.arena, u.hi)
	e.arena = binary.BigEndian.AppendUint64(e.arena, u.lo)
	return parquet.FixedLenByteArrayValue(e.arena[start:]), ok, nil
}

// failed notes the columns that have a value without a native form.
type failed struct {
	any     atomic.Bool
	mu      sync.Mutex
	columns map[int]bool
}

// some tells whether there is one.
func (f *failed) some() bool { return f.any.Load() }

func (f *failed) add(column int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.columns == nil {
		f.columns = map[int]bool{}
	}
	f.columns[column] = true
	f.any.Store(true)
}

// error returns the error that says so.
func (f *failed) error(plan Plan) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := &NoNativeFormError{}
	for i, c := range plan {
		if f.columns[i] {
			e.Columns = append(e.Columns, c.Name)
		}
	}
	return e
}
