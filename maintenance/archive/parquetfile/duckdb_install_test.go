package parquetfile

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// duckdbPackage is a reader of Parquet that shares no code with ours, in the npm
// package of this very version, which wants its native library in the same.
const (
	duckdbPackage = "@duckdb/node-api"
	duckdbVersion = "1.5.6-r.1"
)

// duckdb runs queries.
type duckdb struct {
	dir     string // for parts
	modules string // node's packages
	script  string
}

// newDuckDB installs DuckDB in the user's cache, unless it is there. Without an
// independent reader nothing says that the parts are Parquet to others, so where
// that is not possible the test fails.
func newDuckDB(t *testing.T) *duckdb {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing: parts are compared with what DuckDB reads, by its package for Node.js. "+
				"Run .ci/ensure-node, or install Node.js and npm (Debian, Ubuntu: apt-get install nodejs npm).", program)
		}
	}
	script, err := filepath.Abs("testdata/duckdb.cjs")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("there is no directory to install DuckDB in: %v", err)
	}
	cache = filepath.Join(cache, "partitiond-test")
	installed := filepath.Join(cache, "duckdb-node-api-"+duckdbVersion)
	if _, err := os.Stat(installed); err != nil {
		installDuckDB(t, cache, installed)
	}
	return &duckdb{dir: t.TempDir(), modules: filepath.Join(installed, "node_modules"), script: script}
}

// installDuckDB installs beside the place where others look, and then renames: so
// a directory of that name is whole, also if this process is killed on the way, or
// another does the same at this time.
func installDuckDB(t *testing.T, cache, installed string) {
	t.Helper()
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(cache, "installing-*")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // It is gone, or of no use.
	pinned := duckdbPackage + "@" + duckdbVersion
	cmd := exec.CommandContext(t.Context(), "npm", "install", "--no-audit", "--no-fund", "--save-exact", "--prefix", dir, pinned)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("installing %s with npm: %v\n%s", pinned, err, out)
	}
	if err := os.Rename(dir, installed); err != nil {
		if _, missing := os.Stat(installed); missing != nil {
			t.Fatal(err)
		}
	}
	t.Logf("installed %s in %s", pinned, installed)
}
