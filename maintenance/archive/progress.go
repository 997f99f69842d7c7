package archive

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/time/rate"
)

// Progress tells how far an export, a verification or a restore is.
type Progress struct {
	// Rows are those that have passed. TotalRows is how many there will be, 0 if
	// that is not known: for an export it is the server's estimate.
	Rows, TotalRows int64
	// Bytes are those of the stream to or from the server, or of the files that are
	// read to verify them.
	Bytes int64
}

// partReader is the file of a part that is decoded, which tells how much of it has
// been read. Parquet may be read at several places at once.
type partReader struct {
	f    *os.File
	size int64
	tell func(read int64) // may be nil

	mu         sync.Mutex
	read, told int64
}

// Read implements [io.Reader].
func (r *partReader) Read(p []byte) (int, error) {
	n, err := r.f.Read(p)
	r.count(n)
	return n, err
}

// ReadAt implements [io.ReaderAt].
func (r *partReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.f.ReadAt(p, off)
	r.count(n)
	return n, err
}

func (r *partReader) count(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read = min(r.size, r.read+int64(n)) // Some bytes of Parquet are read twice.
	if r.tell != nil && r.read-r.told >= progressBytes {
		r.told = r.read
		r.tell(r.read)
	}
}

// progressBytes is how often somebody is told.
const progressBytes = 1 << 20

// paced is what the server's stream goes through: it counts, tells, and waits as
// the limit asks. The server waits with it, for COPY fills no more than the
// connection's buffers.
type paced struct {
	ctx     context.Context
	w       io.Writer
	limiter *rate.Limiter // nil is no limit
	now     Progress
	tell    func(Progress) // may be nil
	told    int64
	owed    int // bytes that have not been waited for
	step    func(string)
}

// pace is how many bytes are waited for at once.
const pace = 32 << 10

// newLimiter limits to so many bytes a second, 0 is no limit.
func newLimiter(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), pace)
}

// Write implements [io.Writer]. COPY sends one message for each row.
func (p *paced) Write(b []byte) (int, error) {
	if p.step != nil {
		p.step("row")
	}
	n, err := p.w.Write(b)
	p.now.Rows++
	p.now.Bytes += int64(n)
	if err != nil {
		return n, err
	}
	if p.limiter != nil {
		for p.owed += n; p.owed >= pace; p.owed -= pace {
			if err := p.limiter.WaitN(p.ctx, pace); err != nil {
				return n, fmt.Errorf("waiting as the limit asks: %w", err)
			}
		}
	}
	if p.tell != nil && p.now.Bytes-p.told >= progressBytes {
		p.told = p.now.Bytes
		p.tell(p.now)
	}
	return n, nil
}
