package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/partition"
)

const insertNovember = "INSERT INTO event_master (program_id, created_at) VALUES ('a', '2018-11-05')"

// whereabouts lists which table each row is in, in the order of program_id.
const whereabouts = "SELECT tableoid::regclass, program_id FROM event_master ORDER BY program_id"

func TestRouteKeepsPromisesOfTheDynamicTrigger(t *testing.T) {
	t.Parallel()
	r := newRouted(t, eventParent, eventRoute())
	r.branch(t, "2018-09-01", true)
	r.branch(t, "2018-10-01", false)
	r.branch(t, "2019-02-01", false)
	r.install(t)
	tag := r.exec(t, "INSERT INTO event_master (program_id, created_at) VALUES ('a', '2018-11-30 23:59:59.999999')")
	want(t, "tag", tag, "INSERT 0 0")
	want(t, "notices", strings.Join(r.notices, "; "), "NOTICE: A partition has been created event_2018_11")
	r.exec(t, `INSERT INTO event_master (id, program_id, created_at) VALUES
		(77, 'b', '2018-11-01'), (DEFAULT, 'c', '2018-12-01'), (DEFAULT, 'd', '2018-09-30 23:59:59'), (78, 'e', '2018-10-01'), (DEFAULT, 'f', '2019-02-28')`)
	want(t, "rows", r.rows(t, "SELECT tableoid::regclass, id, program_id FROM event_master ORDER BY program_id"),
		"event_2018_11 1 a; event_2018_11 77 b; event_2018_12 2 c; event_2018_09 3 d; event_2018_10 78 e; event_2019_02 4 f")
	want(t, "rows in the parent", r.rows(t, "SELECT count(*) FROM ONLY event_master"), "0")
	want(t, "the month's rows", r.rows(t, "SELECT program_id FROM event_2018_11 ORDER BY 1"), "a; b")
	want(t, "bounds", r.rows(t, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'event_2018_11'::regclass AND contype = 'c'"),
		"CHECK (((created_at >= '2018-11-01 00:00:00'::timestamp without time zone) AND (created_at < '2018-12-01 00:00:00'::timestamp without time zone)))")
	// A month goes by dropping its table, and comes back with its next row.
	for _, month := range []string{"2018_11", "2018_09", "2018_10"} {
		r.exec(t, "DROP TABLE event_"+month)
		r.notices = nil
		r.exec(t, "INSERT INTO event_master (program_id, created_at) VALUES ('"+month+"', '"+strings.ReplaceAll(month, "_", "-")+"-15')")
		want(t, "notices after a drop", strings.Join(r.notices, "; "), "NOTICE: A partition has been created event_"+month)
	}
	want(t, "rows after the drops", r.rows(t, whereabouts),
		"event_2018_09 2018_09; event_2018_10 2018_10; event_2018_11 2018_11; event_2018_12 c; event_2019_02 f")
}

func TestRouteRefusesNullKeys(t *testing.T) {
	t.Parallel()
	r := newRouted(t, eventParent, eventRoute())
	_, err := r.conn.Exec(t.Context(), "INSERT INTO event_master (program_id) VALUES ('a')")
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		t.Fatal(err)
	}
	got := strings.Join([]string{pgErr.Code, pgErr.Message, pgErr.SchemaName, pgErr.TableName, pgErr.ColumnName}, "|")
	want(t, "error", got, `23502|null value in column "created_at" of relation "event_master" has no partition|public|event_master|created_at`)
	if pgErr.Hint == "" {
		t.Error("no hint")
	}
}

