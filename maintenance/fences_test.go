package maintenance_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/config"
)

// What keeps partitions from being removed by mistake. FENCES.md has a table of it,
// with a row for each of these tests; TestFencesDocument holds both together.

// eventsSet is the configuration of the set of events, which keeps so much.
func eventsSet(retention string) string {
	return "[[set]]\nparent = \"public.events\"\nkey = \"at\"\nlimits = { lock_timeout = \"50ms\", retries = 1, retry_wait = \"1ms\", max_retry_wait = \"2ms\" }\nretention = { " + retention + " }\n"
}

// fenced makes a set in which nothing is to be done: a row in each month of the
// last year and of the present, and two months ahead.
func fenced(t *testing.T, s *scenario) *scenario {
	t.Helper()
	s.section("parent.sql", "CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY, at timestamp, what text)")
	s.section("set.toml", eventsSet(`keep = "12 months", then = "drop"`))
	s.pass(maintenance.Done)
	s.section("rows.sql", "INSERT INTO events (at, what) SELECT date_trunc('month', localtimestamp) - make_interval(months => i), 'month ' || i FROM generate_series(0, 12) i")
	s.pass(maintenance.Done) // Branches for them.
	s.section("left", "")
	return s
}

// older gives the set a row in each of two months that are due.
func (s *scenario) older() {
	s.t.Helper()
	s.section("older.sql", "INSERT INTO events (at, what) SELECT date_trunc('month', localtimestamp) - make_interval(months => i), 'month ' || i FROM generate_series(13, 14) i")
}

// events checks how many rows the set has.
func (s *scenario) events(want int) {
	s.t.Helper()
	s.query = "SELECT count(*) FROM events"
	s.section("result", fmt.Sprint(want))
}

// problem returns the only problem of a report, which has to be of that kind and to
// say how to go on.
func problem(t *testing.T, r maintenance.SetReport, kind string) maintenance.ProblemReport {
	t.Helper()
	if len(r.Problems) != 1 || r.Problems[0].Kind != kind || r.Problems[0].Hint == "" {
		t.Fatalf("the problems are %+v, want one of the kind %q with a hint", r.Problems, kind)
	}
	return r.Problems[0]
}

// TestFenceUnit: there is no number that could be taken for months by one and for
// days by another.
func TestFenceUnit(t *testing.T) {
	t.Parallel()
	for _, keep := range []string{`12`, `12.0`, `"12"`, `"12m"`, `"12 m"`, `"12mon"`, `"P12M"`, `"1 year 2"`, `"one year"`} {
		_, err := config.Parse("config.toml", []byte("[[set]]\nparent = \"public.events\"\nkey = \"at\"\nretention = { then = \"drop\", keep = "+keep+" }\n"))
		if err == nil {
			t.Errorf("keep = %s is accepted", keep)
			continue
		}
		for _, part := range []string{"config.toml:4: set.retention.keep", strings.Trim(keep, `"`), `such as "12 months"`} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("keep = %s: the error lacks %s: %v", keep, part, err)
			}
		}
	}
}

// TestFenceKeepShortened has somebody write 1 month for 12: nothing goes, the
// report says what to do if it is meant, and that does it.
func TestFenceKeepShortened(t *testing.T) {
	t.Parallel()
	s := fenced(t, newScenario(t))
	const short = `keep = "1 month", then = "drop"`
	s.section("set.toml", eventsSet(short))
	report := s.pass(maintenance.Partly)
	pr := problem(t, report, "too much to remove")
	if !strings.HasPrefix(pr.Text, "11 of 15 partitions are due, more than the 7 that one pass may remove (retention.max_share = 0.5): ") || len(report.Withheld) != 11 {
		t.Errorf("the problem is %q, and %d are withheld", pr.Text, len(report.Withheld))
	}
	s.events(13)
	// It was a mistake.
	s.section("set.toml", eventsSet(`keep = "12 months", then = "drop"`))
	s.pass(maintenance.Idle)
	// It was meant.
	share := regexp.MustCompile(`--max-share (\S+) or raise max_share$`).FindStringSubmatch(pr.Hint)
	if share == nil {
		t.Fatalf("the hint is %q", pr.Hint)
	}
	s.section("set.toml", eventsSet(short+", max_share = "+share[1]))
	s.pass(maintenance.Done)
	s.events(2)
	s.section("left", "")
}

