//go:build man

package main

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func init() { extraVerbs = append(extraVerbs, newMan) }

// newMan returns the hidden verb that writes the manual pages of all others. It
// is built for packages only (go run -tags man), so that the program itself
// carries neither it nor the library behind it.
func newMan(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIRECTORY",
		Short:  "Write the manual pages into a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			// The date of the sources, not of the build: the same sources give the
			// same pages (reproducible-builds.org, SOURCE_DATE_EPOCH).
			seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
			if err != nil {
				return exitError{exitUsage, err}
			}
			date := time.Unix(seconds, 0).UTC()
			readyForMan(root)
			header := doc.GenManHeader{Section: "1", Date: &date, Source: "partitiond " + version(), Manual: "partitiond"}
			if err := doc.GenManTree(root, &header, args[0]); err != nil {
				return exitError{exitFailed, err}
			}
			return nil
		},
	}
}

// readyForMan prepares the texts for the library, which reads them as Markdown:
// lists that are aligned by hand would be filled like prose, unless they are
// indented as far as code is.
func readyForMan(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	// The library of the command line has added it by now, and its pages would be
	// half of all.
	cmd.Hidden = cmd.Hidden || cmd.Name() == "completion"
	var long strings.Builder
	prose := true
	for line := range strings.Lines(cmd.Long) {
		list := strings.HasPrefix(line, "  ")
		if list && prose {
			long.WriteString("\n")
		}
		if list {
			line = "  " + line
		}
		long.WriteString(line)
		prose = !list
	}
	cmd.Long = long.String()
	for _, sub := range cmd.Commands() {
		readyForMan(sub)
	}
}
