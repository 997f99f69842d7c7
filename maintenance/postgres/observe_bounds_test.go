package postgres

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

const (
	nov = "[2018-11-01, 2018-12-01)"
	// all are the bounds of what says nothing.
	all = "[-infinity, infinity)"
)

// form is a CHECK as somebody may write it, with K for the key's name, and what
// comes behind it.
type form struct {
	check, suffix string
	// key is the key's type and name, where they are not timestamp and k.
	key, name string
	// want are the bounds that are read in it.
	want string
	// has are letters for what else is known of it: p plain, l local (it says
	// nothing but its bounds), v validated.
	has string
}

var forms = []form{
	{check: "K >= '2018-11-01' AND K < '2018-12-01'", want: nov, has: "plv"},
	{check: "K >= '2018-11-01' AND K < '2018-12-01'", suffix: "NOT VALID", want: nov, has: "pl"},
	{check: "K >= '2018-11-01' AND K < '2018-12-01'", suffix: "NO INHERIT", want: nov, has: "plv"},
	{check: "date_trunc('day', K) >= '2018-11-01'", suffix: "NO INHERIT NOT VALID", want: "[2018-11-01, infinity)", has: "l"},
	{check: "K >= '2018-11-01 12:30:00.5'", want: "[2018-11-01 12:30:00.5, infinity)", has: "plv"},
	{check: "K >= '1969-12-31 23:59:59.75' AND K < '1970-01-01 00:00:00.000001'", want: "[1969-12-31 23:59:59.75, 1970-01-01 00:00:00.000001)", has: "plv"},
	{check: "K >= '2019-01-01' AND K < '2018-01-01'", want: "[2019-01-01, 2018-01-01)", has: "plv"},
	{check: "K > '2018-10-31 23:59:59.999999' AND K <= '2018-11-30 23:59:59.999999'", want: nov, has: "lv"},
	{check: "K BETWEEN '2018-11-01' AND '2018-11-30 23:59:59.999999'", want: nov, has: "lv"},
	{check: "'2018-11-01' <= K AND '2018-12-01' > K", want: nov, has: "lv"},
	{check: "K >= '2018-11-01'::date AND K < '2018-12-01'::date", want: nov, has: "lv"},
	{check: "K >= '2018-11-01'::date::timestamp AND K < '2018-12-01'", want: nov, has: "lv"},
	{check: "K >= '2018-11-01' AND K < '2018-12-01' AND K >= '2018-11-01'::date", want: nov, has: "plv"},
	{check: "K IS NOT NULL AND K >= '2018-11-01' AND K < '2018-12-01'", want: nov, has: "pv"},
	{check: "K >= '2018-11-01' AND K < '2018-12-01' AND note <> ''", want: nov, has: "pv"},
	{check: "K >= '2018-11-01' AND NOT (K >= '2018-12-01')", want: "[2018-11-01, infinity)", has: "pv"},
	{check: "K >= '2018-11-01' AND (K < '2018-12-01' OR note = 'x')", want: "[2018-11-01, infinity)", has: "pv"},
	{check: "K < '2018-01-01' OR K >= '2019-01-01'", want: all},
	{check: "NOT (K < '2018-01-01')", want: all},
	{check: "NOT (K < '2018-01-01' OR K > '2019-01-01')", want: all},
	{check: "(K >= '2018-11-01') IS NOT FALSE", want: all},
	{check: "CASE WHEN note = 'x' THEN true ELSE K >= '2018-11-01' END", want: all},
	{check: "coalesce(K, '2018-11-01') >= '2018-11-01'", want: all},
	{check: "K IS NOT DISTINCT FROM '2018-11-01'", want: all},
	{check: "K <> '2018-11-01'", want: all},
	{check: "K IS NOT NULL", want: all},
	{check: "other >= '2018-11-01' AND other < '2018-12-01'", want: all},
	{check: "K >= other", want: all},
	{check: "K >= now()", want: all},
	{check: "K >= '2018-11-01'::timestamptz", want: all},
	{check: "K + '1 day'::interval >= '2018-11-01'", want: all},
	{check: "K AT TIME ZONE 'UTC' >= '2018-11-01'", want: all},
	{check: "K::timestamp(0) >= '2018-11-01'", want: all},
	{check: "extract(year FROM K) = 2018 AND extract(month FROM K) = 11", want: all},
	{check: "extract(year FROM K) = 2018 AND K >= '2018-01-01'", want: "[2018-01-01, infinity)", has: "pv"},
	{check: "to_char(K, 'YYYY_MM') = '2018_11'", want: all},
	{check: "K = ANY ('{2018-11-01,2018-11-02}')", want: all},
	{check: "K >= '2018-11-01' AND K < 'infinity'", want: "[2018-11-01, infinity)", has: "pv"},
	{check: "K >= '-infinity' AND K < '2018-12-01'", want: "[-infinity, 2018-12-01)", has: "pv"},
	{check: "K >= '0044-03-15 BC' AND K < '0001-01-01'", want: "[-0043-03-15, 0001-01-01)", has: "plv"},
	{check: "date_trunc('year', K) >= '0044-03-15 BC'", want: "[-0042-01-01, infinity)", has: "lv"},
	{check: "K >= '294270-01-01'", want: "[294270-01-01, infinity)", has: "plv"},

	// The dynamic trigger's form, and its relatives.
	{check: "date_trunc('day', K) >= '2018-11-01' AND date_trunc('day', K) < '2018-12-01'", want: nov, has: "lv"},
	{check: "date_trunc('day', K) >= '2018-11-01' AND K < '2018-12-01'", want: nov, has: "lv"},
	{check: "date_trunc('day', K) > '2018-10-31 12:00' AND date_trunc('day', K) <= '2018-11-30 12:00'", want: nov, has: "lv"},
	{check: "date_trunc('day', K) >= '2018-10-31 00:00:00.000001' AND date_trunc('day', K) < '2018-11-30 00:00:00.000001'", want: nov, has: "lv"},
	{check: "K::date >= '2018-11-01' AND K::date < '2018-12-01'", want: nov, has: "lv"},
	{check: "K::date > '2018-10-31' AND K::date <= '2018-11-30'", want: nov, has: "lv"},
	{check: "K::date BETWEEN '2018-11-01' AND '2018-11-30'", want: nov, has: "lv"},
	{check: "K::date = '2018-11-01'", want: "[2018-11-01, 2018-11-02)", has: "lv"},
	{check: "date_trunc('month', K) = '2018-11-01'", want: nov, has: "lv"},
	{check: "'2018-11-01' = date_trunc('month', K)", want: nov, has: "lv"},
	{check: "date_trunc('month', K) IN ('2018-11-01')", want: nov, has: "lv"},
	{check: "date_trunc('month', K) = '2018-11-02'", want: all},
	{check: "date_trunc('month', K) = '2018-11-02' AND K >= '2018-11-01'", want: "[2018-11-01, infinity)", has: "pv"},
	{check: "date_trunc('month', K::date::timestamp) = '2018-11-01'", want: nov, has: "lv"},
	{check: "date_trunc('month', date_trunc('day', K)) = '2018-11-01'", want: nov, has: "lv"},
	{check: "date_trunc('day', date_trunc('month', K)) = '2018-11-01'", want: nov, has: "lv"},
	{check: "date_trunc('month', date_trunc('week', K)) = '2018-11-01'", want: all},
	{check: "date_trunc('month', K::date) = '2018-11-01'", want: all},
	{check: "date_trunc('week', K) = '2018-11-05'", want: "[2018-11-05, 2018-11-12)", has: "lv"},
	{check: "date_trunc('week', K) >= '2018-11-06'", want: "[2018-11-12, infinity)", has: "lv"},
	{check: "date_trunc('quarter', K) <= '2018-11-05'", want: "[-infinity, 2019-01-01)", has: "lv"},
	{check: "date_trunc('year', K) = '2018-01-01'", want: "[2018-01-01, 2019-01-01)", has: "lv"},
	{check: "date_trunc('hour', K) > '2018-11-05 11:59'", want: "[2018-11-05 12:00:00, infinity)", has: "lv"},
	{check: "date_trunc('minute', K) < '2018-11-05 11:59:30'", want: "[-infinity, 2018-11-05 12:00:00)", has: "lv"},
	{check: "date_trunc('second', K) >= '2018-11-05 11:59:59.5'", want: "[2018-11-05 12:00:00, infinity)", has: "lv"},
	{check: "date_trunc('milliseconds', K) > '2018-11-05 11:59:59.9995'", want: "[2018-11-05 12:00:00, infinity)", has: "lv"},
	{check: "date_trunc('decade', K) >= '2010-01-01'", want: all},
	{check: "date_trunc(note, K) >= '2010-01-01'", want: all},
	{check: "other.date_trunc('day', K) >= '2018-11-01'", want: all},
	{check: "K OPERATOR(other.>=) '2018-11-01'", want: all},

	// Names that have to be quoted, or might mislead.
	{check: "K >= '2018-11-01' AND K < '2018-12-01'", name: `order`, want: nov, has: "plv"},
	{check: "date_trunc('day', K) >= '2018-11-01' AND K IS NOT NULL", name: `Created At`, want: "[2018-11-01, infinity)", has: "v"},
	{check: "K >= '2018-11-01' AND K < '2018-12-01'", name: `AND`, want: nov, has: "plv"},
	{check: "K::date >= '2018-11-01' AND K < '2018-12-01'", name: `a"b' AND (c`, want: nov, has: "lv"},
	{check: "K >= '2018-11-01' AND CURRENT_DATE < '2097-12-01'", name: `CURRENT_DATE`, want: "[2018-11-01, infinity)", has: "pv"},
	{check: "K >= '2018-11-01'", name: `день`, want: "[2018-11-01, infinity)", has: "plv"},
	{check: "K >= '2018-11-01'", name: `date`, want: "[2018-11-01, infinity)", has: "plv"},

	{check: "K >= '2018-11-01' AND K < '2018-12-01'", key: "date", want: nov, has: "plv"},
	{check: "K > '2018-10-31' AND K <= '2018-11-30'", key: "date", want: nov, has: "lv"},
	{check: "K BETWEEN '2018-11-01' AND '2018-11-30'", key: "date", want: nov, has: "lv"},
	{check: "K = '2018-11-01'", key: "date", want: "[2018-11-01, 2018-11-02)", has: "lv"},
	{check: "K >= '2018-10-31 12:00'::timestamp AND K < '2018-11-30 12:00'::timestamp", key: "date", want: nov, has: "lv"},
	{check: "K::timestamp >= '2018-11-01' AND date_trunc('month', K::timestamp) = '2018-11-01'", key: "date", want: nov, has: "lv"},
	{check: "date_trunc('month', K) = '2018-11-01'", key: "date", want: all},
	{check: "K >= '2018-11-01'::timestamptz", key: "date", want: all},
	{check: "K >= '0044-03-15 BC' AND K < '500000-01-01'", key: "date", want: "[-0043-03-15, 500000-01-01)", has: "plv"},
	{check: "K > '-infinity' AND K <= '2018-11-30'", key: "date", want: "[-infinity, 2018-12-01)", has: "v"},

	// The CHECKs are made in Tokyo, at UTC+9.
	{check: "K >= '2018-11-01' AND K < '2018-12-01 00:00+00'", key: "timestamptz", want: "[2018-10-31 15:00:00, 2018-12-01)", has: "plv"},
	{check: "K > '2018-10-31 23:59:59.999999Z' AND K <= '2018-11-30 23:59:59.999999Z'", key: "timestamptz", want: nov, has: "lv"},
	{check: "K >= '2018-11-01'::date", key: "timestamptz", want: all},
	{check: "K >= '2018-11-01'::timestamp", key: "timestamptz", want: all},
	{check: "K::date >= '2018-11-01'", key: "timestamptz", want: all},
	{check: "date_trunc('day', K) >= '2018-11-01'", key: "timestamptz", want: all},
	{check: "date_trunc('day', K, 'UTC') >= '2018-11-01'", key: "timestamptz", want: all},
	{check: "K AT TIME ZONE 'UTC' >= '2018-11-01'", key: "timestamptz", want: all},
	{check: "K >= '0001-01-01 BC' AND K < 'infinity'", key: "timestamptz", want: "[-0001-12-31 14:41:01, infinity)", has: "pv"},

	{check: "K >= '2018-11-01' AND K < '2018-12-01'", key: "timestamp(0)", want: nov, has: "plv"},
}

