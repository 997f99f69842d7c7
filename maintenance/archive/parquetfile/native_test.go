package parquetfile

import (
	"errors"
	"slices"
	"testing"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestNoNativeForm has, among many rows, one value that Parquet cannot hold.
func TestNoNativeForm(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	for i, c := range []struct{ typ, value string }{
		{"date", "infinity"}, {"date", "-infinity"},
		{"timestamp", "infinity"}, {"timestamp", "-infinity"},
		{"timestamp", "294276-12-31 23:59:59.999999"}, {"timestamp", "294247-01-10 04:00:54.775807"},
		{"timestamptz", "infinity"}, {"timestamptz", "-infinity"}, {"timestamptz", "294276-12-31 23:59:59.999999+00"},
		{"numeric(9,2)", "NaN"}, {"numeric(18,2)", "NaN"}, {"numeric(38,10)", "NaN"},
	} {
		name := table(t, tx, "t"+string(rune('a'+i)), "i integer, v "+c.typ+" NOT NULL, w "+c.typ)
		good := map[byte]string{'d': "2018-11-01", 't': "2018-11-01", 'n': "1.5"}[c.typ[0]]
		run(t, tx, "INSERT INTO "+quoted(name)+" SELECT i, CASE i WHEN 400 THEN '"+c.value+"' ELSE '"+good+"' END::"+c.typ+
			", NULL FROM generate_series(1, 500) i")
		plan := columnsOf(t, tx, name)
		files, err := export(t.Context(), tx, plan, name, small)
		none, ok := errors.AsType[*NoNativeFormError](err)
		if !ok || !errors.Is(err, ErrNoNativeForm) || !slices.Equal(none.Columns, []string{"v"}) {
			t.Errorf("%s of %s: %v", c.value, c.typ, err)
			continue
		}
		if last := files[len(files)-1]; last.Number != 0 {
			t.Errorf("%s of %s: the last part is done", c.value, c.typ)
		}
		// The COPY has ended, the transaction and its snapshot are the same.
		if plan, err = plan.AsText(none.Columns...); err != nil {
			t.Fatal(err)
		}
		if !plan[1].AsText || plan[1].Parquet != String || plan[2].AsText {
			t.Errorf("%+v", plan)
		}
		roundTrip(t, tx, plan, name, small)
		if _, err := plan.AsText("v"); err == nil {
			t.Error("text becomes text")
		}
	}
}

// TestNoNativeFormAtOnce finds all such columns in one pass, however far they are
// apart.
func TestNoNativeFormAtOnce(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	name := table(t, tx, "t", "a date, b numeric(5,2), c timestamp, d timestamptz, e text")
	run(t, tx, `INSERT INTO public.t SELECT CASE i WHEN 10 THEN 'infinity' ELSE '2018-11-01' END::date, 1,
		CASE i WHEN 1990 THEN '-infinity' ELSE '2018-11-01' END::timestamp, CASE i WHEN 1000 THEN 'infinity' END::timestamptz, 'x'
		FROM generate_series(1, 2000) i`)
	plan := columnsOf(t, tx, name)
	_, err := export(t.Context(), tx, plan, name, small)
	none, ok := errors.AsType[*NoNativeFormError](err)
	if !ok || !slices.Equal(none.Columns, []string{"a", "c", "d"}) {
		t.Fatal(err)
	}
	if plan, err = plan.AsText(none.Columns...); err != nil {
		t.Fatal(err)
	}
	if got := sum(roundTrip(t, tx, plan, name, small)); got.Rows != 2000 {
		t.Errorf("%v", got)
	}
	if _, err := plan.AsText("nobody"); err == nil {
		t.Error("a column that is not there becomes text")
	}
}
