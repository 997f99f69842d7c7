package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImport prints what another manager's file has, and says what is wrong with one.
func TestImport(t *testing.T) {
	t.Parallel()
	c := newCLI(t, "")
	file := filepath.Join(t.TempDir(), "manager.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("partitions: {e: {schema: public, table: events, partitionKey: at, interval: monthly, retention: 12, preProvisioned: 3, cleanupPolicy: drop}}")
	out, _ := c.run(exitOK, "import", file)
	if !strings.Contains(out, "then = \"keep\"\n") || !strings.Contains(out, "# then = \"drop\"\n") {
		t.Error(out)
	}
	if out, _ = c.run(exitOK, "import", file, "--removals"); !strings.Contains(out, "\nthen = \"drop\"\n") {
		t.Error(out)
	}
	c.write(c.db.URL, out)
	c.run(exitOK, "--run-now")
	write("partitions: {e: {}}")
	if _, stderr := c.run(exitUsage, "import", file); !strings.Contains(stderr, "partitions.e.schema") {
		t.Error(stderr)
	}
	c.run(exitUsage, "import", filepath.Join(t.TempDir(), "nothing"))
	c.run(exitUsage, "import", file, "--url", c.db.URL)
	// There is no pg_partman in this database.
	c.run(exitUsage, "import")
	c.run(exitUsage, "import", "--url", c.db.URL)
	c.run(exitConnect, "import", "--url", "host=127.0.0.1 port=1")
}

// TestImportDeclarative imports sets as postgresql-partition-manager has made them, of
// a month, an ISO week and a day, the last one of UUIDs: the first pass removes nothing
// and makes no partition, and then there is nothing to do.
func TestImportDeclarative(t *testing.T) {
	t.Parallel()
	c := newCLI(t, "")
	c.exec(`CREATE TABLE months (id bigint, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE TABLE weeks (at date NOT NULL) PARTITION BY RANGE (at);
		CREATE TABLE days (at uuid PRIMARY KEY) PARTITION BY RANGE (at);
		CREATE FUNCTION uuid_of(at timestamp) RETURNS uuid LANGUAGE sql AS
			$$ SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;
		DO $$ DECLARE s record; d timestamp; BEGIN
			SET LOCAL TimeZone = 'UTC';
			FOR s IN SELECT * FROM (VALUES ('months', 'month', 'YYYY_MM', interval '1 month'), ('weeks', 'week', 'IYYY"_w"IW', interval '1 week'),
					('days', 'day', 'YYYY_MM_DD', interval '1 day')) AS v (parent, unit, pattern, step) LOOP
				FOR i IN -20..4 LOOP
					d := date_trunc(s.unit, localtimestamp) + i * s.step;
					EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', s.parent || '_' || to_char(d, s.pattern), s.parent,
						CASE s.parent WHEN 'days' THEN uuid_of(d)::text ELSE d::text END, CASE s.parent WHEN 'days' THEN uuid_of(d + s.step)::text ELSE (d + s.step)::text END);
				END LOOP;
			END LOOP;
		END $$`)
	file := filepath.Join(t.TempDir(), "manager.yaml")
	text := "partitions:\n"
	for parent, interval := range map[string]string{"months": "monthly", "weeks": "weekly", "days": "daily"} {
		text += "  " + parent + ": {schema: public, table: " + parent + ", partitionKey: at, interval: " + interval + ", retention: 6, preProvisioned: 3, cleanupPolicy: drop}\n"
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sets, _ := c.run(exitOK, "import", file)
	c.write(c.db.URL, sets)
	out, _ := c.run(exitOK, "--run-now", "--dry-run")
	for line := range strings.Lines(out) {
		verb, _, _ := strings.Cut(line, " public.")
		switch verb {
		case "create", "drop", "detach", "archive":
			t.Errorf("a first pass would do this: %s", line)
		}
	}
	const partitions = `SELECT count(*) FROM pg_inherits JOIN pg_class p ON p.oid = inhparent WHERE p.relkind = 'p'`
	before := c.int(partitions)
	out, _ = c.run(exitOK, "--run-now")
	if n := c.int(partitions); n != before+3 { // A default one for each.
		t.Errorf("there are %d partitions, and were %d:\n%s", n, before, out)
	}
	c.run(exitOK, "check")
	if out, _ = c.run(exitOK, "--run-now", "--dry-run"); strings.Count(out, ": nothing to do\n") != 3 {
		t.Error(out)
	}
}
