package main

import (
	"strings"
	"testing"
	"time"
)

// TestConvert goes the whole way by the verb: what would be done changes nothing, the
// set is converted, goes back, and is converted for good.
func TestConvert(t *testing.T) {
	t.Parallel()
	c := newCLI(t, eventsSet)
	c.run(exitOK, "--run-now")
	c.exec("INSERT INTO events (at, what) SELECT now() - make_interval(days => i), 'row' FROM generate_series(0, 99) i")
	const kinds = "SELECT string_agg(relname || relkind::text, ' ' ORDER BY relname) FROM pg_class WHERE relname IN ('events', 'events_inherited', 'events_default')"
	step := func(want string, code int, args ...string) string {
		t.Helper()
		out, stderr := c.run(code, args...)
		if now := c.text(kinds); now != want {
			t.Errorf("after %q there are %q, want %q", args, now, want)
		}
		if rows := c.int("SELECT count(*) FROM events"); rows != 100 {
			t.Errorf("after %q there are %d rows", args, rows)
		}
		return out + stderr
	}
	out := step("eventsr", exitOK, "convert", "public.events", "--dry-run")
	for _, want := range []string{"ATTACH PARTITION", "LOCK TABLE \"public\".\"events\" IN ACCESS EXCLUSIVE MODE;", "VALIDATE CONSTRAINT", "ended 2s after"} {
		if !strings.Contains(out, want) {
			t.Errorf("the dry run does not say %q:\n%s", want, out)
		}
	}
	c.exec("CREATE MATERIALIZED VIEW v AS SELECT count(*) FROM events")
	if out = step("eventsr", exitPartly, "convert", "events", "--dry-run"); !strings.Contains(out, "in the way: materialized view: public.v") {
		t.Error(out)
	}
	step("eventsr", exitPartly, "convert", "events")
	c.exec("DROP MATERIALIZED VIEW v")
	step("eventsr", exitUsage, "convert", "nothing")
	step("eventsr", exitUsage, "convert", "events", "--max-lock", "0s")
	step("eventsr", exitUsage, "convert", "events", "--rollback", "--finish")
	step("eventsr", exitOK, "convert", "events", "--rollback")
	step("eventsp events_defaultr events_inheritedr", exitOK, "convert", "events")
	step("eventsr", exitOK, "convert", "events", "--rollback")
	c.run(exitOK, "--run-now")
	step("eventsp events_defaultr events_inheritedr", exitOK, "convert", "events")
	step("eventsp events_defaultr", exitOK, "convert", "events", "--finish")
	step("eventsp events_defaultr", exitOK, "convert", "events", "--finish")
	step("eventsp events_defaultr", exitPartly, "convert", "events", "--rollback")
	// Each change is in the history, once, and so is nothing that was not made.
	const told = "SELECT string_agg(split_part(reason, ',', 1), '; ' ORDER BY id) FROM partitiond.history WHERE event = 'convert' AND parent_name = 'events' AND version <> '' AND partition_name IS NULL"
	if got, want := c.text(told), "from inheritance to declarative; from declarative back to inheritance; "+
		"from inheritance to declarative; finished: its old parent public.events_inherited was dropped"; got != want {
		t.Errorf("the history has %q, want %q", got, want)
	}
	if out, _ := c.run(exitOK, "history", "--set", "events", time.Now().UTC().Format("2006-01")); strings.Count(out, "converted: public.events, by ") != 4 {
		t.Errorf("the history of this month:\n%s", out)
	}
	if out, _ := c.run(exitOK, "history", "--set", "events", "--removals"); strings.Contains(out, "convert") {
		t.Errorf("conversions are no removals:\n%s", out)
	}
}