// TestRouteLeavesRowsInTheParent has the reasons for which a row gets no table.
func TestRouteLeavesRowsInTheParent(t *testing.T) {
	t.Parallel()
	owner := func(schema string) string { return "CREATE SCHEMA " + schema + "; " }
	for name, c := range map[string]struct{ prepare, at, want string }{
		"too old":              {"", "1950-01-01", "event_master a"},
		"too new":              {"", "2097-01-01", "event_master a"},
		"infinity":             {"", "infinity", "event_master a"},
		"minus infinity":       {"", "-infinity", "event_master a"},
		"the last of all":      {"", "294276-12-31 23:59:59", "event_master a"},
		"the first of all":     {"", "4713-01-01 00:00:00 BC", "event_master a"},
		"a table's name":       {"CREATE TABLE event_2018_11 ()", "2018-11-05", "event_master a"},
		"a view's name":        {"CREATE VIEW event_2018_11 AS SELECT 1", "2018-11-05", "event_master a"},
		"a type's name":        {"CREATE TYPE event_2018_11 AS ENUM ()", "2018-11-05", "event_master a"},
		"another schema's":     {owner("other") + "CREATE TABLE other.event_2018_11 ()", "2018-11-05", "event_2018_11 a"},
		"an overlap":           {"CREATE TABLE odd (CHECK (created_at >= '2018-11-20' AND created_at < '2019-01-01')) INHERITS (event_master)", "2018-11-05", "event_master a"},
		"no overlap":           {"CREATE TABLE odd (CHECK (created_at >= '2018-12-01' AND created_at < '2019-01-01')) INHERITS (event_master)", "2018-11-05", "event_2018_11 a"},
		"a year":               {"CREATE TABLE odd (CHECK (created_at >= '2018-01-01' AND created_at < '2019-01-01')) INHERITS (event_master)", "2018-11-05", "odd a"},
		"two checks":           {"CREATE TABLE odd (CHECK (created_at >= '2018-01-01'), CHECK (created_at < '2019-01-01')) INHERITS (event_master)", "2018-11-05", "odd a"},
		"dates":                {"CREATE TABLE odd (CHECK (created_at >= DATE '2018-01-01' AND created_at < DATE '2019-01-01')) INHERITS (event_master)", "2018-11-05", "odd a"},
		"cast":                 {"CREATE TABLE odd (CHECK (created_at::date >= '2018-01-01' AND created_at::date < '2019-01-01')) INHERITS (event_master)", "2018-11-05", "odd a"},
		"of the old trigger":   {"CREATE TABLE odd (CHECK (date_trunc('day', created_at) >= '2018-11-01' AND date_trunc('day', created_at) < '2018-12-01')) INHERITS (event_master)", "2018-11-30 23:00", "odd a"},
		"not validated":        {"CREATE TABLE odd () INHERITS (event_master); ALTER TABLE odd ADD CHECK (created_at >= '2018-11-01' AND created_at < '2018-12-01') NOT VALID", "2018-11-05", "odd a"},
		"open below":           {"CREATE TABLE odd (CHECK (created_at < '2018-12-01')) INHERITS (event_master)", "-infinity", "odd a"},
		"open above":           {"CREATE TABLE odd (CHECK (created_at >= '2018-12-01')) INHERITS (event_master)", "infinity", "odd a"},
		"a check that is more": {"CREATE TABLE odd (CHECK (created_at >= '2018-01-01' OR id > 0)) INHERITS (event_master)", "2018-11-05", "event_2018_11 a"},
		"an inherited check":   {"ALTER TABLE event_master ADD CHECK (created_at >= '2000-01-01'); CREATE TABLE odd () INHERITS (event_master)", "2018-11-05", "event_2018_11 a"},
		"no parent":            {"ALTER TABLE event_master RENAME TO event_renamed; CREATE VIEW event_master AS SELECT tableoid, * FROM event_renamed", "2018-11-05", "event_renamed a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRouted(t, eventParent, eventRoute())
			r.exec(t, c.prepare)
			r.exec(t, "INSERT INTO event_master (program_id, created_at) VALUES ('a', '"+c.at+"')")
			want(t, "row", r.rows(t, "SELECT tableoid::regclass, program_id FROM event_master"), c.want)
		})
	}
}

func TestRouteFailureToCreateKeepsTheRow(t *testing.T) {
	t.Parallel()
	route := eventRoute()
	route.Properties = []partition.Property{{Kind: partition.PropGrant, Name: "nobody_at_all\tSELECT"}}
	r := newRouted(t, eventParent, route)
	r.exec(t, insertNovember)
	want(t, "row", r.rows(t, whereabouts), "event_master a")
	want(t, "notices", strings.Join(r.notices, "; "), `WARNING: partition event_2018_11 could not be created: role "nobody_at_all" does not exist`)
	want(t, "leftovers", r.rows(t, "SELECT count(*) FROM pg_inherits"), "0")
}

