package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// readBounds reads a definition and puts in the constants' values, which are
// dates and times in UTC.
func readBounds(t testing.TB, definition, key string, keyType partition.KeyType) (checkRange, checkBounds) {
	t.Helper()
	read := readCheck(definition, key, keyType)
	values := map[literal]partition.Edge{}
	for _, c := range read.comparisons {
		for _, layout := range []string{"2006-01-02", "2006-01-02 15:04:05.999999", "2006-01-02 15:04:05.999999-07"} {
			if at, err := time.Parse(layout, c.value.text); err == nil {
				values[c.value] = partition.At(at.UTC())
			}
		}
	}
	return read, read.bounds(values)
}

// What PostgreSQL prints, and what it says of the key. The server's own prints
// are in TestObserveBounds.
func TestReadCheck(t *testing.T) {
	t.Parallel()
	const (
		nov   = `'2018-11-01 00:00:00'::timestamp without time zone`
		dec   = `'2018-12-01 00:00:00'::timestamp without time zone`
		month = "[2018-11-01, 2018-12-01)"
	)
	for _, test := range []struct {
		name, definition, key string
		kind                  partition.KeyType
		want                  string
		// has are the letters of what else was found: p plain, n not null, m more.
		has string
	}{
		{"plain", `CHECK (((k >= ` + nov + `) AND (k < ` + dec + `)))`, "k", "", month, "p"},
		{"suffixes", `CHECK (((k >= ` + nov + `) AND (k < ` + dec + `))) NO INHERIT NOT VALID`, "k", "", month, "p"},
		{"one side", `CHECK ((k >= ` + nov + `))`, "k", "", "[2018-11-01, infinity)", "p"},
		{"three", `CHECK (((k >= ` + nov + `) AND (k < ` + dec + `) AND (k < '2019-01-01 00:00:00'::timestamp without time zone)))`, "k", "", month, "p"},
		{"not null", `CHECK (((k IS NOT NULL) AND (k >= ` + nov + `) AND (k < ` + dec + `)))`, "k", "", month, "pn"},
		{"another's not null", `CHECK (((a IS NOT NULL) AND (k >= ` + nov + `)))`, "k", "", "[2018-11-01, infinity)", "pm"},
		{"is null", `CHECK (((k IS NULL) AND (k >= ` + nov + `)))`, "k", "", "[2018-11-01, infinity)", "pm"},
		{"nested ands", `CHECK ((((k >= ` + nov + `) AND (a > 1)) AND (k < ` + dec + `)))`, "k", "", month, "pm"},
		{"an or beside", `CHECK ((((a = 1) OR (k >= ` + dec + `)) AND (k >= ` + nov + `)))`, "k", "", "[2018-11-01, infinity)", "pm"},
		{"an or above", `CHECK ((((k >= ` + nov + `) AND (k < ` + dec + `)) OR (a = 1)))`, "k", "", "[-infinity, infinity)", "m"},
		{"an unparenthesised or", `CHECK (k >= ` + nov + ` OR a AND k < ` + dec + `)`, "k", "", "[-infinity, infinity)", "m"},
		{"not", `CHECK ((NOT (k >= ` + nov + `)))`, "k", "", "[-infinity, infinity)", "m"},
		{"is true", `CHECK ((((k >= ` + nov + `) AND (k < ` + dec + `)) IS NOT TRUE))`, "k", "", "[-infinity, infinity)", "m"},
		{"equals true", `CHECK (((k >= ` + nov + `) = false))`, "k", "", "[-infinity, infinity)", "m"},
		{"case", `CHECK (CASE WHEN (a = 1) THEN (k >= ` + nov + `) ELSE true END)`, "k", "", "[-infinity, infinity)", "m"},
		{"inequality", `CHECK ((k <> ` + nov + `))`, "k", "", "[-infinity, infinity)", "m"},
		{"array", `CHECK ((k = ANY (ARRAY[` + nov + `, ` + dec + `])))`, "k", "", "[-infinity, infinity)", "m"},
		{"array slice", `CHECK ((k >= (a)[1:2]))`, "k", "", "[-infinity, infinity)", "m"},
		{"both sides", `CHECK ((k >= k))`, "k", "", "[-infinity, infinity)", "m"},
		{"chain", `CHECK (((k >= ` + nov + `) >= (k < ` + dec + `)))`, "k", "", "[-infinity, infinity)", "m"},
		{"operator of a schema", `CHECK ((k OPERATOR(public.>=) ` + nov + `))`, "k", "", "[-infinity, infinity)", "m"},
		{"function of a schema", `CHECK ((public.date_trunc('day'::text, k) >= ` + nov + `))`, "k", "", "[-infinity, infinity)", "m"},
		{"type of a schema", `CHECK (((k)::public.date >= '2018-11-01'::date))`, "k", "", "[-infinity, infinity)", "m"},
		{"quoted type", `CHECK (((k)::"date" >= '2018-11-01'::date))`, "k", "", "[-infinity, infinity)", "m"},
		{"precision", `CHECK (((k)::timestamp(0) without time zone >= ` + nov + `))`, "k", "", "[-infinity, infinity)", "m"},
		{"precision of the constant", `CHECK ((k >= '2018-11-01 00:00:00'::timestamp(0) without time zone))`, "k", "", "[-infinity, infinity)", "m"},
		{"sum", `CHECK (((k + '1 day'::interval) >= ` + nov + `))`, "k", "", "[-infinity, infinity)", "m"},
		{"field", `CHECK (((k).f >= ` + nov + `))`, "k", "", "[-infinity, infinity)", "m"},
		{"truncated in a zone", `CHECK ((date_trunc('day'::text, k, 'UTC'::text) >= ` + nov + `))`, "k", "", "[-infinity, infinity)", "m"},
		{"truncated by a column", `CHECK ((date_trunc(a, k) >= ` + nov + `))`, "k", "", "[-infinity, infinity)", "m"},
		{"truncated to a decade", `CHECK ((date_trunc('decade'::text, k) >= ` + nov + `))`, "k", "", "[-infinity, infinity)", "m"},
		{"a function besides", `CHECK ((date_trunc('day'::text, k) >= ` + nov + `) AND f(k))`, "k", "", "[2018-11-01, infinity)", "m"},
		{"a mere word", `CHECK ((CURRENT_DATE >= '2018-11-01'::date))`, "CURRENT_DATE", partition.KeyDate, "[-infinity, infinity)", "m"},
		{"that word as a name", `CHECK (("CURRENT_DATE" >= '2018-11-01'::date))`, "CURRENT_DATE", partition.KeyDate, "[2018-11-01, infinity)", "p"},
		{"quote in a name", `CHECK (("a""b" >= ` + nov + `))`, `a"b`, "", "[2018-11-01, infinity)", "p"},
		{"a longer name", `CHECK ((kk >= ` + nov + `))`, "k", "", "[-infinity, infinity)", "m"},
		{"another's case", `CHECK (("K" >= ` + nov + `))`, "k", "", "[-infinity, infinity)", "m"},
		{"escape string", `CHECK (((a = E'it''s \\ AND (' ) AND (k >= ` + nov + `)))`, "k", "", "[2018-11-01, infinity)", "pm"},
		{"string with an and", `CHECK (((a = ' AND (k < ''2001-01-01''::date) AND '::text) AND (k >= ` + nov + `)))`, "k", "", "[2018-11-01, infinity)", "pm"},
		{"name with an and", `CHECK ((("x AND k" = 1) AND (k >= ` + nov + `)))`, "k", "", "[2018-11-01, infinity)", "pm"},
		{"instant for a date", `CHECK ((k >= '2018-11-01 00:00:00+00'::timestamp with time zone))`, "k", partition.KeyDate, "[-infinity, infinity)", "m"},
		{"no check", `UNIQUE (k)`, "k", "", "[-infinity, infinity)", "m"},
		{"half", `CHECK ((k >= ` + nov, "k", "", "[-infinity, infinity)", "m"},
		{"nothing", ``, "k", "", "[-infinity, infinity)", "m"},
		{"empty", `CHECK ()`, "k", "", "[-infinity, infinity)", "m"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.kind == "" {
				test.kind = partition.KeyTimestamp
			}
			read, b := readBounds(t, test.definition, test.key, test.kind)
			want(t, "bounds", b.String(), test.want)
			has := ""
			for letter, is := range map[string]bool{"p": b.plain, "n": read.notNull, "m": read.more} {
				if is {
					has += letter
				}
			}
			if len(has) != len(test.has) || strings.Trim(has, test.has) != "" {
				t.Errorf("found %q, want %q", has, test.has)
			}
		})
	}
}

