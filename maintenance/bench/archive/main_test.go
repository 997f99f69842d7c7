package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// TestRun measures every way with few rows: what is restored and read back must be
// what was exported, or run fails.
func TestRun(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), &out, io.Discard, options{rows: 3000, rounds: 2}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| limit: ", "| Parquet export |", "| Parquet verification: ", "| server: count and sum of hashes |", "| COPY in CSV, ",
		"| pg_dump -Fc |", "| pg_dump -Fc -Z1 |", "| COPY FROM of a file in binary |", "| restore of Parquet |", " of COPY FROM |",
		"\n3000 rows, ", "2 rounds", "PostgreSQL ", "The bound of a Parquet export",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	t.Logf("\n%s", out.String())
}
