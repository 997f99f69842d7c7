package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// FuzzParse checks that nothing makes Parse panic, that all its errors are
// whole, and that what it accepts is what its types promise.
func FuzzParse(f *testing.F) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add(defaultLine.ReplaceAllString(string(text), "$1"))
	for _, test := range invalid {
		f.Add(strings.Replace(test.text, "+", "[[set]]\nparent = \"events\"\nkey = \"at\"\n", 1))
	}
	for _, test := range fleetErrors {
		f.Add(shards + test.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("config.toml", []byte(text))
		if err != nil {
			var typed *Error
			if !errors.As(err, &typed) || typed.Want == "" || typed.Line < 0 || typed.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("not a whole error: %#v", err)
			}
			return
		}
		checkAllFound(t, text)
		if len(c.Databases) == 0 || c.Schedule.Databases < 1 || c.Schedule.Parallel < 1 || c.Schedule.Cron == nil || c.Schedule.Location == nil {
			t.Fatalf("%+v", c)
		}
		names := map[string]bool{}
		for _, d := range c.Databases {
			if names[d.Name] || (d.Name == "") == c.Fleet() || len(d.Sets) == 0 || d.ConnectTimeout <= 0 {
				t.Fatalf("database %q of %+v", d.Name, c)
			}
			names[d.Name] = true
			seen := map[partition.Name]bool{}
			for _, s := range d.Sets {
				if seen[s.Parent] {
					t.Fatalf("%s twice", s.Parent)
				}
				seen[s.Parent] = true
				checkSet(t, s)
			}
		}
	})
}

// checkAllFound checks that the scanner saw every key that the library did, and
// no other.
func checkAllFound(t *testing.T, text string) {
	t.Helper()
	var tree map[string]any
	if _, err := toml.Decode(text, &tree); err != nil {
		t.Fatal(err)
	}
	found := locate(text)
	var walk func(path string, value any) int
	walk = func(path string, value any) int {
		if _, ok := found[path]; !ok && path != "" {
			t.Fatalf("%s is not found", path)
		}
		n := 1
		if table, ok := value.(map[string]any); ok {
			for key, v := range table {
				n += walk(join(path, key), v)
			}
		} else if tables, ok := tablesOf(value); ok {
			for i, v := range tables {
				n += walk(element(path, i), v)
			}
		} else if array, ok := value.([]any); ok {
			for i, v := range array {
				n += walk(element(path, i), v)
			}
		}
		return n
	}
	if n := walk("", tree) - 1; n != len(found) {
		t.Fatalf("%d keys, but %d found: %v", n, len(found), found)
	}
}

func checkSet(t *testing.T, s Set) {
	t.Helper()
	name := func(kind, text string, most int) {
		if text == "" || len(text) > most || strings.ContainsRune(text, 0) {
			t.Fatalf("%s %q", kind, text)
		}
	}
	name("schema", s.Parent.Schema, partition.MaxNameBytes)
	name("parent", s.Parent.Local, partition.MaxNameBytes)
	name("key", s.Key, partition.MaxNameBytes)
	name("trigger", s.Trigger, partition.MaxNameBytes)
	name("function's schema", s.Function.Schema, partition.MaxNameBytes)
	name("function", s.Function.Local, partition.MaxNameBytes-len("_create"))
	if s.Cron == nil || s.CronText == "" || s.Location == nil || s.Location == time.Local {
		t.Fatalf("cron %v %q in %v", s.Cron, s.CronText, s.Location)
	}
	if err := s.Interval.AsPeriod(); err != nil || s.Interval.IsZero() {
		t.Fatalf("interval %v: %v", s.Interval, err)
	}
	// Everything that is computed from the set stays within PostgreSQL's dates.
	now := time.Date(2026, 5, 17, 12, 0, 0, 0, time.UTC)
	p := s.PeriodOf(now, partition.KeyTimestampTZ)
	name("partition", s.PartitionName(p, partition.KeyTimestampTZ).Local, partition.MaxNameBytes)
	if s.Ahead < 0 || s.Interval.AddTo(now, s.Ahead).After(s.Window.Future.AddTo(now, 1)) {
		t.Fatalf("window %v, %d of %s ahead", s.Window, s.Ahead, s.Interval)
	}
	for _, edge := range []time.Time{
		p.From, s.Window.Past.AddTo(now, -1), s.Window.Future.AddTo(now, 1), s.PeriodOf(s.Window.Past.AddTo(now, -1), partition.KeyDate).From,
	} {
		if edge.Year() < 1 || edge.Year() > 5000 {
			t.Fatalf("year %d by %s, %v", edge.Year(), s.Interval, s.Window)
		}
	}
	r := s.Retention
	if cutoff, ok := s.Cutoff(now, partition.KeyDate); ok && (!cutoff.Before(now) || cutoff.Year() < 1) {
		t.Fatalf("cutoff %s", cutoff)
	}
	switch {
	case r.Then != partition.Keep && r.Keep.IsZero(), !(r.MaxShare > 0 && r.MaxShare <= 1),
		(r.Then == partition.Archive) != (r.Archive != ""), r.Schema != "" && r.Then != partition.Detach:
		t.Fatalf("retention %+v", r)
	}
	l := s.Limits
	for _, d := range []time.Duration{l.LockTimeout, l.ConcurrentTimeout, l.StatementTimeout, l.RetryWait, l.MaxRetryWait, s.AnalyzeEvery} {
		if d < 0 || d%time.Millisecond != 0 {
			t.Fatalf("limits %+v", l)
		}
	}
	if l.LockTimeout == 0 || l.ConcurrentTimeout == 0 || l.RetryWait == 0 || l.MaxRetryWait < l.RetryWait || l.Retries < 0 || s.SweepBatch < 1 {
		t.Fatalf("limits %+v, batch %d", l, s.SweepBatch)
	}
}
