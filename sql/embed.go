// Package sql holds the SQL texts that a person may want to read, or run by
// hand, as files.
package sql

import (
	"embed"
	"path"
)

// Files are this directory's *.sql files and those of observe and convert.
//
//go:embed *.sql observe/*.sql convert/*.sql
var Files embed.FS

// Text returns a file's text by its path below this directory, as in
// Text("route.sql") or Text("observe/children.sql"). It panics if there is no
// such file, which only an error of this program can bring about.
func Text(name string) string {
	text, err := Files.ReadFile(path.Clean(name))
	if err != nil {
		panic("no SQL text " + name + ": " + err.Error())
	}
	return string(text)
}

// NewSchema returns the schema that makes the parent of a new set where no
// other file is given.
func NewSchema() string { return Text("chat_master.sql") }
