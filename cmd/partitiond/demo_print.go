package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// demoWidth is how many columns the demo's lines have at most.
const demoWidth = 100

// demoPrinter writes for people. Colours are for terminals only.
type demoPrinter struct {
	w      io.Writer
	colour bool
	cancel context.CancelCauseFunc
}

func newDemoPrinter(w io.Writer, cancel context.CancelCauseFunc) *demoPrinter {
	f, isFile := w.(*os.File)
	colour := isFile && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &demoPrinter{w: w, colour: colour, cancel: cancel}
}

// demoWriteError says that nobody takes the demo's output any more.
type demoWriteError struct{ err error }

func (e *demoWriteError) Error() string { return "demo: write the output: " + e.err.Error() }

func (e *demoWriteError) Unwrap() error { return e.err }

// Write implements [io.Writer]. If it fails it also ends the demo, which there is
// nobody left to see.
func (p *demoPrinter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if err != nil {
		p.cancel(&demoWriteError{err})
	}
	return n, err
}

func (p *demoPrinter) print(format string, args ...any) { fmt.Fprintf(p, format, args...) }

func (p *demoPrinter) line(format string, args ...any) { p.print(format+"\n", args...) }

func (p *demoPrinter) heading(format string, args ...any) {
	p.line("")
	p.line("%s", p.paint("1", fmt.Sprintf(format, args...)))
}

// paint gives text an ANSI style on a terminal.
func (p *demoPrinter) paint(style, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// block prints lines of text indented.
func (p *demoPrinter) block(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		p.line("%s", strings.TrimRight("  "+line, " \n"))
	}
}

// fold prints a text that may be longer than a line, broken at spaces.
func (p *demoPrinter) fold(indent, text string) {
	line := indent
	for _, word := range strings.Fields(text) {
		if line != indent && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > demoWidth {
			p.line("%s", line)
			line = indent + "  "
		} else if line != indent {
			line += " "
		}
		line += word
	}
	p.line("%s", line)
}

// table prints rows in columns as wide as they have to be, the first row as
// their heads. Columns with an r in align stand to the right.
func (p *demoPrinter) table(align string, rows [][]string) {
	widths := make([]int, len(align))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if align[i] == 'r' {
				cell = pad + cell
			} else {
				cell += pad
			}
			line.WriteString("  " + cell)
		}
		text := strings.TrimRight(line.String(), " ")
		if n == 0 {
			text = p.paint("2", text)
		}
		p.line("%s", text)
	}
}

// counted writes a number with its thousands apart.
func counted(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// sized writes a number of bytes in the unit that fits.
func sized(n int64) string {
	switch {
	case n >= 1_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1000:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}
