package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/bench/measure"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/partition"
)

func passSection() section {
	return section{name: "pass", title: "A pass with nothing to do", run: idlePasses}
}

// Each set has so many months on either side of the present one: 63 in all.
const aside = 31

// mostNative is how many sets pg_partman is given: it takes half a second to make one.
const mostNative = 100

// crowd is a database with many sets of each kind, in which nothing is due.
type crowd struct {
	*env
	sets int
	url  string
	// file is the configuration that has the sets of partitiond, and config the same.
	file   string
	config *config.Config
}

func idlePasses(ctx context.Context, e *env) (t table, err error) {
	version, err := partmanVersion(ctx, e.server.URL("postgres"))
	if err != nil {
		return t, err
	}
	// pg_partman looks at all sets in one transaction, and keeps every lock till its end.
	err = sqls(ctx, e.server.URL("postgres"), "ALTER SYSTEM SET max_locks_per_transaction = 2048", "ALTER SYSTEM SET autovacuum = off")
	if err != nil {
		return t, err
	}
	if err := e.server.Restart(ctx); err != nil {
		return t, err
	}
	program := filepath.Join(e.dir, "partitiond")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/partitiond/partitiond/cmd/partitiond")
	if out, err := build.CombinedOutput(); err != nil {
		return t, fmt.Errorf("build the program: %w: %s", err, out)
	}
	t.head = []string{"sets of 63 partitions", "a pass", "for each set", "run_maintenance()", "for each set", "the pass takes", "the program's peak memory"}
	// The third has 12,000 partitions.
	for _, sets := range []int{10, 100, 191, 1000} {
		if sets > 10 && float64(sets) > 1000*e.scale {
			t.notes = append(t.notes, fmt.Sprintf("%d sets are left out at this size.", sets))
			continue
		}
		row, err := e.idlePass(ctx, sets, program, version != "" && sets <= mostNative)
		if err != nil {
			return t, fmt.Errorf("%d sets: %w", sets, err)
		}
		t.rows = append(t.rows, row)
	}
	beside := "pg_partman is not installed here, and so not beside it."
	if version != "" {
		beside = "SELECT partman.run_maintenance() is pg_partman " + version + "'s, on as many native monthly sets in the same database; the two take turns."
	}
	t.notes = append(t.notes,
		"Everything exists, and all is as it should be: a pass looks, plans, and finds nothing to do. Both begin with new connections. "+beside,
		"Aims: the pass takes at most a quarter of pg_partman's time; with 12,000 partitions the program, partitiond --run-now, needs less than 64 MiB; the cost of a set does not grow with their number.")
	return t, nil
}

// idlePass measures so many sets.
func (e *env) idlePass(ctx context.Context, sets int, program string, partman bool) (row []string, err error) {
	c := &crowd{env: e, sets: sets}
	fmt.Fprintf(e.log, "  making %d sets\n", sets)
	if err := c.make(ctx, partman); err != nil {
		return nil, err
	}
	rounds := e.rounds
	if sets >= 1000 {
		rounds = min(rounds, 3)
	}
	var ours, theirs, ratios, peaks []float64
	for round := range rounds {
		fmt.Fprintf(e.log, "  %d sets, round %d of %d\n", sets, round+1, rounds)
		their := 0.0
		if partman {
			if their, err = timed(func() error { return sqls(ctx, c.url, "SELECT partman.run_maintenance()") }); err != nil {
				return nil, err
			}
			theirs = append(theirs, their)
		}
		our, err := timed(func() error { return c.pass(ctx, maintenance.Idle) })
		if err != nil {
			return nil, err
		}
		ours, ratios = append(ours, our), append(ratios, our/their)
		peak, err := c.program(ctx, program)
		if err != nil {
			return nil, err
		}
		peaks = append(peaks, peak)
	}
	each := func(all []float64) string { return fmt.Sprintf("%.2f ms", 1000*measure.Median(all)/float64(sets)) }
	row = []string{fmt.Sprint(sets), fmt.Sprintf("%.3f s", measure.Median(ours)), each(ours), "", "", "", fmt.Sprintf("%.1f MiB", measure.Median(peaks))}
	if partman {
		row[3], row[4] = fmt.Sprintf("%.3f s", measure.Median(theirs)), each(theirs)
		row[5] = fmt.Sprintf("%.3f of its time", measure.Median(ratios))
	}
	return row, sqls(ctx, e.server.URL("postgres"), fmt.Sprintf("DROP DATABASE crowd_%d WITH (FORCE)", sets))
}

func timed(f func() error) (seconds float64, err error) {
	start := time.Now()
	err = f()
	return time.Since(start).Seconds(), err
}

