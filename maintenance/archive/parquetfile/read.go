package parquetfile

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// readers is how many row groups are decoded at the same time.
const readers = 2

// readBuffer is how much of a column chunk is read at once.
const readBuffer = 256 << 10

// ErrDamaged matches the error of a file that is not as it was written, as far
// as that can be seen from itself. Whether it is the right file, its [Digest]
// tells.
var ErrDamaged = errors.New("the part is damaged")

// Read decodes a part to the tuples that were written to it, bit by bit and in
// the same order, and returns their digest. Columns that are as text have the
// binary form of text. If emit is not nil, it gets the tuples, many at once, and
// may use them until it returns; its error ends Read. A file that is not one of
// the plan, or is damaged, is an error, which maybe comes only after many tuples.
// Look at the file's SHA-256 first where there is one: a damaged header of a page
// can make parquet-go allocate up to 2 GiB before it finds out.
func Read(ctx context.Context, r io.ReaderAt, size int64, plan Plan, emit func(tuples []byte) error) (Digest, error) {
	d, err := read(ctx, r, size, plan, emit)
	if err != nil {
		return Digest{}, fmt.Errorf("reading a part: %w", err)
	}
	return d, nil
}

func read(ctx context.Context, r io.ReaderAt, size int64, plan Plan, emit func([]byte) error) (total Digest, err error) {
	if err := plan.valid(); err != nil {
		return total, err
	}
	codecs, err := plan.codecs()
	if err != nil {
		return total, err
	}
	f, err := open(r, size)
	if err != nil {
		return total, err
	}
	if err := plan.check(f, codecs); err != nil {
		return total, err
	}
	ctx, stop := context.WithCancel(ctx)
	q := queue{
		results: make(chan chan decoded, readers),
		free:    make(chan []byte, readers),
		places:  make(chan struct{}, readers),
	}
	go q.fill(ctx, f, plan, codecs, emit != nil)
	defer func() { // Nothing reads from r when Read has returned.
		stop()
		for result := range q.results {
			<-result
		}
	}()
	for result := range q.results {
		d := <-result
		if d.err != nil {
			return total, d.err
		}
		total.Add(d.digest)
		if emit != nil {
			if err := emit(d.tuples); err != nil {
				return total, err
			}
		}
		q.release(d)
	}
	if err := ctx.Err(); err != nil {
		return total, err
	}
	if total.Rows != f.NumRows() {
		return total, fmt.Errorf("%w: it has %d rows, its footer says %d", ErrDamaged, total.Rows, f.NumRows())
	}
	return total, nil
}

// queue is the row groups that are in memory, decoded or about to be.
type queue struct {
	results chan chan decoded // in the order of the row groups
	free    chan []byte       // memory for tuples
	places  chan struct{}     // each of them takes one, and a large one takes all
}

// largeRowGroup is how long one is that takes all places.
const largeRowGroup = 32 << 20

// fill decodes one row group after the other.
func (q *queue) fill(ctx context.Context, f *parquet.File, plan Plan, codecs []codec, keep bool) {
	defer close(q.results)
	for i, g := range f.RowGroups() {
		places := 1
		if f.Metadata().RowGroups[i].TotalByteSize > largeRowGroup {
			places = readers
		}
		for range places {
			select {
			case q.places <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
		var memory []byte
		select {
		case memory = <-q.free:
		default:
		}
		result := make(chan decoded, 1)
		q.results <- result
		go func() {
			d := decode(ctx, plan, codecs, g, memory, keep)
			d.places = places
			result <- d
		}()
	}
}

// release makes room for others.
func (q *queue) release(d decoded) {
	if d.places == 1 {
		q.free <- d.tuples[:0] // It was taken from there, or there is a place more.
	}
	for range d.places {
		<-q.places
	}
}

// ReadPlan returns the plan that a part's own metadata has, for the case that its
// manifest is lost.
func ReadPlan(r io.ReaderAt, size int64) (plan Plan, err error) {
	f, err := open(r, size)
	if err != nil {
		return nil, fmt.Errorf("reading a part's columns: %w", err)
	}
	text, ok := f.Lookup(PlanMetadata)
	if !ok {
		return nil, fmt.Errorf("reading a part's columns: the file has no metadata %q", PlanMetadata)
	}
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		return nil, fmt.Errorf("reading a part's columns: %w", err)
	}
	return plan, nil
}

// magic is at both ends of a file.
const magic = "PAR1"

// open reads the footer.
func open(r io.ReaderAt, size int64) (f *parquet.File, err error) {
	defer rescue(&err)
	// parquet-go would allocate whatever the footer says its length is.
	var tail [footerTail]byte
	if size < int64(len(magic)+footerTail) {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrDamaged, size)
	}
	if _, err := r.ReadAt(tail[:], size-footerTail); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the end of the file: %w", err)
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if string(tail[4:]) != magic || length > size-int64(len(magic)+footerTail) {
		return nil, fmt.Errorf("%w: it does not end like a Parquet file", ErrDamaged)
	}
	f, err = parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(readBuffer))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return f, nil
}

