package maintenance_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// TestRelease18Restore archives a month and brings it back with what PostgreSQL 18
// brought: a key WITHOUT OVERLAPS, a virtual generated column, a CHECK that is not
// enforced, and NOT NULL that some rows do not meet.
func TestRelease18Restore(t *testing.T) {
	t.Parallel()
	for style, by := range map[string]string{"inheritance": "", "declarative": "PARTITION BY RANGE (at)"} {
		t.Run(style, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			s.db.Since(t, 18, "key WITHOUT OVERLAPS")
			s.section("set.toml", fmt.Sprintf(restoreSet, s.archive))
			s.section("parent.sql", fmt.Sprintf(`CREATE EXTENSION btree_gist;
				CREATE TABLE events (id int CONSTRAINT numbered NOT NULL, at timestamptz NOT NULL, n int, twice int GENERATED ALWAYS AS (n * 2) VIRTUAL, during tsrange,
					CONSTRAINT wished CHECK (n < 0) NOT ENFORCED, CONSTRAINT booked PRIMARY KEY (id, at, during WITHOUT OVERLAPS)) %s;
				ALTER TABLE events REPLICA IDENTITY FULL`, by))
			s.mustPass(maintenance.Done)
			if by != "" {
				s.section("old.sql", s.name(`CREATE TABLE events_{{month -14 "2006_01"}} PARTITION OF events FOR VALUES FROM ('{{month -14 "2006-01-02"}}+00') TO ('{{month -13 "2006-01-02"}}+00')`))
			}
			s.section("rows.sql", s.name(`INSERT INTO events (id, at, n, during) SELECT i, timestamptz '{{month -14 "2006-01-02"}} 00:00+00' + i * interval '1 hour', nullif(i % 7, 0), '[2020-01-01,2020-01-02)' FROM generate_series(1, 50) i`))
			s.section("late.sql", "ALTER TABLE events ADD CONSTRAINT late NOT NULL n NOT VALID")
			before := s.text(fmt.Sprintf(digestOf, "events"))
			s.mustPass(maintenance.Done)
			if got := s.text("SELECT count(*) FROM events"); got != "0" {
				t.Fatalf("%s rows are left, want them archived", got)
			}

			beside := s.request()
			beside.Into = partition.Name{Schema: "public", Local: "beside"}
			if done, err := s.m.Restore(t.Context(), beside); err != nil || done.Rows != 50 {
				t.Errorf("into a table: %+v, %v", done, err)
			}
			if got := s.text("SELECT count(*), count(n) FROM beside"); got != "50 | 43" {
				t.Errorf("the table beside has %s", got)
			}
			if done, err := s.m.Restore(t.Context(), s.request()); err == nil {
				t.Errorf("rows that the set refuses are back: %+v", done)
			}
			s.nothingLeft()
			s.section("again.sql", "ALTER TABLE events DROP CONSTRAINT late")
			done, err := s.m.Restore(t.Context(), s.request())
			if err != nil || done.Rows != 50 || len(done.Left) != 0 {
				t.Fatalf("restored %+v, %v", done, err)
			}
			if got := s.text(fmt.Sprintf(digestOf, "events")); got != before {
				t.Errorf("the rows are %s, archived were %s", got, before)
			}
			if got := s.text(`SELECT count(*) = count(DISTINCT conrelid) AND count(*) = 1 + (SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass)
				FROM pg_constraint WHERE conperiod AND pg_get_constraintdef(oid) = 'PRIMARY KEY (id, at, during WITHOUT OVERLAPS)'`); got != "t" {
				t.Error("not each table of the set has the key once")
			}
			s.heldLeft()
		})
	}
}

// TestRelease16Membership has a pass made by members of the owner who, as PostgreSQL 16
// can tell apart, may act as the owner but inherit nothing, or the other way round.
func TestRelease16Membership(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.db.Since(t, 16, "GRANT ... WITH SET")
	owner, heir, actor := s.db.Role(t, "owner"), s.db.Role(t, "heir"), s.db.Role(t, "actor")
	s.section("setup.sql", fmt.Sprintf(`GRANT %[1]s TO %[2]s WITH INHERIT TRUE, SET FALSE; GRANT %[1]s TO %[3]s WITH INHERIT FALSE, SET TRUE;
		GRANT USAGE, CREATE ON SCHEMA public TO %[1]s; GRANT USAGE ON SCHEMA public TO %[2]s, %[3]s;
		SET ROLE %[1]s; CREATE TABLE events (id int, at timestamptz, what text); RESET ROLE`, owner, heir, actor))
	s.section("set.toml", fmt.Sprintf(restoreSet, s.archive))
	as := func(role string) {
		s.m.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, s.db.URLAs(role)) }
	}
	as(heir)
	report, err := s.m.Pass(t.Context(), nil, s.sets)
	if err != nil || report.Status() != maintenance.Failed || len(report.Sets[0].Problems) != 1 || !strings.Contains(report.Sets[0].Problems[0].Text, "may not act as the owner") {
		t.Errorf("who may not act as the owner: %+v, %v", report, err)
	}
	as(actor)
	s.mustPass(maintenance.Done)
	s.section("rows.sql", s.name(`INSERT INTO events VALUES (1, '{{month -14 "2006-01-02"}} 12:00+00', 'old'), (2, now(), 'new')`))
	s.mustPass(maintenance.Partly)
	s.section("left", s.name("archive public.events_{{month -14 \"2006_01\"}}\nanalyze public.events"))
	if got := s.text("SELECT string_agg(what, ' ' ORDER BY what) FROM events"); got != "new old" {
		t.Errorf("after a pass that could not read its rows, the set has %s", got)
	}
	s.section("grant.sql", fmt.Sprintf("GRANT %s TO %s WITH INHERIT TRUE", owner, actor))
	s.mustPass(maintenance.Done)
	s.section("left", "")
	if got := s.text("SELECT string_agg(what, ' '), (SELECT count(*) FROM pg_class JOIN pg_inherits ON inhrelid = oid WHERE pg_get_userbyid(relowner) <> '" + owner + "') FROM events"); got != "new | 0" {
		t.Errorf("the set has %s", got)
	}
}