// TestFenceNewerRows has a table that claims an old month by a CHECK which was never
// validated, or by none but its name, and has a row of today.
func TestFenceNewerRows(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, check, kind, mend string }{
		{"claimed", `ALTER TABLE events_{{month -14 "2006_01"}} ADD CHECK (at >= '{{month -14 "2006-01-02"}}' AND at < '{{month -13 "2006-01-02"}}') NOT VALID`, "rows outside bounds",
			"WITH newer AS (DELETE FROM events_{{month -14 \"2006_01\"}} WHERE what = 'newer' RETURNING at, what) INSERT INTO events (at, what) SELECT * FROM newer"},
		{"by its name", "", "unreadable bounds", `ALTER TABLE events_{{month -14 "2006_01"}} NO INHERIT events`},
	} {
		for _, then := range []string{`"drop"`, `"archive", archive = "file://{{archive}}"`} {
			t.Run(test.name+", "+strings.Trim(strings.Fields(then)[0], `",`), func(t *testing.T) {
				t.Parallel()
				s := fenced(t, newScenario(t))
				s.section("set.toml", s.name(eventsSet(`keep = "12 months", then = `+then)))
				s.section("old.sql", s.name(`CREATE TABLE events_{{month -14 "2006_01"}} () INHERITS (events);
					INSERT INTO events_{{month -14 "2006_01"}} VALUES (1, '{{month -14 "2006-01-02"}}', 'old'), (2, localtimestamp, 'newer');`+test.check))
				problem(t, s.pass(maintenance.Partly), test.kind)
				s.events(15)
				s.section("mend.sql", s.name(test.mend))
				report, err := s.m.Pass(t.Context(), nil, s.sets)
				if err != nil || report.Status() != maintenance.Done && report.Status() != maintenance.Idle {
					t.Errorf("%s, %v", passed(report), err)
				}
				s.query = "SELECT count(*) FROM events WHERE what = 'newer'"
				if test.check != "" {
					s.section("result", "1")
					s.events(14) // The old row is gone with its month.
				}
				s.section("left", "")
			})
		}
	}
}

// TestFenceDependents has a view on a month that is due, and a foreign key onto
// another: both would break, so both stay until they are gone or the tables may be
// kept.
func TestFenceDependents(t *testing.T) {
	t.Parallel()
	for _, then := range []string{`"drop"`, `"archive", archive = "file://{{archive}}"`} {
		t.Run(strings.Trim(strings.Fields(then)[0], `",`), func(t *testing.T) {
			t.Parallel()
			s := fenced(t, newScenario(t))
			s.older()
			s.section("dependents.sql", s.name(`ALTER TABLE events_{{month -13 "2006_01"}} ADD UNIQUE (id);
				CREATE TABLE invoices (event bigint REFERENCES events_{{month -13 "2006_01"}} (id)); INSERT INTO invoices SELECT id FROM events_{{month -13 "2006_01"}};
				CREATE VIEW numbers AS SELECT * FROM events_{{month -14 "2006_01"}}`))
			s.section("set.toml", s.name(eventsSet(`keep = "12 months", then = `+then)))
			report := s.pass(maintenance.Partly)
			var texts []string
			for _, pr := range report.Problems {
				texts = append(texts, fmt.Sprintf("%s: %s: %s; %s", pr.Kind, pr.Table, pr.Text, pr.Hint))
			}
			s.compare("problems", s.name(`dependents: public.events_{{month -14 "2006_01"}}: it is due (older than 12 months), but view public.numbers would break; drop what depends on it, or set retention.then to detach
dependents: public.events_{{month -13 "2006_01"}}: it is due (older than 12 months), but foreign key invoices_event_fkey of public.invoices would break; drop what depends on it, or set retention.then to detach`), strings.Join(texts, "\n"))
			s.events(15)
			// A way that the hint names: the tables stay, and with them what depends on them.
			set := s.sets
			s.section("set.toml", eventsSet(`keep = "12 months", then = "detach"`))
			s.pass(maintenance.Done)
			s.events(13)
			s.query = "SELECT (SELECT count(*) FROM numbers), (SELECT count(*) FROM invoices), (SELECT count(*) FROM pg_constraint WHERE conname = 'invoices_event_fkey')"
			s.section("result", "1 | 1 | 1")
			// The other way.
			s.section("back.sql", s.name(`DROP VIEW numbers; DROP TABLE invoices;
				ALTER TABLE events_{{month -13 "2006_01"}} INHERIT events; ALTER TABLE events_{{month -14 "2006_01"}} INHERIT events`))
			s.sets = set
			s.pass(maintenance.Done)
			s.events(13)
			s.section("left", "")
		})
	}
}

// TestFenceLateDependent makes a view when the removal is planned already: the server
// refuses it, for nothing is dropped with CASCADE, and the next pass says of what.
func TestFenceLateDependent(t *testing.T) {
	t.Parallel()
	s := fenced(t, newScenario(t))
	s.older()
	connect, connections := s.m.Connect, 0
	s.m.Connect = func(ctx context.Context) (*pgx.Conn, error) {
		// The first is for the lock, the second for the plan.
		if connections++; connections == 3 {
			s.section("view.sql", s.name(`CREATE VIEW numbers AS SELECT * FROM events_{{month -14 "2006_01"}}`))
		}
		return connect(ctx)
	}
	report := s.pass(maintenance.Partly)
	failed := 0
	for _, a := range report.Actions {
		if a.Error != "" {
			failed++
			if a.Table != s.name(`public.events_{{month -14 "2006_01"}}`) || !strings.Contains(a.Error, "2BP01") || a.Retries > 0 {
				t.Errorf("%+v", a)
			}
		}
	}
	pr := problem(t, report, "dependents")
	if failed != 1 || !strings.Contains(pr.Text, "view public.numbers would break") {
		t.Errorf("%d failed, and the problem is %q", failed, pr.Text)
	}
	s.events(14)
	s.section("drop.sql", "DROP VIEW numbers")
	s.pass(maintenance.Done)
	s.events(13)
	s.section("left", "")
}
