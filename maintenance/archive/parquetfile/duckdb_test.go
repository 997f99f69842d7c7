package parquetfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// run returns the rows of each query; all columns are to be VARCHAR.
func (d *duckdb) run(t *testing.T, queries ...string) [][][]*string {
	t.Helper()
	in, err := json.Marshal(queries)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", d.script)
	cmd.Env = append(os.Environ(), "NODE_PATH="+d.modules)
	cmd.Stdin = bytes.NewReader(in)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		t.Fatalf("DuckDB: %v\n%s", err, complaint.Bytes())
	}
	var results [][][]*string
	if err := json.Unmarshal(out.Bytes(), &results); err != nil {
		t.Fatalf("DuckDB: %v\n%.1000s", err, out.Bytes())
	}
	return results
}

// parts writes the files to the directory, and returns what reads them all.
func (d *duckdb) parts(t *testing.T, name string, files []*file) string {
	t.Helper()
	var list []string
	for _, f := range files {
		path := filepath.Join(d.dir, fmt.Sprintf("%s-%05d.parquet", name, f.Number))
		if err := os.WriteFile(path, f.Buffer.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		list = append(list, "'"+path+"'")
	}
	return "read_parquet([" + strings.Join(list, ", ") + "])"
}

// ask asks the server; all columns are to be text.
func rowsOf(t *testing.T, tx pgx.Tx, sql string) (all [][]*string) {
	t.Helper()
	rows, err := tx.Query(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	for rows.Next() {
		row := make([]*string, len(rows.FieldDescriptions()))
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// agree compares rows.
func agree(t *testing.T, what string, got, want [][]*string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: DuckDB has %d rows, the server %d", what, len(got), len(want))
		return
	}
	show := func(s *string) string {
		if s == nil {
			return "NULL"
		}
		return fmt.Sprintf("%q", *s)
	}
	wrong := 0
	for i := range want {
		for j := range want[i] {
			if g, w := show(got[i][j]), show(want[i][j]); g != w {
				if wrong++; wrong < 5 {
					t.Errorf("%s: row %d, column %d: DuckDB has %s, the server %s", what, i+1, j+1, g, w)
				}
			}
		}
	}
}

// TestDuckDBAgrees lets an independent reader look at parts.
func TestDuckDBAgrees(t *testing.T) {
	t.Parallel()
	d := newDuckDB(t)
	t.Run("native types", d.nativeTypes)
	t.Run("conditions", d.conditions)
	t.Run("names", d.names)
	t.Run("no rows", d.noRows)
	t.Run("messages", d.generatedMessages)
	t.Run("real messages", d.realMessages)
}

// looks is how DuckDB and the server are asked for the values of a form, so that
// both say the same; %s is the value. same makes one of what they still say
// differently.
var looks = map[Form]struct {
	duckdb, server string
	same           func(string) string
}{
	Date:        {duckdb: "(%s - DATE '1970-01-01')::VARCHAR", server: "(%s - date '1970-01-01')::text"},
	Timestamp:   {duckdb: "epoch_us(%s)::VARCHAR", server: "public.micros(%s)::text"},
	TimestampTZ: {duckdb: "epoch_us(%s)::VARCHAR", server: "public.micros(%s AT TIME ZONE 'UTC')::text"},
	Boolean:     {duckdb: "%s::VARCHAR", server: "%s::text"},
	Binary:      {duckdb: "hex(%s)", server: "upper(encode(%s, 'hex'))"},
	Float:       {duckdb: "%s::VARCHAR", server: "%s::text", same: func(s string) string { return number(s, 32) }},
	Double:      {duckdb: "%s::VARCHAR", server: "%s::text", same: func(s string) string { return number(s, 64) }},
}

// zero adds the one before the point, which DuckDB leaves out.
func zero(s string) string {
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		return "-" + zero(rest)
	}
	if strings.HasPrefix(s, ".") {
		return "0" + s
	}
	return s
}

// number writes a float without a choice.
func number(s string, bits int) string {
	v, err := strconv.ParseFloat(s, bits)
	if err != nil {
		return err.Error()
	}
	return strconv.FormatFloat(v, 'x', -1, bits)
}

// microseconds since 1970, also on servers where extract is not exact.
const microseconds = `CREATE FUNCTION public.micros(timestamp) RETURNS bigint LANGUAGE sql AS $$
	SELECT (to_char($1, 'J')::bigint - 2440588) * 86400000000 + round(extract(epoch FROM $1::time) * 1000000)::bigint $$`

// types is what DuckDB calls the forms.
var types = map[Form]string{
	Boolean: "BOOLEAN", Int16: "SMALLINT", Int32: "INTEGER", Int64: "BIGINT", Float: "FLOAT", Double: "DOUBLE", String: "VARCHAR",
	Binary: "BLOB", Date: "DATE", Timestamp: "TIMESTAMP", TimestampTZ: "TIMESTAMP WITH TIME ZONE", UUID: "UUID", JSON: "JSON",
}

// nativeTypes compares every value of the types that have a native form.
func (d *duckdb) nativeTypes(t *testing.T) {
	tx := begin(t, pgtest.New(t).Conn(t))
	run(t, tx, userTypes)
	run(t, tx, microseconds)
	var queries, server []string
	for i, c := range typeCases {
		var rows []string
		for j, v := range append(c.values, "NULL") {
			if v != "NULL" && c.typ != "public.pair" {
				v = "CAST(" + v + " AS " + c.typ + ")"
			}
			rows = append(rows, fmt.Sprintf("(%d, %s)", j, v))
		}
		name := table(t, tx, fmt.Sprintf("t%d", i), "n integer, v "+c.typ, rows...)
		from := d.parts(t, name.Local, mustExport(t, tx, columnsOf(t, tx, name), name, small))
		look, ok := looks[c.form]
		if !ok {
			look.duckdb, look.server = "%s::VARCHAR", "format('%%s', %s)"
		}
		typ := types[c.form]
		if typ == "" {
			typ = strings.ToUpper(string(c.form))
		}
		queries = append(queries, fmt.Sprintf("SELECT "+look.duckdb+" FROM %s WHERE typeof(v) = '%s' ORDER BY n", "v", from, typ))
		server = append(server, fmt.Sprintf("SELECT CASE WHEN num_nulls(v) = 0 THEN "+look.server+" END FROM %s ORDER BY n", "v", quoted(name)))
	}
	for i, got := range d.run(t, queries...) {
		want := rowsOf(t, tx, server[i])
		same := looks[typeCases[i].form].same
		if strings.HasPrefix(string(typeCases[i].form), "decimal") {
			same = zero
		}
		if same != nil {
			for _, rows := range [][][]*string{got, want} {
				for _, row := range rows {
					if row[0] != nil {
						row[0] = new(same(*row[0]))
					}
				}
			}
		}
		agree(t, typeCases[i].typ, got, want)
	}
}

// conditions asks for rows by their values. A reader leaves out row groups by the
// bounds of their columns; wrong ones lose rows.
func (d *duckdb) conditions(t *testing.T) {
	tx := begin(t, pgtest.New(t).Conn(t))
	name := table(t, tx, "t", `i integer, n5 numeric(5,2), n15 numeric(15,2), n30 numeric(30,2), f double precision, s text, b bytea,
		u uuid, ts timestamp, d date, ok boolean`)
	run(t, tx, `INSERT INTO public.t SELECT v, v, v, v, CASE WHEN v % 97 = 0 AND v <> 0 THEN 'NaN'::float8 WHEN v = 0 THEN '-0'::float8 ELSE v END, v, int4send(v),
		md5(v::text)::uuid, timestamp '1970-01-01' + v * interval '1 day', date '1970-01-01' + v, v % 2 = 0
		FROM (SELECT CASE WHEN g % 10 <> 0 THEN hashint4(g) % 900 END AS v FROM generate_series(1, 5000) g) x ORDER BY v / 100 NULLS FIRST`)
	from := d.parts(t, "conditions", mustExport(t, tx, columnsOf(t, tx, name), name, small))
	var queries []string
	for _, condition := range []string{
		"i < -300", "i = 7", "i > 800", "i BETWEEN -5 AND 5", "i IS NULL", "i IS NOT NULL",
		"n5 < -300", "n5 = 7", "n5 > 800", "n15 < -300", "n15 = -7", "n15 > 800", "n30 < -300", "n30 = -7", "n30 > 800", "n30 BETWEEN -1 AND 1",
		"f < -300", "f = 7", "f = 0", "f > 800 AND f < 900", "f = 'NaN'", "s < '-3'", "s = '7'", "s > '8'", "s = '-7'",
		"u = CAST(md5('7') AS uuid)", "u < CAST('80000000-0000-0000-0000-000000000000' AS uuid)", "u >= CAST('80000000-0000-0000-0000-000000000000' AS uuid)",
		"ts < TIMESTAMP '1969-06-01 00:00:00'", "ts = TIMESTAMP '1970-01-08 00:00:00'", "ts > TIMESTAMP '1972-01-01 00:00:00'",
		"d < DATE '1969-06-01'", "d = DATE '1970-01-08'", "d > DATE '1972-01-01'", "ok", "NOT ok",
	} {
		queries = append(queries, "SELECT CAST(count(*) AS varchar), CAST(sum(i) AS varchar), CAST(sum(n30) AS varchar) FROM %s WHERE "+condition)
	}
	var asked []string
	for _, q := range queries {
		asked = append(asked, fmt.Sprintf(q, from))
	}
	for i, got := range d.run(t, asked...) {
		want := rowsOf(t, tx, fmt.Sprintf(queries[i], quoted(name)))
		agree(t, queries[i], got, want)
		if *want[0][0] == "0" {
			t.Errorf("%s asks for nothing", queries[i])
		}
	}
}

// names has columns with names that are hard, and in the table's order.
func (d *duckdb) names(t *testing.T) {
	tx := begin(t, pgtest.New(t).Conn(t))
	name := table(t, tx, "t", `zero integer, "a.b" integer, "a""b" integer, " " integer, "ü🌍" integer, "select" integer, b integer, a integer`)
	run(t, tx, "INSERT INTO public.t VALUES (1, 2, 3, 4, 5, 6, 7, 8)")
	from := d.parts(t, "names", mustExport(t, tx, columnsOf(t, tx, name), name, small))
	got := d.run(t, "SELECT column_name FROM (DESCRIBE SELECT * FROM "+from+")",
		`SELECT zero::VARCHAR, "a.b"::VARCHAR, "a""b"::VARCHAR, " "::VARCHAR, "ü🌍"::VARCHAR, "select"::VARCHAR, b::VARCHAR, a::VARCHAR FROM `+from)
	agree(t, "names", got[0], rowsOf(t, tx, "SELECT attname::text FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attnum > 0 ORDER BY attnum"))
	agree(t, "values", got[1], rowsOf(t, tx, `SELECT '1', '2', '3', '4', '5', '6', '7', '8'`))
}

// noRows has a part all the same, which says what its columns are.
func (d *duckdb) noRows(t *testing.T) {
	tx := begin(t, pgtest.New(t).Conn(t))
	name := table(t, tx, "t", "a integer, b numeric(30,2)")
	from := d.parts(t, "none", mustExport(t, tx, columnsOf(t, tx, name), name, small))
	got := d.run(t, "SELECT count(*)::VARCHAR, count(b)::VARCHAR FROM "+from)
	agree(t, "no rows", got[0], rowsOf(t, tx, "SELECT '0', '0'"))
}
