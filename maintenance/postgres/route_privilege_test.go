package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// TestRouteInserterNeedsNoMoreThanInsert has a role that may insert, another
// that may do so into some columns only, and strangers.
func TestRouteInserterNeedsNoMoreThanInsert(t *testing.T) {
	t.Parallel()
	route := eventRoute()
	route.Columns = []partition.Column{{Name: "id"}, {Name: "program_id"}, {Name: "created_at"}}
	r := newRouted(t, "CREATE TABLE event_master (id integer DEFAULT 5, program_id text, created_at timestamp)", route)
	owner, writer, columns, stranger := r.Role(t, "owner"), r.Role(t, "writer"), r.Role(t, "columns"), r.Role(t, "stranger")
	r.exec(t, "ALTER TABLE event_master OWNER TO "+owner+"; GRANT USAGE, CREATE ON SCHEMA public TO "+owner)
	for _, f := range []string{"()", "_create(timestamp)", "_fits(regclass, regclass, text[], text[])"} {
		r.exec(t, "ALTER FUNCTION event_insert_function"+f+" OWNER TO "+owner)
	}
	r.exec(t, "GRANT INSERT ON event_master TO "+writer+"; GRANT INSERT (program_id, created_at) ON event_master TO "+columns)
	r.route.Owner = owner
	r.route.Properties = []partition.Property{
		{Kind: partition.PropOwner, Value: owner},
		{Kind: partition.PropGrant, Name: writer + "\tINSERT"},
		{Kind: partition.PropColumnGrant, Name: "program_id\t" + columns + "\tINSERT"},
		{Kind: partition.PropColumnGrant, Name: "created_at\t" + columns + "\tINSERT"},
		{Kind: partition.PropGrant, Name: stranger + "\tSELECT"},
	}
	r.branch(t, "2018-10-01", true)
	r.install(t)

	as := map[string]*pgx.Conn{}
	for _, role := range []string{writer, columns, stranger} {
		as[role] = r.open(t, role)
	}
	for _, month := range []string{"2018-10", "2018-11"} { // with a branch, and new
		want(t, "writer", code(t, as[writer], "INSERT INTO event_master VALUES (7, 'writer', '"+month+"-05')"), "")
		want(t, "columns", code(t, as[columns], "INSERT INTO event_master (program_id, created_at) VALUES ('columns', '"+month+"-06')"), "")
	}
	want(t, "columns, new", code(t, as[columns], "INSERT INTO event_master (program_id, created_at) VALUES ('columns', '2018-12-06')"), "")
	want(t, "columns, too many", code(t, as[columns], "INSERT INTO event_master VALUES (1, 'columns', '2018-12-06')"), "42501")
	want(t, "stranger", code(t, as[stranger], "INSERT INTO event_master VALUES (1, 'stranger', '2019-01-06')"), "42501")
	want(t, "rows", r.rows(t, "SELECT tableoid::regclass, id, program_id FROM event_master ORDER BY created_at"),
		"event_2018_10 7 writer; event_2018_10 5 columns; event_2018_11 7 writer; event_2018_11 5 columns; event_2018_12 5 columns")
	want(t, "owners", r.rows(t, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"), owner)
	want(t, "reader", code(t, as[stranger], "SELECT count(*) FROM event_2018_12"), "")

	// The creating function is for inserters, and takes nothing but a date.
	create := "SELECT public.event_insert_function_create('2018-11-05')"
	want(t, "writer's call", code(t, as[writer], create), "")
	want(t, "stranger's call", code(t, as[stranger], create), "42501")
	want(t, "a call with a name", code(t, as[writer], "SELECT public.event_insert_function_create('x', '2018-11-05')"), "42883")
	want(t, "a name for a date", code(t, as[writer], "SELECT public.event_insert_function_create('event_2018_11')"), "22007")
	want(t, "its owner and rights", r.rows(t, "SELECT pg_get_userbyid(proowner), prosecdef FROM pg_proc WHERE proname = 'event_insert_function_create'"), owner+" t")

	// Rights that the parent has taken back go with the next installation.
	r.route.Properties = r.route.Properties[:2]
	r.install(t)
	want(t, "columns' call", code(t, as[columns], create), "42501")
	want(t, "writer's call later", code(t, as[writer], create), "")
	r.route.Properties = []partition.Property{{Kind: partition.PropGrant, Name: "\tINSERT"}}
	r.install(t)
	want(t, "anybody's call", code(t, as[stranger], create), "")
	r.route.Properties = nil
	r.install(t)
	want(t, "nobody's call", code(t, as[writer], create)+code(t, as[stranger], create), "4250142501")
}

// TestRouteColumnsWithoutAGrant has a role that may write two columns. Its rows
// are what they would be in a plain table: in their partition where that can be
// made so by writing two columns, and else in the parent.
func TestRouteColumnsWithoutAGrant(t *testing.T) {
	t.Parallel()
	route := eventRoute()
	route.Columns = []partition.Column{{Name: "id"}, {Name: "program_id"}, {Name: "body"}, {Name: "created_at"}}
	r := newRouted(t, `CREATE DOMAIN mood AS text DEFAULT 'fine'; CREATE SEQUENCE numbers;
		CREATE TABLE event_master (id integer, program_id text, body text, created_at timestamp);
		CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.body := ''stamped''; RETURN NEW; END';
		CREATE FUNCTION number() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.id := 9; RETURN NEW; END';
		CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.body := NULL; RETURN NEW; END'`, route)
	columns := r.Role(t, "columns")
	r.exec(t, "GRANT INSERT (program_id, created_at) ON event_master TO "+columns+"; GRANT USAGE ON SEQUENCE numbers TO "+columns)
	r.route.Properties = []partition.Property{
		{Kind: partition.PropColumnGrant, Name: "program_id\t" + columns + "\tINSERT"},
		{Kind: partition.PropColumnGrant, Name: "created_at\t" + columns + "\tINSERT"},
	}
	r.install(t)
	r.exec(t, "INSERT INTO event_master (created_at) VALUES ('2018-11-01'); TRUNCATE event_master")
	conn := r.open(t, columns)
	const trigger = "CREATE TRIGGER %s BEFORE INSERT ON event_master FOR EACH ROW EXECUTE FUNCTION %s()"
	for _, test := range []struct{ name, sql, want string }{
		{"no default, no value", "", "event_2018_11 NULL x NULL"},
		{"a default", "ALTER TABLE event_master ALTER id SET DEFAULT 5", "event_2018_11 5 x NULL"},
		{"a default of a sequence", "ALTER TABLE event_master ALTER id SET DEFAULT nextval('numbers')", "event_2018_11 2 x NULL"},
		{"a default that the partition lacks", "ALTER TABLE ONLY event_master ALTER id SET DEFAULT 5", "event_master 5 x NULL"},
		{"another default", "ALTER TABLE event_master ALTER id SET DEFAULT 5; ALTER TABLE event_2018_11 ALTER id SET DEFAULT 6", "event_master 5 x NULL"},
		{"a default of the partition's own", "ALTER TABLE event_2018_11 ALTER id SET DEFAULT 6", "event_master NULL x NULL"},
		{"a default that a generated identity replaces", "ALTER TABLE event_master ALTER id SET NOT NULL; ALTER TABLE event_master ALTER id ADD GENERATED ALWAYS AS IDENTITY", "event_master 1 x NULL"},
		{"a domain's default", "ALTER TABLE event_master ALTER body TYPE mood", "event_2018_11 NULL x fine"},
		{"a trigger's value", fmt.Sprintf(trigger, "a", "stamp"), "event_master NULL x stamped"},
		{"a trigger's value for a default", "ALTER TABLE event_master ALTER id SET DEFAULT 5;" + fmt.Sprintf(trigger, "a", "number"), "event_master 9 x NULL"},
		{"a trigger's value for a domain's default", "ALTER TABLE event_master ALTER body TYPE mood;" + fmt.Sprintf(trigger, "a", "nothing"), "event_master NULL x NULL"},
		{"a trigger that leaves nothing", fmt.Sprintf(trigger, "a", "nothing"), "event_2018_11 NULL x NULL"},
		{"a trigger that sleeps", "ALTER TABLE event_master ALTER id SET DEFAULT 5;" + fmt.Sprintf(trigger, "a", "number") + "; ALTER TABLE event_master DISABLE TRIGGER a", "event_2018_11 5 x NULL"},
		{"a trigger behind", "ALTER TABLE event_master ALTER id SET DEFAULT 5;" + fmt.Sprintf(trigger, "z", "number"), "event_2018_11 5 x NULL"},
	} {
		r.exec(t, test.sql)
		insert := "INSERT INTO event_master (program_id, created_at) VALUES ('x', '2018-11-05')"
		want(t, test.name, code(t, conn, insert), "")
		const look = "SELECT tableoid::regclass, coalesce(id::text, 'NULL'), program_id, coalesce(body, 'NULL') FROM event_master"
		want(t, test.name, r.rows(t, look), test.want)
		for _, column := range []string{"id", "body"} {
			want(t, test.name+", named "+column, code(t, conn, "INSERT INTO event_master (program_id, created_at, "+column+") VALUES ('x', '2018-11-05', DEFAULT)"), "42501")
		}
		// Whoever may write all columns finds no difference between them.
		r.exec(t, "TRUNCATE event_master; "+insert)
		want(t, test.name+", with all privileges", strings.Fields(r.rows(t, look))[0], "event_2018_11")
		r.exec(t, `TRUNCATE event_master; DROP TRIGGER IF EXISTS a ON event_master; DROP TRIGGER IF EXISTS z ON event_master;
			ALTER TABLE event_master ALTER id DROP IDENTITY IF EXISTS; ALTER TABLE event_master ALTER id DROP NOT NULL, ALTER id DROP DEFAULT, ALTER body TYPE text`)
	}
	want(t, "no more than the columns", code(t, conn, "INSERT INTO event_2018_11 (id, created_at) VALUES (1, '2018-11-05')"), "42501")
}

// TestRouteOwnersRightsAreNotForOthers has an inserter who lays traps for the
// function that runs with the owner's rights.
func TestRouteOwnersRightsAreNotForOthers(t *testing.T) {
	t.Parallel()
	r := newRouted(t, eventParent, eventRoute())
	writer := r.Role(t, "writer")
	r.exec(t, "GRANT INSERT ON event_master TO "+writer+"; CREATE SCHEMA trap AUTHORIZATION "+writer)
	r.route.Properties = []partition.Property{{Kind: partition.PropGrant, Name: writer + "\tINSERT"}}
	r.install(t)
	conn := r.open(t, writer)
	if _, err := conn.Exec(t.Context(), `CREATE TABLE trap.sprung (who text); GRANT INSERT ON trap.sprung TO PUBLIC;
		CREATE FUNCTION trap.spring(timestamp, timestamp) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
			IF current_user <> session_user THEN INSERT INTO trap.sprung VALUES (current_user); END IF; RETURN $1::text >= $2::text; END $$;
		CREATE FUNCTION trap.spring(name, name) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
			IF current_user <> session_user THEN INSERT INTO trap.sprung VALUES (current_user); END IF; RETURN $1::text = $2::text; END $$;
		CREATE OPERATOR trap.>= (LEFTARG = timestamp, RIGHTARG = timestamp, FUNCTION = trap.spring);
		CREATE OPERATOR trap.= (LEFTARG = name, RIGHTARG = name, FUNCTION = trap.spring);
		CREATE TEMP TABLE pg_namespace (oid oid, nspname name);
		SET search_path = trap, pg_temp, pg_catalog, public`); err != nil {
		t.Fatal(err)
	}
	want(t, "insert", code(t, conn, "INSERT INTO event_master (program_id, created_at) VALUES ('a', '2018-11-05')"), "")
	want(t, "insert without a branch", code(t, conn, "INSERT INTO event_master (program_id, created_at) VALUES ('a', '2018-11-05')"), "")
	want(t, "traps sprung", r.rows(t, "SELECT count(*) FROM trap.sprung"), "0")
	want(t, "rows", r.rows(t, "SELECT tableoid::regclass, count(*) FROM event_master GROUP BY 1"), "event_2018_11 2")
	// Settings that the functions keep their notes in are anybody's to change.
	if _, err := conn.Exec(t.Context(), "CREATE TABLE trap.other (id integer, program_id text, body text, created_at timestamp); CREATE TABLE trap.alike () INHERITS (trap.other)"); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"0", r.rows(t, "SELECT 'trap.alike'::regclass::oid"), r.rows(t, "SELECT 'event_master'::regclass::oid")} {
		note := table + "|-infinity|infinity"
		for n := range 65 {
			name := fmt.Sprintf("partitiond.found_%s_%d", shortDigest("public", "event_master"), n)
			if _, err := conn.Exec(t.Context(), "SELECT set_config($1, $2, false)", name, note); err != nil {
				t.Fatal(err)
			}
		}
		want(t, "insert with a false note", code(t, conn, "INSERT INTO event_master (program_id, created_at) VALUES ('b', '2018-11-05')"), "")
	}
	want(t, "rows elsewhere", r.rows(t, "SELECT count(*) FROM trap.alike"), "0")
	want(t, "rows in place", r.rows(t, "SELECT tableoid::regclass, count(*) FROM event_master GROUP BY 1"), "event_2018_11 5")
}

// TestRouteWritesToOthersPartitions has a partition that belongs to somebody
// else, whom the parent's owner may not command.
func TestRouteWritesToOthersPartitions(t *testing.T) {
	t.Parallel()
	r := newRouted(t, eventParent, eventRoute())
	owner, other := r.Role(t, "owner"), r.Role(t, "other")
	r.exec(t, insertNovember)
	r.exec(t, "ALTER TABLE event_2018_11 OWNER TO "+other+"; GRANT INSERT ON event_2018_11 TO "+owner+"; GRANT USAGE, CREATE ON SCHEMA public TO "+owner+"; ALTER TABLE event_master OWNER TO "+owner)
	for _, f := range []string{"()", "_create(timestamp)", "_fits(regclass, regclass, text[], text[])"} {
		r.exec(t, "ALTER FUNCTION event_insert_function"+f+" OWNER TO "+owner)
	}
	conn := r.open(t, owner)
	want(t, "insert", code(t, conn, insertNovember), "")
	r.exec(t, "REVOKE ALL ON event_2018_11 FROM "+owner)
	want(t, "insert without the privilege", code(t, conn, insertNovember), "42501")
	r.exec(t, "GRANT INSERT (program_id, body, id, created_at) ON event_2018_11 TO "+owner)
	want(t, "insert with column privileges, twice", code(t, conn, insertNovember+"; "+insertNovember), "")
	want(t, "rows", r.rows(t, "SELECT tableoid::regclass, count(*) FROM event_master GROUP BY 1"), "event_2018_11 4")
}
