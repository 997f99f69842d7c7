package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// archives are the flags of its verbs.
type archives struct {
	*options
	all     bool
	into    string
	hold    string
	console *console
	// several tells whether databases are called by their names.
	several bool
}

const periodHelp = `PERIOD is the beginning of a period, or of several, as in 2018, 2018-11, 2018-11-05,
2018-11-05T07, 2018-W45 or 2018-Q4; or the name of the archived table, or the key of a
manifest in the store.`

func (o *options) newArchives() *cobra.Command {
	a := &archives{options: o, console: newConsole(o.stderr)}
	root := &cobra.Command{
		Use:   "archives",
		Short: "List, check and restore what was archived",
		Long:  "Archives lists what retention has archived, reads it back to verify it, and restores it.\n\n" + exitHelp,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return exitError{exitUsage, errors.New("archives: expected one of list, show, verify, restore")}
		},
	}
	list := &cobra.Command{
		Use: "list", Short: "List the archives of all sets, or of one",
		Long: "List needs the configuration file and the store, and no connection to PostgreSQL.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.list(cmd.Context()) },
	}
	list.Flags().BoolVar(&a.all, "all", false, "also those that a later export has superseded")
	show := &cobra.Command{
		Use: "show PERIOD", Short: "Show all that is known of an archive",
		Long: "Show prints the manifests of a period's archive.\n\n" + periodHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.show(cmd.Context(), args[0]) },
	}
	verify := &cobra.Command{
		Use: "verify {PERIOD | --all}", Short: "Read archives back and compare them with their manifests",
		Long: "Verify reads every file back and compares its length, its SHA-256 and the digest of its rows. It\nexits with 1 if any archive is damaged, missing or unreadable.\n\n" + periodHelp,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.verify(cmd.Context(), args) },
	}
	verify.Flags().BoolVar(&a.all, "all", false, "all archives of the set, or of all sets")
	restore := &cobra.Command{
		Use: "restore PERIOD", Short: "Bring archived rows back",
		Long: `Restore makes the archived period a partition of its set again, with its CHECK, indexes,
privileges and all else that the parent has. The rows are proved to be the archived
ones by the server's own count; until all is complete nobody sees any of it, and
writers are not held up. The partition is then held back from retention.

With --into the rows go into a new plain table instead, which nothing here looks after.

` + periodHelp + "\n\n" + exitHelp,
		Example: `  partitiond archives restore --set public.events 2018-11
  partitiond archives restore --set public.events 2018-11 --hold forever
  partitiond archives restore --set public.events 2018-11 --into public.events_2018_11_copy`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.restore(cmd.Context(), args[0]) },
	}
	restore.Flags().StringVar(&a.into, "into", "", "a table to make for the rows, beside the set")
	restore.Flags().StringVar(&a.hold, "hold", "30 days", "how long it is not retired again: a time such as \"30 days\", a date, or forever")
	for _, cmd := range []*cobra.Command{list, show, verify, restore} {
		o.setFlag(cmd)
		o.jsonFlag(cmd)
		root.AddCommand(cmd)
	}
	return root
}

// listing is the archives of a set of a database.
type listing struct {
	target
	set      partition.Set
	store    archive.Store
	archives []archive.Listed
	// bad is what could not be read of it.
	bad error
}

// read lists the archives of the sets that the flags ask for and that have some.
func (a *archives) read(ctx context.Context, one bool) ([]listing, error) {
	t, err := a.ready(a.console)
	if err != nil {
		return nil, err
	}
	var listings []listing
	var databases []string
	for _, d := range t.all {
		for _, s := range d.sets {
			if s.Retention.Archive == "" {
				continue
			}
			if listings = append(listings, listing{target: d, set: s.Set}); !slices.Contains(databases, d.Database) {
				databases = append(databases, d.Database)
			}
		}
	}
	switch {
	case len(listings) == 0 && a.set != "":
		return nil, exitError{exitUsage, fmt.Errorf("--set %s: it has no archive (retention.archive)", a.set)}
	case len(listings) == 0:
		return nil, exitError{exitUsage, fmt.Errorf("%s has no set with an archive (retention.archive)", t.config.Path)}
	case one && len(databases) > 1:
		return nil, exitError{exitUsage, fmt.Errorf("several databases have archives: expected --database to name one of %s", quotedNames(databases))}
	case one && len(listings) > 1:
		return nil, exitError{exitUsage, errors.New("several sets have archives: expected --set with it")}
	}
	a.several = t.several()
	failed := 0
	for i := range listings {
		l := &listings[i]
		if l.store, err = l.OpenStore(l.set); err != nil {
			return nil, exitError{exitFailed, err}
		}
		l.archives, l.bad = archive.List(ctx, l.store, l.set.Parent)
		if l.bad != nil && a.several {
			l.bad = fmt.Errorf("%s: %w", l.Database, l.bad)
		}
		if l.archives != nil || l.bad == nil {
			continue
		}
		// The archives of other databases may be elsewhere.
		if failed++; !a.several || failed == len(listings) || ctx.Err() != nil {
			return nil, a.failed(ctx, l.bad)
		}
	}
	return listings, nil
}

// failed gives an error its exit code.
func (a *archives) failed(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return exitError{exitStopped, err}
	case errors.Is(err, maintenance.ErrBusy):
		return exitError{exitBusy, err}
	case errors.Is(err, maintenance.ErrNoPlace):
		err = fmt.Errorf("%w (to have the rows beside it: --into TABLE)", err)
	case errors.Is(err, postgres.ErrHoldsMissing):
		err = fmt.Errorf("%w (partitiond hold add says what an administrator may run; without a hold: --into TABLE)", err)
	}
	return exitWith("", err)
}

