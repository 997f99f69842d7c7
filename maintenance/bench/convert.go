package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/convert"
	"github.com/partitiond/partitiond/maintenance/partition"
)

func convertSection() section {
	return section{name: "convert", title: "Making a set by inheritance declarative, and back, under load", run: runConvert}
}

// convertMonths is how many months of rows the set has.
const convertMonths = 36

// conversion is one thing that is done under load, and what was seen of it.
type conversion struct {
	name           string
	run            func(ctx context.Context, w *conversion) error // nil does nothing
	inserts, reads stalls
	took, held     time.Duration
	retries        int
}

// converted is the set and the load on it.
type converted struct {
	*env
	set  partition.Set
	url  string
	each int
}

func runConvert(ctx context.Context, e *env) (t table, err error) {
	c := &converted{env: e, each: max(100, int(1e7*e.scale)/convertMonths), url: e.server.URL("convert")}
	if err := c.prepare(ctx); err != nil {
		return t, err
	}
	files, err := c.text(ctx, convertFiles)
	if err != nil {
		return t, err
	}
	before, err := c.text(ctx, "SELECT count(*) FROM event_master")
	if err != nil {
		return t, err
	}
	ways := []*conversion{{name: "the load, alone"},
		{name: "inheritance to declarative", run: func(ctx context.Context, w *conversion) error { return c.convert(ctx, w, false) }},
		{name: "declarative to inheritance", run: func(ctx context.Context, w *conversion) error { return c.convert(ctx, w, true) }}}
	written, err := c.underLoad(ctx, ways)
	if err != nil {
		return t, err
	}
	return c.report(ctx, ways, before, files, written)
}

// watched is how long the load is watched after each way.
func (c *converted) watched() time.Duration { return scaled(30*time.Second, c.scale, 3*time.Second) }

// underLoad does one thing after the other while others insert and read. It returns how
// many rows they have written.
func (c *converted) underLoad(ctx context.Context, ways []*conversion) (rows int, err error) {
	loaded, cancel := context.WithCancel(ctx)
	defer cancel() // Ends the load, should something else fail.
	inserts := &stream{name: "inserts", rate: 300, clients: 4, script: `\set user random(1, 100000)
		INSERT INTO event_master (user_id, kind, body, created_at) VALUES (:user, 1, 'a row of the load', localtimestamp);`}
	reads := &stream{name: "reads", rate: 60, clients: 4, script: `\set user random(1, 100000)
		SELECT count(*) FROM event_master WHERE user_id = :user AND created_at >= date_trunc('month', localtimestamp) AND created_at < date_trunc('month', localtimestamp) + interval '1 month';`}
	for _, s := range []*stream{inserts, reads} {
		if err := s.start(loaded, c.server, c.dir, "convert"); err != nil {
			return 0, err
		}
	}
	if err := sleep(ctx, warmUp); err != nil {
		return 0, err
	}
	from, to := make([]time.Time, len(ways)), make([]time.Time, len(ways))
	for i, w := range ways {
		fmt.Fprintf(c.log, "  %s\n", w.name)
		from[i] = time.Now()
		if w.run != nil {
			if err := w.run(ctx, w); err != nil {
				return 0, fmt.Errorf("%s: %w", w.name, err)
			}
			w.took = time.Since(from[i])
		}
		if err := sleep(ctx, c.watched()); err != nil {
			return 0, err
		}
		to[i] = time.Now()
	}
	written, lost, err := inserts.wait()
	if err != nil {
		return 0, err
	}
	read, unread, err := reads.wait()
	if err != nil {
		return 0, err
	}
	if lost+unread > 0 {
		return 0, fmt.Errorf("%d writers and %d readers failed: %s%s", lost, unread, inserts.stderr.String(), reads.stderr.String())
	}
	for i, w := range ways {
		w.inserts, w.reads = within(written, from[i], to[i]), within(read, from[i], to[i])
	}
	return len(written), nil
}

// convertFiles are the files that the months' rows are in.
const convertFiles = "SELECT string_agg(relname || ' ' || relfilenode, ',' ORDER BY relname) FROM pg_class WHERE relname ~ '^event_[0-9]{4}' AND relkind = 'r'"

// configure reads the set's configuration, and makes its database.
func (c *converted) configure(ctx context.Context) error {
	parsed, err := config.Parse("convert.toml", []byte(fmt.Sprintf("[[set]]\nparent = \"public.event_master\"\nkey = \"created_at\"\n[set.limits]\nlock_timeout = \"%s\"\nretries = 100\n", lockTimeout)))
	if err != nil {
		return err
	}
	c.set = parsed.Databases[0].Sets[0].Set
	return sqls(ctx, c.server.URL("postgres"), "CREATE DATABASE convert")
}