// checkedSchema has evil twins of what a CHECK may use.
const checkedSchema = `SET TimeZone = 'Asia/Tokyo';
	CREATE SCHEMA other;
	CREATE FUNCTION other.date_trunc(text, timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE AS 'SELECT $2 + interval ''1 year''';
	CREATE OPERATOR other.>= (LEFTARG = timestamp, RIGHTARG = timestamp, FUNCTION = timestamp_lt);
	-- Whether the table's CHECKs let the key in.
	CREATE FUNCTION admits(child regclass, name text, kind text, key text) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
	  EXECUTE format('INSERT INTO %s (%I, note) VALUES (%L::%s, ''x'')', child, name, key, kind);
	  RETURN true;
	EXCEPTION WHEN check_violation THEN RETURN false;
	END $$`

// checked makes a parent and a child with the CHECK for each form, and looks at
// all of them at once.
func checked(o *observed, forms []form) []partition.Snapshot {
	o.t.Helper()
	var sets []partition.Set
	var tables strings.Builder
	for i, f := range forms {
		set := monthly(fmt.Sprintf("p%d_master", i))
		set.Key = f.name
		sets = append(sets, set)
		check := strings.ReplaceAll(f.check, "K", quoteIdent(f.name))
		fmt.Fprintf(&tables, `CREATE TABLE p%d_master (%s %s, note text, other timestamp);
			CREATE TABLE p%[1]d_child () INHERITS (p%[1]d_master);
			ALTER TABLE p%[1]d_child ADD CONSTRAINT c CHECK (%[4]s) %[5]s;`, i, quoteIdent(f.name), f.key, check, f.suffix)
	}
	o.exec(tables.String())
	return o.observe(sets...)
}

