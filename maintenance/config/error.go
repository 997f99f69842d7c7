package config

import (
	"regexp"
	"strconv"
	"strings"
)

// Error is what is wrong with a configuration: one place, and what was expected
// there. It never holds a password, nor the value of a key that may hold one.
type Error struct {
	// File is the path as it was given to [Load] or [Parse].
	File string
	// Line counts from 1; 0 means that no line is to blame.
	Line int
	// Key is the key with its tables, as in "set.retention.keep", empty where
	// the whole file is meant.
	Key string
	// Value is the value as it stands in the file, shortened where it is long,
	// and empty where there is none or it must not be shown.
	Value string
	// Want says what was expected.
	Want string
	// Database is the name of one of several databases, empty where it is not about
	// one of them.
	Database string
	// Set is the set's parent, as in "public.events", empty outside of sets.
	Set string

	cause error
}

// Error returns one line: file:line: key = value: expectation [database "name", set "parent"].
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		b.WriteString(":" + strconv.Itoa(e.Line))
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key)
		if e.Value != "" {
			b.WriteString(" = " + e.Value)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Want)
	var of []string
	if e.Database != "" {
		of = append(of, "database "+strconv.Quote(e.Database))
	}
	if e.Set != "" {
		of = append(of, "set "+strconv.Quote(e.Set))
	}
	if of != nil {
		b.WriteString(" [" + strings.Join(of, ", ") + "]")
	}
	return b.String()
}

// Unwrap returns the error of the operating system behind this one, if any.
func (e *Error) Unwrap() error { return e.cause }

const maxShownBytes = 80

var (
	indexes = regexp.MustCompile(`\[\d+\]`)
	// credentials are what stands before the @ of a URL.
	credentials = regexp.MustCompile(`://.*@`)
)

// shownKey turns a path such as set[1].retention.keep into what people write.
func shownKey(path string) string { return indexes.ReplaceAllString(path, "") }

// shownValue makes the raw text of a value fit to be shown. Tables are left
// out: the key alone says where to look.
func shownValue(path, raw string) string {
	if mayHoldPassword(shownKey(path)) || strings.HasPrefix(raw, "{") {
		return ""
	}
	raw = credentials.ReplaceAllString(raw, "://***@")
	if i := strings.IndexAny(raw, "\r\n"); i >= 0 {
		raw = strings.TrimSpace(raw[:i]) + " ..."
	}
	if len(raw) > maxShownBytes {
		raw = strings.ToValidUTF8(raw[:maxShownBytes], "") + " ..."
	}
	return raw
}

// mayHoldPassword tells whether a key's value must not be shown. Besides the
// keys of the connection these are keys that do not exist but that someone may
// write all the same.
func mayHoldPassword(key string) bool {
	switch key {
	case "database.connect_timeout", "database.name", "database.shared_sets", "schedule.databases":
		return false
	}
	lower := strings.ToLower(key)
	if below, ok := strings.CutPrefix(lower, "database.set."); ok {
		lower = below // A set has no connection.
	}
	for _, word := range []string{"database", "pass", "pwd", "secret", "token", "url", "dsn", "command"} {
		if strings.Contains(lower, word) {
			return true
		}
	}
	return false
}