// archiveJSON is an archive for machines.
type archiveJSON struct {
	Database   string         `json:"database,omitempty"`
	Set        string         `json:"set"`
	Period     string         `json:"period"`
	Bounds     archive.Bounds `json:"bounds"`
	Table      string         `json:"table"`
	Rows       int64          `json:"rows"`
	Bytes      int64          `json:"bytes"`
	Files      int            `json:"files"`
	Format     archive.Format `json:"format"`
	Late       bool           `json:"late"`
	Superseded bool           `json:"superseded"`
	ExportedAt time.Time      `json:"exported_at"`
	URL        string         `json:"url"`
}

func describeArchive(l listing, e archive.Listed) archiveJSON {
	return archiveJSON{
		Database: l.Database, Set: l.set.Parent.String(), Period: periodLabel(e.Manifest), Bounds: e.Bounds, Table: partition.Name(e.Source.Table).String(),
		Rows: e.Content.Rows, Bytes: e.Bytes(), Files: len(e.Parts), Format: e.Format, Late: e.Late, Superseded: e.Superseded,
		ExportedAt: e.ExportedAt, URL: l.store.URL(e.Key),
	}
}

func (a *archives) list(ctx context.Context) error {
	listings, err := a.read(ctx, false)
	if err != nil {
		return err
	}
	found := []archiveJSON{}
	var bad []error
	for _, l := range listings {
		for _, e := range l.archives {
			if a.all || !e.Superseded {
				found = append(found, describeArchive(l, e))
			}
		}
		bad = append(bad, l.bad)
	}
	if a.json {
		if err := printJSON(a.stdout, found); err != nil {
			return err
		}
	} else {
		w := newTable(a.stdout, a.several)
		w.heading("SET\tPERIOD\tTABLE\tROWS\tSIZE\tFORMAT\tEXPORTED\tNOTE\tURL")
		for _, e := range found {
			w.row(e.Database, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s", e.Set, e.Period, e.Table, e.Rows, sized(e.Bytes), e.Format,
				e.ExportedAt.Format("2006-01-02 15:04"), e.note(), e.URL)
		}
		if err := flushed(w.Writer, "list"); err != nil {
			return err
		}
	}
	if err := errors.Join(bad...); err != nil {
		return exitError{exitPartly, err}
	}
	return nil
}

func (e archiveJSON) note() string {
	var notes []string
	if e.Late {
		notes = append(notes, "late rows")
	}
	if e.Superseded {
		notes = append(notes, "superseded")
	}
	if len(notes) == 0 {
		return "-"
	}
	return strings.Join(notes, ", ")
}

// pick returns the live archives that the argument means, or one that it names by its key.
func (l listing) pick(text string) ([]archive.Listed, error) {
	var found []archive.Listed
	byKey := false
	for _, e := range l.archives {
		if e.Key == text || l.store.URL(e.Key) == text {
			found, byKey = append(found, e), true
		} else if !e.Superseded && means(e.Manifest, text) {
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		return nil, exitError{exitUsage, errors.Join(fmt.Errorf("%s has no archive %q: see partitiond archives list", l.set.Parent, text), l.bad)}
	}
	if l.bad != nil && !byKey {
		// What cannot be read may be a part of the same period.
		return nil, exitError{exitFailed, fmt.Errorf("the archives of %s cannot all be read, so that rows might be missed (one can be named by its key): %w", l.set.Parent, l.bad)}
	}
	return found, nil
}

func (a *archives) show(ctx context.Context, text string) error {
	listings, err := a.read(ctx, true)
	if err != nil {
		return err
	}
	l := listings[0]
	found, err := l.pick(text)
	if err != nil {
		return err
	}
	if a.json {
		manifests := make([]archive.Manifest, len(found))
		for i, e := range found {
			manifests[i] = e.Manifest
		}
		return printJSON(a.stdout, manifests)
	}
	for i, e := range found {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		if err := a.showOne(l, e); err != nil {
			return err
		}
	}
	return nil
}

func (a *archives) showOne(l listing, e archive.Listed) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	line := func(what, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", what, fmt.Sprintf(format, args...)) }
	line("period", "%s of %s", periodLabel(e.Manifest), l.set.Parent)
	line("bounds", "%s (%s)", e.Bounds.Partition(), e.TimeZone)
	if note := describeArchive(l, e).note(); note != "-" {
		line("note", "%s", note)
	}
	line("table", "%s (OID %d) of database %s, PostgreSQL %s", partition.Name(e.Source.Table), e.Source.OID, e.Source.Database, e.Source.ServerVersion)
	line("exported", "%s", e.ExportedAt.Format(time.RFC3339))
	line("rows", "%d, hash %s (%s)", e.Content.Rows, e.Content.Hash, e.Content.Method)
	line("digest", "%s", e.Digest.Sum)
	line("key", "%s %s, %s to %s", e.KeyColumn.Column, e.KeyColumn.Type, e.KeyColumn.Min, e.KeyColumn.Max)
	for i, c := range e.Columns {
		what, null := "", ""
		if i == 0 {
			what = "columns"
		}
		if c.NotNull {
			null = " not null"
		}
		line(what, "%s %s%s", c.Name, c.Type, null)
	}
	line("format", "%s, %s", e.Format, e.Compression)
	line("manifest", "%s", l.store.URL(e.Key))
	dir := strings.TrimSuffix(e.Key, e.Key[strings.LastIndexByte(e.Key, '/')+1:])
	for _, p := range e.Parts {
		line("file", "%s, %s, %d rows, SHA-256 %s", l.store.URL(dir+p.File), sized(p.Bytes), p.Digest.Rows, p.SHA256)
	}
	return flushed(w, "manifest")
}
