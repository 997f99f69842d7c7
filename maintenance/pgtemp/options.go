package pgtemp

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Options says how to run a server. The zero value is a server for tests.
type Options struct {
	// Binaries are the programs to run; by default what [Find] finds.
	Binaries Binaries

	// Dir is the directory to make the server's own directory in. By default it
	// is the directory for temporary files, or /tmp or /var/tmp where that one
	// has too long a name for a Unix socket or cannot be reached by the user
	// that the server runs as.
	Dir string

	// Superuser is the name of the bootstrap superuser; by default "postgres".
	Superuser string

	// Password, if not empty, is asked of every connection over TCP. Without
	// one any user of this machine may connect as the superuser, and so run
	// programs as the user that the server runs as. The Unix socket needs no
	// password: only that user, and root, can reach it.
	Password string

	// Durable keeps fsync, synchronous_commit and full_page_writes on. Without
	// it even a transaction that was committed may be missing after
	// [Server.Kill], since its commit did not wait for the WAL to be written
	// (PostgreSQL documentation, 30.4 Asynchronous Commit).
	Durable bool

	// Environment is what the server itself gets in its environment beside what all
	// programs get, as "NAME=value".
	Environment []string

	// Settings are further parameters for postgresql.conf, unquoted. They
	// replace this package's own choice where both name one.
	Settings map[string]string
}

// parameterName is a configuration parameter's name, or an extension's with
// its prefix.
var parameterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_$]*)?$`)

// configuration is the text to append to postgresql.conf, where the last of
// several lines with one name counts. ALTER SYSTEM still has the last word.
func (o Options) configuration() (string, error) {
	settings := map[string]string{
		"max_connections": "200",
		// The client's time zone and the machine's language must not change what
		// a test sees.
		"timezone":     "UTC",
		"log_timezone": "UTC",
		"lc_messages":  "C",
		// The log is the standard error output; LogTail reads it there.
		"logging_collector": "off",
		"log_destination":   "stderr",
		// Segments in the data directory vanish with it, also after SIGKILL, and
		// the small /dev/shm of a container does not limit them.
		"dynamic_shared_memory_type": "mmap",
	}
	if !o.Durable {
		settings["fsync"] = "off"
		settings["synchronous_commit"] = "off"
		settings["full_page_writes"] = "off"
	}
	for name, value := range o.Settings {
		if !parameterName.MatchString(name) {
			return "", fmt.Errorf("%q is not the name of a parameter", name)
		}
		if strings.ContainsAny(value, "\n\x00") {
			return "", fmt.Errorf("the value %q of %s has a character that postgresql.conf cannot hold", value, name)
		}
		settings[strings.ToLower(name)] = value
	}
	// Inside of quotes the backslash escapes, too (PostgreSQL documentation,
	// 20.1.2 Parameter Interaction via the Configuration File).
	quote := strings.NewReplacer(`\`, `\\`, `'`, `''`)
	var text strings.Builder
	text.WriteString("\n# appended by pgtemp\n")
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, quote.Replace(settings[name]))
	}
	return text.String(), nil
}
