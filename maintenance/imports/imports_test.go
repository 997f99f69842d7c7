package imports_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/imports"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestPartman imports sets as pg_partman has made them, by trigger and declarative: the
// first plan removes nothing and makes no partition, and after one pass there is nothing to do.
func TestPartman(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	conn := db.Conn(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if _, err := imports.Partman(t.Context(), conn); !errors.Is(err, imports.ErrNoPartman) {
		t.Errorf("without pg_partman: %v", err)
	}
	var version string
	if err := conn.QueryRow(t.Context(), "SELECT coalesce((SELECT default_version FROM pg_available_extensions WHERE name = 'pg_partman'), '')").Scan(&version); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(version, "4.") {
		t.Skipf("pg_partman 4 is not installed (it is %q here), and so its sets are not imported", version)
	}
	exec(`CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman; SET search_path = partman, public;
		CREATE TABLE public.by_trigger (id bigserial, at timestamp NOT NULL, what text); CREATE INDEX ON public.by_trigger (at);
		CREATE TABLE public.weekly (at date NOT NULL);
		CREATE TABLE public.native (id bigint, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE TABLE public.days (at timestamptz NOT NULL) PARTITION BY RANGE (at);
		CREATE TABLE public.quarters (at timestamp NOT NULL) PARTITION BY RANGE (at);
		CREATE TABLE public.numbers (id bigint NOT NULL) PARTITION BY RANGE (id);
		CREATE TABLE public.halves (at timestamp NOT NULL) PARTITION BY RANGE (at);
		SELECT create_parent('public.by_trigger', 'at', 'partman', 'monthly'), create_parent('public.weekly', 'at', 'partman', 'weekly'),
			create_parent('public.native', 'at', 'native', 'monthly', p_premake := 2), create_parent('public.days', 'at', 'native', 'daily'),
			create_parent('public.quarters', 'at', 'native', 'quarterly'), create_parent('public.numbers', 'id', 'native', '1000'), create_parent('public.halves', 'at', 'native', 'half-hour');
		UPDATE part_config SET retention = '1 year', retention_keep_table = false WHERE parent_table = 'public.by_trigger';
		UPDATE part_config SET retention = '90 days', retention_schema = 'old' WHERE parent_table = 'public.native';
		RESET search_path;
		INSERT INTO public.by_trigger (at, what) SELECT localtimestamp - make_interval(days => i), 'row' FROM generate_series(0, 60) i;
		INSERT INTO public.native (id, at) SELECT i, now() - make_interval(days => i) FROM generate_series(0, 60) i`)
	sets, err := imports.Partman(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	var text, refused strings.Builder
	for _, s := range sets {
		text.WriteString(s.TOML(true))
		if s.Refused != "" {
			refused.WriteString(s.Parent.Local + " ")
		}
	}
	if refused.String() != "halves numbers " {
		t.Errorf("refused are %s", refused.String())
	}
	t.Log(text.String())
	for _, want := range []string{
		"keep = \"1 year\"\nthen = \"drop\"\n", "keep = \"90 days\"\nthen = \"detach\"\nschema = \"old\"\n", "name = \"by_trigger_p%Y_%m\"", "name = \"weekly_p%Gw%V\"", "name = \"quarters_p%Yq%q\"",
		"interval = \"1 quarter\"", "interval = \"1 week\"", "interval = \"1 day\"", "trigger = \"by_trigger_part_trig\"\nfunction = \"by_trigger_part_trig_func\"\ntakeover = true\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in it", want)
		}
	}
	c, err := config.Parse("imported.toml", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	exec(`DELETE FROM partman.part_config`)
	var ours []partition.Set
	for _, s := range c.Databases[0].Sets {
		ours = append(ours, s.Set)
	}
	m := &maintenance.Maintainer{Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, db.URL) },
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Parallel: 2}
	planned, err := m.Plan(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range planned {
		for _, pr := range p.Plan.Problems {
			t.Errorf("%s: %s: %s", p.Set.Parent, pr.Kind, pr.Text)
		}
		if len(p.Plan.Withheld) > 0 {
			t.Errorf("%s: withheld %v", p.Set.Parent, p.Plan.Withheld)
		}
		for _, a := range p.Plan.Actions {
			if a.Kind == partition.Create || a.Kind == partition.Retire {
				t.Errorf("%s: %s", p.Set.Parent, a)
			}
		}
	}
	const rows = "SELECT (SELECT count(*) FROM by_trigger) + (SELECT count(*) FROM native) || ' ' || (SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r')"
	var before, after string
	if err := conn.QueryRow(t.Context(), rows).Scan(&before); err != nil {
		t.Fatal(err)
	}
	report, err := m.Pass(t.Context(), nil, ours)
	if err != nil || report.Status() != maintenance.Done {
		t.Errorf("the first pass: %+v, %v", report, err)
	}
	if err := conn.QueryRow(t.Context(), rows).Scan(&after); err != nil || after != before {
		t.Errorf("there are %s rows and partitions after the first pass, and were %s, %v", after, before, err)
	}
	planned, err = m.Plan(t.Context(), ours)
	for _, p := range planned {
		if err != nil || p.Err != nil || !p.Plan.Empty() {
			t.Errorf("left of %s: %+v, %v", p.Set.Parent, p.Plan, err)
		}
	}
}

