package monitor

import (
	"bytes"
	_ "embed" // The page's files.
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

var (
	//go:embed page.html
	pageText string
	//go:embed style.css
	styleSheet string
	//go:embed icon.svg
	icon string
)

// pageCells is how many cells of a set stand open on the page; the earlier ones
// are folded away.
const pageCells = 48

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"bytes": Bytes, "count": Count, "when": func(t time.Time) string { return t.Format(timeLayout) },
	"stamp":  func(t time.Time) string { return t.Format(time.RFC3339) },
	"plural": plural, "took": func(seconds float64) string {
		return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond).String()
	},
}).Parse(pageText))

// pageData is what the template draws.
type pageData struct {
	Version string
	// Looked is when the statuses were seen, zero if never; Now is this machine's clock.
	Looked, Now time.Time
	Running     bool
	Next        time.Time
	Notices     []Notice
	Sets        []pageSet
}

type pageSet struct {
	Status
	ID string
	// Earlier are the cells that are folded away, and Folded says what they are.
	Earlier, Recent []pageCell
	Folded          string
	// Remarks are the cells of which there is something to say.
	Remarks []Cell
	Runway  string
	Report  []pageAction
}

type pageCell struct {
	Cell
	// Lines are the label, in pieces that are not broken.
	Lines []string
	// Share is how large the cell is, in percent of the largest, 0 if unknown.
	Share int
}

type pageAction struct {
	maintenance.ActionReport
	Outcome string
}

func (m *Monitor) page(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, m.pageData(m.view(r.Context()), time.Now())); err != nil {
		m.log.Error("the status page could not be drawn", "error", err)
		plain(w, http.StatusInternalServerError, "the page could not be drawn; the log says why\n")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = body.WriteTo(w)
}

// statusJSON serves what the page shows to machines.
func (m *Monitor) statusJSON(w http.ResponseWriter, r *http.Request) {
	v := m.view(r.Context())
	out := struct {
		Version string    `json:"version"`
		Looked  time.Time `json:"looked"`
		Running bool      `json:"pass_running"`
		Notices []Notice  `json:"notices"`
		Sets    []Status  `json:"sets"`
	}{m.version, v.looked(), v.running, v.notices(), v.statuses}
	if out.Sets == nil {
		out.Sets = []Status{}
	}
	body, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		m.log.Error("the status could not be written", "error", err)
		plain(w, http.StatusInternalServerError, "the status could not be written; the log says why\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n'))
}

func (m *Monitor) pageData(v view, now time.Time) pageData {
	d := pageData{Version: m.version, Looked: v.looked(), Now: now, Running: v.running, Next: v.next, Notices: v.notices()}
	for i, s := range v.statuses {
		d.Sets = append(d.Sets, drawSet(s, fmt.Sprintf("set-%d", i+1)))
	}
	return d
}

func drawSet(s Status, id string) pageSet {
	out := pageSet{Status: s, ID: id, Runway: s.Runway()}
	largest := int64(1)
	for _, c := range s.Cells {
		largest = max(largest, c.Bytes)
	}
	cells := make([]pageCell, len(s.Cells))
	for i, c := range s.Cells {
		cells[i].Cell, cells[i].Lines = c, lines(c.Label)
		if c.Why != "" {
			out.Remarks = append(out.Remarks, c)
		}
		if c.Bytes > 0 {
			cells[i].Share = max(1, int(100*float64(c.Bytes)/float64(largest)))
		}
	}
	// A few more are not worth a fold.
	if fold := len(cells) - pageCells; fold > pageCells/4 {
		out.Earlier, cells = cells[:fold], cells[fold:]
		out.Folded = foldedText(s.Cells[:fold])
	}
	out.Recent = cells
	if s.Last != nil {
		for _, a := range s.Last.Report.Actions {
			out.Report = append(out.Report, pageAction{a, outcome(a)})
		}
	}
	return out
}

// lines breaks a label of two ends in two.
func lines(label string) []string {
	if from, to, two := strings.Cut(label, " to "); two {
		return []string{from, "to " + to}
	}
	return []string{label}
}

func outcome(a maintenance.ActionReport) string {
	switch {
	case a.Held:
		return "held"
	case a.Skipped:
		return "skipped"
	case a.Error != "":
		return "failed"
	}
	return "done"
}

// foldedText says what is in cells: "120 earlier: 100 kept, 20 archived".
func foldedText(cells []Cell) string {
	var parts []string
	for _, state := range States {
		n := 0
		for _, c := range cells {
			if c.State == state {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return fmt.Sprintf("%d earlier: %s", len(cells), strings.Join(parts, ", "))
}

// States are all states of cells, in the order in which they are counted.
var States = []partition.CellState{
	partition.CellProblem, partition.CellMissing, partition.CellDue, partition.CellHeld, partition.CellAhead,
	partition.CellCurrent, partition.CellKept, partition.CellArchived, partition.CellNone,
}

// Runway says in words until when there is a table for every row.
func (s Status) Runway() string {
	switch {
	case s.RunsOut == nil && s.Error != "":
		return "unknown"
	case s.RunsOut == nil:
		return "without end"
	case *s.RunwaySeconds == 0:
		return "none: the present has no table"
	}
	left := Span(time.Duration(*s.RunwaySeconds * float64(time.Second)))
	return left + ", until " + s.RunsOut.Format(timeLayout)
}