// rescue makes an error of a panic. parquet-go checks much of what it reads, but
// not all.
func rescue(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrDamaged, p)
	}
}

// decoded is the tuples of a row group.
type decoded struct {
	tuples []byte // if they are wanted
	digest Digest
	err    error
	places int // in the queue
}

// decode decodes a row group. If the tuples are not to be kept, each block of them
// takes the place of the one before.
func decode(ctx context.Context, plan Plan, codecs []codec, g parquet.RowGroup, memory []byte, keep bool) (d decoded) {
	defer rescue(&d.err)
	d.tuples = memory[:0]
	chunks := g.ColumnChunks()
	if len(chunks) != len(plan) {
		return decoded{err: fmt.Errorf("%w: a row group has %d columns, not %d", ErrDamaged, len(chunks), len(plan))}
	}
	cursors := make([]cursor, len(plan))
	defer func() {
		for i := range cursors {
			cursors[i].close()
		}
	}()
	rows := int64(min(max(blockValues/len(plan), 1), blockRows))
	block := make([][]parquet.Value, len(plan))
	for i, c := range chunks {
		if c.NumValues() != g.NumRows() {
			return decoded{err: fmt.Errorf("%w: the column %q has %d values in %d rows", ErrDamaged, plan[i].Name, c.NumValues(), g.NumRows())}
		}
		cursors[i].pages = c.Pages()
		block[i] = make([]parquet.Value, min(rows, g.NumRows()))
	}
	for left := g.NumRows(); left > 0; left -= rows {
		if err := ctx.Err(); err != nil {
			return decoded{err: err}
		}
		rows = min(rows, left)
		for i := range cursors {
			if err := cursors[i].read(block[i][:rows]); err != nil {
				return decoded{err: fmt.Errorf("%w: the column %q: %w", ErrDamaged, plan[i].Name, err)}
			}
		}
		if !keep {
			d.tuples = d.tuples[:0]
		}
		for row := range rows {
			start := len(d.tuples)
			d.tuples = appendUint16(d.tuples, uint16(len(plan)))
			for i := range block {
				var err error
				if d.tuples, err = codecs[i].append(d.tuples, block[i][row]); err != nil {
					return decoded{err: fmt.Errorf("%w: the column %q: %w", ErrDamaged, plan[i].Name, err)}
				}
			}
			d.digest.add(d.tuples[start:])
		}
		for i := range cursors {
			cursors[i].release()
		}
	}
	return d
}

// cursor reads the values of a column chunk, page by page.
type cursor struct {
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	// past are pages that have been read, but values of the block point to them.
	past []parquet.Page
}

// read fills v, or fails.
func (c *cursor) read(v []parquet.Value) error {
	for len(v) > 0 {
		if c.page == nil {
			page, err := c.pages.ReadPage()
			if errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			if err != nil {
				return err
			}
			c.page, c.values = page, page.Values()
		}
		n, err := c.values.ReadValues(v)
		v = v[n:]
		switch {
		case errors.Is(err, io.EOF):
			c.past = append(c.past, c.page)
			c.page = nil
		case err != nil:
			return err
		case n == 0:
			return io.ErrNoProgress
		}
	}
	return nil
}

// release lets go of pages that nothing points to any more.
func (c *cursor) release() {
	for _, p := range c.past {
		parquet.Release(p)
	}
	c.past = c.past[:0]
}

func (c *cursor) close() {
	c.release()
	if c.page != nil {
		parquet.Release(c.page)
	}
	if c.pages != nil {
		_ = c.pages.Close() // It was only read.
	}
}
