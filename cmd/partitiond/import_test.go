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
