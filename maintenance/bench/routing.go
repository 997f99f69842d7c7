package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/partitiond/partitiond/maintenance/bench/measure"
)

// routingRows are what one INSERT ... SELECT or COPY writes.
const routingRows = 200_000

// benchSeconds is how long one pgbench runs. Its first second does not count: in it
// each session compiles the function and plans what it needs.
const benchSeconds = 3

// alikeRounds is how many times as many rounds two ways get, by themselves, of which one
// should be as fast as the other: what differs from run to run is more than a twentieth.
const alikeRounds = 3

// workload is one way to write rows, which tells rows a second.
type workload struct {
	name string
	// apart says that not all of the rows are of the present month.
	apart bool
	run   func(ctx context.Context, e *env, r *router) (float64, error)
}

var workloads = []workload{
	{name: "INSERT ... SELECT, rows of the present month", run: insertSelect("month")},
	{name: "INSERT ... SELECT, rows of all months, mixed", apart: true, run: insertSelect("years")},
	{name: "COPY, rows of the present month", run: copyIn},
	{name: "pgbench, a prepared INSERT a transaction, 1 client", run: pgbench(1)},
	{name: "the same with 8 clients", run: pgbench(8)},
	{name: "the same with 32 clients", run: pgbench(32)},
}

func routing(ctx context.Context, e *env) (t table, err error) {
	ways := routers()
	defer func() {
		for _, r := range ways {
			if r.seeded != nil {
				closeConn(r.conn)
			}
		}
	}()
	rows := max(1000, int(routingRows*e.scale))
	for i, r := range ways {
		fmt.Fprintf(e.log, "  making the tables of %q\n", r.name)
		if err := r.setUp(ctx, e, fmt.Sprintf("way%d", i), rows); err != nil {
			return t, err
		}
	}
	t.head = []string{"rows a second"}
	var alike []*router
	for _, r := range ways {
		t.head = append(t.head, r.name)
		if r.name == declarativeWay || r.name == convertedWay {
			alike = append(alike, r)
		}
	}
	t.head = append(t.head, "partitiond / seed", "partitiond / pg_partman 4", "converted / declarative")
	for _, w := range workloads {
		fmt.Fprintf(e.log, "  %s\n", w.name)
		rates, err := takeTurns(ctx, e, ways, w, e.rounds)
		if err != nil {
			return t, fmt.Errorf("%s: %w", w.name, err)
		}
		likes, err := takeTurns(ctx, e, alike, w, alikeRounds*e.rounds)
		if err != nil {
			return t, fmt.Errorf("%s: %w", w.name, err)
		}
		line := []string{w.name}
		for _, r := range ways {
			switch {
			case r.absent != "":
				line = append(line, r.absent)
			case len(rates[r.name]) == 0:
				line = append(line, "-")
			default:
				line = append(line, measure.Thousands(measure.Median(rates[r.name])))
			}
		}
		t.rows = append(t.rows, append(line, times(rates[ourWay], rates[seedWay]), times(rates[ourWay], rates[partmanWay]), times(likes[convertedWay], likes[declarativeWay])))
	}
	t.notes = []string{fmt.Sprintf("All have tables for %d months, without indexes. Clients, pgbench and the server share the machine. "+
		"pg_partman has its defaults, by which months further than four from the present one are found by EXECUTE; a seed's "+
		"row of a month that is there costs a look at information_schema. The first second of a pgbench, in which sessions plan, does not count. "+
		"For the last column the two took turns once more, %d times.", pastMonths+1+aheadMonths, alikeRounds*e.rounds)}
	return t, nil
}

// takeTurns measures a workload, each round all ways in another order.
func takeTurns(ctx context.Context, e *env, ways []*router, w workload, rounds int) (map[string][]float64, error) {
	rates := map[string][]float64{}
	for round := range rounds {
		for i := range ways {
			r := ways[(i+round)%len(ways)]
			if r.absent != "" || w.apart && r.straight {
				continue
			}
			if err := runSQL(ctx, r.conn, "TRUNCATE "+r.parent); err != nil {
				return nil, err
			}
			rate, err := w.run(ctx, e, r)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			rates[r.name] = append(rates[r.name], rate)
		}
	}
	return rates, nil
}

// times is the median of the rounds' ratios.
func times(ours, theirs []float64) string {
	if len(ours) == 0 || len(theirs) == 0 {
		return "-"
	}
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / theirs[i]
	}
	return fmt.Sprintf("%.2f", measure.Median(ratios))
}

