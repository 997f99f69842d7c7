package parquetfile

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/parquet-go/parquet-go"
)

// Part is a file that is complete.
type Part struct {
	// Number counts the parts, from 1 on.
	Number int
	// Bytes is the file's length.
	Bytes int64
	// Digest is that of the part's rows.
	Digest Digest
	// RowGroups is how many there are.
	RowGroups int
	// Key is the range of the keys; nil if it is not known, or all are NULL.
	Key *KeyRange
}

// PlanMetadata is the key of the file's metadata that has the plan in JSON, so
// that a part explains itself.
const PlanMetadata = "partitiond.columns"

// ErrNoNativeForm matches every [*NoNativeFormError].
var ErrNoNativeForm = errors.New("values have no native form in Parquet")

// NoNativeFormError says that columns have values for which there is no native
// form, as infinite timestamps or the numeric NaN, see the package
// documentation. With [Plan.AsText] for these columns an export of the same rows
// does not fail so.
type NoNativeFormError struct{ Columns []string }

// Error implements error.
func (e *NoNativeFormError) Error() string {
	return fmt.Sprintf("%v, in the columns %q", ErrNoNativeForm, e.Columns)
}

// Is makes [errors.Is] match [ErrNoNativeForm].
func (e *NoNativeFormError) Is(target error) bool { return target == ErrNoNativeForm }

// maxChunks is how many column chunks a part has at most. Each takes about a
// kilobyte of memory until the footer is written, and rows that compress well
// would not end a part by its length.
const maxChunks = 32 << 10

// pageBytes is how long a page is before it is compressed, more or less. Compared
// with pages of a megabyte an export takes a quarter less memory and some percent
// less of the processor's time, since a page stays in its caches while it is made
// and compressed, for files that are 2 % larger.
const pageBytes = 256 << 10

// Writer writes the output of COPY ... TO STDOUT (FORMAT binary) to parts. It is
// an [io.Writer] for one goroutine. Close must be called, also after an error.
//
// When a value has no native form, Write goes on to accept the stream, in which it
// only looks for further columns of that kind, and Close returns the
// [*NoNativeFormError]. So the COPY ends as usual, the connection and its snapshot
// can be used further, and one more attempt will do.
type Writer struct {
	plan    Plan
	options Options
	stream  *stream
	failed  failed

	free   chan []byte                            // memory for batches
	groups chan *parquet.ConcurrentRowGroupWriter // those that no batch has
	order  chan *batch                            // all batches, for commit
	work   chan *batch                            // the same, for an encoder
	last   *batch                                 // that was dispatched
	parts  parts
	wg     sync.WaitGroup
	closed bool

	quit chan struct{} // closed with the first error
	once sync.Once
	err  error
}

// batch is the tuples of one row group.
type batch struct {
	raw    []byte // until it is encoded
	large  bool   // raw is
	group  *parquet.ConcurrentRowGroupWriter
	digest Digest
	keys   span
	// encoded and written are closed when that is done.
	encoded, written chan struct{}
}

// NewWriter returns a writer for tuples of the plan.
func NewWriter(plan Plan, o Options) (*Writer, error) {
	w, err := newWriter(plan, o)
	if err != nil {
		return nil, fmt.Errorf("preparing to write Parquet: %w", err)
	}
	return w, nil
}

func newWriter(plan Plan, o Options) (*Writer, error) {
	if err := errors.Join(plan.valid(), o.complete()); err != nil {
		return nil, err
	}
	codecs, err := plan.codecs()
	if err != nil {
		return nil, err
	}
	key := -1
	if o.Key != "" {
		if key = plan.index(o.Key); key < 0 {
			return nil, fmt.Errorf("there is no column %q for the key", o.Key)
		}
		if !plan[key].keyed() {
			key = -1
		}
	}
	w := &Writer{
		plan: plan, options: o,
		free:   make(chan []byte, o.Encoders+2),
		groups: make(chan *parquet.ConcurrentRowGroupWriter, o.Encoders+1),
		order:  make(chan *batch, o.Encoders+1),
		work:   make(chan *batch),
		quit:   make(chan struct{}),
	}
	w.stream = newStream(len(plan), o.RowGroupBytes, w.dispatch)
	if err := w.parts.init(plan, codecs, o, key); err != nil {
		return nil, err
	}
	for range cap(w.groups) {
		w.groups <- w.parts.file.BeginRowGroup()
	}
	for range o.Encoders {
		w.wg.Go(func() { w.encode(newEncoder(plan, codecs, key, &w.failed)) })
	}
	w.wg.Go(w.commit)
	return w, nil
}

