package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/partitiond/partitiond/maintenance/bench/measure"
)

// report writes the result.
func (b *bench) report(_ context.Context, out io.Writer, ways []*measure.Way, o options) error {
	var t strings.Builder
	var rows [][]string
	most := 0.0
	for _, w := range b.ways {
		if len(w.Runs) == 0 {
			continue
		}
		share := "1"
		if w.Baseline != nil {
			share = fmt.Sprintf("%.2f", w.Share())
			if w.Baseline != b.ways[0] {
				share += " of COPY FROM"
			}
		}
		u := w.Runs[0]
		memory := slices.MaxFunc(w.Runs, func(a, b measure.Usage) int { return int(a.Peak - b.Peak) }).Peak
		if !u.Apart {
			most = max(most, memory)
		}
		s := measure.MedianOf(w.Runs, measure.Seconds)
		rows = append(rows, []string{w.Name, fmt.Sprintf("%.2f", s), fmt.Sprintf("%.0f", float64(b.rows)/s), share,
			unlessZero(float64(u.Size) / 1e6), fmt.Sprintf("%.2f", measure.MedianOf(w.Runs, func(u measure.Usage) float64 { return u.CPU })),
			unlessZero(memory)})
	}
	t.WriteString(measure.Markdown([]string{"way", "median s", "rows/s", "share", "size MB", "client CPU s", "peak MiB"}, rows))
	fmt.Fprintf(&t, "\n%d rows, %.0f MB in COPY's binary format, %d rounds; %s, PostgreSQL %s. "+
		"The peak resident memory of this process was %.0f MiB.\n",
		b.rows, float64(b.raw)/1e6, o.rounds, measure.Machine(), b.server.Version(), most)
	t.WriteString(b.bound())
	_, err := io.WriteString(out, t.String())
	return err
}

// bound says where the time of an export goes.
func (b *bench) bound() string {
	limit, export := b.ways[0], b.ways[1]
	if len(export.Runs) == 0 {
		return ""
	}
	processor := func(u measure.Usage) float64 { return u.CPU }
	base, all := measure.MedianOf(limit.Beside[export], processor), measure.MedianOf(export.Runs, processor)
	return fmt.Sprintf("The bound of a Parquet export is the client's CPU: %.2f s of it per export, where receiving the same rows takes %.2f; "+
		"most of the rest is zstd. The server takes part of the same CPUs.\n", all, base)
}

func unlessZero(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", v)
}
