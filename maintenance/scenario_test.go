package maintenance_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/tools/txtar"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
	"github.com/partitiond/partitiond/sql"
)

// TestScenarios runs testdata/*.txtar, each in a database of its own. A section's
// name says what is done with it, in the order of the file:
//
//	set.toml    the configuration of the set, without [database]
//	*.sql       run as the superuser
//	plan        what a plan has to hold: a line "verb table" an action, and
//	            "problem kind table" a problem, in order
//	pass        one pass; its status, then what it did, as in plan, with
//	            "failed verb table" for what failed
//	query NAME  a query, whose result the section "result" after it has
//	release N   the major version that has what this is about, said by the text; on
//	            an older server the rest is skipped
//	notices     the notices and warnings that the last *.sql has brought
//	tag         the command tag that it ended with
//	fails NAME  SQL that has to fail; "result" has the SQLSTATE and the message
//
// The texts are templates: {{month 1 "2006_01"}} is the first day of next month
// by the server's clock, {{period "1 day" "Europe/Berlin" 1 "2006-01-02"}} the
// beginning of tomorrow in that zone, {{sql "seed.sql"}} a text of the sql package, {{archive}} a directory, {{role "x"}} a role's name.
// Every scenario ends by looking again: the plan is empty, unless the last
// section is "left" and has what it holds.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			runScenario(t, file)
		})
	}
}

type scenario struct {
	t       *testing.T
	db      *pgtest.Database
	conn    *pgx.Conn
	m       *maintenance.Maintainer
	sets    []partition.Set
	archive string
	roles   map[string]string
	query   string
	notices []string
	tag     string
	failure string
	major   int
}

func runScenario(t *testing.T, file string) {
	parsed, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := newScenario(t)
	text := strings.Builder{}
	if err := s.template(string(txtar.Format(parsed))).Execute(&text, nil); err != nil {
		t.Fatal(err)
	}
	looked := false
	for _, f := range txtar.Parse([]byte(text.String())).Files {
		looked = f.Name == "left"
		s.section(f.Name, strings.TrimSpace(string(f.Data)))
	}
	if !looked {
		s.section("left", "")
	}
}

func newScenario(t *testing.T) *scenario {
	t.Helper()
	return scenarioIn(t, pgtest.New(t))
}

func scenarioIn(t *testing.T, db *pgtest.Database) *scenario {
	t.Helper()
	s := &scenario{t: t, db: db, archive: t.TempDir(), roles: map[string]string{}}
	listening, err := pgx.ParseConfig(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	listening.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { s.notices = append(s.notices, n.Severity+": "+n.Message) }
	if s.conn, err = pgx.ConnectConfig(t.Context(), listening); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close(context.Background()) })
	s.m = &maintenance.Maintainer{
		Connect:  func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, db.URL) },
		Log:      slog.New(slog.NewTextHandler(t.Output(), nil)),
		Parallel: 2,
		// Tests read the archive as somebody who has nothing but its files.
		Archiving: maintenance.Archiving{Format: archive.CSV},
	}
	return s
}

func (s *scenario) template(text string) *template.Template {
	var now time.Time
	if err := s.conn.QueryRow(s.t.Context(), "SELECT now(), current_setting('server_version_num')::int / 10000").Scan(&now, &s.major); err != nil {
		s.t.Fatal(err)
	}
	now = now.UTC()
	return template.Must(template.New("scenario").Funcs(template.FuncMap{
		"month": func(n int, layout string) string {
			return time.Date(now.Year(), now.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC).Format(layout)
		},
		"period": func(interval, zone string, n int, layout string) string {
			return s.period(now, interval, zone, n).Format(layout)
		},
		"utc": func(interval, zone string, n int) string {
			return s.period(now, interval, zone, n).UTC().Format("2006-01-02 15:04:05") + "+00"
		},
		"isoweek": func(n int) string {
			year, week := now.AddDate(0, 0, 7*n).ISOWeek()
			return fmt.Sprintf("%d_w%02d", year, week)
		},
		"sql":     sql.Text,
		"archive": func() string { return s.archive },
		// since tells whether the server is of that major version or a later one.
		"since": func(major int) bool { return s.major >= major },
		"role": func(name string) string {
			if s.roles[name] == "" {
				s.roles[name] = s.db.Role(s.t, name)
			}
			return s.roles[name]
		},
	}).Parse(text))
}

