package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/partitiond/partitiond/maintenance/monitor"
	"github.com/partitiond/partitiond/maintenance/partition"
)

func (o *options) newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show each set as a strip of periods, what is wrong, and what a pass would do",
		Long: `Status shows what the daemon's status page shows: each set's periods with their
sizes, from the archived ones to those made ahead, what needs somebody, and what a
pass would do now. It needs no daemon and changes nothing. What is wrong does not
change the exit code: that is for partitiond check.

The strip has a letter for each period: A ahead, C current, k kept, D due, a
archived, H held, M missing, P problem, and a dot where no table is needed. On a
terminal it has colours, unless NO_COLOR is set.

` + exitHelp,
		Example: `  partitiond status --config /etc/partitiond/config.toml
  partitiond status --config config.toml --set public.events --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.runStatus(cmd.Context()) },
	}
	o.setFlag(cmd)
	o.jsonFlag(cmd)
	return cmd
}

func (o *options) runStatus(ctx context.Context) error {
	t, err := o.ready(newConsole(o.stderr))
	if err != nil {
		return err
	}
	statuses, err := monitor.Look(ctx, t.source())
	if err != nil {
		return exitWith("", err)
	}
	if o.json {
		return printJSON(o.stdout, statuses)
	}
	p := printerTo(o.stdout)
	for i, s := range statuses {
		if i > 0 {
			fmt.Fprintln(o.stdout)
		}
		p.status(s)
	}
	return nil
}

// stripPrinter prints strips for people.
type stripPrinter struct {
	w     io.Writer
	width int
	// colour tells whether the terminal gets colours.
	colour bool
}

// plainWidth is how wide lines become where nobody says how wide they may be.
const plainWidth = 80

func printerTo(w io.Writer) stripPrinter {
	p := stripPrinter{w: w, width: plainWidth}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.colour = os.Getenv("NO_COLOR") == ""
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 20 {
			p.width = width
		}
	}
	return p
}

// stateLook is how a state looks: its letter, and the colours of SGR (ECMA-48), from
// the 256 that nearly every terminal has.
type stateLook struct{ letter, sgr string }

var stateLooks = map[partition.CellState]stateLook{
	partition.CellAhead:    {"A", "38;5;22;48;5;151"},
	partition.CellCurrent:  {"C", "1;38;5;231;48;5;29"},
	partition.CellKept:     {"k", "38;5;17;48;5;153"},
	partition.CellDue:      {"D", "38;5;58;48;5;222"},
	partition.CellArchived: {"a", "38;5;235;48;5;251"},
	partition.CellHeld:     {"H", "38;5;54;48;5;183"},
	partition.CellMissing:  {"M", "1;38;5;231;48;5;160"},
	partition.CellProblem:  {"P", "1;38;5;231;48;5;124"},
	partition.CellNone:     {".", "2"},
}

func (p stripPrinter) paint(sgr, text string) string {
	if !p.colour || sgr == "" {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

func (p stripPrinter) status(s monitor.Status) {
	word, sgr := "healthy", "32"
	if !s.Healthy {
		word, sgr = "NOT HEALTHY", "1;31"
	}
	fmt.Fprintf(p.w, "%s: %s\n", p.paint("1", s.Label()), p.paint(sgr, word))
	for _, n := range s.Notices() {
		fmt.Fprintf(p.w, "  %s %s\n", p.paint("1;31", "!"), n.What)
		if n.Do != "" {
			fmt.Fprintf(p.w, "    %s\n", n.Do)
		}
	}
	if s.Error != "" {
		return
	}
	fmt.Fprintf(p.w, "  a table for every row: %s\n", s.Runway())
	fmt.Fprintf(p.w, "  %s, about %s rows; %s each, %s\n", monitor.Bytes(s.Bytes), monitor.Count(s.Rows), s.Interval, s.Retention)
	if s.Backlog.Partitions > 0 {
		fmt.Fprintf(p.w, "  to be archived: %d partitions, %s\n", s.Backlog.Partitions, monitor.Bytes(s.Backlog.Bytes))
	}
	p.strip(s.Cells)
	p.cells(s.Cells)
	p.plan(s)
}

// strip prints a letter for each cell, as many to a line as fit.
func (p stripPrinter) strip(cells []monitor.Cell) {
	const indent = "  "
	for len(cells) > 0 {
		n := min(len(cells), p.width-len(indent))
		fmt.Fprintln(p.w)
		var line strings.Builder
		for _, c := range cells[:n] {
			l := stateLooks[c.State]
			line.WriteString(p.paint(l.sgr, l.letter))
		}
		fmt.Fprintln(p.w, indent+line.String())
		cells = cells[n:]
	}
	fmt.Fprintln(p.w)
}

// listedAtMost is how many neighbours that are alike are listed one by one.
const listedAtMost = 4

// cells lists the cells; many that are kept or archived in a row are summed up.
func (p stripPrinter) cells(cells []monitor.Cell) {
	for i := 0; i < len(cells); {
		n := 1
		for i+n < len(cells) && cells[i+n].State == cells[i].State && cells[i].Why == "" && cells[i+n].Why == "" {
			n++
		}
		quiet := cells[i].State == partition.CellKept || cells[i].State == partition.CellArchived || cells[i].State == partition.CellAhead
		if !quiet || n <= listedAtMost {
			for _, c := range cells[i : i+n] {
				p.cell(c, c.Label, c.Rows, c.Bytes)
			}
			i += n
			continue
		}
		var rows, bytes int64
		for _, c := range cells[i : i+n] {
			rows, bytes = rows+max(0, c.Rows), bytes+max(0, c.Bytes)
		}
		p.cell(cells[i], fmt.Sprintf("%s to %s", cells[i].Label, cells[i+n-1].Label), rows, bytes)
		i += n
	}
}

func (p stripPrinter) cell(c monitor.Cell, label string, rows, bytes int64) {
	state := string(c.State)
	if c.Periods > 1 {
		state = fmt.Sprintf("%s (%d)", state, c.Periods)
	}
	line := fmt.Sprintf("  %s %s %s", p.paint(stateLooks[c.State].sgr, stateLooks[c.State].letter), pad(label, 24), pad(state, 10))
	if c.Table != "" || c.State == partition.CellArchived {
		line += " " + padLeft(monitor.Bytes(bytes), 8)
		if rows >= 0 {
			line += " " + padLeft(monitor.Count(rows), 14) + " rows"
		}
	}
	if c.Why != "" {
		line += "  " + c.Why
	}
	fmt.Fprintln(p.w, strings.TrimRight(line, " "))
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

func padLeft(text string, width int) string {
	return strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text))) + text
}

func (p stripPrinter) plan(s monitor.Status) {
	fmt.Fprintln(p.w)
	if !s.NextPass.IsZero() {
		fmt.Fprintf(p.w, "  next pass: %s, in %s\n", s.NextPass.Format("2006-01-02 15:04 MST"), monitor.Span(s.NextPass.Sub(s.Now).Round(time.Second)))
	}
	if len(s.Plan) == 0 {
		fmt.Fprintln(p.w, "  a pass now would do nothing")
	} else {
		fmt.Fprintln(p.w, "  a pass now would:")
	}
	for _, a := range s.Plan {
		fmt.Fprintf(p.w, "    %s %s: %s\n", a.Action, a.Table, a.Reason)
	}
	for _, w := range s.Withheld {
		fmt.Fprintln(p.w, "  withheld:", w)
	}
	for _, h := range s.Held {
		fmt.Fprintln(p.w, "  held:", h)
	}
}
