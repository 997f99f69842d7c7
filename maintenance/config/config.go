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
	Path string
	// Databases are in the order of the file; there is at least one. That of
	// [database] is alone and has no name; those of [[database]] each have one.
	Databases []Database
	Schedule  Schedule
	Log       Log
	Archive   Archive
	History   History
	// Notify are in the order of the file.
	Notify  []Notify
	Hooks   Hooks
	Monitor Monitor
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
	// Databases is how many databases are worked on at once, and Parallel how many
	// sets of each; both are at least 1.
	Databases, Parallel int
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
func Load(path string) (*Config, error) { return LoadWith(path, "") }

// LoadWith does what [Load] does for the file at path with more text behind it, such as
// one more set that is only meant for the present command.
func LoadWith(path, more string) (*Config, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if more != "" {
		text = append(append(text, '\n'), more...)
	}
	c, err := Parse(path, text)
	if err != nil {
		return nil, err
	}
	for _, d := range c.Databases {
		if _, err := d.ConnConfig(); err != nil {
			return nil, err
		}
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
		return nil, syntaxError(path, string(text), err)
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
func syntaxError(path, text string, err error) *Error {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return &Error{File: path, Want: "not valid TOML: " + err.Error()}
	}
	want := "not valid TOML: " + parse.Message
	if twice := databaseTwice(text, parse.Message); twice != "" {
		want, parse.LastKey = twice, "database"
	} else if mayHoldPassword(parse.LastKey) {
		want = "not valid TOML: expected a string in double quotes"
	}
	return &Error{File: path, Line: max(1, parse.Position.Line), Key: parse.LastKey, Want: want}
}
