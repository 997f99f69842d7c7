package parquetfile

import (
	"bytes"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestFooter looks at what readers go by before they look at rows.
func TestFooter(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	run(t, tx, userTypes)
	name := table(t, tx, "t", `ok boolean, i2 smallint, i4 integer NOT NULL, i8 bigint, d date, ts timestamp, tz timestamptz, n5 numeric(5,2), n15 numeric(15,2),
		f4 real, f8 double precision, n30 numeric(30,2), s text, b bytea, u uuid, j json, jb jsonb, m public.mood`)
	run(t, tx, `INSERT INTO public.t SELECT true, i, -i, i, '2018-11-01', '2018-11-01', '2018-11-01', -i, i, 'NaN', i, -i, repeat('long', 300) || i, 'b',
		md5(i::text)::uuid, '1', '1', 'fine' FROM generate_series(1, 500) i`)
	// A row group without any value.
	run(t, tx, `INSERT INTO public.t (i4) SELECT 0 FROM generate_series(1, 500)`)
	plan := columnsOf(t, tx, name)
	f := mustExport(t, tx, plan, name, Options{RowGroupBytes: 32 << 10})[0]
	p, err := parquet.OpenFile(bytes.NewReader(f.Buffer.Bytes()), int64(f.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if p.NumRows() != 1000 || len(p.RowGroups()) != f.RowGroups || f.RowGroups < 5 {
		t.Errorf("%d rows in %d row groups, told were %d", p.NumRows(), len(p.RowGroups()), f.RowGroups)
	}
	if text := p.Schema().String(); strings.Contains(text, "required") || !strings.Contains(text, "optional int32 i4 (INT(32,true))") {
		t.Errorf("the schema is\n%s", text)
	}
	const bounded = 9 // the first columns
	for _, g := range p.Metadata().RowGroups {
		for i, c := range g.Columns {
			has := c.MetaData.Statistics.MinValue != nil || c.MetaData.Statistics.MaxValue != nil
			all := c.MetaData.Statistics.NullCount == c.MetaData.NumValues
			switch {
			case c.ColumnIndexOffset != 0 || c.ColumnIndexLength != 0 || c.OffsetIndexOffset != 0 || c.OffsetIndexLength != 0:
				t.Errorf("the column %s has a page index: %+v", plan[i].Name, c)
			case i >= bounded && has:
				t.Errorf("the column %s has bounds: %+v", plan[i].Name, c)
			case i < bounded && has == all:
				t.Errorf("the column %s should have bounds if it has values: %+v", plan[i].Name, c)
			case c.MetaData.Codec != format.Zstd:
				t.Errorf("the column %s is compressed by %v", plan[i].Name, c.MetaData.Codec)
			}
			for _, e := range c.MetaData.Encoding {
				if e == format.RLEDictionary {
					t.Errorf("the column %s has a dictionary", plan[i].Name)
				}
			}
		}
	}
	// Nor are there values in the headers of pages or in the footer. Compressed,
	// a long value is not in the file as it is.
	if bytes.Contains(f.Buffer.Bytes(), []byte(strings.Repeat("long", 20))) {
		t.Error("a long value is in the metadata")
	}
}

// TestLargeValues has values that are much larger than row groups and pages,
// beside small ones.
func TestLargeValues(t *testing.T) {
	t.Parallel()
	tx := begin(t, pgtest.New(t).Conn(t))
	name := table(t, tx, "t", "i integer, v bytea, w text")
	run(t, tx, `INSERT INTO public.t SELECT i, decode(md5(i::text), 'hex'), repeat(md5(i::text), 310) FROM generate_series(1, 500) i;
		INSERT INTO public.t SELECT 0, decode(repeat('00ff10', 17000000), 'hex'), NULL;
		INSERT INTO public.t SELECT i, NULL, repeat('x', 100000) FROM generate_series(1, 20) i;
		INSERT INTO public.t SELECT -1, '', repeat('ü', 4000000)`)
	plan := columnsOf(t, tx, name)
	files := mustExport(t, tx, plan, name, Options{RowGroupBytes: 1 << 20})
	if got := sum(files); got.Rows != 522 || len(files) != 1 {
		t.Errorf("%d parts with %v", len(files), got)
	}
	same(t, "read back", readBack(t, plan, files), copyOut(t, tx, plan, name))
}