// Each form is read as meant, and what a CHECK lets in lies within the bounds
// that were read. Where it is said to say nothing else, what lies within the
// bounds is let in, too: such a CHECK may be replaced by a range.
func TestObserveBounds(t *testing.T) {
	t.Parallel()
	o := newObserved(t, checkedSchema)
	forms := slices.Clone(forms)
	if o.since(18, "CHECK that is not enforced") {
		forms = append(forms, form{check: "K >= '2018-11-01' AND K < '2018-12-01'", suffix: "NOT ENFORCED", want: all})
	}
	for i := range forms {
		if forms[i].key == "" {
			forms[i].key = "timestamp"
		}
		if forms[i].name == "" {
			forms[i].name = "k"
		}
	}
	snaps := checked(o, forms)
	for i, f := range forms {
		c := child(t, snaps[i], fmt.Sprintf("p%d_child", i))
		name := f.key + ": " + f.check
		wanted, known := "", partition.BoundsUnknown
		if f.want != all {
			wanted = "c " + f.want
			for _, word := range []string{"validated", "plain", "local"} {
				if strings.ContainsAny(f.has, word[:1]) {
					wanted += " " + word
				}
			}
			if known = partition.BoundsFromCheck; !strings.Contains(f.has, "v") {
				known = partition.BoundsClaimed
			}
		}
		compare(t, name, checksOf(c), wanted)
		compare(t, name, string(c.Known)+" "+c.Bounds.String(), string(known)+" "+f.want)
		admission(o, f, c, fmt.Sprintf("p%d_child", i))
	}
}

