package convert_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/sql"
)

// TestForward converts the seed's set: no row comes or goes, no file is written anew,
// nothing is scanned or built under the locks, and there is nothing to do twice.
func TestForward(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	before, files := f.digest(), f.files()
	r := f.mustForward()
	if !r.Swapped {
		t.Error("nothing was swapped")
	}
	f.same("rows", before, f.digest())
	f.same("files", files, f.files())
	f.want("SELECT relkind::text FROM pg_class WHERE oid = 'chat_master'::regclass", "p")
	implied := 0
	for _, n := range f.notices {
		if strings.Contains(n, "is implied by existing constraints") {
			implied++
		}
		if strings.Contains(n, "building index") && !strings.Contains(n, "chat_default") && !strings.Contains(n, "pg_toast") {
			t.Errorf("under the locks: %s", n)
		}
	}
	if implied != len(r.Plan.Snapshot.Partitions) {
		t.Errorf("%d of %d partitions were attached without a look at their rows", implied, len(r.Plan.Snapshot.Partitions))
	}
	f.exec("INSERT INTO chat_master (dialogue, created_at) VALUES ('now', localtimestamp), ('soon', localtimestamp + interval '5 months')")
	f.want("SELECT tableoid::regclass::text FROM chat_master WHERE dialogue = 'now'", "chat_"+f.query("SELECT to_char(localtimestamp, 'YYYY_MM')"))
	f.want("SELECT tableoid::regclass::text FROM chat_master WHERE dialogue = 'soon'", "chat_default")
	f.want("SELECT count(*) - count(DISTINCT id) FROM chat_master", "0")
	f.want("SELECT pg_get_serial_sequence('chat_master', 'id')", "public.chat_id_seq")
	f.pass()
	f.want("SELECT count(*) FROM chat_master", "602")
	f.want("SELECT count(*) FROM chat_default", "0")
	if r = f.mustForward(); r.Plan.Done == "" || r.Swapped {
		t.Errorf("converted twice: %+v", r)
	}
}

// TestForwardBeforeAnyPass converts what the seed's own trigger has made: it is adopted
// on the way, so that a pass afterwards knows the functions, and the way back has them.
func TestForwardBeforeAnyPass(t *testing.T) {
	t.Parallel()
	f := newSchema(t, sql.Text("seed.sql"))
	f.fill()
	before := f.digest()
	f.mustForward()
	f.same("rows", before, f.digest())
	f.pass()
	f.mustBack()
	f.pass()
	f.same("rows", before, f.digest())
}

// TestBack goes back after a new partition, rows in the default partition, another
// privilege, an index and a comment: all of that is there afterwards, and a pass has
// nothing to complain of.
func TestBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	before := f.schema()
	f.mustForward()
	f.mustBack()
	f.same("the schema", before, f.schema())
	if r := f.mustBack(); r.Plan.Done == "" || r.Swapped {
		t.Errorf("gone back twice: %+v", r)
	}
	f.mustForward()
	f.pass()
	app := f.db.Role(t, "app")
	f.exec(`DO $$ BEGIN EXECUTE (SELECT format('CREATE TABLE %I PARTITION OF chat_master FOR VALUES FROM (%L) TO (%L)', 'chat_' || to_char(d, 'YYYY_MM'), d, d + interval '1 month')
		FROM (SELECT date_trunc('month', localtimestamp) + interval '3 months') AS x (d)); END $$;
		INSERT INTO chat_master (dialogue, created_at) SELECT 'later', date_trunc('month', localtimestamp) + make_interval(months => 3 + i % 2, days => 3) FROM generate_series(1, 20) i;
		GRANT SELECT ON chat_master TO ` + app + `; CREATE INDEX later ON chat_master (dialogue); COMMENT ON TABLE chat_master IS 'changed'`)
	f.want("SELECT count(*) FROM chat_default", "10")
	rows := f.digest()
	f.mustBack()
	f.same("rows", rows, f.digest())
	f.want("SELECT count(*) FROM ONLY chat_master", "0")
	f.pass()
	f.same("rows", rows, f.digest())
	f.want("SELECT count(*) FROM ONLY chat_master", "0")
	f.want("SELECT count(*) FROM pg_class WHERE relname LIKE 'chat\\_%' AND relkind = 'r' AND has_table_privilege('"+app+"', oid, 'SELECT') AND obj_description(oid, 'pg_class') = 'changed'",
		f.query("SELECT 1 + count(*) FROM pg_inherits WHERE inhparent = 'chat_master'::regclass"))
	f.want("SELECT count(*) FROM pg_class WHERE relname ~ '(inherited|partitioned|default)$'", "0")
}

func (f *fixture) same(what, want, got string) {
	f.t.Helper()
	if got != want {
		f.t.Errorf("%s: were\n%s\nand are\n%s", what, want, got)
	}
}

// TestTablespaceGoesOver: the new parent sends new partitions where the old one did.
func TestTablespaceGoesOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	other := f.db.Tablespace(t)
	f.exec("ALTER TABLE chat_master SET TABLESPACE " + pgx.Identifier{other}.Sanitize())
	files := f.files()
	f.mustForward()
	f.same("files", files, f.files())
	const where = "SELECT spcname FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE relname = 'chat_"
	f.want(where+"master'", other)
	f.exec("INSERT INTO chat_master (dialogue, created_at) VALUES ('soon', localtimestamp + interval '5 months')")
	f.pass()
	f.want(where+"' || to_char(localtimestamp + interval '5 months', 'YYYY_MM')", other)
}
