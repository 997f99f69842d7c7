package postgres

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// BenchmarkRouting compares ways to route rows by what one INSERT ... SELECT
// through the parent takes: the dynamic trigger function that this pattern's
// users have, branches that are written by hand and do nothing but insert, and
// ours. They take turns, and the best round of each counts, since whatever else
// the machine does only adds time. Run it with -benchtime 10x.
func BenchmarkRouting(b *testing.B) {
	const rows = 100_000
	for _, bench := range []struct{ name, key string }{
		{"month", "timestamp '2018-11-01' + (i % 29) * interval '1 day'"},
		{"years", "timestamp '2016-01-01' + (i * 7919 % 1095) * interval '1 day'"},
		// Without a branch: mostly one month after the other, as in a backfill.
		{"backfill", "timestamp '2011-01-01' + (i / 300) * interval '1 day'"},
		{"scattered", "timestamp '2011-01-01' + (i * 7919 % 333) * interval '1 day'"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r := benchSet(b)
			r.exec(b, fmt.Sprintf("CREATE TABLE source AS SELECT 'p' || i %% 100 AS program_id, 'u' || i %% 1000 AS user_id, repeat('hello ', 8) AS body, %s AS created_at FROM generate_series(1, %d) AS i", bench.key, rows))
			r.exec(b, "VACUUM ANALYZE source")
			functions := []string{"dynamic", "by_hand", "event_insert_function"}
			best := map[string]float64{}
			for round := 0; b.Loop(); round++ {
				for i := range functions {
					f := functions[(i+round)%len(functions)]
					r.exec(b, "TRUNCATE event_master; CREATE OR REPLACE TRIGGER insert_event_trigger BEFORE INSERT ON event_master FOR EACH ROW EXECUTE FUNCTION "+f+"()")
					insert := "INSERT INTO event_master (program_id, user_id, body, created_at) SELECT * FROM source"
					r.exec(b, insert+" LIMIT 2000") // It compiles the function.
					began := time.Now()
					r.exec(b, insert)
					best[f] = math.Max(best[f], rows/time.Since(began).Seconds())
				}
			}
			ours := best["event_insert_function"]
			b.ReportMetric(ours, "rows/s")
			b.ReportMetric(ours/best["dynamic"], "x-dynamic")
			b.ReportMetric(ours/best["by_hand"], "x-by-hand")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// benchSet makes 96 months: 36 of them have branches, written by hand and ours.
func benchSet(b *testing.B) *routed {
	b.Helper()
	route := eventRoute()
	route.Columns = slices.Insert(route.Columns, 2, partition.Column{Name: "user_id"})
	r := newRouted(b, `CREATE SEQUENCE event_id_seq; CREATE TABLE public.event_master (id integer NOT NULL DEFAULT nextval('event_id_seq'),
		program_id varchar, user_id varchar, body varchar(10000), created_at timestamp)`, route)
	months := func(from string, n int) []string {
		first, err := time.Parse("2006-01-02", from)
		if err != nil {
			b.Fatal(err)
		}
		var out []string
		for i := range n {
			out = append(out, first.AddDate(0, i, 0).Format("2006-01-02"))
		}
		return out
	}
	near := []string{"2018-11-01", "2018-12-01", "2018-10-01"}
	for _, m := range near {
		r.branch(b, m, true)
	}
	for _, m := range append(months("2016-01-01", 33), "2019-01-01") {
		r.branch(b, m, false)
	}
	r.install(b)
	for _, m := range months("2011-01-01", 60) {
		r.branch(b, m, false)
	}
	var byHand strings.Builder
	for i, branch := range append(r.route.Near[:3:3], r.route.Rest...) {
		fmt.Fprintf(&byHand, "%s NEW.created_at >= %s AND NEW.created_at < %s THEN INSERT INTO %s VALUES (NEW.*);\n",
			[]string{"IF", "ELSIF"}[min(i, 1)], edgeLiteral(r.route.KeyType, branch.Bounds.From), edgeLiteral(r.route.KeyType, branch.Bounds.To), quoteName(branch.Table))
	}
	r.exec(b, "CREATE FUNCTION by_hand() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "+byHand.String()+" END IF; RETURN NULL; END $$")
	r.exec(b, strings.Replace(dynamicFunction, "event_insert_function", "dynamic", 1))
	return r
}

// dynamicFunction is the trigger function that databases of this pattern have.
const dynamicFunction = `CREATE OR REPLACE FUNCTION event_insert_function() RETURNS TRIGGER AS $$
DECLARE partition_date TEXT; partition_name TEXT; start_of_month TEXT; end_of_next_month TEXT;
BEGIN
  partition_date := to_char(NEW.created_at,'YYYY_MM');
  partition_name := 'event_' || partition_date;
  start_of_month := to_char((NEW.created_at),'YYYY-MM') || '-01';
  end_of_next_month := to_char((NEW.created_at + interval '1 month'),'YYYY-MM') || '-01';
  IF NOT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_name = partition_name) THEN
    RAISE NOTICE 'A partition has been created %', partition_name;
    EXECUTE format(E'CREATE TABLE %I (CHECK ( date_trunc(\'day\', created_at) >= ''%s'' AND date_trunc(\'day\', created_at) < ''%s'')) INHERITS (public.event_master)', partition_name, start_of_month, end_of_next_month);
    -- EXECUTE format('GRANT SELECT ON TABLE %I TO readonly', partition_name);
  END IF;
  EXECUTE format('INSERT INTO %I (program_id, user_id, body, created_at) VALUES($1,$2,$3,$4)', partition_name)
    USING NEW.program_id, NEW.user_id, NEW.body, NEW.created_at;
  RETURN NULL;
END $$ LANGUAGE plpgsql;`
