package main

import (
	"regexp"
	"testing"
)

// Fences of FENCES.md that are the program's, not the pass's.

const thirteenMonths = `INSERT INTO events (at) SELECT date_trunc('month', now(), 'UTC') - make_interval(months => i) FROM generate_series(0, 12) i`

// TestFenceFile has a good file become one without a unit: no verb runs, and none of
// what would be due by any unit goes.
func TestFenceFile(t *testing.T) {
	t.Parallel()
	c := newCLI(t, eventsSet)
	c.run(exitOK, "--run-now")
	c.exec(thirteenMonths)
	for _, keep := range []string{"12", `"12"`, `"12m"`} {
		c.write(c.db.URL, eventsSet+"retention = { then = \"drop\", max_share = 1, keep = "+keep+" }\n")
		for _, args := range [][]string{{"--run-now"}, {"--run-now", "--dry-run"}, {"check"}, {"status"}, {}} {
			_, log := c.run(exitUsage, args...)
			expect(t, log, "config.toml:7: set.retention.keep", keep, `such as "12 months"`)
		}
	}
	if n := c.int("SELECT count(*) FROM events"); n != 13 {
		t.Errorf("%d rows are left of 13", n)
	}
}

// TestFenceShareOnce removes more than max_share allows, by hand: with just what the
// program says.
func TestFenceShareOnce(t *testing.T) {
	t.Parallel()
	c := newCLI(t, eventsSet+"retention = { keep = \"1 month\", then = \"drop\" }\n")
	c.run(exitOK, "--run-now")
	c.exec(thirteenMonths)
	out, _ := c.run(exitPartly, "--run-now")
	expect(t, out, "too much to remove", "11 of 15 partitions are due")
	if n := c.int("SELECT count(*) FROM events"); n != 13 {
		t.Fatalf("%d rows are left of 13", n)
	}
	share := regexp.MustCompile(`run once with --max-share (\S+) or raise`).FindStringSubmatch(out)
	if share == nil {
		t.Fatalf("it does not say how to go on: %s", out)
	}
	c.run(exitOK, "--run-now", "--max-share", share[1])
	if n := c.int("SELECT count(*) FROM events"); n != 2 {
		t.Errorf("%d rows are left, expected those of 2 months", n)
	}
	out, _ = c.run(exitOK, "--run-now")
	expect(t, out, "nothing to do")
}