// TestPartition makes an ordinary table a set that the file does not have.
func TestPartition(t *testing.T) {
	t.Parallel()
	c := newCLI(t, "")
	c.exec("CREATE TABLE plain (at date, n int); INSERT INTO plain SELECT current_date - i, i FROM generate_series(1, 50) i")
	if out, _ := c.run(exitOK, "partition", "public.plain", "--key", "at", "--dry-run"); !strings.Contains(out, "plain_first") {
		t.Errorf("the dry run:\n%s", out)
	}
	if out, _ := c.run(exitOK, "partition", "public.plain", "--key", "at", "--interval", "1 week"); !strings.Contains(out, "interval = \"1 week\"") {
		t.Error(out)
	}
	if n := c.int("SELECT count(*) FROM plain WHERE tableoid = 'plain_first'::regclass AND (SELECT relkind FROM pg_class WHERE relname = 'plain') = 'p'"); n != 50 {
		t.Errorf("%d rows", n)
	}
	if told := c.text("SELECT string_agg(event || ' ' || parent_name || ' ' || partition_name || ' ' || (partition_oid = 'plain_first'::regclass)::text, '; ') FROM partitiond.history"); told != "partition plain plain_first true" {
		t.Errorf("the history has %q", told)
	}
	for _, key := range []string{"nothing", "what"} {
		if out, _ := c.run(exitPartly, "partition", "public.events", "--key", key); !strings.Contains(out, "unsupported") {
			t.Error(out)
		}
	}
	for _, args := range [][]string{{}, {"--key", "at", "--interval", "12"}, {"--key", "at", "--until", "soon"}} {
		c.run(exitUsage, append([]string{"partition", "public.events"}, args...)...)
	}
}

// TestDrain cuts the partition that partition has made of a table, for which the file has no set.
func TestDrain(t *testing.T) {
	t.Parallel()
	c := newCLI(t, "")
	c.exec("CREATE TABLE plain (at date, n int, PRIMARY KEY (n, at)); INSERT INTO plain SELECT current_date - i, i FROM generate_series(0, 99) i")
	set := []string{"public.plain", "--key", "at", "--interval", "1 month"}
	drain := func(code int, more ...string) string {
		t.Helper()
		out, stderr := c.run(code, append(append([]string{"drain"}, set...), more...)...)
		if rows := c.int("SELECT count(*) FROM plain"); rows != 100 {
			t.Errorf("after %q there are %d rows", more, rows)
		}
		return out + stderr
	}
	if out := drain(exitPartly); !strings.Contains(out, "in the way: not declarative") {
		t.Error(out)
	}
	c.run(exitOK, append([]string{"partition"}, set...)...)
	out := drain(exitOK, "--dry-run")
	for _, want := range []string{"is cut into", "CREATE TRIGGER partitiond_drain", "DETACH PARTITION", "ended 2s after", "-- the copy"} {
		if !strings.Contains(out, want) {
			t.Errorf("the dry run does not say %q:\n%s", want, out)
		}
	}
	for _, args := range [][]string{{"--megabytes-per-second", "-7"}, {"--max-lock", "0s"}, {"--abandon", "--dry-run"}} {
		drain(exitUsage, args...)
	}
	drain(exitOK, "--abandon")
	if n := c.int("SELECT count(*) FROM plain WHERE tableoid <> 'plain_first'::regclass"); n != 0 {
		t.Errorf("%d rows have moved", n)
	}
	if out := drain(exitOK, "--megabytes-per-second", "1"); !strings.Contains(out, "done; others could have waited") {
		t.Error(out)
	}
	if n := c.int("SELECT count(DISTINCT tableoid) FROM plain"); n < 4 {
		t.Errorf("the rows are in %d partitions", n)
	}
	if out := drain(exitOK); !strings.Contains(out, "nothing to do") {
		t.Error(out)
	}
	if told := c.text("SELECT string_agg(event || ' ' || partition_name, '; ' ORDER BY id) FROM partitiond.history"); told != "partition plain_first; drain plain_first" {
		t.Errorf("the history has %q", told)
	}
}