// TestRouteCostsNoLookPerRow counts what a thousand rows through a branch call
// for, and the transaction ids that they take.
func TestRouteCostsNoLookPerRow(t *testing.T) {
	t.Parallel()
	r := newRouted(t, eventParent, eventRoute())
	r.branch(t, "2018-11-01", true)
	r.install(t)
	r.exec(t, "SET track_functions = 'pl'; CREATE TEMP TABLE before (funcname name, calls bigint)")
	// calls runs SQL in a transaction and lists the calls that it made.
	calls := func(sql string) string {
		t.Helper()
		r.exec(t, "BEGIN; INSERT INTO before SELECT funcname, calls FROM pg_stat_xact_user_functions; "+sql)
		defer r.exec(t, "TRUNCATE before; COMMIT")
		return r.rows(t, `SELECT funcname, s.calls - coalesce(b.calls, 0) FROM pg_stat_xact_user_functions AS s
			LEFT JOIN before AS b USING (funcname) WHERE s.calls > coalesce(b.calls, 0) ORDER BY 1`)
	}
	thousand := "INSERT INTO event_master (program_id, created_at) SELECT i, timestamp '2018-11-05' FROM generate_series(1, 1000) AS i"
	want(t, "calls", calls(thousand), "event_insert_function 1000; event_insert_function_fits 1")
	want(t, "transaction ids", r.rows(t, "SELECT count(DISTINCT xmin::text) FROM event_2018_11"), "1")
	want(t, "calls in the next transaction", calls(thousand), "event_insert_function 1000")
	// Without a branch, a month is looked up once a transaction.
	december := strings.Replace(thousand, "2018-11", "2018-12", 1)
	// The branch is planned anew when the parent gets another partition: at once, and
	// once more when what the transaction has changed comes round.
	want(t, "calls without a branch", calls(december), "event_insert_function 1000; event_insert_function_create 1; event_insert_function_fits 1")
	want(t, "transaction ids without a branch", r.rows(t, "SELECT count(DISTINCT xmin::text) FROM event_2018_12"), "1")
	want(t, "calls to find it again", calls(december), "event_insert_function 1000; event_insert_function_create 1; event_insert_function_fits 1")
	want(t, "calls from then on", calls(december), "event_insert_function 1000; event_insert_function_create 1")
}

// TestRouteHoldsWhatItWritesTo has transactions of one row and of more, whose
// branch takes note of its lock unless it is a near one: none can lose its table.
func TestRouteHoldsWhatItWritesTo(t *testing.T) {
	t.Parallel()
	for _, near := range []bool{true, false} {
		for rows := 1; rows <= 3; rows++ {
			t.Run(fmt.Sprintf("near %v, %d rows", near, rows), func(t *testing.T) {
				t.Parallel()
				r := newRouted(t, eventParent, eventRoute())
				r.branch(t, "2018-11-01", near)
				r.install(t)
				// The first id of 32 is written to the WAL, which takes a transaction id.
				r.exec(t, "SELECT nextval(pg_get_serial_sequence('event_master', 'id'))")
				r.exec(t, fmt.Sprintf("BEGIN; INSERT INTO event_master (program_id, created_at) SELECT 'a', '2018-11-05' FROM generate_series(1, %d)", rows))
				want(t, "locks", r.rows(t, "SELECT mode FROM pg_locks WHERE relation = 'event_2018_11'::regclass AND pid = pg_backend_pid()"), "RowExclusiveLock")
				note := "partitiond.held_" + shortDigest("public", "event_master", "public", "event_2018_11")
				want(t, "note", r.rows(t, "SELECT coalesce(current_setting('"+note+"', true), '')"), map[bool]string{true: "", false: "held"}[near])
				other := r.Conn(t)
				want(t, "lock_timeout", code(t, other, "SET lock_timeout = '20ms'"), "")
				want(t, "DROP TABLE", code(t, other, "DROP TABLE event_2018_11"), "55P03")
				r.exec(t, "COMMIT")
				want(t, "transaction ids", r.rows(t, "SELECT count(DISTINCT xmin::text) FROM event_2018_11"), "1")
				want(t, "DROP TABLE after it", code(t, other, "DROP TABLE event_2018_11"), "")
			})
		}
	}
}