// period returns when the n-th period from the present begins.
func (s *scenario) period(now time.Time, interval, zone string, n int) time.Time {
	iv, err := partition.ParseInterval(interval)
	if err != nil {
		s.t.Fatal(err)
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		s.t.Fatal(err)
	}
	p := iv.PeriodOf(now, loc)
	for range n {
		p = iv.Next(p, loc)
	}
	for range -n {
		p = iv.PeriodOf(p.From.Add(-1), loc)
	}
	return p.From.In(loc)
}

func (s *scenario) section(name, text string) {
	t := s.t
	t.Helper()
	verb, _, _ := strings.Cut(name, " ")
	switch {
	case name == "set.toml":
		c, err := config.Parse(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		s.sets = nil
		for _, set := range c.Databases[0].Sets {
			s.sets = append(s.sets, set.Set)
		}
	case strings.HasSuffix(name, ".sql"):
		s.notices = nil
		results, err := s.conn.PgConn().Exec(t.Context(), text).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(results) > 0 {
			s.tag = results[len(results)-1].CommandTag.String()
		}
	case verb == "plan" || verb == "left":
		s.compare(name, text, s.planned())
	case verb == "pass":
		report, err := s.m.Pass(t.Context(), nil, s.sets)
		if err != nil {
			t.Fatalf("pass: %v", err)
		}
		s.compare(name, text, passed(report))
	case verb == "release":
		var major int
		if _, err := fmt.Sscanf(name, "release %d", &major); err != nil {
			t.Fatalf("section %q: %v", name, err)
		}
		s.db.Since(t, major, text)
	case verb == "notices":
		s.compare(name, text, strings.Join(s.notices, "\n"))
	case verb == "tag":
		s.compare(name, text, s.tag)
	case verb == "fails":
		_, err := s.conn.PgConn().Exec(t.Context(), text).ReadAll()
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) {
			t.Fatalf("%s: got %v, want the server's error", name, err)
		}
		s.failure = pgErr.Code + " " + pgErr.Message
	case verb == "result" && s.failure != "":
		s.compare(name, text, s.failure)
		s.failure = ""
	case verb == "query":
		s.query = text
	case verb == "result":
		s.compare(name, text, rows(t, s.conn, s.query))
	default:
		t.Fatalf("section %q is nothing that a scenario has", name)
	}
}

func (s *scenario) compare(name, want, got string) {
	s.t.Helper()
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(strings.TrimSpace(got), "\n")); diff != "" {
		s.t.Errorf("section %s (-want +got):\n%s", name, diff)
	}
}

func (s *scenario) planned() string {
	s.t.Helper()
	planned, err := s.m.Plan(s.t.Context(), s.sets)
	if err != nil {
		s.t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range planned {
		if p.Err != nil {
			s.t.Fatal(p.Err)
		}
		for _, a := range p.Plan.Actions {
			fmt.Fprintf(&b, "%s %s\n", a.Verb(), a.Table)
		}
		for _, pr := range p.Plan.Problems {
			fmt.Fprintf(&b, "problem %s %s\n", pr.Kind, pr.Table)
		}
		for _, a := range p.Plan.Withheld {
			fmt.Fprintf(&b, "withheld %s %s\n", a.Verb(), a.Table)
		}
		for _, h := range p.Plan.Held {
			fmt.Fprintf(&b, "held %s %s\n", h.Action.Verb(), h.Action.Table)
		}
	}
	return b.String()
}

func passed(r maintenance.Report) string {
	var b strings.Builder
	for _, s := range r.Sets {
		fmt.Fprintf(&b, "%s\n", s.Status)
		for _, a := range s.Actions {
			failed := ""
			if a.Error != "" {
				failed = "failed "
			}
			fmt.Fprintf(&b, "%s%s %s\n", failed, a.Action, a.Table)
		}
		for _, p := range s.Problems {
			fmt.Fprintf(&b, "problem %s %s\n", p.Kind, p.Table)
		}
	}
	return b.String()
}

// rows returns a query's result as text, columns parted by " | ".
func rows(t *testing.T, conn *pgx.Conn, query string) string {
	t.Helper()
	result, err := conn.PgConn().Exec(t.Context(), query).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	var b strings.Builder
	for _, r := range result[len(result)-1].Rows {
		for i, v := range r {
			if i > 0 {
				b.WriteString(" | ")
			}
			b.Write(v)
		}
		b.WriteString("\n")
	}
	return b.String()
}