// CHECKs at random keep that promise, too.
func TestObserveRandomBounds(t *testing.T) {
	t.Parallel()
	o := newObserved(t, checkedSchema)
	random := rand.New(rand.NewPCG(20181101, 7))
	pick := func(texts ...string) string { return texts[random.IntN(len(texts))] }
	var forms []form
	for range 120 {
		f := form{name: pick("k", "K k", "order"), key: pick("timestamp", "timestamp", "date", "timestamptz")}
		var parts []string
		for range 1 + random.IntN(3) {
			subject, kind := "K", f.key
			if f.key != "timestamptz" {
				unit := pick("hour", "day", "week", "month", "quarter", "year", "second")
				subject = pick("K", "K::date", "date_trunc('"+unit+"', K::timestamp)", "date_trunc('"+unit+"', K::date::timestamp)")
				kind = pick("timestamp", "date")
			}
			at := time.Date(2018, time.Month(10+random.IntN(4)), 1+random.IntN(3)*random.IntN(30), random.IntN(2)*random.IntN(24),
				0, random.IntN(2)*random.IntN(60), 1000*random.IntN(2)*random.IntN(1_000_000), time.UTC)
			constant := "'" + at.Format("2006-01-02 15:04:05.999999Z07") + "'::" + kind
			part := subject + " " + pick(">=", ">", "<", "<=", "=", ">=", "<") + " " + constant
			if random.IntN(4) == 0 {
				part = constant + " " + pick(">=", ">", "<", "<=") + " " + subject
			}
			parts = append(parts, pick("", "", "", "", "NOT ")+"("+part+")")
		}
		f.check = strings.Join(parts, pick(" AND ", " AND ", " AND ", " OR "))
		forms = append(forms, f)
	}
	snaps := checked(o, forms)
	exact := 0
	for i, f := range forms {
		c := child(t, snaps[i], fmt.Sprintf("p%d_child", i))
		admission(o, f, c, fmt.Sprintf("p%d_child", i))
		if len(c.Checks) > 0 && c.Checks[0].Local {
			exact++
		}
	}
	if exact < len(forms)/3 {
		t.Errorf("only %d of %d say nothing but their bounds: the test is not worth much", exact, len(forms))
	}
}

