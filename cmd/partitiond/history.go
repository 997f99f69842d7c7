package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// historyOptions are its flags.
type historyOptions struct {
	*options
	removals, passes, check bool
	since                   string
}

func (o *options) newHistory() *cobra.Command {
	h := &historyOptions{options: o}
	cmd := &cobra.Command{
		Use:   "history [PERIOD]",
		Short: "Tell what was removed, when, by whom, and where it is now",
		Long: `History tells what has happened to partitions and holds, from the table
partitiond.history in the database. A removal's row is written by the transaction that
removes, so there is neither without the other. Restores are in it as well, and holds
however they were made.

With a PERIOD it tells all of that time: what was removed, when, why, by whom, with how
many rows, and where it is now; what came back, what is there still, and what is held.
With --check it also asks the archive's store whether the manifests are there. With
--passes it lists the passes that did or failed something, and the last without work.

PERIOD is a year, month or day, or the beginning of a period, as in 2018, 2018-11,
2018-11-05, 2018-11-05T07, 2018-W45 or 2018-Q4; or the name of a partition.

` + exitHelp,
		Example: `  partitiond history --set public.events 2018-03
  partitiond history --removals --since 2024-01-01
  partitiond history --passes --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return h.run(cmd.Context(), args) },
	}
	o.setFlag(cmd)
	o.jsonFlag(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&h.removals, "removals", false, "only what was dropped, archived or detached")
	flags.BoolVar(&h.passes, "passes", false, "list passes instead")
	flags.StringVar(&h.since, "since", "", "only since a date or time, such as 2024-01-01")
	flags.BoolVar(&h.check, "check", false, "with PERIOD: look whether the archives are still in their store")
	return cmd
}

// chronicle is what the verb works with in a database: the sets with their clocks.
type chronicle struct {
	target
	conn   *pgx.Conn
	sets   []partition.Set
	snaps  []partition.Snapshot
	unseen []error
	places map[partition.Name]place
	since  time.Time
}

// chapter is what a database has to tell: events, passes, or all of a period.
type chapter struct {
	events []postgres.Event
	list   []eventJSON
	places map[partition.Name]place
	passes []postgres.RecordedPass
	told   []told
	// matched tells whether the period's name means anything.
	matched bool
}

func (h *historyOptions) run(ctx context.Context, args []string) error {
	switch {
	case h.passes && (h.removals || len(args) > 0):
		return exitError{exitUsage, errors.New("--passes: expected it without --removals and without a PERIOD")}
	case h.check && len(args) == 0:
		return exitError{exitUsage, errors.New("--check: expected a PERIOD with it")}
	}
	t, err := h.ready(newConsole(h.stderr))
	if err != nil {
		return err
	}
	if h.since != "" {
		if _, err := moment("--since", h.since, t.config.Schedule.Location, true); err != nil {
			return exitError{exitUsage, err}
		}
	}
	chapters, errs := make([]chapter, len(t.all)), make([]error, len(t.all))
	t.fleet().Each(func(i int, _ maintenance.Member) { chapters[i], errs[i] = h.ask(ctx, t, t.all[i], args) })
	outcome := t.asked(errs)
	if len(errs) == 1 && outcome != nil {
		return outcome
	}
	switch {
	case h.passes:
		err = h.listPasses(t, chapters)
	case len(args) == 0:
		err = h.listEvents(t, chapters)
	default:
		err = h.tell(t, chapters, errs, args[0])
	}
	if err != nil {
		return err
	}
	return outcome
}

// ask has a database tell.
func (h *historyOptions) ask(ctx context.Context, t *targets, d target, args []string) (c chapter, err error) {
	conn, err := d.connect(ctx)
	if err != nil {
		return c, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	v := &chronicle{target: d, conn: conn, sets: plain(d.sets), places: map[partition.Name]place{}}
	// What happened is told even of a set that cannot be looked at any more.
	failed := make(postgres.SetErrors, len(v.sets))
	if v.snaps, err = postgres.Observe(ctx, conn, v.sets); err != nil && !errors.As(err, &failed) {
		return c, exitError{exitFailed, fmt.Errorf("observe: %w", err)}
	}
	v.unseen = make([]error, len(v.sets))
	for i, s := range v.sets {
		v.places[s.Parent], v.unseen[i] = placeOf(s, v.snaps[i]), failed[i]
	}
	c.places = v.places
	if h.since != "" {
		if v.since, err = moment("--since", h.since, v.sets[0].Location, true); err != nil {
			return c, exitError{exitUsage, err}
		}
	}
	switch {
	case h.passes:
		c.passes, err = postgres.Passes(ctx, conn, h.only(v), v.since)
	default:
		c.events, err = postgres.Events(ctx, conn, h.only(v), v.since)
	}
	switch {
	case errors.Is(err, postgres.ErrHistoryMissing) && t.several():
		return c, exitError{exitFailed, fmt.Errorf("%w yet: the first removal by a role that may make it does so, and init; or an administrator with what partitiond history --database %s prints", err, d.Database)}
	case errors.Is(err, postgres.ErrHistoryMissing):
		return c, exitError{exitFailed, fmt.Errorf("%w yet: the first removal by a role that may make it does so, and init; or an administrator does with this:\n\n%s",
			err, postgres.TablesSQL(roleOf(ctx, conn)))}
	case err != nil:
		return c, exitError{exitFailed, err}
	case len(args) > 0:
		return c, h.tellSets(ctx, v, &c, args[0])
	}
	if h.removals {
		c.events = slices.DeleteFunc(c.events, func(e postgres.Event) bool { return !e.Kind.Removal() })
	}
	for _, e := range c.events {
		c.list = append(c.list, v.describe(e))
	}
	return c, nil
}

func roleOf(ctx context.Context, conn *pgx.Conn) (role string) {
	if err := conn.QueryRow(ctx, "SELECT session_user").Scan(&role); err != nil {
		return "partitiond"
	}
	return role
}

// only is the parent of the set that was asked for, or the zero name.
func (h *historyOptions) only(v *chronicle) partition.Name {
	if h.set == "" {
		return partition.Name{}
	}
	return v.sets[0].Parent
}

// eventJSON is an event for machines. From and To have no offset where the key has
// none.
type eventJSON struct {
	Database     string     `json:"database,omitempty"`
	ID           int64      `json:"id"`
	At           time.Time  `json:"at"`
	Event        string     `json:"event"`
	Set          string     `json:"set"`
	Partition    string     `json:"partition,omitempty"`
	OID          uint32     `json:"oid,omitempty"`
	From         *string    `json:"from"`
	To           *string    `json:"to"`
	Rows         *int64     `json:"rows,omitempty"`
	RowsExact    bool       `json:"rows_exact,omitempty"`
	Bytes        *int64     `json:"bytes,omitempty"`
	MovedTo      string     `json:"moved_to,omitempty"`
	Archives     []string   `json:"archives,omitempty"`
	ArchiveBytes *int64     `json:"archive_bytes,omitempty"`
	Hold         int64      `json:"hold,omitempty"`
	HoldUntil    *time.Time `json:"hold_until,omitempty"`
	Reason       string     `json:"reason"`
	Role         string     `json:"role"`
	ActedAs      string     `json:"acted_as"`
	Application  string     `json:"application,omitempty"`
	Address      string     `json:"client_address,omitempty"`
	Host         string     `json:"host,omitempty"`
	Version      string     `json:"version,omitempty"`
}

func (v *chronicle) describe(e postgres.Event) eventJSON {
	p := known(v.places, e.Parent)
	known := func(n int64) *int64 {
		if n < 0 {
			return nil
		}
		return &n
	}
	out := eventJSON{Database: v.Database, ID: e.ID, At: e.At.In(p.wall), Event: string(e.Kind), Set: e.Parent.String(), OID: e.OID, From: p.text(e.Bounds.From), To: p.text(e.Bounds.To),
		Rows: known(e.Rows), RowsExact: e.Exact, Bytes: known(e.Bytes), Archives: e.Archives, ArchiveBytes: known(e.ArchiveBytes),
		Hold: e.Hold, Reason: e.Reason, Role: e.Role, ActedAs: e.ActedAs, Application: e.Application, Host: e.Agent.Host, Version: e.Agent.Version}
	for text, name := range map[*string]partition.Name{&out.Partition: e.Partition, &out.MovedTo: e.Moved} {
		if name != (partition.Name{}) {
			*text = name.String()
		}
	}
	if e.Address.IsValid() {
		out.Address = e.Address.String()
	}
	if !e.Until.IsZero() {
		until := e.Until.In(p.wall)
		out.HoldUntil = &until
	}
	return out
}

// who names the agent of an event or a pass.
func who(role, application string, agent postgres.Agent, address fmt.Stringer, valid bool) string {
	text := role
	switch {
	case agent.Host != "":
		text += "@" + agent.Host
	case valid:
		text += "@" + address.String()
	}
	if tool := strings.TrimSpace(application + " " + agent.Version); tool != "" {
		text += " (" + tool + ")"
	}
	return text
}

// size says how much a table was.
func size(e postgres.Event) string {
	var parts []string
	switch {
	case e.Rows >= 0 && e.Exact:
		parts = append(parts, fmt.Sprintf("%d rows", e.Rows))
	case e.Rows >= 0:
		parts = append(parts, fmt.Sprintf("about %d rows", e.Rows))
	}
	if e.Bytes >= 0 {
		parts = append(parts, sized(e.Bytes))
	}
	return strings.Join(parts, ", ")
}

func (h *historyOptions) listEvents(t *targets, chapters []chapter) error {
	all := []eventJSON{}
	for _, c := range chapters {
		all = append(all, c.list...)
	}
	if h.json {
		return printJSON(h.stdout, all)
	}
	if len(all) == 0 {
		fmt.Fprintln(h.stdout, "nothing has happened")
		return nil
	}
	w := newTable(h.stdout, t.several())
	w.heading("WHEN\tWHAT\tSET\tPERIOD\tPARTITION\tSIZE\tBY\tREASON\tWHERE")
	for _, c := range chapters {
		for i, e := range c.events {
			p, d := known(c.places, e.Parent), c.list[i]
			where := strings.Join(append(slices.Clone(e.Archives), d.MovedTo), " ")
			w.row(d.Database, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", d.At.Format("2006-01-02 15:04:05 MST"), e.Kind, e.Parent, labelOf(e.Bounds, p.calendar),
				d.Partition, size(e), who(e.Role, e.Application, e.Agent, e.Address, e.Address.IsValid()), e.Reason, strings.TrimSpace(where))
		}
	}
	return flushed(w.Writer, "history")
}
