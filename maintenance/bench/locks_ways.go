package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

const passName = "a pass"

// lockTimeout is the default of the configuration.
const lockTimeout = 500 * time.Millisecond

// passes is the way of partitiond, and what its reports said.
type passes struct {
	*lockWay
	set partition.Set
	// gaveUp counts the actions that gave up, and named those that named the reader.
	tries, gaveUp, named, actions int
	example                       string
}

func (l *locks) passWay() *passes {
	month := partition.Interval{N: 1, Unit: partition.Month}
	pattern, err := partition.ParsePattern("event_%Y_%m", month)
	if err != nil {
		panic(err) // It is a constant.
	}
	p := &passes{lockWay: &lockWay{name: passName, template: setTemplate}, set: partition.Set{
		Parent: partition.Name{Schema: "public", Local: "event_master"}, Key: "created_at", Interval: month, Pattern: pattern,
		Location: time.UTC, Ahead: ahead, Takeover: true,
		Trigger: "insert_event_trigger", Function: partition.Name{Schema: "public", Local: "event_insert_function"},
		Window:    partition.Window{Past: partition.Interval{N: 10, Unit: partition.Year}, Future: partition.Interval{N: 1, Unit: partition.Year}},
		Retention: partition.Retention{Keep: partition.Interval{N: keep, Unit: partition.Month}, Then: partition.Drop, MaxShare: 0.5},
		Indexes:   true, Grants: partition.GrantsAdd, SweepBatch: 1000,
		// With fewer retries than by default each action comes to meet the reader.
		Limits: partition.Limits{LockTimeout: lockTimeout, ConcurrentTimeout: 10 * time.Minute, Retries: 2,
			RetryWait: lockTimeout, MaxRetryWait: 15 * time.Second},
	}}
	if l.scale < 1 {
		p.set.Limits.Retries = 0
	}
	p.run = func(ctx context.Context, url string) error { return p.pass(ctx, url) }
	p.done = func(ctx context.Context, url string) error {
		planned, err := maintainer(url).Plan(ctx, []partition.Set{p.set})
		if err != nil {
			return err
		}
		if plan := planned[0].Plan; planned[0].Err != nil || !plan.Empty() {
			return fmt.Errorf("the set is not finished: %v, %v, %w", plan.Actions, plan.Problems, planned[0].Err)
		}
		return nil
	}
	return p
}

func maintainer(url string) *maintenance.Maintainer {
	return &maintenance.Maintainer{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, url) },
		Log:     slog.New(slog.DiscardHandler), Parallel: 1,
	}
}

func (p *passes) pass(ctx context.Context, url string) error {
	report, err := maintainer(url).Pass(ctx, nil, []partition.Set{p.set})
	if err != nil {
		return err
	}
	s := report.Sets[0]
	if s.Error != "" {
		return errors.New(s.Error)
	}
	for _, a := range s.Actions {
		p.actions++
		p.tries += a.Retries
		if a.Error == "" {
			continue
		}
		if !strings.Contains(a.Error, "SQLSTATE 55P03") {
			return fmt.Errorf("%s %s: %s", a.Action, a.Table, a.Error)
		}
		p.gaveUp++
		for _, b := range a.Blockers {
			if b.Application == "a long report" {
				p.named++
				p.example = fmt.Sprintf("%s of %s waited for: %+v", a.Action, a.Table, b)
				break
			}
		}
	}
	return nil
}