// Write implements [io.Writer].
func (w *Writer) Write(p []byte) (int, error) {
	if w.closed {
		return 0, errors.New("writing Parquet: the writer is closed")
	}
	select {
	case <-w.quit:
		return 0, w.err
	default:
	}
	if err := w.stream.write(p); err != nil {
		w.fail(err)
		return 0, w.err
	}
	return len(p), nil
}

// Close ends the last part. Without its success, the parts are not the table.
func (w *Writer) Close() error {
	if w.closed {
		return w.err
	}
	w.closed = true
	select {
	case <-w.quit:
	default:
		if err := w.stream.finish(); err != nil {
			w.fail(err)
		}
	}
	close(w.work)
	close(w.order)
	w.wg.Wait()
	select {
	case <-w.quit:
		return w.err
	default:
	}
	if w.failed.some() {
		w.fail(w.failed.error(w.plan))
	} else if err := w.parts.close(); err != nil {
		w.fail(err)
	}
	return w.err
}

// fail notes the first error and stops everything.
func (w *Writer) fail(err error) {
	w.once.Do(func() {
		w.err = fmt.Errorf("writing Parquet: %w", err)
		close(w.quit)
	})
}

// errStopped is never seen: another error came before.
var errStopped = errors.New("stopped")

// dispatch gives a batch to an encoder.
func (w *Writer) dispatch(raw []byte, _ int) ([]byte, error) {
	b := &batch{raw: raw, large: w.large(raw), encoded: make(chan struct{}), written: make(chan struct{})}
	// Of rows that are much larger than a row group there is one in memory at a time,
	// for what is made of it on the way takes several times its size.
	if b.large && !w.wait(w.last) {
		return nil, errStopped
	}
	// Groups are taken in the order of the batches. If encoders took them, later
	// batches could have all of them and wait for an earlier one without.
	select {
	case b.group = <-w.groups:
	case <-w.quit:
		return nil, errStopped
	}
	select {
	case w.order <- b:
	case <-w.quit:
		return nil, errStopped
	}
	select {
	case w.work <- b:
	case <-w.quit:
		return nil, errStopped
	}
	w.last = b
	if b.large && !w.wait(b) {
		return nil, errStopped
	}
	select {
	case next := <-w.free:
		return next, nil
	default:
		return make([]byte, 0, w.options.RowGroupBytes+2*piece), nil
	}
}

// large tells whether memory is too large to be kept for further batches.
func (w *Writer) large(memory []byte) bool {
	return cap(memory) > 2*w.options.RowGroupBytes+4*piece
}

// wait waits until the batch has been written, if there is one.
func (w *Writer) wait(b *batch) bool {
	if b == nil {
		return true
	}
	select {
	case <-b.written:
		return true
	case <-w.quit:
		return false
	}
}

// encode encodes batches until there are no more.
func (w *Writer) encode(e *encoder) {
	for b := range w.work {
		err := e.encode(b, func(memory []byte) {
			if w.large(memory) {
				return
			}
			select {
			case w.free <- memory[:0]:
			default:
			}
		})
		if err != nil {
			w.fail(err)
			return
		}
		close(b.encoded)
	}
}

// commit writes the row groups in order.
func (w *Writer) commit() {
	for b := range w.order {
		select {
		case <-b.encoded:
		case <-w.quit:
			return
		}
		if !w.failed.some() {
			if err := w.parts.add(b); err != nil {
				w.fail(err)
				return
			}
		}
		if b.large {
			// The old one would keep its memory, and so would the pools of parquet-go
			// until the collector has run twice.
			b.group = w.parts.file.BeginRowGroup()
			runtime.GC()
			debug.FreeOSMemory()
		}
		w.groups <- b.group
		close(b.written)
	}
}
