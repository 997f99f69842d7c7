package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// quietEnvironment takes away all that says how to connect, so tests with it
// cannot run in parallel.
func quietEnvironment(t *testing.T) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "PG") {
			t.Setenv(name, "")
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("HOME", t.TempDir())
}

const oneSet = "\n[[set]]\nparent = \"events\"\nkey = \"at\"\n"

func connConfig(t *testing.T, database string) (*pgx.ConnConfig, error) {
	t.Helper()
	return mustParse(t, database+oneSet).Databases[0].ConnConfig()
}

func mustConnConfig(t *testing.T, database string) *pgx.ConnConfig {
	t.Helper()
	c, err := connConfig(t, database)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func writeFile(t *testing.T, text string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConnectionByURL(t *testing.T) {
	quietEnvironment(t)
	c := mustConnConfig(t, "[database]\nurl = \"postgres://keeper:pw@db.example:6543/app?sslmode=disable\"")
	if c.Host != "db.example" || c.Port != 6543 || c.User != "keeper" || c.Password != "pw" || c.Database != "app" {
		t.Errorf("%s@%s:%d/%s", c.User, c.Host, c.Port, c.Database)
	}
	if c.RuntimeParams["application_name"] != "partitiond" || c.ConnectTimeout != 10*time.Second || c.ValidateConnect != nil {
		t.Errorf("application %q, timeout %s", c.RuntimeParams["application_name"], c.ConnectTimeout)
	}
	socket := mustConnConfig(t, "[database]\nurl = \"postgres://keeper@/app?host=/run/postgresql&application_name=mine\"")
	if socket.Host != "/run/postgresql" || socket.RuntimeParams["application_name"] != "mine" {
		t.Errorf("host %s, application %q", socket.Host, socket.RuntimeParams["application_name"])
	}
	words := mustConnConfig(t, "[database]\nurl = \"host=db.example dbname=app user=keeper sslmode=disable\"")
	if words.Host != "db.example" || words.Database != "app" {
		t.Errorf("%s/%s", words.Host, words.Database)
	}
}

func TestConnectionByEnvironment(t *testing.T) {
	quietEnvironment(t)
	passfile := writeFile(t, "db.example:5432:app:keeper:from the passfile\n", 0o600)
	t.Setenv("PGHOST", "db.example")
	t.Setenv("PGDATABASE", "app")
	t.Setenv("PGUSER", "keeper")
	t.Setenv("PGPASSFILE", passfile)
	t.Setenv("PGCONNECT_TIMEOUT", "4")
	t.Setenv("PGAPPNAME", "theirs")
	t.Setenv("PGSSLMODE", "disable")
	c := mustConnConfig(t, "")
	if c.Host != "db.example" || c.Database != "app" || c.User != "keeper" || c.Password != "from the passfile" {
		t.Errorf("%s@%s/%s", c.User, c.Host, c.Database)
	}
	if c.ConnectTimeout != 4*time.Second || c.RuntimeParams["application_name"] != "theirs" {
		t.Errorf("timeout %s, application %q", c.ConnectTimeout, c.RuntimeParams["application_name"])
	}
	if c := mustConnConfig(t, "[database]\nconnect_timeout = \"3s\""); c.ConnectTimeout != 3*time.Second {
		t.Errorf("timeout %s in spite of the key", c.ConnectTimeout)
	}
	service := writeFile(t, "[prod]\nhost=service.example\nuser=other\n", 0o600)
	t.Setenv("PGSERVICEFILE", service)
	t.Setenv("PGSERVICE", "prod")
	if c := mustConnConfig(t, ""); c.Host != "service.example" || c.User != "other" {
		t.Errorf("by the service file: %s@%s", c.User, c.Host)
	}
	t.Setenv("PGSERVICE", "missing")
	_, err := connConfig(t, "")
	want := "config.toml: database: the connection's settings in the environment: failed to read service (unable to find service: missing)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestOneOfSeveralHostsHasToAcceptWrites looks for the check that pgx makes on
// a new connection. Tests against servers show what it does.
func TestOneOfSeveralHostsHasToAcceptWrites(t *testing.T) {
	quietEnvironment(t)
	for url, want := range map[string]bool{
		"postgres://keeper@a.example/app":                                            false,
		"postgres://keeper@a.example/app?sslmode=disable":                            false,
		"postgres://keeper@a.example,b.example/app":                                  true,
		"postgres://keeper@a.example:1,a.example:2/app":                              true,
		"host=a.example,b.example sslmode=disable":                                   true,
		"postgres://keeper@a.example,b.example/app?target_session_attrs=any":         false,
		"host=a.example,b.example target_session_attrs=any":                          false,
		"postgres://keeper@a.example,b.example/app?target_session_attrs=read-write":  true,
		"postgres://keeper@a.example/app?target_session_attrs=primary&sslmode=allow": true,
	} {
		if got := mustConnConfig(t, "[database]\nurl = \""+url+"\"").ValidateConnect != nil; got != want {
			t.Errorf("%s: checked %t, want %t", url, got, want)
		}
	}
	t.Setenv("PGTARGETSESSIONATTRS", "any")
	if c := mustConnConfig(t, "[database]\nurl = \"postgres://a.example,b.example/app\""); c.ValidateConnect != nil {
		t.Error("PGTARGETSESSIONATTRS is passed over")
	}
}

// TestURLErrors has a password in most of the strings that cannot be read.
func TestURLErrors(t *testing.T) {
	quietEnvironment(t)
	const example = `expected a connection string such as "postgres://user@host:5432/database"`
	for url, want := range map[string]string{
		"hunter2":                                                 "failed to parse as keyword/value (invalid keyword/value): " + example,
		"host=a password=a hunter2=b c d":                         "failed to parse as keyword/value: " + example,
		"host=a password='hunter2":                                "failed to parse as keyword/value: " + example,
		"postgres://u:hunter2":                                    "invalid port",
		"postgres://u:hunter2@[::1/app":                           "failed to parse as URL: " + example,
		"postgres://u:hun/ter2@h/app":                             "invalid port",
		"postgres://u:5432/hunter2@h/app":                         "expected : / ? and @ within a user or password to be written as %3A %2F %3F and %40",
		"postgres://u:hunter2@h:port/app":                         "invalid port",
		"postgres://u:hunter2@h:1,g:2,h:3/d":                      "",
		"postgres://u@h:1,g:2,:3,i/d":                             "",
		"host=h,g port=1,2,3":                                     "could not match 3 port numbers to 2 hosts",
		"postgres://h/d?sslmode=hunter":                           "failed to configure TLS (sslmode is invalid)",
		"postgres://u:hunter2@h/d?sslmode=x":                      "failed to configure TLS",
		"postgres://h/d?target_session_attrs=x":                   "unknown target_session_attrs value: x",
		"postgres://u:p@h/d?target_session_attrs=hunter2":         "unknown target_session_attrs value",
		"postgres://h/d?sslmode=require&sslrootcert=/no/such.pem": "failed to configure TLS (unable to read CA file: open /no/such.pem: no such file or directory)",
	} {
		_, err := connConfig(t, "[database]\nurl = \""+url+"\"")
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", url, err)
			}
			continue
		}
		if want = "config.toml:2: database.url: " + want; err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", url, err, want)
			continue
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if url != "hunter2" && strings.Contains(fmt.Sprintf("%v %+v %#v", e, e, e), "hunter2") {
				t.Errorf("shows the password: %#v", e)
			}
		}
	}
}

