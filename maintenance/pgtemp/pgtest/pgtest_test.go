package pgtest_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/pgtemp"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// envCase makes the test program run TestCase alone, in one of these ways.
const envCase = "PGTEST_TEST_CASE"

func TestMain(m *testing.M) {
	if os.Getenv(envCase) == "no main" {
		os.Exit(m.Run())
	}
	os.Exit(pgtest.Main(m))
}

// TestCase is what the tests below run in a process of its own.
func TestCase(t *testing.T) {
	switch os.Getenv(envCase) {
	case "":
		// not run by one of them
	case "no main", "not installed", "well":
		pgtest.New(t)
	case "panic":
		pgtest.New(t)
		panic("a test panics")
	}
}

// runCase runs TestCase in the way named, with the server's directory in dir,
// and returns when neither that process nor one of its server is left.
func runCase(t *testing.T, way, dir string, env ...string) (output string, err error) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestCase$", "-test.v")
	cmd.Env = append(append(os.Environ(), envCase+"="+way, "TMPDIR="+dir), env...)
	alive, held, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	// The server inherits it as 4; 3 is package pgtemp's own.
	cmd.ExtraFiles = []*os.File{held, held}
	out, err := cmd.CombinedOutput()
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(alive); err != nil {
		t.Fatal(err)
	}
	return string(out), err
}

func home(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMainCleansUp(t *testing.T) {
	t.Parallel()
	dir := home(t)
	if out, err := runCase(t, "well", dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// No code of the process runs after a test's panic, so the server has to notice
// and the next process to clean up.
func TestPanicIsCleanedUpByTheNext(t *testing.T) {
	t.Parallel()
	dir := home(t)
	if out, err := runCase(t, "panic", dir); err == nil || !strings.Contains(out, "a test panics") {
		t.Fatalf("%v\n%s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Fatalf("after the panic there are %v, want one directory", left)
	}
	if out, err := runCase(t, "well", dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestWithoutPostgreSQLTestsFail(t *testing.T) {
	t.Parallel()
	out, err := runCase(t, "not installed", home(t), pgtemp.EnvBin+"=/nonexistent")
	if err == nil || !strings.Contains(out, "--- FAIL: TestCase") || !strings.Contains(out, "apt-get install postgresql") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestWithoutMainTestsFail(t *testing.T) {
	t.Parallel()
	out, err := runCase(t, "no main", home(t))
	if err == nil || !strings.Contains(out, "os.Exit(pgtest.Main(m))") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestEachTestItsDatabase(t *testing.T) {
	t.Parallel()
	var first *pgtest.Database
	t.Run("Schlüssel/with a very long name, longer than the 63 bytes of a name in PostgreSQL", func(t *testing.T) {
		first = pgtest.New(t)
		second := pgtest.New(t)
		if first.Name == second.Name || first.Server != second.Server {
			t.Errorf("databases %s and %s on %p and %p", first.Name, second.Name, first.Server, second.Server)
		}
		conn := first.Conn(t)
		var name string
		if err := conn.QueryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
			t.Fatal(err)
		}
		if name != first.Name {
			t.Errorf("connected to %q, want %q", name, first.Name)
		}
		// One that nobody closes does not keep the database.
		if _, err := pgx.Connect(t.Context(), first.URL); err != nil {
			t.Fatal(err)
		}
	})
	_, err := pgx.Connect(t.Context(), first.URL)
	if pg := (*pgconn.PgError)(nil); !errors.As(err, &pg) || pg.Code != "3D000" {
		t.Errorf("connecting to a test's database after the test: %v, want 3D000", err)
	}
}

func TestRoleGoesWithWhatItOwns(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	super := db.Conn(t)
	var role string
	t.Run("role", func(t *testing.T) {
		role = db.Role(t, "Read-Only")
		if other := db.Role(t, "Read-Only"); other == role {
			t.Errorf("two roles are called %s", role)
		}
		for _, statement := range []string{
			"CREATE SCHEMA own AUTHORIZATION " + role,
			"CREATE TABLE theirs ()",
			"GRANT SELECT ON theirs TO " + role,
			"GRANT CREATE ON DATABASE " + db.Name + " TO " + role,
			"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO " + role,
		} {
			if _, err := super.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		var user string
		conn := db.ConnAs(t, role)
		if _, err := conn.Exec(t.Context(), "CREATE TABLE own.x ()"); err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(t.Context(), "SELECT current_user").Scan(&user); err != nil {
			t.Fatal(err)
		}
		if user != role || !strings.HasPrefix(role, "read_only_") {
			t.Errorf("connected as %q, want %q", user, role)
		}
	})
	var there bool
	if err := super.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role).Scan(&there); err != nil {
		t.Fatal(err)
	}
	if there {
		t.Errorf("role %s is still there", role)
	}
}

func TestOwnServer(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("server", func(t *testing.T) {
		server := pgtest.Server(t, pgtemp.Options{Settings: map[string]string{"wal_level": "logical"}})
		db := pgtest.On(t, server)
		url = db.URL
		var level string
		if err := db.Conn(t).QueryRow(t.Context(), "SHOW wal_level").Scan(&level); err != nil || level != "logical" {
			t.Errorf("wal_level is %q (%v)", level, err)
		}
	})
	if _, err := pgx.Connect(t.Context(), url); err == nil {
		t.Error("the server outlived its test")
	}
}