// naiveWay does the same without any care, the current month first, since that
// matters most.
func (l *locks) naiveWay() *lockWay {
	w := &lockWay{name: "the same DDL, plain", template: setTemplate}
	var statements []string
	add := func(format string, args ...any) { statements = append(statements, fmt.Sprintf(format, args...)) }
	check := func(n int) string {
		return fmt.Sprintf("CHECK (created_at >= %s AND created_at < %s)", l.day(n), l.day(n+1))
	}
	for n := newest + 1; n <= newest+ahead; n++ {
		add("CREATE TABLE IF NOT EXISTS %s (CONSTRAINT partition_bounds %s) INHERITS (event_master)", l.child(n), check(n))
		add("CREATE INDEX IF NOT EXISTS %[1]s_user ON %[1]s (user_id)", l.child(n))
		add("CREATE INDEX IF NOT EXISTS %[1]s_kind ON %[1]s (kind, created_at)", l.child(n))
		add("GRANT SELECT ON %s TO reporting", l.child(n))
	}
	for n := newest; n > newestDue; n-- {
		add("ALTER TABLE %s ADD CONSTRAINT partition_bounds %s", l.child(n), check(n))
		add("ALTER TABLE %[1]s DROP CONSTRAINT %[1]s_created_at_check", l.child(n))
		add("CREATE INDEX %[1]s_kind ON %[1]s (kind, created_at)", l.child(n))
		add("GRANT SELECT ON %s TO reporting", l.child(n))
	}
	for n := oldestDue; n <= newestDue; n++ {
		add("DROP TABLE %s", l.child(n))
	}
	add("ANALYZE event_master")
	w.run = once(statements)
	w.done = expect("SELECT count(*) FROM pg_inherits WHERE inhparent = 'event_master'::regclass", newest+ahead-newestDue)
	return w
}

// partmanWay drops what is due by pg_partman; nil if that is not installed.
func (l *locks) partmanWay(ctx context.Context) (*lockWay, error) {
	version, err := partmanVersion(ctx, l.server.URL("postgres"))
	if err != nil || version == "" {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman;
		CREATE TABLE event (%s) PARTITION BY RANGE (created_at); CREATE INDEX ON event (user_id); CREATE INDEX ON event (kind, created_at);
		SELECT partman.create_parent('public.event', 'created_at', 'native', 'monthly', p_premake := %d, p_start_partition := %s);
		`, eventColumns, ahead, l.day(oldestDue))
	for n := oldestDue; n <= newest; n++ {
		b.WriteString(l.fill("event", n))
	}
	fmt.Fprintf(&b, "UPDATE partman.part_config SET retention = '%d months', retention_keep_table = false, infinite_time_partitions = true", keep)
	if err := l.database(ctx, partmanTemplate, b.String(), "VACUUM (FREEZE, ANALYZE)"); err != nil {
		return nil, err
	}
	return &lockWay{
		name: "pg_partman " + version + ", retention", template: partmanTemplate, run: once([]string{"SELECT partman.run_maintenance()"}),
		done: expect("SELECT count(*) FROM pg_inherits WHERE inhparent = 'event'::regclass AND inhrelid::regclass::text BETWEEN 'event_p' AND 'event_p' || to_char(localtimestamp - interval '6 months', 'YYYY_MM')", 0),
	}, nil
}

// partmanVersion is the version of pg_partman that can be installed, if any.
func partmanVersion(ctx context.Context, url string) (version string, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx) // It has only read.
	err = conn.QueryRow(ctx, "SELECT coalesce((SELECT default_version FROM pg_available_extensions WHERE name = 'pg_partman'), '')").Scan(&version)
	return version, err
}

// once runs statements one after another, each in a transaction of its own, on the
// first call for a database: they wait as long as it takes, and are then done.
func once(statements []string) func(context.Context, string) error {
	done := map[string]bool{}
	return func(ctx context.Context, url string) error {
		if done[url] {
			return nil
		}
		done[url] = true
		return sqls(ctx, url, statements...)
	}
}

// expect makes sure that a query counts so many.
func expect(query string, want int) func(context.Context, string) error {
	return func(ctx context.Context, url string) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer conn.Close(ctx) // It has only read.
		var n int
		if err := conn.QueryRow(ctx, query).Scan(&n); err != nil || n != want {
			return fmt.Errorf("%s: got %d, want %d, %w", query, n, want, err)
		}
		return nil
	}
}

// sqls runs statements on a connection of their own, each in its own transaction.
func sqls(ctx context.Context, url string, statements ...string) (err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}
