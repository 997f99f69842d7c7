package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// table prints columns for people, the first for the database where there are
// several.
type table struct {
	*tabwriter.Writer
	several bool
}

func newTable(w io.Writer, several bool) table {
	return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), several}
}

// heading prints the columns' names.
func (t table) heading(names string) {
	if t.several {
		names = "DATABASE\t" + names
	}
	fmt.Fprintln(t, names)
}

// row prints a line.
func (t table) row(database, format string, args ...any) {
	if t.several {
		fmt.Fprint(t, database+"\t")
	}
	fmt.Fprintf(t, format+"\n", args...)
}
