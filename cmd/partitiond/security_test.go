package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestRoleOwnsOnlyWhatItMust lets the daemon's role do all that it ever does, after
// init has made it: it is nobody special, and owns the set, its functions and the
// daemon's own tables, and no more.
func TestRoleOwnsOnlyWhatItMust(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	set := "[[set]]\nparent = \"public.chat_master\"\nkey = \"created_at\"\nretention = { keep = \"12 months\", then = \"archive\", archive = \"file://" + root + "\", max_share = 1 }\n"
	c := newCLI(t, set) // Its table of events is the superuser's.
	keeper, writer, reader := c.db.Role(t, "keeper"), c.db.Role(t, "writer"), c.db.Role(t, "reader")
	c.exec("REVOKE CREATE ON SCHEMA public FROM PUBLIC") // As it is from PostgreSQL 15 on.
	c.run(exitOK, "init", "--role", keeper, "--grant-insert", writer, "--grant-select", reader)
	c.write(c.db.URLAs(keeper), set)
	c.run(exitOK, "--run-now")
	app := c.db.ConnAs(t, writer)
	if _, err := app.Exec(t.Context(), "INSERT INTO chat_master (created_at) VALUES ('2018-11-05')"); err != nil {
		t.Fatal(err)
	}
	c.run(exitOK, "--run-now")
	c.run(exitOK, "archives", "restore", "2018-11")
	c.run(exitOK, "hold", "add", "--period", "2018-11", "--reason", "case")
	c.run(exitOK, "--run-now")

	role := c.text(fmt.Sprintf(`SELECT concat_ws(' ', rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolcanlogin,
		(SELECT string_agg(roleid::regrole::text, ' ') FROM pg_auth_members WHERE member = r.oid)) FROM pg_roles r WHERE rolname = '%s'`, keeper))
	if role != "f f f f f t pg_read_all_stats" {
		t.Errorf("the role is %q", role)
	}
	owned := c.text(fmt.Sprintf(`SELECT string_agg(DISTINCT what, E'\n') FROM (
		SELECT 'schema ' || nspname AS what FROM pg_namespace WHERE nspowner = '%[1]s'::regrole
		UNION ALL SELECT 'table ' || regexp_replace(oid::regclass::text, '[0-9]{4}_[0-9]{2}', 'MONTH') FROM pg_class WHERE relkind NOT IN ('i', 't', 'S') AND relowner = '%[1]s'::regrole
		UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE proowner = '%[1]s'::regrole
		UNION ALL SELECT 'database ' || datname FROM pg_database WHERE datdba = '%[1]s'::regrole) AS o`, keeper))
	const want = `function chat_insert_function()
function chat_insert_function_create(timestamp without time zone)
function chat_insert_function_fits(regclass,regclass,text[],text[])
function partitiond.note_hold()
schema partitiond
table chat_MONTH
table chat_master
table partitiond.history
table partitiond.hold
table partitiond.pass
table partitiond.restored`
	if owned != want {
		t.Errorf("the role owns\n%s\nexpected\n%s", owned, want)
	}
	for _, sql := range []string{"SELECT FROM events", "CREATE ROLE friend", "CREATE DATABASE mine", "SET ROLE postgres", "COPY chat_master TO PROGRAM 'true'", "ALTER SYSTEM SET ssl = off"} {
		if _, err := c.db.ConnAs(t, keeper).Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") && !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", sql, err)
		}
	}

	// What runs with somebody else's rights, in this database of a set at work.
	definers := c.text(`SELECT string_agg(concat_ws(' | ', oid::regprocedure, array_to_string(proconfig, ' ; '),
			(SELECT string_agg(CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, ',' ORDER BY 1) FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) a WHERE a.privilege_type = 'EXECUTE')), E'\n' ORDER BY oid::regprocedure::text)
		FROM pg_proc WHERE prosecdef AND pronamespace <> 'pg_catalog'::regnamespace`)
	wantDefiners := fmt.Sprintf("chat_insert_function_create(timestamp without time zone) | search_path=pg_catalog, pg_temp ; TimeZone=UTC ; DateStyle=iso, ymd ; quote_all_identifiers=off | %s\npartitiond.note_hold() | search_path=pg_catalog, pg_temp | %s",
		strings.Join([]string{keeper, writer}, ","), keeper)
	if definers != wantDefiners {
		t.Errorf("the functions that run with their owner's rights are\n%s\nexpected\n%s", definers, wantDefiners)
	}
	// A trigger function is nobody's to call, and the other one takes a moment, never a name.
	if _, err := app.Exec(t.Context(), "SELECT partitiond.note_hold()"); err == nil {
		t.Error("a writer may call the trigger function of the holds")
	}
}
