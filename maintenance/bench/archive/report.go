package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
)

// report writes the result.
func (b *bench) report(_ context.Context, out io.Writer, ways []*way, o options) error {
	var t strings.Builder
	t.WriteString("| way | median s | rows/s | share | size MB | client CPU s | peak MiB |\n")
	t.WriteString("| --- | --- | --- | --- | --- | --- | --- |\n")
	most := 0.0
	for _, w := range b.ways {
		if len(w.runs) == 0 {
			continue
		}
		share := "1"
		if w.baseline != nil {
			share = fmt.Sprintf("%.2f", w.share())
			if w.baseline != b.ways[0] {
				share += " of COPY FROM"
			}
		}
		u := w.runs[0]
		memory := slices.MaxFunc(w.runs, func(a, b usage) int { return int(a.peak - b.peak) }).peak
		if !u.apart {
			most = max(most, memory)
		}
		s := median(w.runs, seconds)
		fmt.Fprintf(&t, "| %s | %.2f | %.0f | %s | %s | %.2f | %s |\n", w.name, s, float64(b.rows)/s, share,
			unlessZero(float64(u.size)/1e6), median(w.runs, func(u usage) float64 { return u.cpu }), unlessZero(memory))
	}
	fmt.Fprintf(&t, "\n%d rows, %.0f MB in COPY's binary format, %d rounds; %d CPUs for client and server, %s, %s/%s, PostgreSQL %s. "+
		"The peak resident memory of this process was %.0f MiB.\n",
		b.rows, float64(b.raw)/1e6, o.rounds, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, b.server.Version(), most)
	t.WriteString(b.bound())
	_, err := io.WriteString(out, t.String())
	return err
}

// bound says where the time of an export goes.
func (b *bench) bound() string {
	limit, export := b.ways[0], b.ways[1]
	if len(export.runs) == 0 {
		return ""
	}
	processor := func(u usage) float64 { return u.cpu }
	base, all := median(limit.beside[export], processor), median(export.runs, processor)
	return fmt.Sprintf("The bound of a Parquet export is the client's CPU: %.2f s of it per export, where receiving the same rows takes %.2f; "+
		"most of the rest is zstd. The server takes part of the same CPUs.\n", all, base)
}

func unlessZero(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", v)
}
