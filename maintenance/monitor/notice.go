package monitor

import (
	"fmt"
	"time"

	"github.com/partitiond/partitiond/maintenance"
)

// Notice is one thing that a person should know, and what to do about it.
type Notice struct {
	// Database is what it is called where there are several, and Set what it is about;
	// both are empty for the daemon as a whole.
	Database string `json:"database,omitempty"`
	Set      string `json:"set,omitempty"`
	What     string `json:"what"`
	// Do is what helps, empty where the text says it.
	Do string `json:"do,omitempty"`
}

// Label names what it is about, for people.
func (n Notice) Label() string { return maintenance.Label(n.Database, n.Set) }

// Notices puts what is wrong with a set into words, the worst first.
func (s Status) Notices() []Notice {
	var out []Notice
	add := func(what, do string) { out = append(out, Notice{s.Database, s.Set, what, do}) }
	if s.Error != "" {
		add("It could not be looked at: "+s.Error, "See whether the daemon's role may read the catalog and the parent.")
		return out
	}
	for _, c := range s.Cells {
		if c.Now && c.Table == "" {
			add("There is no table for the present.", "Run partitiond --run-now; rows make the table themselves where the trigger works.")
		}
	}
	type alike struct{ kind, hint string }
	count := map[alike]int{}
	for _, p := range s.Problems {
		count[alike{p.Kind, p.Hint}]++
	}
	for _, p := range s.Problems {
		if n := count[alike{p.Kind, p.Hint}]; n > 0 { // Of many that are alike the first stands for all.
			add(p.Kind+": "+p.Table+": "+p.Text+more(n-1), p.Hint)
			delete(count, alike{p.Kind, p.Hint})
		}
	}
	if n := len(s.Overdue); n > 0 {
		add(fmt.Sprintf("%s overdue: %s%s", plural(n, "action is", "actions are"), s.Overdue[0], more(n-1)),
			"See why the last pass did not do it, in its report and in the log; or run partitiond --run-now.")
	}
	if s.ArchiveError != "" {
		add("The archive could not be listed: "+s.ArchiveError, "Nothing is dropped that is not archived. See whether the store is there and its credentials are good.")
	}
	if s.Last != nil {
		out = append(out, s.Last.notices()...)
	}
	return out
}

// notices says what went wrong in the pass.
func (l Last) notices() []Notice {
	var out []Notice
	add := func(what, do string) { out = append(out, Notice{l.Report.Database, l.Report.Set, what, do}) }
	at := l.Ended.Format(timeLayout)
	if l.Report.Status == maintenance.Skipped {
		add("The pass that ended "+at+" left it out: "+l.Report.Error, "See whether partitiond runs twice.")
	} else if l.Report.Error != "" {
		add("The pass that ended "+at+" could not finish it: "+l.Report.Error, "The next pass tries again.")
	}
	for _, a := range l.Report.Actions {
		if a.Failed() {
			add("In the pass that ended "+at+", "+a.Action+" of "+a.Table+" failed: "+a.Error, "The next pass tries again.")
		}
	}
	return out
}

const timeLayout = "2006-01-02 15:04 MST"

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", n)
}

// Span puts a duration into words: its two largest units.
func Span(d time.Duration) string {
	units := []struct {
		name string
		is   time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}}
	d = d.Round(time.Second)
	for i, u := range units {
		n := int(d / u.is)
		if n == 0 {
			continue
		}
		text := plural(n, u.name, u.name+"s")
		if rest := d % u.is; n < 10 && i+1 < len(units) && rest >= units[i+1].is {
			next := units[i+1]
			text += " " + plural(int(rest/next.is), next.name, next.name+"s")
		}
		return text
	}
	return "0 seconds"
}

// Bytes prints a size with its unit of a thousand, and a dash for an unknown one.
func Bytes(n int64) string {
	if n < 0 {
		return "–"
	}
	v, unit := float64(n), 0
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	for v >= 999.5 && unit < len(units)-1 {
		v, unit = v/1000, unit+1
	}
	if unit > 0 && v < 9.95 {
		return fmt.Sprintf("%.1f %s", v, units[unit])
	}
	return fmt.Sprintf("%.0f %s", v, units[unit])
}

// Count prints a number with thin spaces between thousands, and a dash for an unknown one.
func Count(n int64) string {
	if n < 0 {
		return "–"
	}
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}
