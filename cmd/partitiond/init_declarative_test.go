package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// script runs SQL as psql does: PostgreSQL takes what is sent at once for one
// transaction, in which no index can be built CONCURRENTLY.
func (c *cli) script(text string) {
	c.t.Helper()
	for _, block := range strings.SplitAfter(text, "COMMIT;\n") {
		alone, together, _ := strings.Cut(block, "BEGIN;\n")
		for _, statement := range strings.Split(alone, ";\n") {
			c.exec(statement)
		}
		if together != "" {
			c.exec("BEGIN;" + together)
		}
	}
}

// schema writes a file that makes a parent, and returns its name.
func schema(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "schema.sql")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Init makes declarative sets of each type of key, beside each other and beside one
// by inheritance; then there is nothing that a pass would do, and rows find their way.
func TestInitDeclarative(t *testing.T) {
	t.Parallel()
	sets := []struct{ parent, settings, schema, now string }{
		{"times", "", "CREATE TABLE times (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, n bigserial, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); CREATE INDEX ON ONLY times (n);", "now()"},
		{"days", "default_partition = false\n", "CREATE TABLE days (at date NOT NULL) PARTITION BY RANGE (at);", "now()"},
		{"epochs", "key_unit = \"ms\"\n", "CREATE TABLE epochs (at bigint PRIMARY KEY) PARTITION BY RANGE (at);", "(extract(epoch FROM now()) * 1000)::bigint"},
		{"uuids", "", "CREATE TABLE uuids (at uuid PRIMARY KEY) PARTITION BY RANGE (at);",
			"(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid"},
		{"mixed", "", "CREATE TABLE mixed (at timestamp NOT NULL); CREATE INDEX ON mixed (at);", "now()"},
	}
	var file strings.Builder
	for _, s := range sets {
		file.WriteString("[[set]]\nparent = \"public." + s.parent + "\"\nkey = \"at\"\n" + s.settings)
	}
	c := newCLI(t, file.String())
	keeper, writer := c.db.Role(t, "keeper"), c.db.Role(t, "writer")
	for _, s := range sets {
		out, _ := c.run(exitOK, "init", "--set", "public."+s.parent, "--role", keeper, "--grant-insert", writer, "--grant-select", writer, "--schema", schema(t, s.schema))
		expect(t, out, "public."+s.parent+": done (create 3")
	}
	c.write(c.db.URLAs(keeper), file.String())
	out, _ := c.run(exitOK, "--run-now", "--dry-run")
	if n := strings.Count(out, ": nothing to do\n"); n != len(sets) {
		t.Errorf("after init a pass would do:\n%s", out)
	}
	c.run(exitOK, "check")
	app := c.db.ConnAs(t, writer)
	for _, s := range sets {
		if _, err := app.Exec(t.Context(), "INSERT INTO "+s.parent+" (at) VALUES ("+s.now+")"); err != nil {
			t.Errorf("%s: %v", s.parent, err)
		}
		var where string
		if err := app.QueryRow(t.Context(), "SELECT tableoid::regclass::text FROM "+s.parent).Scan(&where); err != nil || !strings.HasPrefix(where, s.parent+"_20") {
			t.Errorf("%s: its row is in %q (%v)", s.parent, where, err)
		}
	}
	out, _ = c.run(exitOK, "--run-now")
	if n := strings.Count(out, ": nothing to do\n"); n != len(sets) {
		t.Errorf("a pass does:\n%s", out)
	}
}

// A schema that makes what no pass would serve is refused, and nothing is left of it.
func TestInitRefusesWhatIsNotServed(t *testing.T) {
	t.Parallel()
	c := newCLI(t, "[[set]]\nparent = \"public.metrics\"\nkey = \"at\"\n")
	keeper := c.db.Role(t, "keeper")
	for schemaSQL, want := range map[string]string{
		"CREATE TABLE metrics (at date, n bigint) PARTITION BY LIST (n);": "public.metrics: it is PARTITION BY LIST (n) (RANGE of one plain column is served)",
		`CREATE TABLE metrics (at date, n bigint) PARTITION BY RANGE (at);
			CREATE TABLE metrics_old PARTITION OF metrics FOR VALUES FROM (MINVALUE) TO ('2020-01-01') PARTITION BY LIST (n);`: "its partition public.metrics_old is partitioned itself",
		"CREATE TABLE metrics (at bigint) PARTITION BY RANGE (at);": `column "at" is of type bigint (set key_unit to`,
	} {
		out, log := c.run(exitFailed, "init", "--role", keeper, "--schema", schema(t, schemaSQL))
		expect(t, log, "the schema file makes a table that cannot be served: ", want)
		if n := c.int(`SELECT count(*) FROM pg_class WHERE relname LIKE 'metrics%' OR relname = 'hold'`); n != 0 || out != "" {
			t.Errorf("%d tables are left; printed was %q", n, out)
		}
	}
}

// What --print prints for a declarative set makes all of it, the trigger of the
// default partition too, also where the schema itself makes partitions.
func TestInitPrintDeclarative(t *testing.T) {
	t.Parallel()
	set := "[[set]]\nparent = \"public.metrics\"\nkey = \"at\"\n"
	c := newCLI(t, set)
	keeper, app := c.db.Role(t, "keeper"), c.db.Role(t, "app")
	out, _ := c.run(exitOK, "init", "--print", "--role", keeper, "--grant-select", app, "--grant-insert", app, "--schema", schema(t, `
		CREATE TABLE metrics (at date NOT NULL, n bigint) PARTITION BY RANGE (at);
		CREATE TABLE metrics_old PARTITION OF metrics FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
		CREATE INDEX ON ONLY metrics (n);`))
	expect(t, out, "\n\nCOMMIT;\n\n-- index public.metrics_old: ", "CREATE INDEX CONCURRENTLY", "ATTACH PARTITION")
	c.script(out)
	c.write(c.db.URLAs(keeper), set)
	c.run(exitOK, "check")
	out, _ = c.run(exitOK, "--run-now")
	expect(t, out, "public.metrics: nothing to do")
}
