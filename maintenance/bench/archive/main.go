// Command archive compares ways to get the rows of a table out of PostgreSQL and
// back, on a throw-away server of this machine, and prints them as a table in
// Markdown.
//
//	go run ./maintenance/bench/archive [-rows 2000000] [-rounds 3]
//
// Each way runs next to the one that it is a share of, by turns: A B A B. For the
// exports that is a COPY in binary which is thrown away, the least that any export
// has to do; for the restore, COPY FROM of the same rows in binary. Only ratios of
// one run mean something: seconds are the machine's, and those of whatever else
// it does. Files are written to the directory for temporary files, some gigabytes
// for the default number of rows, and are not flushed to the disk; nor does the
// server flush.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/pprof"

	"github.com/partitiond/partitiond/maintenance/bench/measure"
)

// options are the command's flags.
type options struct {
	rows, rounds int
	profile      string
	only         string
}

func main() {
	var o options
	flag.IntVar(&o.rows, "rows", 2_000_000, "how many `rows` the table has")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each way is measured; the median counts")
	flag.StringVar(&o.only, "only", "", "measure only the ways whose name begins with this `prefix`, and what they are a share of")
	flag.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of all that is measured to this `file`")
	flag.Parse()
	os.Exit(measure.Main("archive", func(ctx context.Context) error { return run(ctx, os.Stdout, os.Stderr, o) }))
}

// run measures, tells what it is at on progress, and writes the result to out.
func run(ctx context.Context, out, progress io.Writer, o options) (err error) {
	if o.rows < 1 || o.rounds < 1 {
		return fmt.Errorf("-rows %d and -rounds %d must be at least 1", o.rows, o.rounds)
	}
	b, err := prepare(ctx, progress, o.rows)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	ways := b.choose(o.only)
	if len(ways) == 0 {
		return fmt.Errorf("no way has a name that begins with %q", o.only)
	}
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer f.Close() // nothing counts on it
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	for round := range o.rounds {
		for _, w := range ways {
			fmt.Fprintf(progress, "round %d of %d: %s\n", round+1, o.rounds, w.Name)
			if w.Baseline != nil {
				if err := w.Baseline.Measure(ctx, w); err != nil {
					return err
				}
			}
			if err := w.Measure(ctx, nil); err != nil {
				return err
			}
		}
	}
	return b.report(ctx, out, ways, o)
}
