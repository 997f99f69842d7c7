package maintenance_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance"
)

// TestPrivileges goes from role to role: who inserts can only insert, who reads
// can only read, and who maintains is no superuser and needs no more than to be
// a member of the owner.
func TestPrivileges(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	owner, app, reader, keeper, stranger := s.db.Role(t, "owner"), s.db.Role(t, "app"), s.db.Role(t, "reader"), s.db.Role(t, "keeper"), s.db.Role(t, "stranger")
	s.section("setup.sql", fmt.Sprintf(`
		GRANT %[1]s TO %[4]s;
		REVOKE CREATE ON SCHEMA public FROM PUBLIC; -- As it is from PostgreSQL 15 on.
		GRANT USAGE, CREATE ON SCHEMA public TO %[1]s;
		GRANT USAGE ON SCHEMA public TO %[2]s, %[3]s, %[4]s, %[5]s;
		SET ROLE %[1]s;
		CREATE TABLE events (id bigserial, at timestamp, what text);
		GRANT INSERT ON events TO %[2]s;
		GRANT USAGE ON SEQUENCE events_id_seq TO %[2]s;
		GRANT SELECT ON events TO %[3]s;
		RESET ROLE`, owner, app, reader, keeper, stranger))
	s.section("set.toml", "[[set]]\nparent = \"public.events\"\nkey = \"at\"\n")
	s.m.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, s.db.URLAs(keeper)) }
	report, err := s.m.Pass(t.Context(), nil, s.sets)
	if err != nil || report.Status() != maintenance.Done {
		t.Fatalf("the pass as the maintenance role: %+v, %v", report, err)
	}
	s.query = fmt.Sprintf(`SELECT count(*) FILTER (WHERE pg_get_userbyid(relowner) = '%s'), count(*) FROM pg_class JOIN pg_inherits ON inhrelid = oid`, owner)
	s.section("result", "3 | 3")
	s.query = fmt.Sprintf(`SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = '%s'`, keeper)
	s.section("result", "f | f | f | f")

	now := `SELECT (SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass ORDER BY 1 LIMIT 1)`
	child := rows(t, s.conn, now)
	child = child[:len(child)-1]
	for _, try := range []struct {
		role, sql string
		allowed   bool
	}{
		{app, "INSERT INTO events (at, what) VALUES (localtimestamp, 'now')", true},
		{app, "INSERT INTO events (at, what) VALUES ('2018-11-05', 'makes a month')", true},
		{app, "SELECT FROM events", false},
		{app, "SELECT FROM " + child, false},
		{app, "UPDATE events SET what = ''", false},
		{app, "DELETE FROM events", false},
		{app, "DROP TABLE " + child, false},
		{app, "CREATE TABLE mine ()", false},
		{reader, "SELECT FROM events", true},
		{reader, "SELECT FROM " + child, true},
		{reader, "SELECT FROM events_2018_11", true},
		{reader, "INSERT INTO events (at) VALUES (localtimestamp)", false},
		{reader, "INSERT INTO " + child + " (at) VALUES (localtimestamp)", false},
		{reader, "SELECT events_insert_function_create('2018-12-01')", false},
		{stranger, "SELECT FROM events", false},
		{stranger, "INSERT INTO events (at) VALUES (localtimestamp)", false},
		{stranger, "SELECT events_insert_function_create('2018-12-01')", false},
	} {
		conn := s.db.ConnAs(t, try.role)
		_, err := conn.Exec(t.Context(), try.sql)
		var pgErr *pgconn.PgError
		denied := errors.As(err, &pgErr) && pgErr.Code == "42501"
		if try.allowed && err != nil || !try.allowed && !denied {
			t.Errorf("%s: %s: allowed should be %t, got %v", try.role, try.sql, try.allowed, err)
		}
	}
	// The month that the trigger has made gets a branch of its own.
	s.section("pass", "done\nroute public.events")
	s.section("left", "")
}