func TestRouteFollowsColumnsInOneSession(t *testing.T) {
	t.Parallel()
	r := newRouted(t, eventParent, eventRoute())
	r.branch(t, "2018-11-01", true)
	r.install(t)
	both := func(columns, values string) {
		t.Helper()
		for _, month := range []string{"2018-11-05", "2018-12-05"} { // with a branch and without
			r.exec(t, "INSERT INTO event_master (created_at, "+columns+") VALUES ('"+month+"', "+values+")")
		}
	}
	both("program_id", "'a'")
	r.exec(t, "ALTER TABLE event_master ADD COLUMN extra integer DEFAULT 5")
	both("program_id, extra", "'b', 7")
	both("program_id", "'c'")
	r.exec(t, "ALTER TABLE event_master RENAME COLUMN extra TO renamed")
	both("program_id, renamed", "'d', 8")
	r.exec(t, "ALTER TABLE event_master DROP COLUMN body")
	both("program_id, renamed", "'e', 9")
	r.exec(t, "ALTER TABLE event_master ALTER COLUMN renamed TYPE numeric")
	both("program_id, renamed", "'f', 1.5")
	want(t, "branch", r.rows(t, "SELECT program_id, renamed FROM event_2018_11 ORDER BY 1"), "a 5; b 7; c 5; d 8; e 9; f 1.5")
	want(t, "no branch", r.rows(t, "SELECT program_id, renamed FROM event_2018_12 ORDER BY 1"), "a 5; b 7; c 5; d 8; e 9; f 1.5")

	// A partition that has its columns in another order, after its parent's changed alone.
	r.exec(t, "ALTER TABLE event_2018_11 ADD COLUMN own integer, ADD COLUMN late text; ALTER TABLE event_2018_12 ADD COLUMN late text, ADD COLUMN own integer")
	r.exec(t, "ALTER TABLE event_master ADD COLUMN late text; ALTER TABLE ONLY event_master DROP COLUMN program_id")
	both("renamed, late", "10, 'g'")
	r.exec(t, "BEGIN")
	both("renamed, late", "11, 'h'")
	r.exec(t, "ALTER TABLE event_master ADD COLUMN own integer")
	both("renamed, late, own", "12, 'i', 12")
	r.exec(t, "COMMIT")
	for _, table := range []string{"event_2018_11", "event_2018_12"} {
		want(t, table, r.rows(t, "SELECT coalesce(program_id, '-'), renamed, late, coalesce(own, 0) FROM "+table+" WHERE late > '' ORDER BY late"), "- 10 g 0; - 11 h 0; - 12 i 12")
	}
	want(t, "rows in the parent", r.rows(t, "SELECT count(*) FROM ONLY event_master"), "0")
}

// TestRouteNeverShiftsColumns has tables whose columns would take each other's
// values without an error.
func TestRouteNeverShiftsColumns(t *testing.T) {
	t.Parallel()
	route := eventRoute()
	route.Columns = []partition.Column{{Name: "created_at"}, {Name: "a"}, {Name: "b"}}
	r := newRouted(t, "CREATE TABLE event_master (created_at timestamp, a text, b text)", route)
	r.branch(t, "2018-10-01", true)
	r.branch(t, "2018-11-01", false)
	r.install(t)
	insert := "INSERT INTO event_master (created_at, b) SELECT timestamp '2018-10-05' + i * interval '1 month', 'b' FROM generate_series(0, 2) AS i"
	r.exec(t, insert+"; ALTER TABLE ONLY event_master DROP COLUMN a; "+insert)
	for _, month := range []string{"10", "11", "12"} {
		want(t, month, r.rows(t, "SELECT coalesce(a, '-'), b, count(*) FROM event_2018_"+month+" GROUP BY 1, 2"), "- b 2")
	}
}

