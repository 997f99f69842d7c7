// Command bench measures what partitiond changes, on throw-away PostgreSQL servers
// of this machine, and prints it as tables in Markdown.
//
//	go run ./maintenance/bench [-only routing,reads] [-scale 0.1] [-rounds 3] [-out FILE] [-profile DIR]
//
// What is compared takes turns, A B A B, and each ratio is the median of the
// rounds' ratios: only ratios of one run mean something, rates and times are the
// machine's, and those of whatever else it does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/partitiond/partitiond/maintenance/bench/measure"
	"github.com/partitiond/partitiond/maintenance/pgtemp"
)

// section is one table of the report.
type section struct {
	name  string // for the flag -only
	title string
	run   func(ctx context.Context, e *env) (table, error)
}

// table is Markdown to be.
type table struct {
	head  []string
	rows  [][]string
	notes []string
}

// env is what a section may use.
type env struct {
	server *pgtemp.Server // started anew for each section, with the settings below
	dir    string         // scratch
	log    io.Writer      // progress for people
	scale  float64        // 1 is the full size; the smoke test uses 0.01
	rounds int            // A B A B rounds
}

// sections is the report, in order.
func sections() []section {
	return []section{
		{name: "routing", title: "Routing rows", run: routing},
		{name: "reads", title: "Reading through the parent", run: reads},
		{name: "drop", title: "Dropping instead of deleting", run: dropping},
		locksSection(),
		convertSection(),
		drainSection(),
		passSection(),
	}
}

// settings are as in production, with three exceptions that the report tells of:
// checkpoints and autovacuum would hit one way and not the other, and a commit that
// waits for the disk would measure the disk.
var settings = map[string]string{
	"synchronous_commit": "off", "autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "32GB",
	"shared_buffers": "1GB", "max_connections": "100",
}

// options are the command's flags.
type options struct {
	only, out, profile string
	scale              float64
	rounds             int
}

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "run only these `sections`, separated by commas: "+strings.Join(names(sections()), ", "))
	flag.Float64Var(&o.scale, "scale", 1, "how much to do, as a `share` of the full size")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each way is measured; the median counts")
	flag.StringVar(&o.out, "out", "", "write the report to this `file`, too")
	flag.StringVar(&o.profile, "profile", "", "write a CPU and a heap profile of this program to this `directory`")
	flag.Parse()
	os.Exit(measure.Main("bench", func(ctx context.Context) error { return run(ctx, os.Stdout, os.Stderr, o) }))
}

// run measures, tells what it is at on progress, and writes the report to out.
func run(ctx context.Context, out, progress io.Writer, o options) (err error) {
	if o.scale <= 0 || o.rounds < 1 {
		return fmt.Errorf("-scale %g must be more than 0, and -rounds %d at least 1", o.scale, o.rounds)
	}
	chosen, err := choose(sections(), o.only)
	if err != nil {
		return err
	}
	if o.profile != "" {
		finish, failed := measure.Profile(o.profile)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, finish()) }()
	}
	var report strings.Builder
	var version string
	for _, s := range chosen {
		fmt.Fprintf(progress, "%s\n", s.name)
		t, served, failed := runSection(ctx, progress, s, o)
		if failed != nil {
			// What was measured before is not lost.
			err = errors.Join(err, fmt.Errorf("%s: %w", s.name, failed))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		version = served
		fmt.Fprintf(&report, "### %s\n\n%s\n", s.title, measure.Markdown(t.head, t.rows))
		for _, note := range t.notes {
			fmt.Fprintf(&report, "%s\n\n", note)
		}
	}
	if report.Len() == 0 {
		return err
	}
	fmt.Fprintf(&report, "%s\n", footer(version, o))
	if o.out != "" {
		err = errors.Join(err, os.WriteFile(o.out, []byte(report.String()), 0o600))
	}
	_, writing := io.WriteString(out, report.String())
	return errors.Join(err, writing)
}

// runSection runs one section on a server of its own, and tells the server's version.
func runSection(ctx context.Context, progress io.Writer, s section, o options) (t table, version string, err error) {
	dir, err := os.MkdirTemp("", "partitiond-bench-*")
	if err != nil {
		return t, "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := pgtemp.Start(ctx, pgtemp.Options{Durable: true, Settings: settings})
	if err != nil {
		return t, "", err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	t, err = s.run(ctx, &env{server: server, dir: dir, log: progress, scale: o.scale, rounds: o.rounds})
	return t, server.Version(), err
}

// footer says where and how the report was made.
func footer(version string, o options) string {
	size := ""
	if o.scale != 1 {
		size = fmt.Sprintf(", %g of the full size", o.scale)
	}
	return fmt.Sprintf("%s, PostgreSQL %s. %d rounds%s, medians. fsync and full_page_writes are on, synchronous_commit, autovacuum and "+
		"timed checkpoints are off, shared_buffers is %s.", measure.Machine(), version, o.rounds, size, settings["shared_buffers"])
}

// choose returns the sections of these names, or all.
func choose(all []section, only string) ([]section, error) {
	if only == "" {
		return all, nil
	}
	var chosen []section
	for name := range strings.SplitSeq(only, ",") {
		found := false
		for _, s := range all {
			if s.name == strings.TrimSpace(name) {
				chosen, found = append(chosen, s), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no section %q, only %s", name, strings.Join(names(all), ", "))
		}
	}
	return chosen, nil
}

func names(all []section) (out []string) {
	for _, s := range all {
		out = append(out, s.name)
	}
	return out
}
