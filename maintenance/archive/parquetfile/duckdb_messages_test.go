package parquetfile

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// messageColumns are those of the real data.
const messageColumns = "program_id varchar, user_id varchar, dialogue varchar(10000), created_at timestamp"

// generatedMessages compares every value of 20,000 rows like those of the real
// data, everywhere: text of 0 to some thousand characters with commas, quotes,
// newlines, code, letters of several scripts, NULLs and empty strings.
func (d *duckdb) generatedMessages(t *testing.T) {
	tx := begin(t, pgtest.New(t).Conn(t))
	table(t, tx, "message", messageColumns)
	run(t, tx, `INSERT INTO public.message
		SELECT 'program-' || g % 3, CASE WHEN g % 11 <> 0 THEN 'user-' || (hashint4(g) & 255) END,
			CASE WHEN g % 17 = 0 THEN NULL WHEN g % 19 = 0 THEN '' ELSE
				(SELECT string_agg((ARRAY['the', 'a "quoted", word', E'line\nbreak', '(define (f x) (* x x))', 'Grüße', '世界', '🌍',
						E'tab\there', E'back\\slash', 'NULL', E'\\N', ';', 'don''t', 'e' || chr(769), E'\u0001'])
					[1 + (hashint8(g::bigint * 131 + w) & 1023) % 15], CASE WHEN w % 5 = 0 THEN E'\r\n' ELSE ' ' END ORDER BY w)
				FROM generate_series(1, CASE WHEN g % 1000 = 0 THEN 900 ELSE 1 + (hashint4(g + 3) & 31) END) w) END,
			timestamp '2017-05-01' + g * interval '56 min' + (hashint4(g + 5) & 65535) * interval '1 us'
		FROM generate_series(1, 20000) g`)
	d.messages(t, tx, 20000)
}

// realMessages does so with 22,172 real messages, where they are; the generated
// ones are compared everywhere.
func (d *duckdb) realMessages(t *testing.T) {
	csv := pgtest.RealMessages(t)
	tx := begin(t, pgtest.New(t).Conn(t))
	table(t, tx, "message", messageColumns)
	if _, err := tx.Conn().PgConn().CopyFrom(t.Context(), csv, "COPY public.message FROM STDIN (FORMAT csv, HEADER)"); err != nil {
		t.Fatal(err)
	}
	d.messages(t, tx, 22172)
}

// messages compares the table's rows one by one, and what is counted and summed of
// them. DuckDB keeps the order of the files and their rows, as the table has it.
func (d *duckdb) messages(t *testing.T, tx pgx.Tx, rows int64) {
	run(t, tx, microseconds)
	name := public("message")
	files := roundTrip(t, tx, columnsOf(t, tx, name), name, Options{RowGroupBytes: 256 << 10, PartBytes: 256 << 10, Key: "created_at"})
	if len(files) < 3 || sum(files).Rows != rows {
		t.Errorf("%d parts with %v", len(files), sum(files))
	}
	from := d.parts(t, "messages", files)
	const counts = `SELECT CAST(count(*) AS varchar), CAST(count(dialogue) AS varchar), CAST(count(DISTINCT user_id) AS varchar),
		CAST(sum(length(dialogue)) AS varchar), min(user_id COLLATE "C"), max(dialogue COLLATE "C") FROM `
	got := d.run(t,
		strings.ReplaceAll(counts, ` COLLATE "C"`, "")+from,
		"SELECT strftime(created_at, '%Y-%m'), count(*)::VARCHAR, sum(epoch_us(created_at))::VARCHAR FROM "+from+" GROUP BY 1 ORDER BY 1",
		"SELECT program_id, user_id, dialogue, epoch_us(created_at)::VARCHAR FROM "+from)
	agree(t, "counts", got[0], rowsOf(t, tx, counts+quoted(name)))
	agree(t, "months", got[1], rowsOf(t, tx, "SELECT to_char(created_at, 'YYYY-MM'), count(*)::text, sum(public.micros(created_at))::text FROM public.message GROUP BY 1 ORDER BY 1"))
	agree(t, "values", got[2], rowsOf(t, tx, "SELECT program_id, user_id, dialogue, public.micros(created_at)::text FROM public.message"))
	if n := int64(len(got[2])); n != rows {
		t.Errorf("%d rows were compared, not %d", n, rows)
	}
}
