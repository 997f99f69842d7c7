package config

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// applicationName is what pg_stat_activity shows unless something else is asked for.
const applicationName = "partitiond"

// Database says how to connect. It may be printed and logged: the connection
// string, which may hold a password, is not shown by any verb of fmt.
type Database struct {
	// Name is the database's label, empty for that of [database].
	Name string
	// Sets are in the order of the file, those that are shared first; there is at
	// least one.
	Sets []Set
	// PasswordFile is the absolute path of a file that holds the password, empty
	// if there is none.
	PasswordFile string
	// ConnectTimeout bounds one attempt to connect to one host.
	ConnectTimeout time.Duration

	// url is a pointer because fmt prints that as an address.
	url *string
	// timeoutGiven tells that ConnectTimeout is not merely the default.
	timeoutGiven bool
	// file, urlLine and passwordLine are for errors.
	file                  string
	urlLine, passwordLine int
}

// String returns what may be shown.
func (d Database) String() string {
	from := "the connection of the environment"
	if d.url != nil {
		from = "the connection of database.url"
	}
	if d.PasswordFile != "" {
		from += " with the password in " + d.PasswordFile
	}
	if d.Name != "" {
		from = d.Name + ": " + from
	}
	return from
}

// GoString returns what [Database.String] does.
func (d Database) GoString() string { return "config.Database{" + d.String() + "}" }

// connection reads how to connect. Files and the environment are left to
// [Database.ConnConfig].
func (r *reader) connection(path string, keys databaseKeys) Database {
	d := Database{
		PasswordFile:   or(keys.PasswordFile, ""),
		ConnectTimeout: r.duration(path+".connect_timeout", keys.ConnectTimeout, defaultConnectTimeout, time.Millisecond, time.Hour),
		url:            keys.URL,
		timeoutGiven:   keys.ConnectTimeout != nil,
		file:           r.file,
	}
	if keys.URL != nil {
		at, _ := r.places.find(path + ".url")
		d.urlLine = at.line
		if strings.TrimSpace(*keys.URL) == "" {
			want := "is empty: expected a connection string, or no such key where the PG* variables of the environment say it all"
			if path != "database" {
				want = "is empty: expected a connection string"
			}
			r.fail(path+".url", want)
		}
	}
	if keys.PasswordFile != nil {
		at, _ := r.places.find(path + ".password_file")
		d.passwordLine = at.line
		if !filepath.IsAbs(d.PasswordFile) || strings.ContainsRune(d.PasswordFile, 0) {
			r.fail(path+".password_file", "expected the absolute path of a file that holds the password")
		}
	}
	return d
}

// ConnConfig returns how to connect, read afresh from the url, the PG* variables
// of the environment, the service file and the password file (PostgreSQL
// documentation, 34.1.2 Parameter Key Words, 34.15 Environment Variables). A
// password file wins over all other passwords. Unless they are given elsewhere,
// the application name is partitiond and, where there are several hosts, the one
// that accepts writes is looked for. The result holds the password, so it must
// not be printed. Errors are an [*Error] and do not hold it.
func (d Database) ConnConfig() (*pgx.ConnConfig, error) {
	text := ""
	if d.url != nil {
		text = *d.url
	}
	c, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, d.urlError(connectionReason(err, text))
	}
	if strings.Contains(text, "://") && (strings.Contains(c.Host, "@") || strings.Contains(c.Database, "@")) {
		return nil, d.urlError("expected : / ? and @ within a user or password to be written as %3A %2F %3F and %40")
	}
	if d.PasswordFile != "" {
		if c.Password, err = readSecret(d.PasswordFile, "password"); err != nil {
			return nil, &Error{File: d.file, Line: d.passwordLine, Key: "database.password_file", Database: d.Name, Want: err.Error(), cause: err}
		}
	}
	if d.timeoutGiven || c.ConnectTimeout == 0 {
		c.ConnectTimeout = d.ConnectTimeout
	}
	// A server whose machine is gone without a word is noticed within half a minute.
	c.DialFunc = (&net.Dialer{Timeout: c.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}).DialContext
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = applicationName
	}
	// Without a check "any" is meant: by default, or because somebody said so.
	if c.ValidateConnect == nil && severalHosts(c) && !saysSessionAttrs(text) {
		c.ValidateConnect = acceptsWrites
	}
	return c, nil
}

// acceptsWrites refuses a standby, and says what it is.
func acceptsWrites(ctx context.Context, conn *pgconn.PgConn) error {
	if err := pgconn.ValidateConnectTargetSessionAttrsReadWrite(ctx, conn); err != nil {
		return fmt.Errorf("it is left alone, as a standby or another server that accepts no writes: %w", err)
	}
	return nil
}

func (d Database) urlError(want string) *Error {
	if d.url == nil {
		return &Error{File: d.file, Key: "database", Want: "the connection's settings in the environment: " + want}
	}
	return &Error{File: d.file, Line: d.urlLine, Key: "database.url", Database: d.Name, Want: want}
}

// severalHosts tells whether there is more than one server to choose from.
// Fallbacks also hold the same host with and without TLS.
func severalHosts(c *pgx.ConnConfig) bool {
	for _, f := range c.Fallbacks {
		if f.Host != c.Host || f.Port != c.Port {
			return true
		}
	}
	return false
}

func saysSessionAttrs(text string) bool {
	return strings.Contains(text, "target_session_attrs") || os.Getenv("PGTARGETSESSIONATTRS") != ""
}

// connectionReason says what is wrong with a connection string without quoting
// it. The library hides passwords as well as it can, which is not well enough for
// a string that could not be read: where one may be in it, only the library's
// own words are kept.
func connectionReason(err error, text string) string {
	const want = `expected a connection string such as "postgres://user@host:5432/database"`
	var parse *pgconn.ParseConfigError
	if !errors.As(err, &parse) {
		return want
	}
	plain := *parse
	plain.ConnString = ""
	why := strings.TrimPrefix(plain.Error(), "cannot parse ``: ")
	if credentialsIn(text) {
		if i := strings.IndexAny(why, "(:"); i >= 0 {
			why = strings.TrimSpace(why[:i])
		}
	}
	if strings.HasPrefix(why, "failed to parse") {
		return fmt.Sprintf("%s: %s", why, want)
	}
	return why
}

// credentialsIn tells whether a password may be in a connection string: beside
// the user of a URL, or by a key whose letters may be written as %70.
func credentialsIn(text string) bool {
	_, rest, isURL := strings.Cut(text, "://")
	return isURL && strings.Contains(rest, ":") && strings.Contains(rest, "@") ||
		strings.Contains(text, "%") || strings.Contains(strings.ToLower(text), "pass")
}