// Weeks are no parts of months, so that neither can be taken down to the other.
func TestGridThen(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		g, o, want grid
		ok         bool
	}{
		{gridDay, gridMonth, gridMonth, true},
		{gridMonth, gridDay, gridMonth, true},
		{gridWeek, gridDay, gridWeek, true},
		{gridWeek, gridWeek, gridWeek, true},
		{gridMonth, gridYear, gridYear, true},
		{gridWeek, gridMonth, 0, false},
		{gridYear, gridWeek, 0, false},
	} {
		if got, ok := test.g.then(test.o); got != test.want || ok != test.ok {
			t.Errorf("%d then %d: %d, %t", test.g, test.o, got, ok)
		}
	}
}

// No text makes the reader fail, and whatever it understands is a range: the
// constant itself, or a neighbour of it, is at its edge.
func FuzzReadCheck(f *testing.F) {
	for _, definition := range []string{
		`CHECK (((created_at >= '2018-11-01 00:00:00'::timestamp without time zone) AND (created_at < '2018-12-01 00:00:00'::timestamp without time zone)))`,
		`CHECK (((date_trunc('day'::text, created_at) >= '2018-11-01 00:00:00'::timestamp without time zone) AND (created_at IS NOT NULL))) NOT VALID`,
		`CHECK ((('2018-11-01'::date <= (created_at)::date) AND (NOT ("x" = E'\'')))) NO INHERIT`,
		`CHECK ((created_at > ('2018-11-01'::date)::timestamp without time zone))`,
		`CHECK ((created_at = '0044-03-15 00:00:00 BC'::timestamp without time zone))`,
		`CHECK (CASE WHEN (a OR b) THEN true ELSE (c[1] = ANY (ARRAY[1.5, '-2'::integer])) END)`,
	} {
		for kind := range 3 {
			f.Add(definition, "created_at", uint8(kind), int64(1541030400000000))
		}
	}
	kinds := []partition.KeyType{partition.KeyDate, partition.KeyTimestamp, partition.KeyTimestampTZ}
	f.Fuzz(func(t *testing.T, definition, key string, kind uint8, micros int64) {
		read := readCheck(definition, key, kinds[int(kind)%len(kinds)])
		value := time.UnixMicro(micros).UTC()
		values := map[literal]partition.Edge{}
		for _, c := range read.comparisons {
			values[c.value] = partition.At(value)
			b, ok := c.bounds(values[c.value])
			if !ok {
				continue
			}
			span := c.grid.span(value)
			for _, e := range []partition.Edge{b.From, b.To} {
				if e.Inf == 0 && !e.Time.Equal(span.From) && !e.Time.Equal(span.To) {
					t.Errorf("%s: %s %s makes %s", definition, c.op, value, b)
				}
			}
			if c.plain && (c.grid > gridMicrosecond && kinds[int(kind)%len(kinds)] != partition.KeyDate) {
				t.Errorf("%s: plain on a grid", definition)
			}
		}
		b := read.bounds(values)
		if b.plain && b.Equal(partition.Everywhere) {
			t.Errorf("%s: it is plain and says nothing", definition)
		}
	})
}