func TestRouteGeneratedColumns(t *testing.T) {
	t.Parallel()
	route := eventRoute()
	route.Columns = []partition.Column{{Name: "id"}, {Name: "double", Generated: true}, {Name: "created_at"}, {Name: "program_id"}}
	r := newRouted(t, "CREATE TABLE event_master (id integer, double integer GENERATED ALWAYS AS (id * 2) STORED, created_at timestamp, program_id text)", route)
	r.branch(t, "2018-11-01", true)
	r.install(t)
	r.exec(t, "SET track_functions = 'pl'; INSERT INTO event_master VALUES (1, DEFAULT, '2018-11-05', 'a'), (2, DEFAULT, '2018-12-05', 'b')")
	r.exec(t, "ALTER TABLE event_master ADD COLUMN extra text; BEGIN; INSERT INTO event_master VALUES (3, DEFAULT, '2018-11-05', 'c', 'x')")
	r.exec(t, "COMMIT; ALTER TABLE event_master ALTER COLUMN double DROP EXPRESSION; INSERT INTO event_master VALUES (4, 5, '2018-11-05', 'd', 'y')")
	want(t, "rows", r.rows(t, "SELECT tableoid::regclass, id, double, program_id, coalesce(extra, '-') FROM event_master ORDER BY id"),
		"event_2018_11 1 2 a -; event_2018_12 2 4 b -; event_2018_11 3 6 c x; event_2018_11 4 5 d y")
}

func TestRouteDetachedAndRenamedPartitions(t *testing.T) {
	t.Parallel()
	r := newRouted(t, eventParent, eventRoute())
	r.branch(t, "2018-11-01", true)
	r.install(t)
	r.exec(t, insertNovember)
	r.exec(t, "ALTER TABLE event_2018_11 RENAME TO renamed")
	r.exec(t, strings.Replace(insertNovember, "'a'", "'b'", 1))
	want(t, "renamed", r.rows(t, whereabouts), "renamed a; renamed b")
	r.exec(t, "ALTER TABLE renamed RENAME TO event_2018_11; ALTER TABLE event_2018_11 NO INHERIT event_master")
	r.exec(t, strings.Replace(insertNovember, "'a'", "'c'", 1))
	want(t, "detached", r.rows(t, whereabouts), "event_master c")
	r.exec(t, "ALTER TABLE event_2018_11 INHERIT event_master")
	r.exec(t, strings.Replace(insertNovember, "'a'", "'d'", 1))
	want(t, "attached", r.rows(t, whereabouts), "event_2018_11 a; event_2018_11 b; event_master c; event_2018_11 d")
	// What a subtransaction has locked is not locked once that is undone. The second row notes the lock.
	r.exec(t, "BEGIN; SAVEPOINT s; "+insertNovember+"; "+insertNovember+"; ROLLBACK TO s")
	if _, err := r.Conn(t).Exec(t.Context(), "DROP TABLE event_2018_11"); err != nil {
		t.Fatal(err)
	}
	r.exec(t, strings.Replace(insertNovember, "'a'", "'e'", 1)+"; COMMIT")
	want(t, "dropped", r.rows(t, whereabouts), "event_master c; event_2018_11 e")
}

// TestRouteLeavesTheLastWordToPartitionsTriggers has a partition that drops rows.
func TestRouteLeavesTheLastWordToPartitionsTriggers(t *testing.T) {
	t.Parallel()
	r := newRouted(t, eventParent, eventRoute())
	r.branch(t, "2018-11-01", true)
	r.install(t)
	r.exec(t, `CREATE TABLE seen (n integer); CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (1); RETURN NULL; END $$;
		CREATE TRIGGER swallow BEFORE INSERT ON event_2018_11 FOR EACH ROW EXECUTE FUNCTION swallow()`)
	r.exec(t, insertNovember)
	want(t, "calls and rows", r.rows(t, "SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM event_master)"), "1 0")
}

