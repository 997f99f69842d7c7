package parquetfile

import (
	"encoding/json"
	"testing"

	"github.com/parquet-go/parquet-go/bloom/xxhash"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

func digestOf(tuples ...string) (d Digest) {
	for _, t := range tuples {
		d.add([]byte(t))
	}
	return d
}

func TestDigest(t *testing.T) {
	t.Parallel()
	a, b, c := tuple(1, "x"), tuple(2, "y"), nulls
	base := digestOf(a, b, c)
	if base != digestOf(c, a, b) {
		t.Error("the order of the rows matters")
	}
	for name, other := range map[string]Digest{
		"a row missing":        digestOf(a, b),
		"a row doubled":        digestOf(a, b, c, c),
		"a row twice doubled":  digestOf(a, b, c, c, c),
		"values exchanged":     digestOf(tuple(1, "y"), tuple(2, "x"), c),
		"empty for NULL":       digestOf(a, b, "\x00\x02\xff\xff\xff\xff\x00\x00\x00\x00"),
		"no rows":              digestOf(),
		"a row for another":    digestOf(a, a, c),
		"bytes moved to a row": digestOf(tuple(1, "xy"), tuple(2, ""), c),
	} {
		if other == base || other.Sum == base.Sum || other.Sum[0] == base.Sum[0] || other.Sum[1] == base.Sum[1] {
			t.Errorf("%s: %v, as before", name, other)
		}
	}
	sum := digestOf(a)
	sum.Add(digestOf(b, c))
	if sum != base {
		t.Errorf("the digests of parts add up to %v, want %v", sum, base)
	}
}

// TestDigestText pins what manifests have. The vectors are those of XXH64.
func TestDigestText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint64{
		"": 0xef46db3751d8e999, "a": 0xd24ec4f1a98c6e5b, "abc": 0x44bc2cf5ad770999,
		"Nobody inspects the spammish repetition": 0xfbcea83c8a378bf1,
	} {
		if got := xxhash.Sum64([]byte(text)); got != want {
			t.Errorf("XXH64 of %q is %x, want %x", text, got, want)
		}
	}
	d := Digest{Rows: 2, Sum: Sum{0x0123456789abcdef, 0xfedcba9876543210}}
	text, err := json.Marshal(d)
	if err != nil || string(text) != `{"rows":2,"sum":"0123456789abcdeffedcba9876543210"}` {
		t.Errorf("%s, %v", text, err)
	}
	var back Digest
	if err := json.Unmarshal(text, &back); err != nil || back != d {
		t.Errorf("%v, %v", back, err)
	}
	for _, bad := range []string{`"01"`, `"x123456789abcdeffedcba9876543210"`} {
		if err := json.Unmarshal([]byte(bad), new(Sum)); err == nil {
			t.Errorf("%s is a sum", bad)
		}
	}
}

// TestDigestOfTables compares tables that differ in how they came about.
func TestDigestOfTables(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	run(t, tx, `CREATE TABLE public.a AS SELECT i, 'row ' || i % 100 AS t, timestamp '2018-11-01' + i * interval '1 min' AS at FROM generate_series(1, 2000) i;
		CREATE TABLE public.shuffled AS SELECT * FROM public.a ORDER BY hashint4(i);
		CREATE TABLE public.doubled AS SELECT * FROM public.a UNION ALL SELECT * FROM public.a;
		CREATE TABLE public.once AS SELECT * FROM public.a UNION ALL SELECT * FROM public.a WHERE i = 7;
		CREATE TABLE public.changed AS SELECT i, t, CASE i WHEN 7 THEN at + interval '1 us' ELSE at END AS at FROM public.a;
		CREATE TABLE public.swapped AS SELECT i, CASE i WHEN 7 THEN 'row 8' WHEN 8 THEN 'row 7' ELSE t END AS t, at FROM public.a`)
	plan := columnsOf(t, tx, public("a"))
	digest := func(name string, o Options) Digest {
		t.Helper()
		return sum(mustExport(t, tx, plan, public(name), o))
	}
	want := digest("a", Options{})
	if want.Rows != 2000 {
		t.Errorf("%v", want)
	}
	if got := digest("a", small); got != want {
		t.Errorf("in many parts: %v, want %v", got, want)
	}
	if got := digest("shuffled", small); got != want {
		t.Errorf("in another order: %v, want %v", got, want)
	}
	for _, name := range []string{"doubled", "once", "changed", "swapped"} {
		if got := digest(name, small); got.Sum == want.Sum {
			t.Errorf("%s: %v, as before", name, got)
		}
	}
}
