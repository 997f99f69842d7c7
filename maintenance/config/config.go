// Package config turns a TOML file into values that cannot be invalid. Whatever
// [Load] and [Parse] return has been checked as far as a file can be checked
// without a server: the code behind it does not check again. What is wrong is
// told by an [Error] with its line.
package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"time"

	// Hosts without zoneinfo know all time zones, too.
	_ "time/tzdata"

	"github.com/BurntSushi/toml"
	"github.com/robfig/cron/v3"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Config is a whole configuration.
type Config struct {
	// Path is the file that it came from.
	Path     string
	Database Database
	Schedule Schedule
	Log      Log
	Archive  Archive
	History  History
	// Notify are in the order of the file.
	Notify  []Notify
	Hooks   Hooks
	Monitor Monitor
	// Sets are in the order of the file; there is at least one.
	Sets []Set
}

// Schedule says when passes run, and how.
type Schedule struct {
	// Cron is for sets without one of their own; it counts in Location.
	Cron cron.Schedule
	// CronText is Cron as it was written.
	CronText string
	// Location is the time zone of Cron, and of sets without one of their own.
	Location *time.Location
	// RunAtStart tells whether a pass runs as soon as the daemon starts.
	RunAtStart bool
	// Parallel is how many sets are worked on side by side, at least 1.
	Parallel int
	// StopTimeout bounds how long a stop waits for the current transaction;
	// zero cancels it at once.
	StopTimeout time.Duration
}

// LogFormat is how log lines are written.
type LogFormat string

// The formats. FormatAuto is text on a terminal and JSON elsewhere.
const (
	FormatAuto LogFormat = "auto"
	FormatText LogFormat = "text"
	FormatJSON LogFormat = "json"
)

// Log says what is logged, and how.
type Log struct {
	Level  slog.Level
	Format LogFormat
}

// Set is a partition set with its schedule.
type Set struct {
	partition.Set
	// Cron says when the set's passes run, in the set's time zone.
	Cron cron.Schedule
	// CronText is Cron as it was written, for the set or for all.
	CronText string
}

// maxBytes bounds a file, so that a path to something else is noticed.
const maxBytes = 1 << 20

// Load reads the file at path and checks it, and that the connection's
// settings, with all that they name in the environment and in other files, make
// sense together. What is wrong with the contents is an [*Error]; a file that
// cannot be read gives the operating system's error, wrapped.
func Load(path string) (*Config, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := Parse(path, text)
	if err != nil {
		return nil, err
	}
	if _, err := c.Database.ConnConfig(); err != nil {
		return nil, err
	}
	return c, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxBytes+1))
}

// Parse checks the text of a configuration. It opens no file and reads no
// environment; path is only used in errors, which are always an [*Error].
func Parse(path string, text []byte) (*Config, error) {
	r := &reader{file: path}
	if len(text) > maxBytes {
		return nil, &Error{File: path, Want: fmt.Sprintf("expected a configuration of at most %d bytes", maxBytes)}
	}
	tree := map[string]any{}
	if _, err := toml.Decode(string(text), &tree); err != nil {
		return nil, syntaxError(path, err)
	}
	r.places = locate(string(text))
	var keys documentKeys
	if r.fill("", tree, reflect.ValueOf(&keys).Elem()); r.err != nil {
		return nil, r.err
	}
	c := r.document(keys)
	if r.err != nil {
		return nil, r.err
	}
	return c, nil
}

// syntaxError turns the TOML library's error into ours. Its text may quote what
// stands in the file, which near a connection's keys could be a password.
func syntaxError(path string, err error) *Error {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return &Error{File: path, Want: "not valid TOML: " + err.Error()}
	}
	want := "not valid TOML: " + parse.Message
	if mayHoldPassword(parse.LastKey) {
		want = "not valid TOML: expected a string in double quotes"
	}
	return &Error{File: path, Line: max(1, parse.Position.Line), Key: parse.LastKey, Want: want}
}

// Find returns the set of a parent that is called by its full name, such as
// "public.events", or by its table name alone if only one set has it. The error
// lists the sets there are.
func (c *Config) Find(name string) (*Set, error) {
	var found []*Set
	for i := range c.Sets {
		set := &c.Sets[i]
		if set.Parent.String() == name {
			return set, nil
		}
		if set.Parent.Local == name {
			found = append(found, set)
		}
	}
	if len(found) == 0 {
		// Perhaps it was written as in SQL, with quotes or capital letters.
		if parsed, err := partition.ParseName(name); err == nil {
			for i := range c.Sets {
				if c.Sets[i].Parent == parsed {
					return &c.Sets[i], nil
				}
			}
		}
		return nil, fmt.Errorf("%s has no set %q: expected one of %s", c.Path, name, setNames(c.pointers()))
	}
	if len(found) > 1 {
		return nil, fmt.Errorf("%s has several sets %q: expected one of %s", c.Path, name, setNames(found))
	}
	return found[0], nil
}

func (c *Config) pointers() []*Set {
	all := make([]*Set, len(c.Sets))
	for i := range c.Sets {
		all[i] = &c.Sets[i]
	}
	return all
}

func setNames(sets []*Set) string {
	names := make([]string, len(sets))
	for i, set := range sets {
		names[i] = fmt.Sprintf("%q", set.Parent.String())
	}
	return strings.Join(names, ", ")
}
