package pgtemp

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// EnvBin is the environment variable that names the directory of the
// PostgreSQL programs to use, in place of any search.
const EnvBin = "PARTITIOND_PG_BIN"

// ErrNotInstalled says that this machine has no PostgreSQL server programs, or
// that the directory in PARTITIOND_PG_BIN does not hold them. The error that
// wraps it names the places looked at and what to install.
var ErrNotInstalled = errors.New("PostgreSQL's server programs are not installed")

const howToInstall = `install them with one of
  Debian, Ubuntu:  apt-get install postgresql
  Fedora, RHEL:    dnf install postgresql-server
  macOS:           brew install postgresql
or set ` + EnvBin + ` to the directory that holds initdb and postgres`

// Binaries is one installation of PostgreSQL's programs.
type Binaries struct {
	// Dir is the directory that holds initdb and postgres.
	Dir string
	// Version is what the server program calls itself, such as "15.18" or
	// "18beta1".
	Version string
}

// Path is the file name of one of the programs, such as "psql". The program
// itself may be missing: only initdb and postgres have been looked for.
func (b Binaries) Path(program string) string { return filepath.Join(b.Dir, program) }

// Major is the major version, such as 15, or 0 if Version begins with no number.
func (b Binaries) Major() int {
	digits := b.Version[:len(b.Version)-len(strings.TrimLeft(b.Version, "0123456789"))]
	major, _ := strconv.Atoi(digits) // no digits: 0, as documented
	return major
}

// Find looks for PostgreSQL's server programs: in the directory that
// PARTITIOND_PG_BIN names and, only if it is not set, where pg_config says, in
// Debian's directories (the newest major version first), on the PATH, and where
// other systems put them. The first directory with both initdb and a postgres
// that tells its version is the answer. The error wraps [ErrNotInstalled].
func Find() (Binaries, error) {
	return places{
		env:      os.Getenv(EnvBin),
		pgConfig: pgConfigBindir,
		debian:   "/usr/lib/postgresql/*/bin",
		path:     filepath.SplitList(os.Getenv("PATH")),
		common: []string{
			"/usr/pgsql-*/bin",
			"/usr/local/pgsql/bin",
			"/opt/homebrew/opt/postgresql*/bin",
			"/usr/local/opt/postgresql*/bin",
			"/Applications/Postgres.app/Contents/Versions/*/bin",
		},
	}.find()
}

// places is where to look, in the order of its fields.
type places struct {
	env      string
	pgConfig func() string
	debian   string
	path     []string
	common   []string
}

func (p places) find() (Binaries, error) {
	if p.env != "" {
		found, err := inspect(p.env)
		if err != nil {
			return Binaries{}, fmt.Errorf("pgtemp: %w in %s=%s: %w\n%s",
				ErrNotInstalled, EnvBin, p.env, err, howToInstall)
		}
		return found, nil
	}
	var looked []string
	look := func(dirs ...string) (Binaries, bool) {
		for _, dir := range dirs {
			if dir == "" || slices.Contains(looked, dir) {
				continue
			}
			looked = append(looked, dir)
			if found, err := inspect(dir); err == nil {
				return found, true
			}
		}
		return Binaries{}, false
	}
	if found, ok := look(p.pgConfig()); ok {
		return found, nil
	}
	if found, ok := look(newestFirst(p.debian)...); ok {
		return found, nil
	}
	if found, ok := look(p.path...); ok {
		return found, nil
	}
	for _, pattern := range p.common {
		if found, ok := look(newestFirst(pattern)...); ok {
			return found, nil
		}
	}
	looked = append(append(looked, p.debian), p.common...)
	return Binaries{}, fmt.Errorf("pgtemp: %w: no initdb and postgres in %s\n%s",
		ErrNotInstalled, strings.Join(looked, ", "), howToInstall)
}

// inspect reports the installation in dir. A client-only installation, which
// Debian's pg_config points at too, has no initdb.
func inspect(dir string) (Binaries, error) {
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, program)); err != nil {
			return Binaries{}, err
		}
	}
	cmd := exec.Command(filepath.Join(dir, "postgres"), "--version")
	cmd.Env = environment()
	out, err := cmd.Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("%s --version: %w", cmd.Path, err)
	}
	version, err := parseVersion(string(out))
	if err != nil {
		return Binaries{}, fmt.Errorf("%s --version: %w", cmd.Path, err)
	}
	return Binaries{Dir: dir, Version: version}, nil
}

// parseVersion reads "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
func parseVersion(out string) (string, error) {
	_, rest, found := strings.Cut(out, "(PostgreSQL) ")
	fields := strings.Fields(rest)
	if !found || len(fields) == 0 {
		return "", fmt.Errorf("no version in %q", strings.TrimSpace(out))
	}
	return fields[0], nil
}

func pgConfigBindir() string {
	out, err := exec.Command("pg_config", "--bindir").Output()
	if err != nil {
		return "" // no pg_config: one place less to look in
	}
	return string(bytes.TrimSpace(out))
}

var number = regexp.MustCompile(`[0-9]+`)

// newestFirst expands the pattern and sorts what it finds by the last number
// in it, as a number: 9 comes after 18.
func newestFirst(pattern string) []string {
	dirs, _ := filepath.Glob(pattern) // the patterns are constants and well formed
	last := func(dir string) int {
		numbers := number.FindAllString(dir, -1)
		if len(numbers) == 0 {
			return 0
		}
		n, _ := strconv.Atoi(numbers[len(numbers)-1])
		return n
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return last(b) - last(a) })
	return dirs
}