// admission compares the bounds that were read of a child's one CHECK with the
// keys that the server lets in.
func admission(o *observed, f form, c partition.Partition, table string) {
	t := o.t
	t.Helper()
	if len(c.Checks) == 0 {
		return
	}
	check := c.Checks[0]
	keys := keysAround(f, check.Bounds)
	var texts []string
	for _, k := range keys {
		texts = append(texts, keyText(f.key, k))
	}
	rows, err := o.conn.Query(t.Context(), "SELECT admits($1::text::regclass, $2::text, $3::text, key) FROM unnest($4::text[]) WITH ORDINALITY AS k (key, ord) ORDER BY ord",
		table, f.name, f.key, texts)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for i := 0; rows.Next(); i++ {
		var admitted bool
		if err := rows.Scan(&admitted); err != nil {
			t.Fatal(err)
		}
		e := keys[i]
		within := check.Bounds.From.Compare(e) <= 0 && e.Compare(check.Bounds.To) < 0
		if e.Inf != 0 { // An open end is open for the infinity, too.
			within = check.Bounds.From.Compare(e) <= 0 && e.Compare(check.Bounds.To) <= 0
		}
		if admitted && !within || within && !admitted && check.Local {
			t.Errorf("%s: %s\n%s: %s is let in: %t; within %s (all that it says: %t): %t", f.key, f.check, check.Definition, texts[i], admitted, check.Bounds, check.Local, within)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%v for %s %s", err, f.key, f.check)
	}
}

// keysAround returns keys at, near and far from the bounds' ends.
func keysAround(f form, b partition.Bounds) []partition.Edge {
	random := rand.New(rand.NewPCG(1, uint64(len(f.check))))
	keys := []partition.Edge{partition.MinusInfinity, partition.PlusInfinity, partition.At(time.Unix(0, 0))}
	units := []time.Duration{0, time.Microsecond, time.Millisecond, time.Second, time.Minute, time.Hour, 24 * time.Hour, 31 * 24 * time.Hour, 400 * 24 * time.Hour}
	for _, e := range []partition.Edge{b.From, b.To} {
		if e.Inf != 0 {
			continue
		}
		for _, unit := range units {
			keys = append(keys, partition.At(e.Time.Add(unit)), partition.At(e.Time.Add(-unit)))
			if unit > 0 {
				keys = append(keys, partition.At(e.Time.Add(time.Duration(random.Int64N(int64(2*unit)))-unit)))
			}
		}
	}
	for range 20 {
		keys = append(keys, partition.At(time.Date(2016+random.IntN(5), time.Month(1+random.IntN(12)), 1+random.IntN(28), random.IntN(24), 0, 0, random.IntN(1e9), time.UTC)))
	}
	for i := range keys {
		grid := map[string]time.Duration{"date": 24 * time.Hour, "timestamp(0)": time.Second}[f.key]
		if grid == 0 {
			grid = time.Microsecond
		}
		keys[i].Time = keys[i].Time.UTC().Truncate(grid)
	}
	return keys
}

// keyText is the key as PostgreSQL reads it, years before Christ included.
func keyText(kind string, e partition.Edge) string {
	if e.Inf != 0 {
		return edgeText(partition.KeyTimestamp, e)
	}
	year, era := e.Time.Year(), ""
	if year <= 0 {
		year, era = 1-year, " BC"
	}
	layout := " 15:04:05.999999"
	switch kind {
	case "date":
		layout = ""
	case "timestamptz":
		layout += "Z07"
	}
	return fmt.Sprintf("%04d", year) + e.Time.Format("-01-02"+layout) + era
}