// prepare makes the set by hand, without an index and NOT NULL, and adopts it by a pass.
func (c *converted) prepare(ctx context.Context) error {
	if err := c.configure(ctx); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("CREATE TABLE event_master (id bigserial, user_id integer, kind integer, body text, created_at timestamp); CREATE INDEX ON event_master (user_id);")
	now := time.Now().UTC()
	for i := range convertMonths {
		from := time.Date(now.Year(), now.Month()-time.Month(i), 1, 0, 0, 0, 0, time.UTC)
		fmt.Fprintf(&b, `CREATE TABLE %[1]s (CHECK (created_at >= timestamp '%[2]s' AND created_at < timestamp '%[3]s')) INHERITS (event_master);
			INSERT INTO %[1]s (user_id, kind, body, created_at) SELECT i %% 100000, 1 + i %% 100, md5(i::text), timestamp '%[2]s' + i * interval '1 second' * 86400 * 28 / %[4]d FROM generate_series(0, %[4]d - 1) i;`,
			from.Format("event_2006_01"), from.Format("2006-01-02"), from.AddDate(0, 1, 0).Format("2006-01-02"), c.each)
	}
	fmt.Fprintln(c.log, "  making the set")
	if err := sqls(ctx, c.url, b.String(), "VACUUM (FREEZE, ANALYZE)"); err != nil {
		return err
	}
	return errors.Join(c.pass(ctx), sqls(ctx, c.url, "CHECKPOINT"))
}

// pass makes one, which has to leave nothing.
func (c *converted) pass(ctx context.Context) error {
	report, err := maintainer(c.url).Pass(ctx, nil, []partition.Set{c.set})
	if err == nil && len(report.Sets[0].Problems)+len(report.Sets[0].Due) > 0 {
		err = fmt.Errorf("a pass has left %+v", report.Sets[0])
	}
	return err
}

// bound is how long a swap may keep others waiting.
var bound = convert.Options{Bound: 10 * time.Second}

func (c *converted) connect(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, c.url) }

func (c *converted) convert(ctx context.Context, w *conversion, back bool) error {
	return converting(ctx, c.connect, c.set, back, w)
}

// converting converts a set, and tells how that went.
func converting(ctx context.Context, connect func(context.Context) (*pgx.Conn, error), set partition.Set, back bool, w *conversion) error {
	r, err := convert.Run(ctx, nil, connect, set, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
		if back {
			return convert.Back(ctx, conn, set, bound)
		}
		return convert.Forward(ctx, conn, set, bound)
	}, slog.New(slog.DiscardHandler))
	return w.swapped(r, err)
}

// swapped notes how a swap went.
func (w *conversion) swapped(r convert.Result, err error) error {
	if err == nil && !r.Swapped {
		err = fmt.Errorf("nothing was swapped: %s, %q", r.Plan.Done, r.Plan.Stops)
	}
	w.held, w.retries = r.Held, r.Retries
	return err
}

func (c *converted) text(ctx context.Context, query string) (text string, err error) {
	conn, err := pgx.Connect(ctx, c.url)
	if err != nil {
		return "", err
	}
	err = conn.QueryRow(ctx, "SELECT ("+query+")::text").Scan(&text)
	return text, errors.Join(err, conn.Close(ctx))
}

// noneLost fails unless the rows of before and those that were written are there.
func (c *converted) noneLost(ctx context.Context, before string, written int) error {
	lost, err := c.text(ctx, fmt.Sprintf("SELECT %s + %d - count(*) FROM event_master", before, written))
	if err == nil && lost != "0" {
		err = fmt.Errorf("%s rows are lost", lost)
	}
	return err
}

// conversionTable has a row for each way.
func conversionTable(ways []*conversion) table {
	t := table{head: []string{"", "inserts", "p99.9", "worst insert", "worst read", "failed", "all of it took", "the locks, at most", "tries before"}}
	for _, w := range ways {
		row := []string{w.name, fmt.Sprint(len(w.inserts.times)), milliseconds(w.inserts.quantile(0.999)), milliseconds(w.inserts.worst()), milliseconds(w.reads.worst()),
			fmt.Sprint(w.inserts.failed + w.reads.failed), "", "", ""}
		if w.run != nil {
			row[6], row[7], row[8] = w.took.Round(100*time.Millisecond).String(), milliseconds(w.held), fmt.Sprint(w.retries)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// load says what the load is.
func (c *converted) load() string {
	return fmt.Sprintf("pgbench inserts 300 rows a second through the parent with 4 clients, and reads one user's rows of this month 60 times a "+
		"second with 4 more; it is watched for %s after each way. lock_timeout is %s.", c.watched(), lockTimeout)
}

func (c *converted) report(ctx context.Context, ways []*conversion, before, files string, written int) (table, error) {
	t := conversionTable(ways)
	if err := c.noneLost(ctx, before, written); err != nil {
		return t, err
	}
	now, err := c.text(ctx, convertFiles)
	if err != nil {
		return t, err
	}
	moved := 0
	for _, f := range strings.Split(files, ",") {
		if !strings.Contains(","+now+",", ","+f+",") {
			moved++
		}
	}
	if moved > 0 {
		return t, fmt.Errorf("%d of %d files were written anew", moved, convertMonths)
	}
	t.notes = []string{fmt.Sprintf("%d months of %d rows each. %s Rows lost: 0. Rows moved: 0, all %d files are those of before.", convertMonths, c.each, c.load(), convertMonths)}
	return t, nil
}
