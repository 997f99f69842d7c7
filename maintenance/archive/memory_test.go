package archive

import (
	"flag"
	"os"
	"syscall"
	"testing"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// memoryRows is how many rows [TestMemory] archives. Two million are 600 MB.
var memoryRows = flag.Int("archive.rows", 200_000, "rows for TestMemory")

// TestMemory archives a table in a process of its own, and looks at the most
// memory that it ever had: writing and reading back must not depend on the rows.
func TestMemory(t *testing.T) {
	if pgtest.Race {
		t.Skip("the race detector takes memory of its own: make test runs this without it")
	}
	t.Parallel()
	for _, format := range formats {
		f := newFixture(t, "id bigint, at timestamptz, room integer, body text")
		f.spec.Format = format
		if _, err := f.conn.Exec(t.Context(), `INSERT INTO `+f.sql()+` SELECT i, '2018-11-01'::timestamptz + i * interval '1 second', i % 97,
			(SELECT string_agg(md5((i * j)::text), ' ') FROM generate_series(1, 4 + i % 7) j) FROM generate_series(1, $1::bigint) i`, *memoryRows); err != nil {
			t.Fatal(err)
		}
		c := f.spawn(task{})
		if c.Err != nil {
			t.Fatalf("%v: %s", c.Err, c.Output)
		}
		peak := peakBytes(c.State)
		t.Logf("%s: %d rows, %d MiB at most", format, *memoryRows, peak>>20)
		if peak > 256<<20 {
			t.Errorf("%s: %d MiB of memory for %d rows, want 256 at most", format, peak>>20, *memoryRows)
		}
		f.exec("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		manifests, err := Find(t.Context(), f.spec.Store, f.spec.Place)
		if err != nil || len(manifests) != 1 || manifests[0].Content.Rows != int64(*memoryRows) {
			t.Errorf("%s: found %+v, %v", format, manifests, err)
		}
	}
}

// peakBytes is the peak of the resident set (getrusage(2): in kilobytes on Linux).
func peakBytes(state *os.ProcessState) int64 {
	return state.SysUsage().(*syscall.Rusage).Maxrss << 10
}