func TestLoadChecksTheConnection(t *testing.T) {
	quietEnvironment(t)
	path := writeFile(t, "[database]\nurl = \"postgres://u:hunter2\""+oneSet, 0o600)
	if _, err := Load(path); err == nil || err.Error() != path+":2: database.url: invalid port" {
		t.Errorf("%v", err)
	}
}

func TestPasswordIsNeverPrinted(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "[database]\nurl = \"postgres://u:hunter2@h/d\"\npassword_file = \"/run/pw\""+oneSet)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("config", "config", c, "database", c.Databases[0])
	slog.New(slog.NewJSONHandler(&log, nil)).Info("config", "config", c, "database", c.Databases[0])
	type hidden struct{ d Database }
	for _, verb := range []string{"%d", "%x", "%X", "%t", "%c", "%T %[1]v"} {
		log.WriteString(fmt.Sprintf(verb, c.Databases[0]))
	}
	text, err := json.Marshal(c.Databases[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{
		fmt.Sprint(c, c.Databases[0]), fmt.Sprintf("%+v", *c), fmt.Sprintf("%#v", c), fmt.Sprintf("%#v", c.Databases[0]), fmt.Sprintf("%s %q", c.Databases[0], c.Databases[0]),
		fmt.Sprintf("%v %+v %#v", hidden{c.Databases[0]}, hidden{c.Databases[0]}, hidden{c.Databases[0]}), string(text), log.String(),
	} {
		if strings.Contains(shown, "hunter2") || strings.Contains(shown, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("shows the password: %s", shown)
		}
	}
	if got := c.Databases[0].String(); got != "the connection of database.url with the password in /run/pw" {
		t.Errorf("String() is %q", got)
	}
	if got := (Database{}).String(); got != "the connection of the environment" {
		t.Errorf("String() is %q", got)
	}
}