func TestRouteOutsideOfReadCommitted(t *testing.T) {
	t.Parallel()
	r := newRouted(t, eventParent, eventRoute())
	r.branch(t, "2018-09-01", true)
	r.branch(t, "2018-10-01", false)
	r.install(t)
	other := r.Conn(t)
	// A column that is newer than the snapshot, for a plan that is made with it.
	r.exec(t, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class")
	want(t, "ALTER TABLE", code(t, other, "ALTER TABLE event_master ADD COLUMN late text"), "")
	r.exec(t, "INSERT INTO event_master (created_at, late) VALUES ('2018-09-05', 'a'), ('2018-10-05', 'b'); COMMIT")
	r.exec(t, "INSERT INTO event_master (created_at, late) VALUES ('2018-09-05', 'c'), ('2018-10-05', 'd')")
	want(t, "late values", r.rows(t, "SELECT tableoid::regclass, late FROM event_master ORDER BY late"),
		"event_2018_09 a; event_2018_10 b; event_2018_09 c; event_2018_10 d")
	r.exec(t, "DELETE FROM event_master")

	r.exec(t, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM event_master")
	want(t, "the other's insert", code(t, other, insertNovember), "")
	want(t, "ours", code(t, r.conn, insertNovember), "40001")
	r.exec(t, "ROLLBACK")
	r.exec(t, "BEGIN ISOLATION LEVEL REPEATABLE READ; "+insertNovember+"; COMMIT")
	want(t, "rows", r.rows(t, whereabouts), "event_2018_11 a; event_2018_11 a")
	r.exec(t, "CREATE TABLE event_2018_12 ()")
	r.exec(t, "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO event_master (program_id, created_at) VALUES ('b', '2018-12-05'); COMMIT")
	want(t, "rows beside a taken name", r.rows(t, whereabouts), "event_2018_11 a; event_2018_11 a; event_master b")
}

// TestRouteWindowIsTheSetsTime has a set whose clocks are a day from the session's.
func TestRouteWindowIsTheSetsTime(t *testing.T) {
	t.Parallel()
	route := eventRoute()
	route.Zone = "Pacific/Kiritimati"
	route.Window = partition.Window{Past: partition.Interval{N: 2, Unit: partition.Hour}, Future: partition.Interval{N: 2, Unit: partition.Hour}}
	route.Interval, route.Pattern = partition.Interval{N: 1, Unit: partition.Hour}, "event_%Y%m%d%H"
	r := newRouted(t, eventParent, route)
	r.exec(t, `SET TimeZone = 'Pacific/Pago_Pago'; INSERT INTO event_master (program_id, created_at) SELECT i, now() AT TIME ZONE 'Pacific/Kiritimati' + i * interval '1 hour' FROM generate_series(-4, 4) AS i`)
	want(t, "rows in tables", r.rows(t, "SELECT program_id FROM event_master WHERE tableoid <> 'event_master'::regclass ORDER BY program_id::integer"), "-2; -1; 0; 1; 2")
}

// TestRouteUnderStrangeSettings has sessions that read and write dates, names
// and constants in their own way, and hide the catalog behind tables of theirs.
func TestRouteUnderStrangeSettings(t *testing.T) {
	t.Parallel()
	for _, key := range []partition.KeyType{partition.KeyDate, partition.KeyTimestamp, partition.KeyTimestampTZ} {
		t.Run(string(key), func(t *testing.T) {
			t.Parallel()
			route := eventRoute()
			route.KeyType, route.Zone = key, "Asia/Kolkata" // Its abbreviation IST is also Israel's.
			r := newRouted(t, strings.Replace(eventParent, "timestamp without time zone", string(key), 1), route)
			r.branch(t, "2018-10-05", true)
			r.install(t)
			r.exec(t, `SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kathmandu'; SET quote_all_identifiers = on; SET standard_conforming_strings = off;
				SET search_path = pg_temp, pg_catalog; CREATE TEMP TABLE pg_inherits (a text); CREATE TEMP TABLE pg_class (a text); CREATE TEMP TABLE event_2018_11 (a text)`)
			for range 2 { // The second time it has to find the first one's table.
				r.exec(t, "BEGIN; INSERT INTO public.event_master (program_id, created_at) VALUES ('a', '31/10/2018'), ('b', '05/11/2018'), ('c', '06/11/2018'), ('d', '05/12/2018'); COMMIT")
			}
			r.exec(t, "RESET ALL; DISCARD TEMP")
			want(t, "rows", r.rows(t, "SELECT tableoid::regclass, program_id, count(*) FROM event_master GROUP BY 1, 2 ORDER BY 2"),
				"event_2018_10 a 2; event_2018_11 b 2; event_2018_11 c 2; event_2018_12 d 2")
		})
	}
}

func TestRouteQuotesEveryName(t *testing.T) {
	t.Parallel()
	route := eventRoute()
	const schema = `We"ird %s 'x' \ $partitiond$`
	route.Parent = partition.Name{Schema: schema, Local: `Even"ts %1$s`}
	route.Function = partition.Name{Schema: schema, Local: `Route %I "them" ` + strings.Repeat("ä", 20)}
	route.Trigger, route.Key, route.Pattern = `Tri"gger`, "order", `P%% "of" \ it's %Y-%m`
	route.Columns = []partition.Column{{Name: `Col"umn %s`}, {Name: "order"}}
	parent := "CREATE SCHEMA " + quoteIdent(schema) + "; CREATE TABLE " + quoteName(route.Parent) + ` ("Col""umn %s" text, "order" timestamp)`
	r := newRouted(t, parent, route)
	r.branch(t, "2018-10-05", true)
	r.branch(t, "2018-09-05", false)
	r.install(t)
	for range 2 {
		r.exec(t, "INSERT INTO "+quoteName(route.Parent)+" VALUES ('a', '2018-11-05'), ('b', '2018-10-05'), ('c', '2018-09-05')")
	}
	want(t, "rows", r.rows(t, `SELECT c.relname, p."Col""umn %s", count(*) FROM `+quoteName(route.Parent)+` p JOIN pg_class c ON c.oid = p.tableoid GROUP BY 1, 2 ORDER BY 2`),
		`P% "of" \ it's 2018-11 a 2; P% "of" \ it's 2018-10 b 2; P% "of" \ it's 2018-09 c 2`)
	for _, name := range routeNames(route.Function) {
		if n := len(name.Local); n > partition.MaxNameBytes {
			t.Errorf("%q has %d bytes", name.Local, n)
		}
		want(t, name.Local, r.rows(t, "SELECT count(*) FROM pg_proc WHERE proname = "+quoteLiteral(name.Local)), "1")
	}
}

// TestRouteManyBranches has as many as there may be, and rows on both sides of
// each bound.
func TestRouteManyBranches(t *testing.T) {
	t.Parallel()
	route := eventRoute()
	route.Interval, route.Pattern = partition.Interval{N: 1, Unit: partition.Day}, "event_%Y%m%d"
	r := newRouted(t, eventParent, route)
	days := strings.Split(r.rows(t, "SELECT (date '2018-11-01' + i)::text FROM generate_series(0, 63) AS i WHERE i NOT IN (7, 40)"), "; ")
	for i, day := range days {
		r.branch(t, day, i >= 30 && i < 33)
	}
	r.install(t)
	r.exec(t, `SET track_functions = 'pl'; BEGIN; INSERT INTO event_master (program_id, created_at)
		SELECT i, at FROM generate_series(0, 63) AS i, LATERAL (VALUES (timestamp '2018-11-01' + i * interval '1 day'), (timestamp '2018-11-02' + i * interval '1 day' - interval '1 microsecond')) AS v (at)
		 WHERE i NOT IN (7, 40)`)
	want(t, "calls of the slow path", r.rows(t, "SELECT count(*) FROM pg_stat_xact_user_functions WHERE funcname ~ 'create'"), "0")
	want(t, "rows in place", r.rows(t, "SELECT count(*) FROM event_master WHERE tableoid::regclass::text = to_char(created_at, '\"event_\"YYYYMMDD')"), "124")
	r.exec(t, "INSERT INTO event_master (program_id, created_at) VALUES ('x', '2018-11-08 12:00'), ('y', '2018-12-11'), ('z', '2018-10-31 23:59:59'), ('zz', '2019-01-04')")
	want(t, "rows between", r.rows(t, "SELECT tableoid::regclass, program_id FROM event_master WHERE program_id >= 'x' ORDER BY 2"),
		"event_20181108 x; event_20181211 y; event_20181031 z; event_20190104 zz")
	r.exec(t, "COMMIT")
}