const managerYAML = `
connection-url: postgres://localhost/app
partitions:
  logs:
    schema: public
    table: logs
    partitionKey: created_at
    interval: daily
    retention: 30
    preProvisioned: 7
    cleanupPolicy: drop
  "odd one":
    schema: App
    table: Weekly%
    partitionKey: at
    interval: weekly
    retention: 4
    preProvisioned: 2
    cleanupPolicy: detach
    colour: blue
`

func TestManager(t *testing.T) {
	t.Parallel()
	sets, err := imports.Manager([]byte(managerYAML))
	if err != nil {
		t.Fatal(err)
	}
	want := `[[set]]
parent = "public.logs"
key = "created_at"
interval = "1 day"
name = "logs_%Y_%m_%d"
ahead = 7
[set.retention]
keep = "30 days"
then = "keep"
# So far nothing is removed. This is what was done; have a look at --run-now --dry-run with it:
# then = "drop"
# The key colour of odd one means nothing here.
[[set]]
parent = "\"App\".\"Weekly%\""
key = "at"
interval = "1 week"
name = "Weekly%%_%G_w%V"
ahead = 2
[set.retention]
keep = "4 weeks"
then = "detach"
`
	got := sets[0].TOML(false) + sets[1].TOML(true)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	c, err := config.Parse("imported.toml", []byte(got))
	if err != nil || len(c.Databases[0].Sets) != 2 || c.Databases[0].Sets[0].Retention.Then != partition.Keep || c.Databases[0].Sets[1].Parent.Local != "Weekly%" {
		t.Errorf("the configuration is %+v, %v", c, err)
	}
	for old, text := range map[string]string{
		"interval: daily":     `line 5: partitions.logs.interval = "hourly": expected one of daily`,
		"retention: 30":       `partitions.logs.retention = "0": expected a number`,
		"preProvisioned: 7":   `partitions.logs.preProvisioned = "-1": expected a number`,
		"cleanupPolicy: drop": `partitions.logs.cleanupPolicy = "burn": expected drop or detach`,
		"table: logs":         `partitions.logs.table = "": expected the table`,
	} {
		bad := map[string]string{"interval: daily": "interval: hourly", "retention: 30": "retention: 0", "preProvisioned: 7": "preProvisioned: -1", "cleanupPolicy: drop": "cleanupPolicy: burn", "table: logs": "table: ''"}[old]
		if _, err := imports.Manager([]byte(strings.Replace(managerYAML, old, bad, 1))); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %s", bad, err, text)
		}
	}
	for _, text := range []string{"", "partitions: 7", "a: [", "partitions: {logs: {retention: many}}", "partitions: {logs: 5}"} {
		if _, err := imports.Manager([]byte(text)); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
