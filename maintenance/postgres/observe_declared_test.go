package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// TestObserveDeclared reads the bounds of partitions, of those that are being taken
// out, and of tables that were, for each type of key.
func TestObserveDeclared(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	for _, test := range []struct {
		column, from, to, want string
		unit                   partition.KeyUnit
	}{
		{column: "date", from: "2018-11-01", to: "2018-12-01", want: "[2018-11-01, 2018-12-01)"},
		{column: "timestamp", from: "2018-11-01", to: "2018-11-11 12:30:00.000001", want: "[2018-11-01, 2018-11-11 12:30:00.000001)"},
		{column: "timestamptz", from: "2018-11-01 00:00+01", to: "2018-12-01 00:00+01", want: "[2018-10-31 23:00:00, 2018-11-30 23:00:00)"},
		{column: "bigint", from: "1541030400", to: "1543622400", unit: partition.UnitSeconds, want: "[2018-11-01, 2018-12-01)"},
		{column: "bigint", from: "-1", to: "1", unit: partition.UnitMicroseconds, want: "[1969-12-31 23:59:59.999999, 1970-01-01 00:00:00.000001)"},
		{column: "uuid", from: "0166cc91-d000-0000-0000-000000000000", to: "01676710-9800-7000-8000-000000000000", want: "[2018-11-01, 2018-12-01)"},
	} {
		set := monthly("declared")
		set.KeyUnit = test.unit
		mark := partition.RetireMark(set.Parent)
		cast := func(v string) string { return fmt.Sprintf("'%s'::%s", v, test.column) }
		o.exec("DROP TABLE IF EXISTS declared, gone CASCADE", strings.NewReplacer("{type}", test.column, "{from}", test.from, "{to}", test.to).Replace(`
			CREATE TABLE declared (id int, created_at {type}) PARTITION BY RANGE (created_at);
			CREATE TABLE first PARTITION OF declared FOR VALUES FROM (MINVALUE) TO ('{from}');
			CREATE TABLE whole PARTITION OF declared FOR VALUES FROM ('{from}') TO ('{to}');
			CREATE TABLE last PARTITION OF declared FOR VALUES FROM ('{to}') TO (MAXVALUE);
			CREATE TABLE rest PARTITION OF declared DEFAULT`),
			fmt.Sprintf("CREATE TABLE gone (id int, created_at %s, CONSTRAINT %s CHECK (created_at IS NOT NULL AND created_at >= %s AND created_at < %s))", test.column, mark, cast(test.from), cast(test.to)))
		snap := o.observe(set)[0]
		if p := snap.Parent; !p.Declarative || p.RangeColumn != "created_at" || p.PartitionedBy != "RANGE (created_at)" {
			t.Errorf("%s: the parent is %+v", test.column, p)
		}
		from, to, _ := strings.Cut(strings.Trim(test.want, "[)"), ", ")
		compare(t, test.column, []string{boundsOf(child(t, snap, "first")), boundsOf(child(t, snap, "whole")), boundsOf(child(t, snap, "last"))},
			[]string{"check [-infinity, " + from + ")", "check " + test.want, "check [" + to + ", infinity)"})
		if len(snap.Partitions) != 3 || snap.Default == nil || snap.Default.Name.Local != "rest" {
			t.Errorf("%s: %d partitions, the default one is %v", test.column, len(snap.Partitions), snap.Default)
		}
		if len(snap.Detached) != 1 || boundsOf(snap.Detached[0]) != "check "+test.want || len(snap.Detached[0].Checks) != 1 {
			t.Errorf("%s: taken out: %+v", test.column, snap.Detached)
		}
	}
}

// TestObserveUnserved: what else PARTITION BY may be is told apart.
func TestObserveUnserved(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	for by, column := range map[string]string{"LIST (created_at)": "", "HASH (created_at)": "", "RANGE (created_at, id)": "", "RANGE (date_trunc('day'::text, created_at))": "", "RANGE (id)": "id"} {
		o.exec("DROP TABLE IF EXISTS declared", "CREATE TABLE declared (id int, created_at timestamp) PARTITION BY "+by)
		if p := o.one("declared").Parent; p.PartitionedBy != by || p.RangeColumn != column {
			t.Errorf("%s is %q by column %q", by, p.PartitionedBy, p.RangeColumn)
		}
	}
	o.exec("DROP TABLE declared", `CREATE TABLE declared (created_at timestamp) PARTITION BY RANGE (created_at);
		CREATE TABLE sub PARTITION OF declared FOR VALUES FROM ('2018-11-01') TO ('2018-12-01') PARTITION BY RANGE (created_at)`)
	if !child(t, o.one("declared"), "sub").Partitioned {
		t.Error("it is not seen that a partition is partitioned itself")
	}
}
