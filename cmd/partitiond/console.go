package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/partitiond/partitiond/maintenance/archive"
)

// console is where the log goes. If that is a terminal, its last line may show
// progress in place, and what is written takes the place of that line.
type console struct {
	mu    sync.Mutex
	w     io.Writer
	live  bool // it is a terminal
	shown bool
	last  time.Time
	began map[string]time.Time // of all that has told of itself
}

func newConsole(w io.Writer) *console {
	f, ok := w.(*os.File)
	return &console{w: w, live: ok && term.IsTerminal(int(f.Fd()))}
}

// clearLine goes back to the line's beginning and erases what is there.
const clearLine = "\r\x1b[K"

// Write writes whole lines. Progress that goes on is shown again soon.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	return c.w.Write(p)
}

func (c *console) clear() {
	if c.shown {
		fmt.Fprint(c.w, clearLine)
	}
	c.shown = false
}

// consoleEvery is how often the line is written anew.
const consoleEvery = 200 * time.Millisecond

// tell shows how far something is, on a terminal and nowhere else.
func (c *console) tell(what string, p archive.Progress) {
	if !c.live {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	began, ok := c.began[what]
	if !ok {
		if c.began == nil {
			c.began = map[string]time.Time{}
		}
		c.began[what], began = now, now
	}
	if now.Sub(c.last) < consoleEvery {
		return
	}
	c.last, c.shown = now, true
	fmt.Fprint(c.w, clearLine+progressLine(what, p, now.Sub(began)))
}

// end erases the line.
func (c *console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	c.last, c.began = time.Time{}, nil
}

// meter returns what shows the progress of one thing.
func (c *console) meter(what string) func(archive.Progress) {
	return func(p archive.Progress) { c.tell(what, p) }
}

func progressLine(what string, p archive.Progress, took time.Duration) string {
	line := fmt.Sprintf("%s: %d", what, p.Rows)
	if p.TotalRows > 0 {
		line += fmt.Sprintf(" of %d", p.TotalRows)
	}
	line += " rows"
	if took <= 0 {
		return line
	}
	line += fmt.Sprintf(", %.1f MB/s", float64(p.Bytes)/1e6/took.Seconds())
	if p.Rows > 0 && p.TotalRows > p.Rows {
		left := time.Duration(float64(took) * float64(p.TotalRows-p.Rows) / float64(p.Rows))
		line += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return line
}
