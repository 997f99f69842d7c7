package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/config"
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

// chronicle is what the verb works with: the sets with their clocks.
type chronicle struct {
	config *config.Config
	conn   *pgx.Conn
	sets   []partition.Set
	snaps  []partition.Snapshot
	unseen []error
	places map[partition.Name]place
	since  time.Time
}

func (h *historyOptions) run(ctx context.Context, args []string) error {
	switch {
	case h.passes && (h.removals || len(args) > 0):
		return exitError{exitUsage, errors.New("--passes: expected it without --removals and without a PERIOD")}
	case h.check && len(args) == 0:
		return exitError{exitUsage, errors.New("--check: expected a PERIOD with it")}
	}
	c, conn, err := h.connected(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	v := &chronicle{config: c, conn: conn, places: map[partition.Name]place{}}
	if v.sets, err = h.sets(c); err != nil {
		return err
	}
	// What happened is told even of a set that cannot be looked at any more.
	failed := make(postgres.SetErrors, len(v.sets))
	if v.snaps, err = postgres.Observe(ctx, conn, v.sets); err != nil && !errors.As(err, &failed) {
		return exitError{exitFailed, fmt.Errorf("observe: %w", err)}
	}
	v.unseen = make([]error, len(v.sets))
	for i, s := range v.sets {
		v.places[s.Parent], v.unseen[i] = placeOf(s, v.snaps[i]), failed[i]
	}
	if h.since != "" {
		if v.since, err = moment("--since", h.since, v.sets[0].Location, true); err != nil {
			return exitError{exitUsage, err}
		}
	}
	switch {
	case h.passes:
		err = h.listPasses(ctx, v)
	case len(args) == 0:
		err = h.listEvents(ctx, v)
	default:
		err = h.tell(ctx, v, args[0])
	}
	if errors.Is(err, postgres.ErrHistoryMissing) {
		return exitError{exitFailed, fmt.Errorf("%w yet: the first removal by a role that may make it does so, and init; or an administrator does with this:\n\n%s",
			err, postgres.TablesSQL(roleOf(ctx, conn)))}
	}
	return err
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
	out := eventJSON{ID: e.ID, At: e.At.In(p.wall), Event: string(e.Kind), Set: e.Parent.String(), OID: e.OID, From: p.text(e.Bounds.From), To: p.text(e.Bounds.To),
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

func (h *historyOptions) listEvents(ctx context.Context, v *chronicle) error {
	events, err := postgres.Events(ctx, v.conn, h.only(v), v.since)
	if err != nil {
		return failedUnlessMissing(err)
	}
	if h.removals {
		events = slices.DeleteFunc(events, func(e postgres.Event) bool { return !e.Kind.Removal() })
	}
	list := make([]eventJSON, 0, len(events))
	for _, e := range events {
		list = append(list, v.describe(e))
	}
	if h.json {
		return printJSON(h.stdout, list)
	}
	if len(events) == 0 {
		fmt.Fprintln(h.stdout, "nothing has happened")
		return nil
	}
	w := tabwriter.NewWriter(h.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHEN\tWHAT\tSET\tPERIOD\tPARTITION\tSIZE\tBY\tREASON\tWHERE")
	for i, e := range events {
		p := known(v.places, e.Parent)
		where := strings.Join(append(slices.Clone(e.Archives), list[i].MovedTo), " ")
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", list[i].At.Format("2006-01-02 15:04:05 MST"), e.Kind, e.Parent, labelOf(e.Bounds, p.calendar),
			list[i].Partition, size(e), who(e.Role, e.Application, e.Agent, e.Address, e.Address.IsValid()), e.Reason, strings.TrimSpace(where))
	}
	return flushed(w, "history")
}

func failedUnlessMissing(err error) error {
	if errors.Is(err, postgres.ErrHistoryMissing) {
		return err
	}
	return exitError{exitFailed, err}
}

// passJSON is a pass for machines.
type passJSON struct {
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	// Passes is more than 1 where passes without work are summed up, with the last one's times.
	Passes      int64           `json:"passes"`
	Status      string          `json:"status"`
	Sets        []string        `json:"sets"`
	Report      json.RawMessage `json:"report"`
	Role        string          `json:"role"`
	Application string          `json:"application,omitempty"`
	Host        string          `json:"host,omitempty"`
	Version     string          `json:"version,omitempty"`
}

func (h *historyOptions) listPasses(ctx context.Context, v *chronicle) error {
	passes, err := postgres.Passes(ctx, v.conn, h.only(v), v.since)
	if err != nil {
		return failedUnlessMissing(err)
	}
	loc := v.config.Schedule.Location
	if h.json {
		list := make([]passJSON, 0, len(passes))
		for _, p := range passes {
			list = append(list, passJSON{p.Began.In(loc), p.Ended.In(loc), p.Passes, p.Status, p.Sets, p.Report, p.Role, p.Application, p.Agent.Host, p.Agent.Version})
		}
		return printJSON(h.stdout, list)
	}
	if len(passes) == 0 {
		fmt.Fprintln(h.stdout, "no passes")
		return nil
	}
	for _, p := range passes {
		fmt.Fprintf(h.stdout, "%s  %s, %s, by %s", p.Began.In(loc).Format("2006-01-02 15:04:05 MST"), p.Status, p.Ended.Sub(p.Began).Round(time.Millisecond),
			who(p.Role, p.Application, p.Agent, p.Address, p.Address.IsValid()))
		if p.Report == nil {
			fmt.Fprintf(h.stdout, ": the last of %d that did nothing, over %s", p.Passes, strings.Join(p.Sets, ", "))
		}
		fmt.Fprintln(h.stdout)
		var sets []maintenance.PassedSet
		if err := json.Unmarshal(p.Report, &sets); err != nil && p.Report != nil {
			return exitError{exitFailed, fmt.Errorf("read the report of a pass: %w", err)}
		}
		for _, s := range sets {
			printPassedSet(h, s)
		}
	}
	return nil
}

func printPassedSet(h *historyOptions, s maintenance.PassedSet) {
	line := fmt.Sprintf("  %s: %s", s.Set, s.Status)
	for _, verb := range slices.Sorted(maps.Keys(s.Done)) {
		line += fmt.Sprintf(", %s %d", verb, s.Done[verb])
	}
	if s.Problems > 0 {
		line += fmt.Sprintf(", %d problems", s.Problems)
	}
	fmt.Fprintln(h.stdout, line)
	if s.Error != "" {
		fmt.Fprintln(h.stdout, "    error:", s.Error)
	}
	for _, f := range s.Failed {
		fmt.Fprintln(h.stdout, "    failed:", f)
	}
}
