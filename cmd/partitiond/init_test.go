package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Init makes a set out of nothing that works at once: for the roles it names,
// for the daemon's role, and for check.
func TestInit(t *testing.T) {
	t.Parallel()
	c := newCLI(t, "[[set]]\nparent = \"public.chat_master\"\nkey = \"created_at\"\n")
	writer, reader, keeper := c.db.Role(t, "writer"), c.db.Role(t, "reader"), c.db.Role(t, "keeper")
	out, _ := c.run(exitOK, "init", "--role", keeper, "--grant-insert", writer, "--grant-select", reader)
	expect(t, out, "public.chat_master: done", "create 3", "route 1")

	app := c.db.ConnAs(t, writer)
	tag, err := app.Exec(t.Context(), "INSERT INTO chat_master (program_id, user_id, dialogue, created_at) VALUES ('p', 'u', 'd', '2018-11-05')")
	if err != nil || tag.String() != "INSERT 0 0" {
		t.Errorf("inserting as a writer: %s, %v", tag, err)
	}
	var n int
	if err := c.db.ConnAs(t, reader).QueryRow(t.Context(), "SELECT count(*) FROM chat_2018_11").Scan(&n); err != nil || n != 1 {
		t.Errorf("reading the month as a reader: %d rows, %v", n, err)
	}
	c.write(c.db.URLAs(keeper), "[[set]]\nparent = \"public.chat_master\"\nkey = \"created_at\"\n")
	c.run(exitOK, "--run-now")
	c.run(exitOK, "check")

	c.run(exitOK, "hold", "add", "--all", "--reason", "case")
	if n := c.int(`SELECT count(*) FROM pg_class WHERE oid = 'partitiond.hold'::regclass AND pg_get_userbyid(relowner) = '` + keeper + `'`); n != 1 {
		t.Error("the daemon's role does not own the table of holds")
	}

	_, log := c.run(exitFailed, "init", "--role", keeper)
	expect(t, log, "exists already")
}

func TestInitWantsTheRightSchema(t *testing.T) {
	t.Parallel()
	c := newCLI(t, "[[set]]\nparent = \"public.metrics\"\nkey = \"at\"\n")
	keeper := c.db.Role(t, "keeper")
	_, log := c.run(exitFailed, "init", "--role", keeper)
	expect(t, log, "makes no table public.metrics", "--schema")
	if n := c.int(`SELECT count(*) FROM pg_class WHERE relname = 'chat_master'`); n != 0 {
		t.Error("the wrong parent stayed")
	}
	file := filepath.Join(t.TempDir(), "metrics.sql")
	if err := os.WriteFile(file, []byte("CREATE TABLE metrics (at date NOT NULL, n bigint);"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(exitOK, "init", "--role", keeper, "--schema", file)
	c.run(exitOK, "check")
}

// What --print prints makes the same set, when it is run by hand.
func TestInitPrint(t *testing.T) {
	t.Parallel()
	c := newCLI(t, "[[set]]\nparent = \"public.chat_master\"\nkey = \"created_at\"\n")
	keeper, reader := c.db.Role(t, "keeper"), c.db.Role(t, "reader")
	out, _ := c.run(exitOK, "init", "--print", "--role", keeper, "--grant-select", reader)
	expect(t, out, "CREATE ROLE", "CREATE TABLE public.chat_master", "CREATE OR REPLACE TRIGGER", "BEGIN;", "COMMIT;", "GRANT CONNECT ON DATABASE "+c.db.Name)
	if n := c.int(`SELECT count(*) FROM pg_class WHERE relname = 'chat_master'`); n != 0 {
		t.Fatal("--print made the parent")
	}
	c.exec(out)
	c.write(c.db.URLAs(keeper), "[[set]]\nparent = \"public.chat_master\"\nkey = \"created_at\"\n")
	c.run(exitOK, "--run-now")
	out, _ = c.run(exitOK, "--run-now")
	expect(t, out, "nothing to do")
}
