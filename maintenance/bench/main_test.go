package main

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSections runs each section with few rows: its table must have all rows, each
// as wide as the head. The sections themselves fail if rows are lost.
func TestSections(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"routing": {"INSERT ... SELECT, rows of the present month", "INSERT ... SELECT, rows of all months, mixed", "COPY, rows of the present month",
			"pgbench, a prepared INSERT a transaction, 1 client", "the same with 8 clients", "the same with 32 clients"},
		"reads": {"one month", "one user's rows of one month"},
		"drop":  {"seconds", "WAL, MB", "size of the month afterwards, MB"},
	}
	for _, s := range sections() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			table, _, err := runSection(t.Context(), io.Discard, s, options{scale: 0.01, rounds: 1})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, cells := range table.rows {
				got = append(got, cells[0])
				if len(cells) != len(table.head) {
					t.Errorf("row %q has %d cells, and the head %d", cells, len(cells), len(table.head))
				}
			}
			if rows, known := want[s.name]; known && strings.Join(got, "\n") != strings.Join(rows, "\n") {
				t.Errorf("the rows are %q, want %q", got, rows)
			}
		})
	}
}

// TestReport makes a whole report with its profiles, and fails on a name that no
// section has.
func TestReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out bytes.Buffer
	o := options{only: "reads", scale: 0.01, rounds: 2, out: filepath.Join(dir, "report.md"), profile: filepath.Join(dir, "profiles")}
	if err := run(t.Context(), &out, io.Discard, o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"### ", "| query of the parent | seed, ms | range CHECKs by hand, ms | times faster | adopted, ms | times faster |\n| --- | --- | --- | --- | --- | --- |\n| one month | ", "PostgreSQL ", "go1.", "2 rounds"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if written, err := os.ReadFile(o.out); err != nil || string(written) != out.String() {
		t.Errorf("the file has %q (%v), want what was printed", written, err)
	}
	for _, name := range []string{"cpu.pprof", "heap.pprof"} {
		if info, err := os.Stat(filepath.Join(o.profile, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.only = "reads,nothing"
	if err := run(t.Context(), io.Discard, io.Discard, o); err == nil || !strings.Contains(err.Error(), `"nothing"`) {
		t.Errorf("an unknown section: %v", err)
	}
}

// The first second has 1000 of 7000 transactions; of the other two each has 3000.
func TestBenchRate(t *testing.T) {
	t.Parallel()
	const out = "progress: 1.0 s, 1000.0 tps, lat 0.9 ms stddev 0.1, 0 failed\nprogress: 2.0 s, 3000.0 tps, lat 0.3 ms\n" +
		"number of transactions actually processed: 7000\ntps = 2333.333333 (without initial connection time)\n"
	if got, err := benchRate(out); err != nil || math.Abs(got-3000) > 1 {
		t.Errorf("%g, %v", got, err)
	}
	if got, err := benchRate(out[strings.Index(out, "number"):]); err != nil || math.Abs(got-2333) > 1 {
		t.Errorf("without progress %g, %v", got, err)
	}
	if _, err := benchRate("pgbench: nothing"); err == nil {
		t.Error("nothing is no rate")
	}
}