// make makes the sets, and lets a first pass finish those of partitiond.
func (c *crowd) make(ctx context.Context, partman bool) error {
	name := fmt.Sprintf("crowd_%d", c.sets)
	if err := sqls(ctx, c.server.URL("postgres"), "CREATE DATABASE "+name); err != nil {
		return err
	}
	c.url = c.server.URL(name)
	statements := []string{fmt.Sprintf(`CREATE PROCEDURE make(sets integer) LANGUAGE plpgsql AS $$
		DECLARE
		  month date;
		BEGIN
		  FOR i IN 1..sets LOOP
		    EXECUTE format('CREATE TABLE set_%%s (id bigint, created_at timestamp NOT NULL)', i);
		    EXECUTE format('CREATE INDEX ON set_%%s (created_at)', i);
		    FOR m IN -%[1]d..%[1]d LOOP
		      month := date_trunc('month', localtimestamp) + make_interval(months => m);
		      EXECUTE format('CREATE TABLE set_%%s_%%s (CONSTRAINT partition_bounds CHECK (created_at >= %%L AND created_at < %%L)) INHERITS (set_%%s)',
		        i, to_char(month, 'YYYY_MM'), month, month + interval '1 month', i);
		      EXECUTE format('CREATE INDEX ON set_%%s_%%s (created_at)', i, to_char(month, 'YYYY_MM'));
		    END LOOP;
		    COMMIT;
		  END LOOP;
		END $$`, aside), fmt.Sprintf("CALL make(%d)", c.sets)}
	if partman {
		statements = append(statements, "CREATE SCHEMA partman", "CREATE EXTENSION pg_partman SCHEMA partman", fmt.Sprintf(`CREATE PROCEDURE make_native(sets integer) LANGUAGE plpgsql AS $$
		BEGIN
		  FOR i IN 1..sets LOOP
		    EXECUTE format('CREATE TABLE native_%%s (id bigint, created_at timestamp NOT NULL) PARTITION BY RANGE (created_at)', i);
		    EXECUTE format('CREATE INDEX ON native_%%s (created_at)', i);
		    PERFORM partman.create_parent('public.native_' || i, 'created_at', 'native', 'monthly', p_premake := %[1]d,
		      p_start_partition := to_char(date_trunc('month', localtimestamp) - interval '%[1]d months', 'YYYY-MM-DD'));
		    COMMIT;
		  END LOOP;
		END $$`, aside), fmt.Sprintf("CALL make_native(%d)", c.sets))
	}
	if err := sqls(ctx, c.url, append(statements, "VACUUM (ANALYZE)", "CHECKPOINT")...); err != nil {
		return err
	}
	if err := c.configure(); err != nil {
		return err
	}
	if err := c.pass(ctx, maintenance.Done); err != nil {
		return fmt.Errorf("the first pass: %w", err)
	}
	return sqls(ctx, c.url, "VACUUM (ANALYZE) pg_proc, pg_trigger, pg_depend, pg_statistic", "CHECKPOINT")
}

// configure writes the configuration of the sets.
func (c *crowd) configure() (err error) {
	var b strings.Builder
	fmt.Fprintf(&b, "[database]\nurl = %q\n[log]\nlevel = \"error\"\n", c.url)
	for i := range c.sets {
		fmt.Fprintf(&b, "[[set]]\nparent = \"public.set_%d\"\nkey = \"created_at\"\nahead = %d\n", i+1, aside)
	}
	c.file = filepath.Join(c.dir, fmt.Sprintf("crowd_%d.toml", c.sets))
	if err := os.WriteFile(c.file, []byte(b.String()), 0o600); err != nil {
		return err
	}
	c.config, err = config.Load(c.file)
	return err
}

// pass makes one pass, which has to come out as expected.
func (c *crowd) pass(ctx context.Context, want maintenance.Status) error {
	m := maintainer(c.url)
	m.Parallel = c.config.Schedule.Parallel
	var sets []partition.Set
	for _, s := range c.config.Databases[0].Sets {
		sets = append(sets, s.Set)
	}
	report, err := m.Pass(ctx, nil, sets)
	if err != nil {
		return err
	}
	if got := report.Status(); got != want {
		return fmt.Errorf("the pass is %q, expected %q; the first set: %+v", got, want, report.Sets[0])
	}
	return nil
}

// program makes a pass by the program, and returns its peak memory in MiB.
func (c *crowd) program(ctx context.Context, path string) (mib float64, err error) {
	cmd := exec.CommandContext(ctx, path, "--config", c.file, "--run-now")
	var u measure.Usage
	if out, err := u.Child(cmd); err != nil {
		return 0, fmt.Errorf("partitiond --run-now: %w: %s", err, out)
	}
	return u.Peak, nil
}