// insertSelect writes what a table holds, after some rows by which functions are
// compiled and queries planned.
func insertSelect(source string) func(ctx context.Context, e *env, r *router) (float64, error) {
	return func(ctx context.Context, _ *env, r *router) (float64, error) {
		insert := fmt.Sprintf("INSERT INTO %s (%s) SELECT * FROM %s", r.into(), written, source)
		if err := runSQL(ctx, r.conn, insert+" LIMIT 2000"); err != nil {
			return 0, err
		}
		var rows int
		if err := r.conn.QueryRow(ctx, "SELECT count(*) FROM "+source).Scan(&rows); err != nil {
			return 0, err
		}
		began := time.Now()
		if err := runSQL(ctx, r.conn, insert); err != nil {
			return 0, err
		}
		took := time.Since(began)
		return float64(rows) / took.Seconds(), r.arrived(ctx, rows+min(rows, 2000))
	}
}

// arrived fails unless the tables hold so many rows, and the parent none.
func (r *router) arrived(ctx context.Context, want int) error {
	var all, stray int
	if err := r.conn.QueryRow(ctx, fmt.Sprintf("SELECT count(*), count(*) FILTER (WHERE tableoid = '%[1]s'::regclass) FROM %[1]s", r.parent)).Scan(&all, &stray); err != nil {
		return err
	}
	if all != want || stray != 0 {
		return fmt.Errorf("%d rows were written and %d are there, %d of them in the parent", want, all, stray)
	}
	return nil
}

func copyIn(ctx context.Context, _ *env, r *router) (float64, error) {
	var rows bytes.Buffer
	tag, err := r.conn.PgConn().CopyTo(ctx, &rows, "COPY month TO STDOUT")
	if err != nil {
		return 0, err
	}
	n := int(tag.RowsAffected())
	began := time.Now()
	if _, err := r.conn.PgConn().CopyFrom(ctx, &rows, fmt.Sprintf("COPY %s (%s) FROM STDIN", r.into(), written)); err != nil {
		return 0, err
	}
	return float64(n) / time.Since(began).Seconds(), r.arrived(ctx, n)
}

// pgbench has clients insert single rows, each in a transaction of its own.
func pgbench(clients int) func(ctx context.Context, e *env, r *router) (float64, error) {
	return func(ctx context.Context, e *env, r *router) (float64, error) {
		script := filepath.Join(e.dir, "insert.sql")
		text := fmt.Sprintf("\\set user random(1, 1000)\nINSERT INTO %s (%s) VALUES ('p1', 'u' || :user, 'hello hello hello hello hello hello', localtimestamp);\n",
			r.into(), written)
		if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
			return 0, err
		}
		for seconds := benchSeconds; ; seconds *= 2 {
			// A progress report a second tells what the first one did.
			amount := []string{"-T", strconv.Itoa(seconds), "-P", "1"}
			if e.scale < 0.1 {
				amount = []string{"-t", "50"}
			}
			cmd := exec.CommandContext(ctx, e.server.Binaries().Path("pgbench"),
				slices.Concat([]string{"-n", "-M", "prepared", "-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(clients, 2)), "-f", script}, amount, []string{r.url})...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				return 0, fmt.Errorf("pgbench: %w\n%s", err, out)
			}
			rate, err := benchRate(string(out))
			if err == nil || seconds > 8*benchSeconds {
				return rate, err
			}
			// On a machine that is busy with something else not even one came to its end.
			fmt.Fprintf(e.log, "    %s: none in %d seconds, trying for longer\n", r.name, seconds)
		}
	}
}

var (
	benchTotal    = regexp.MustCompile(`(?m)^number of transactions actually processed: ([0-9]+)`)
	benchTPS      = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
	benchProgress = regexp.MustCompile(`(?m)^progress: ([0-9.]+) s, ([0-9.]+) tps`)
)

// benchRate reads transactions a second from what pgbench prints, without those
// before its first progress report, if it made one.
func benchRate(out string) (float64, error) {
	number := func(of *regexp.Regexp, group int) float64 {
		found := of.FindStringSubmatch(out)
		if found == nil {
			return 0
		}
		v, _ := strconv.ParseFloat(found[group], 64) // The expressions match nothing but numbers.
		return v
	}
	total, tps := number(benchTotal, 1), number(benchTPS, 1)
	if total == 0 || tps == 0 {
		return 0, fmt.Errorf("pgbench tells no rate:\n%s", out)
	}
	began := number(benchProgress, 1)
	if rest := total/tps - began; began > 0 && rest > 0.5 {
		return (total - began*number(benchProgress, 2)) / rest, nil
	}
	return tps, nil
}
