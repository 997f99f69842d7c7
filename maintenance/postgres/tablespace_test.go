package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// TestTablespace: whoever makes a partition, a pass or the routing function, makes it in
// the parent's tablespace, and one that is elsewhere stays there.
func TestTablespace(t *testing.T) {
	t.Parallel()
	const where = "SELECT coalesce((SELECT spcname FROM pg_tablespace WHERE oid = reltablespace), '') FROM pg_class WHERE relname = '%s'"
	for name, tables := range map[string]string{
		"inheritance": `CREATE TABLE event_master (id bigint, created_at timestamp NOT NULL) TABLESPACE %s;
			CREATE TABLE event_2018_11 (CHECK (created_at >= '2018-11-01' AND created_at < '2018-12-01')) INHERITS (event_master)`,
		"declarative": `CREATE TABLE event_master (id bigint, created_at timestamp NOT NULL) PARTITION BY RANGE (created_at) TABLESPACE %s;
			CREATE TABLE event_2018_11 PARTITION OF event_master FOR VALUES FROM ('2018-11-01') TO ('2018-12-01') TABLESPACE pg_default;
			CREATE TABLE event_default PARTITION OF event_master DEFAULT`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApplied(t, "")
			other := a.Tablespace(t)
			a.exec(fmt.Sprintf(tables, quoteIdent(other)))
			a.set.Retention.Then = partition.Keep
			a.converge()
			now := time.Now().UTC()
			next := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC).Format("event_2006_01")
			want(t, "where next month is", a.one(fmt.Sprintf(where, next)), other)
			want(t, "where an old month is", a.one(fmt.Sprintf(where, "event_2018_11")), "")
			a.exec("INSERT INTO event_master VALUES (1, '2019-05-05')")
			if name == "inheritance" {
				want(t, "where the function's table is", a.one(fmt.Sprintf(where, "event_2019_05")), other)
			}
			a.converge()
			want(t, "where the row's month is", a.one(fmt.Sprintf(where, "event_2019_05")), other)
		})
	}
}

// TestTablespaceRefused: an owner who may make no tables in the parent's tablespace gets
// them where tables go by default, and the plan says so.
func TestTablespaceRefused(t *testing.T) {
	t.Parallel()
	a := newApplied(t, "")
	other, owner := a.Tablespace(t), a.Role(t, "owner")
	a.exec(fmt.Sprintf("CREATE TABLE event_master (id bigint, created_at timestamp NOT NULL) TABLESPACE %s; ALTER TABLE event_master OWNER TO %s; GRANT CREATE ON SCHEMA public TO %[2]s",
		quoteIdent(other), pgx.Identifier{owner}.Sanitize()))
	a.set.Retention.Then = partition.Keep
	for range 2 {
		snap := a.observe()
		for _, act := range partition.Make(a.set, snap).Actions {
			if _, err := a.apply(snap, act); err != nil {
				t.Errorf("%s: %v", act, err)
			}
		}
	}
	p := partition.Make(a.set, a.observe())
	if len(p.Actions) > 0 {
		t.Errorf("left: %v", p.Actions)
	}
	if len(p.Problems) != 1 || !strings.Contains(p.Problems[0].Text, fmt.Sprintf("in the parent's tablespace %q", other)) {
		t.Errorf("problems: %v", p.Problems)
	}
	want(t, "partitions", a.one("SELECT count(*) > 0 FROM pg_inherits WHERE inhparent = 'event_master'::regclass"), "true")
}
