package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/partitiond/partitiond/maintenance/archive"
)

// meter shows progress in place, on a terminal and nowhere else.
type meter struct {
	w           io.Writer // nil shows nothing
	what        string
	began, last time.Time
	shown       bool
}

func (o *options) newMeter(what string) *meter {
	m := &meter{what: what, began: time.Now()}
	if f, ok := o.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		m.w = f
	}
	return m
}

// meterEvery is how often the line is written anew.
const meterEvery = 200 * time.Millisecond

// clearLine goes back to the line's beginning and erases what is there.
const clearLine = "\r\x1b[K"

func (m *meter) tell(p archive.Progress) {
	if now := time.Now(); m.w != nil && now.Sub(m.last) >= meterEvery {
		m.last, m.shown = now, true
		fmt.Fprint(m.w, clearLine+progressLine(m.what, p, now.Sub(m.began)))
	}
}

// end erases the line, so that what is printed next has it for itself.
func (m *meter) end() {
	if m.shown {
		fmt.Fprint(m.w, clearLine)
	}
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
