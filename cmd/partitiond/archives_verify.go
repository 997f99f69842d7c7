package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
)

// verifiedJSON is what became of verifying one archive.
type verifiedJSON struct {
	archiveJSON
	// Result is ok, damaged, missing, or failed where it could not be told.
	Result string `json:"result"`
	Error  string `json:"error,omitempty"`
}

func (a *archives) verify(ctx context.Context, args []string) error {
	if a.all == (len(args) == 1) {
		return exitError{exitUsage, errors.New("archives verify: expected a PERIOD or --all")}
	}
	listings, err := a.read(ctx, !a.all)
	if err != nil {
		return err
	}
	results := []verifiedJSON{}
	var bad []error
	whole := true
	for _, l := range listings {
		chosen := l.archives
		if !a.all {
			if chosen, err = l.pick(args[0]); err != nil {
				return err
			}
		} else if l.bad != nil {
			bad = append(bad, l.bad)
		}
		for _, e := range chosen {
			err := archive.Verify(ctx, l.store, e.Manifest, a.console.meter("verifying "+periodLabel(e.Manifest)))
			a.console.end()
			if ctx.Err() != nil {
				return a.failed(ctx, err)
			}
			r := verifiedJSON{archiveJSON: describeArchive(l, e), Result: "ok"}
			if err != nil {
				whole, r.Result, r.Error = false, verdict(err), err.Error()
			}
			if results = append(results, r); !a.json {
				fmt.Fprintf(a.stdout, "%s %s: %s (%d rows, %s)\n", maintenance.Label(r.Database, r.Set), r.Period, strings.ToUpper(r.Result), r.Rows, r.URL)
				if r.Error != "" {
					fmt.Fprintln(a.stdout, "  ", r.Error)
				}
			}
		}
	}
	if a.json {
		if err := printJSON(a.stdout, results); err != nil {
			return err
		}
	}
	if err := errors.Join(bad...); err != nil {
		return exitError{exitFailed, err}
	}
	if !whole {
		return exitError{code: exitFailed}
	}
	return nil
}

func verdict(err error) string {
	if _, ok := errors.AsType[*archive.DamagedError](err); ok {
		return "damaged"
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "missing"
	}
	return "failed"
}
