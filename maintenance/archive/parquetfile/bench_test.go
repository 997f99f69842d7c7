package parquetfile

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// synthetic makes a table like one of messages, about 290 bytes a row in binary.
func synthetic(b testing.TB, conn *pgx.Conn, rows int) {
	b.Helper()
	_, err := conn.Exec(b.Context(), `
		CREATE TABLE message (id integer NOT NULL, program_id varchar, user_id varchar, dialogue varchar(10000), created_at timestamp);
		INSERT INTO message
		SELECT i, 'program-' || (hashint4(i) & 63), 'user-' || (hashint4(i + 7) & 16383),
			(SELECT string_agg((ARRAY['the','server','waits','for','a','lock','that','nobody','gives','back','until','morning','and','then','partition','rows','vanish','slowly','index','scan'])
				[1 + (hashint8(i::bigint * 31 + g) & 1023) % 20] || CASE WHEN g % 7 = 0 THEN ' ' || abs(hashint8(i::bigint * 97 + g))::text ELSE '' END, ' ')
			 FROM generate_series(1, 12 + (hashint4(i + 3) & 31)) g),
			timestamp '2018-11-01' + i * interval '1.296 s' + (hashint4(i) & 1023) * interval '1 us'
		FROM generate_series(1, `+strconv.Itoa(rows)+`) i`, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := conn.Exec(b.Context(), "VACUUM (FREEZE, ANALYZE) message"); err != nil {
		b.Fatal(err)
	}
}

// discard counts.
type discard struct{ n int64 }

func (d *discard) Write(p []byte) (int, error) { d.n += int64(len(p)); return len(p), nil }

// BenchmarkExport compares an export with its limit, a COPY that is thrown away,
// by turns. PARQUETFILE_ROWS is how many rows there are, 200,000 by default.
func BenchmarkExport(b *testing.B) {
	rows := 200_000
	if text := os.Getenv("PARQUETFILE_ROWS"); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	db := pgtest.New(b)
	conn := db.Conn(b)
	synthetic(b, conn, rows)
	tx, err := conn.Begin(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if err := Configure(b.Context(), tx); err != nil {
		b.Fatal(err)
	}
	table := public("message")
	plan := columnsOf(b, tx, table)
	path := b.TempDir() + "/part"
	var limits, exports, verifies, cpus, sizes []float64
	var raw discard
	for b.Loop() {
		raw = discard{}
		start := time.Now()
		if _, err := conn.PgConn().CopyTo(b.Context(), &raw, plan.CopySQL(table)); err != nil {
			b.Fatal(err)
		}
		limits = append(limits, time.Since(start).Seconds())

		var part Part
		var f *os.File
		w, err := NewWriter(plan, Options{Key: "created_at", PartBytes: 1 << 40,
			Next: func(int) (_ io.Writer, err error) { f, err = os.Create(path); return f, err },
			Done: func(p Part) error { part = p; return nil },
		})
		if err != nil {
			b.Fatal(err)
		}
		start = time.Now()
		before := cpu()
		if _, err := conn.PgConn().CopyTo(b.Context(), w, plan.CopySQL(table)); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		exports = append(exports, time.Since(start).Seconds())
		cpus = append(cpus, cpu()-before)
		sizes = append(sizes, float64(part.Bytes))

		start = time.Now()
		d, err := Read(b.Context(), f, part.Bytes, plan, nil)
		if err != nil {
			b.Fatal(err)
		}
		if d != part.Digest || d.Rows != int64(rows) {
			b.Fatalf("%v, want %v", d, part.Digest)
		}
		verifies = append(verifies, time.Since(start).Seconds())
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(median(limits), "limit-s")
	b.ReportMetric(median(exports), "export-s")
	b.ReportMetric(median(limits)/median(exports), "share")
	b.ReportMetric(slices.Min(limits)/slices.Min(exports), "share-of-best")
	b.ReportMetric(median(cpus), "export-cpu-s")
	b.ReportMetric(median(verifies), "verify-s")
	b.ReportMetric(float64(raw.n)/1e6, "raw-MB")
	b.ReportMetric(median(sizes)/1e6, "part-MB")
	b.ReportMetric(peak(), "peak-MiB")
	b.ReportMetric(0, "ns/op")
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// cpu is the processor time of this process so far, in seconds.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// peak is the greatest resident size of this process so far, in MiB; 0 where
// that is not told.
func peak() float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}
