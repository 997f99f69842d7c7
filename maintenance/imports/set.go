// Package imports reads the settings of other partition managers and writes them as
// sets of a configuration file.
package imports

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Set is one set as another manager keeps it.
type Set struct {
	Parent partition.Name
	Key    string
	// Interval, Name and Keep are as the configuration has them; an empty one is left out.
	Interval, Name, Keep string
	Ahead                int
	// TimeZone is where the other manager's days begin, empty for UTC.
	TimeZone string
	// Then is what becomes of old partitions there, and Schema where they go.
	Then, Schema string
	// Trigger and Function are those of a set by inheritance.
	Trigger, Function string
	// Refused is why it cannot be served; all else may be missing then.
	Refused string
	// Notes are for whoever reads the file.
	Notes []string
}

// TOML returns the set as a part of a configuration file. What is done with old
// partitions is only written down as a comment, unless removals are wanted: the first pass of
// a new manager must not be the one that removes.
func (s Set) TOML(removals bool) string {
	var b strings.Builder
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "# %s\n", oneLine(n))
	}
	if s.Refused != "" {
		fmt.Fprintf(&b, "# %s is left out: %s.\n", oneLine(s.Parent.String()), oneLine(s.Refused))
		return b.String()
	}
	b.WriteString("[[set]]\n")
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s = %s\n", key, strconv.Quote(value))
		}
	}
	line("parent", quoted(s.Parent.Schema)+"."+quoted(s.Parent.Local))
	line("key", quoted(s.Key))
	line("interval", s.Interval)
	line("name", s.Name)
	fmt.Fprintf(&b, "ahead = %d\n", s.Ahead)
	line("time_zone", s.TimeZone)
	if s.Trigger != "" {
		line("trigger", quoted(s.Trigger))
		line("function", quoted(s.Function))
		b.WriteString("takeover = true\n")
	}
	if s.Keep == "" {
		return b.String()
	}
	b.WriteString("[set.retention]\n")
	line("keep", s.Keep)
	then := "then = " + strconv.Quote(s.Then) + "\n"
	if s.Schema != "" {
		then += "schema = " + strconv.Quote(quoted(s.Schema)) + "\n"
	}
	if !removals {
		b.WriteString("then = \"keep\"\n# So far nothing is removed. This is what was done; have a look at --run-now --dry-run with it:\n")
		then = "# " + strings.ReplaceAll(strings.TrimSuffix(then, "\n"), "\n", "\n# ") + "\n"
	}
	b.WriteString(then)
	return b.String()
}

// quoted writes an identifier as the configuration reads it.
func quoted(name string) string {
	if n, err := partition.ParseName("x." + name); err == nil && n.Local == name {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// pattern escapes a text for a name pattern.
func pattern(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// oneLine makes one line of a text, for a comment.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
