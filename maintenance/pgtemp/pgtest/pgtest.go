// Package pgtest gives each test a database of its own, on one throw-away
// server for the whole test process.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// and its tests call [New], or [DB], and may run in parallel. The server starts
// with the first of them. Without PostgreSQL's server programs such a test
// fails, and says what to install.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/pgtemp"
)

// patience bounds every statement of this package and every start of a server.
// It is far longer than any of them takes, and stands for "never".
const patience = 2 * time.Minute

var shared struct {
	mu     sync.Mutex
	inMain bool
	tried  bool
	server *pgtemp.Server
	err    error
}

// serial makes names unique on the server.
var serial atomic.Int64

// Main runs the tests, then stops the shared server if one of them has started
// it, and returns the exit code for TestMain to end with. A test that panics,
// or runs into -timeout, ends the process at once; then the server goes with
// the process, and its directory with the next server (see package pgtemp).
func Main(m *testing.M) (code int) {
	shared.mu.Lock()
	shared.inMain = true
	shared.mu.Unlock()
	defer func() { // also when m.Run panics
		shared.mu.Lock()
		defer shared.mu.Unlock()
		if shared.server == nil {
			return
		}
		if err := shared.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			code = max(code, 1)
		}
	}()
	return m.Run()
}

// sharedServer starts the process's server, once.
func sharedServer() (*pgtemp.Server, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.inMain {
		return nil, errors.New(`this package needs: func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }`)
	}
	if !shared.tried {
		shared.tried = true
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		shared.server, shared.err = pgtemp.Start(ctx, pgtemp.Options{})
	}
	return shared.server, shared.err
}

// Server starts a server that only this test uses, and closes it when the test
// ends; if the test failed, it logs the end of the server's log first.
func Server(t testing.TB, options pgtemp.Options) *pgtemp.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	server, err := pgtemp.Start(ctx, options)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", server.LogTail(50))
		}
		if err := server.Close(); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return server
}

// Database is a new, empty database that is dropped when its test ends.
type Database struct {
	// URL is the connection URI, as the superuser.
	URL string
	// Name is the database's name, which needs no quoting.
	Name string
	// Server is the server that it is on, shared with other tests.
	Server *pgtemp.Server
}

// DB makes a database as [New] does and returns its URL.
func DB(t testing.TB) string {
	t.Helper()
	return New(t).URL
}

// New makes a database on the process's shared server. When the test ends,
// sessions that are still connected to it are ended and it is dropped.
func New(t testing.TB) *Database {
	t.Helper()
	server, err := sharedServer()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return On(t, server)
}

// On makes a database as [New] does, on the given server.
func On(t testing.TB, server *pgtemp.Server) *Database {
	t.Helper()
	d := &Database{Name: unique(t.Name()), Server: server}
	d.URL = server.URL(d.Name)
	admin := server.URL("postgres")
	// Nobody can be connected to template0, which would make this fail.
	if err := execute(admin, "CREATE DATABASE "+d.Name+" TEMPLATE template0"); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(admin, "DROP DATABASE "+d.Name+" WITH (FORCE)"); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return d
}

// Since skips the test, and says so by the release's name, where the server is older
// than the major version that brought what the test is about.
func (d *Database) Since(t testing.TB, major int, what string) {
	t.Helper()
	var is int
	if _, err := fmt.Sscanf(d.Server.Version(), "%d", &is); err != nil {
		t.Fatalf("pgtest: server version %q: %v", d.Server.Version(), err)
	}
	if is < major {
		t.Skipf("PostgreSQL %d has no %s, which came with PostgreSQL %d", is, what, major)
	}
}

// Conn connects as the superuser; the connection is closed when the test ends.
func (d *Database) Conn(t testing.TB) *pgx.Conn {
	t.Helper()
	return connect(t, d.URL)
}

// ConnAs connects as the role; the connection is closed when the test ends.
func (d *Database) ConnAs(t testing.TB, role string) *pgx.Conn {
	t.Helper()
	return connect(t, d.URLAs(role))
}

// URLAs is the connection URI for another role, which the server trusts.
func (d *Database) URLAs(role string) string { return d.Server.URLAs(role, d.Name) }

// Role creates a role that may log in and do nothing else, with a name that
// begins with the prefix and needs no quoting. Roles belong to the whole server,
// so no two tests can use one name. When the test ends, what the role owns and
// was granted in this database is dropped, and the role with it; what it owns
// in another database makes the test fail.
func (d *Database) Role(t testing.TB, prefix string) string {
	t.Helper()
	role := unique(prefix)
	if err := execute(d.URL, "CREATE ROLE "+role+" LOGIN"); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(d.URL, "DROP OWNED BY "+role+" CASCADE", "DROP ROLE "+role); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return role
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() { closeConn(conn) })
	return conn
}

// Tablespace makes a tablespace in the server's own directory (PostgreSQL documentation,
// 20.17 Developer Options), with a name that has to be quoted. It goes with the server.
func (d *Database) Tablespace(t testing.TB) string {
	t.Helper()
	name := unique("other") + " space"
	if err := execute(d.URL, "SET allow_in_place_tablespaces = on", "CREATE TABLESPACE "+pgx.Identifier{name}.Sanitize()+" LOCATION ''"); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return name
}

// execute runs each statement in a transaction of its own. It does not use the
// test's context, which has ended when cleanup begins.
func execute(uri string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s, in %s: %w", statement, databaseOf(uri), err)
		}
	}
	return nil
}

// closeConn closes the connection. An error only says that the server, or a
// test, has closed it before.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = conn.Close(ctx)
}

func databaseOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return uri
	}
	return strings.TrimPrefix(u.Path, "/")
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// unique makes a name that the server has not seen, no longer than the 63 bytes
// that PostgreSQL keeps of one, lower case, that needs no quoting and tells where
// it comes from.
func unique(from string) string {
	readable := strings.Trim(notInName.ReplaceAllString(strings.ToLower(from), "_"), "_")
	if len(readable) > 40 {
		readable = readable[:40]
	}
	if readable == "" || readable[0] <= '9' {
		readable = "t_" + readable // a leading digit would need quoting
	}
	// With its number it is no key word either.
	return fmt.Sprintf("%s_%d", readable, serial.Add(1))
}
