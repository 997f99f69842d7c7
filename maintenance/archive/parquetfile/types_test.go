package parquetfile

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// small makes many row groups of few rows, and several parts.
var small = Options{RowGroupBytes: 1 << 10, PartBytes: 8 << 10, Encoders: 3}

// typeCases are SQL types with values that are hard on them. NULL comes by itself.
var typeCases = []struct {
	typ    string
	form   Form
	asText bool
	values []string
}{
	{"boolean", Boolean, false, []string{"true", "false"}},
	{"smallint", Int16, false, []string{"-32768", "32767", "0", "-1"}},
	{"integer", Int32, false, []string{"-2147483648", "2147483647", "0", "-1"}},
	{"bigint", Int64, false, []string{"-9223372036854775808", "9223372036854775807", "0", "-1"}},
	{"real", Float, false, []string{"'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "0", "1e-45", "3.4028235e38", "1.1754942e-38"}},
	{"double precision", Double, false, []string{"'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "0", "5e-324", "1.7976931348623157e308", "2.2250738585072009e-308"}},
	{"text", String, false, []string{"''", "' '", "'Grüße, 世界 🌍'", "E'a\\tb\\r\\nc\\\\'", "E'\\u0001\\uFFFF'", "repeat('x', 70000)", "'NULL'", "'\\N'"}},
	{"varchar(20)", String, false, []string{"''", "'trailing   '", "'世界'"}},
	{"char(5)", String, false, []string{"''", "'ab'", "'abcde'"}},
	{"name", String, false, []string{"''", "'pg_class'", "repeat('n', 63)"}},
	{"bytea", Binary, false, []string{`''`, `'\x00'`, `'\x00ff0010'`, `decode(repeat('00', 5000), 'hex')`}},
	{"date", Date, false, []string{"'4713-01-01 BC'", "'0001-12-31 BC'", "'0001-01-01'", "'1969-12-31'", "'1970-01-01'", "'2000-01-01'", "'5874897-12-31'"}},
	{"timestamp", Timestamp, false, []string{"'4713-01-01 00:00:00 BC'", "'0001-12-31 23:59:59.999999 BC'", "'1969-12-31 23:59:59.999999'", "'2000-01-01'", "'1999-12-31 23:59:59.999999'", "'294246-12-31 23:59:59.999999'", "'294247-01-10 04:00:54.775806'"}},
	{"timestamp(3)", Timestamp, false, []string{"'2018-11-01 12:00:00.1239'"}},
	{"timestamptz", TimestampTZ, false, []string{"'4713-01-01 00:00:00+00 BC'", "'2018-10-28 02:30:00.000001+02'", "'294246-12-31 23:59:59.999999+00'"}},
	{"uuid", UUID, false, []string{"'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'"}},
	{"json", JSON, false, []string{`'{"b" : 1,  "a": [ ], "b": 2}'`, `' null '`, `E'"\\\\u00e9 é"'`, `'1.0'`}},
	{"jsonb", JSON, false, []string{`'{"b" : 1,  "a": [ ], "b": 2}'`, `'null'`, `'"é"'`, `'1.00'`, `'[]'`}},
	{"numeric(1,0)", "decimal(1,0)", false, []string{"0", "9", "-9"}},
	{"numeric(9,2)", "decimal(9,2)", false, []string{"0", "9999999.99", "-9999999.99", "0.01", "100", "-0.10"}},
	{"numeric(9,9)", "decimal(9,9)", false, []string{"0", "0.999999999", "-0.000000001", "0.0001"}},
	{"numeric(18,5)", "decimal(18,5)", false, []string{"0", "9999999999999.99999", "-9999999999999.99999", "10000", "10000.0001"}},
	{"numeric(38,0)", "decimal(38,0)", false, []string{"0", "99999999999999999999999999999999999999", "-99999999999999999999999999999999999999", "10000000000000000"}},
	{"numeric(38,10)", "decimal(38,10)", false, []string{"0", "9999999999999999999999999999.9999999999", "-9999999999999999999999999999.9999999999", "0.0000000001", "-1.5", "10000000000000000000000000000 - 1"}},
	{"numeric(38,37)", "decimal(38,37)", false, []string{"0", "9.9999999999999999999999999999999999999", "-9.9999999999999999999999999999999999999", "1"}},
	{"numeric(38,38)", "decimal(38,38)", false, []string{"0", "0.99999999999999999999999999999999999999", "-0.00000000000000000000000000000000000001"}},
	{"numeric(39,0)", String, true, []string{"999999999999999999999999999999999999999", "'NaN'"}},
	{"numeric", String, true, []string{"0", "0.00", "1e200", "-1e-200", "'NaN'", "'Infinity'", "'-Infinity'"}},
	{"time", String, true, []string{"'00:00'", "'24:00:00'", "'23:59:59.999999'"}},
	{"timetz", String, true, []string{"'00:00+15:59:59'", "'24:00:00-15:59'"}},
	{"interval", String, true, []string{"'1 year -2 mons 3 days -04:05:06.000007'", "'-178000000 years'", "'0'", "'1 day'", "'24 hours'"}},
	{"inet", String, true, []string{"'10.0.0.1'", "'10.0.0.1/8'", "'::1'", "'fe80::/64'"}},
	{"cidr", String, true, []string{"'10.0.0.0/8'", "'::/0'"}},
	{"macaddr", String, true, []string{"'08:00:2b:01:02:03'"}},
	{"money", String, true, []string{"1234567.89", "-0.01"}},
	{"bit(5)", String, true, []string{"B'10101'"}},
	{"bit varying", String, true, []string{"B''", "B'1'"}},
	{`"char"`, String, true, []string{"'a'", "''", `'\'`}},
	{"oid", String, true, []string{"0", "4294967295"}},
	{"pg_lsn", String, true, []string{"'FFFFFFFF/FFFFFFFF'"}},
	{"regclass", String, true, []string{"'pg_catalog.pg_class'", "'information_schema.tables'", "0"}},
	{"xml", String, true, []string{"'<a b=\"c\"/>'", "'text'"}},
	{"tsvector", String, true, []string{"'a:1A ''b c'':2'", "''"}},
	{"int4range", String, true, []string{"'empty'", "'(,)'", "'[1,5)'"}},
	{"int4multirange", String, true, []string{"'{}'", "'{[1,3),[5,)}'"}},
	{"box", String, true, []string{"'(1,1),(0,0)'"}},
	{"point", String, true, []string{"'(0.1,-1e300)'"}},
	{"integer[]", String, true, []string{"'{}'", "'{1,NULL,3}'", "'{{1,2},{3,4}}'", "'[2:3]={1,2}'"}},
	{"text[]", String, true, []string{`'{}'`, `'{"NULL",NULL,"","a\"b","c\\d","{e,f}"}'`}},
	{"numeric(5,2)[]", String, true, []string{"'{1,2.5,NaN}'"}},
	{"char(3)[]", String, true, []string{"'{a,\"bb \"}'"}},
	{"float8[]", String, true, []string{"'{-0,0.1,5e-324,Infinity,NaN}'"}},
	{"timestamptz[]", String, true, []string{"'{infinity,2018-10-28 02:30:00.000001+02,\"4713-01-01 00:00:00+00 BC\"}'"}},
	{"public.mood", String, true, []string{"'fine'", "'a, \"b\"'", "''"}},
	{"public.mood[]", String, true, []string{"'{fine,\"a, \\\"b\\\"\"}'"}},
	{"public.pair", String, true, []string{"'(1,2)'", "'(,)'", "ROW(1, NULL)", `'(,"x ""y""")'`}},
	{"public.short", String, false, []string{"''", "'abc'"}},
	{"public.money2", "decimal(10,2)", false, []string{"0.01", "-99999999.99"}},
	{"public.money3", "decimal(10,2)", false, []string{"0.01"}},
	{"public.ints", String, true, []string{"'{1,2}'"}},
	{"public.moods", String, true, []string{"'fine'"}},
}

// userTypes are the types of the cases that are not PostgreSQL's own.
const userTypes = `
	CREATE TYPE public.mood AS ENUM ('fine', 'a, "b"', '');
	CREATE TYPE public.pair AS (a integer, b text);
	CREATE DOMAIN public.short AS varchar(3);
	CREATE DOMAIN public.money2 AS numeric(10,2);
	CREATE DOMAIN public.money3 AS public.money2 CHECK (VALUE > 0);
	CREATE DOMAIN public.ints AS integer[];
	CREATE DOMAIN public.moods AS public.mood`

// later are those of numeric that PostgreSQL has since release 15.
var later = []struct {
	typ    string
	form   Form
	values []string
}{
	{"numeric(5,-2)", "decimal(7,0)", []string{"0", "9999900", "-9999900", "100", "10000"}},
	{"numeric(30,-8)", "decimal(38,0)", []string{"0", "99999999999999999999999999999900000000", "100000000"}},
	{"numeric(3,5)", "decimal(5,5)", []string{"0", "0.00999", "-0.00001"}},
	{"numeric(2,38)", "decimal(38,38)", []string{"0.00000000000000000000000000000000000099"}},
}

func TestEveryType(t *testing.T) {
	t.Parallel()
	conn := pgtest.New(t).Conn(t)
	tx := begin(t, conn)
	run(t, tx, userTypes)
	cases := typeCases
	if ask[int](t, tx, "SELECT current_setting('server_version_num')::int") >= 150000 {
		for _, l := range later {
			cases = append(cases, struct {
				typ    string
				form   Form
				asText bool
				values []string
			}{l.typ, l.form, false, l.values})
		}
	}
	for i, c := range cases {
		// Nothing in the settings' search path but pg_catalog: names are qualified.
		var rows []string
		for j, v := range append(c.values, "NULL") {
			if v != "NULL" && c.typ != "public.pair" {
				v = "CAST(" + v + " AS " + c.typ + ")"
			}
			rows = append(rows, fmt.Sprintf("(%d, %s, %d)", j, v, -j))
		}
		name := table(t, tx, fmt.Sprintf("t%d", i), "before integer, v "+c.typ+", after integer NOT NULL", rows...)
		plan := columnsOf(t, tx, name)
		if got := plan[1]; got.Parquet != c.form || got.AsText != c.asText {
			t.Errorf("%s is %s (as text: %t), want %s (%t)", c.typ, got.Parquet, got.AsText, c.form, c.asText)
		}
		failed := t.Failed()
		roundTrip(t, tx, plan, name, small)
		if !c.asText {
			// Whatever has a native form has a text, too.
			text, err := plan.AsText("v")
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, tx, text, name, small)
		}
		if t.Failed() && !failed {
			t.Errorf("that was %s", c.typ)
		}
	}
}

// TestRandomNumerics compares what a formula cannot choose by itself: many
// numerics of all sizes, in all forms of decimal.
func TestRandomNumerics(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	for _, typ := range []string{"numeric(9,4)", "numeric(9,0)", "numeric(17,3)", "numeric(18,18)", "numeric(38,13)", "numeric(38,38)", "numeric(20,1)"} {
		var p, s int
		if _, err := fmt.Sscanf(typ, "numeric(%d,%d)", &p, &s); err != nil {
			t.Fatal(err)
		}
		name := table(t, tx, "n"+strings.NewReplacer("(", "_", ")", "", ",", "_").Replace(typ), "v "+typ)
		run(t, tx, fmt.Sprintf(`INSERT INTO %s
			SELECT (random() - 0.5)::numeric * 2 * (10::numeric ^ (%d - 0.01 - random()::numeric * %d)) FROM generate_series(1, 3000)`,
			quoted(name), p-s, p))
		roundTrip(t, tx, columnsOf(t, tx, name), name, small)
	}
}

func TestNumericInAllPlaces(t *testing.T) {
	t.Parallel()
	for scale := range maxPrecision + 1 {
		for _, u := range append(powers[:maxPrecision], uint128{}, uint128{lo: 12_000_100}, uint128{lo: 1<<63 - 1}) {
			for _, minus := range []bool{false, true} {
				b := appendNumeric(nil, u, minus, scale)
				got, sign, ok := parseNumeric(b, maxPrecision, scale)
				if !ok || got != u || sign != (minus && u != uint128{}) {
					t.Fatalf("%v, scale %d, minus %t: %x gives %v, %t, %t", u, scale, minus, b, got, sign, ok)
				}
				if scale > 0 {
					if _, _, ok := parseNumeric(b, maxPrecision, scale-1); ok {
						t.Fatalf("%x is taken for one of scale %d", b, scale-1)
					}
				}
			}
		}
	}
	// What the bytes cannot be made of again is refused: zeros in front and behind,
	// a negative zero, a digit too large, too many digits, NaN.
	for _, s := range []string{
		"\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01", "\x00\x02\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00",
		"\x00\x00\x00\x00\x40\x00\x00\x00", "\x00\x00\x00\x01\x00\x00\x00\x00", "\x00\x01\x00\x00\x00\x00\x00\x00\x27\x10",
		"\x00\x01\x00\x0a\x00\x00\x00\x00\x00\x01", "\x00\x01\x7f\xff\x00\x00\x00\x00\x00\x01", "\x00\x00\x00\x00\xc0\x00\x00\x00",
		"\x00\x01\xff\xff\x00\x00\x00\x00\x00\x01", "\xff\xff\x00\x00\x00\x00\x00\x00", "\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01",
	} {
		if u, _, ok := parseNumeric([]byte(s), 3, 0); ok {
			t.Errorf("%x is %v", s, u)
		}
	}
}

// TestAllTypesInOneTable has the columns beside each other, and NULLs at random.
func TestAllTypesInOneTable(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	run(t, tx, userTypes)
	var columns, values []string
	for i, c := range typeCases {
		columns = append(columns, fmt.Sprintf("c%d %s", i, c.typ))
		values = append(values, fmt.Sprintf("CASE WHEN random() < 0.7 THEN CAST((%s) AS %s) END", c.values[len(c.values)-1], c.typ))
	}
	name := table(t, tx, "all", strings.Join(columns, ", "))
	run(t, tx, "INSERT INTO "+quoted(name)+" SELECT "+strings.Join(values, ", ")+" FROM generate_series(1, 300)")
	files := roundTrip(t, tx, columnsOf(t, tx, name), name, small)
	if len(files) < 2 || files[0].RowGroups < 2 {
		t.Errorf("there are %d parts", len(files))
	}
	// A part tells what it consists of.
	plan, err := ReadPlan(bytes.NewReader(files[0].Buffer.Bytes()), int64(files[0].Len()))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(plan), fmt.Sprint(columnsOf(t, tx, name)); got != want {
		t.Errorf("the metadata has %s, want %s", got, want)
	}
}
