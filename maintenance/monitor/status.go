package monitor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// Set is a partition set and when its passes run.
type Set struct {
	partition.Set
	Schedule cron.Schedule
}

// Status is all that there is to say of a set at one time.
type Status struct {
	maintenance.Finding
	// Now is the server's clock; it and all other times are in the set's time zone.
	Now      time.Time `json:"now"`
	Interval string    `json:"interval"`
	// Retention is what becomes of old partitions, in words.
	Retention string `json:"retention"`
	// RunwaySeconds is how long there is a table for every row from now on, and
	// RunsOut when that ends. Both are null where it has no end.
	RunwaySeconds *float64   `json:"runway_seconds"`
	RunsOut       *time.Time `json:"runs_out"`
	// Partitions counts tables; Rows is the sum of the planner's estimates and Bytes
	// of what the tables take with their indexes.
	Partitions int   `json:"partitions"`
	Rows       int64 `json:"rows"`
	Bytes      int64 `json:"bytes"`
	// ParentRows counts the rows in the parent itself, -1 where that is unknown.
	ParentRows int64 `json:"parent_rows"`
	// Archives tells whether old partitions are archived; Backlog is what is due
	// to be archived, and ArchiveError why the archive could not be listed.
	Archives     bool    `json:"archives"`
	Backlog      Backlog `json:"archive_backlog"`
	ArchiveError string  `json:"archive_error,omitempty"`
	Cells        []Cell  `json:"cells"`
	// Plan is what a pass would do now.
	Plan []Step `json:"plan"`
	// Last is the last pass over the set, null if this process has made none.
	Last *Last `json:"last,omitempty"`
}

// Backlog is what is due to be archived and still a table.
type Backlog struct {
	Partitions int   `json:"partitions"`
	Rows       int64 `json:"rows"`
	Bytes      int64 `json:"bytes"`
}

// Cell is a [partition.Cell] for machines. Rows and Bytes are -1 where unknown.
type Cell struct {
	State   partition.CellState `json:"state"`
	Label   string              `json:"label"`
	From    string              `json:"from"`
	To      string              `json:"to"`
	Now     bool                `json:"now,omitempty"`
	Table   string              `json:"table,omitempty"`
	Periods int                 `json:"periods"`
	Rows    int64               `json:"rows"`
	Bytes   int64               `json:"bytes"`
	Why     string              `json:"why,omitempty"`
}

// Step is one action of a plan in words.
type Step struct {
	Action string `json:"action"`
	Table  string `json:"table"`
	Reason string `json:"reason"`
}

// Last is what became of a set in the last pass that worked on it.
type Last struct {
	Ended  time.Time             `json:"ended"`
	Report maintenance.SetReport `json:"report"`
}

// Archives lists what the archive of a set has. It asks the store, which may be far away.
func Archives(ctx context.Context, m *maintenance.Maintainer, set partition.Set) ([]partition.Archived, error) {
	if set.Retention.Then != partition.Archive {
		return nil, nil
	}
	store, err := m.OpenStore(set)
	if err != nil {
		return nil, err
	}
	listed, err := archive.List(ctx, store, set.Parent)
	var out []partition.Archived
	for _, l := range listed {
		if !l.Superseded {
			out = append(out, partition.Archived{Bounds: l.Bounds.Partition(), Rows: l.Content.Rows, Bytes: l.Bytes()})
		}
	}
	if err != nil {
		return out, fmt.Errorf("list the archive %s: %w", set.Retention.Archive, err)
	}
	return out, nil
}

// lister lists a set's archive.
type lister func(ctx context.Context, m *maintenance.Maintainer, set partition.Set) ([]partition.Archived, error)

// Look sees what there is of the sets and what a pass would do. It changes nothing.
// What befalls a single set, or its database, is in its status. There is an error
// only if no database could be looked at.
func Look(ctx context.Context, source Source) ([]Status, error) {
	fleet := source.fleet()
	seen, errs := make([][]Status, len(fleet.Members)), make([]error, len(fleet.Members))
	fleet.Each(func(i int, m maintenance.Member) {
		sets := source.Databases[i].Sets
		if seen[i], _, errs[i] = look(ctx, m.Maintainer, sets, Archives); errs[i] == nil {
			return
		}
		for _, s := range sets {
			p := maintenance.Planned{Database: m.Database, Set: s.Set, Err: errs[i]}
			p.Snapshot.Server.Now = time.Now() // There is no other clock.
			seen[i] = append(seen[i], describe(p, s.Schedule, nil, nil))
		}
	})
	return slices.Concat(seen...), fleet.Failure(errs)
}

func look(ctx context.Context, m *maintenance.Maintainer, sets []Set, archives lister) ([]Status, []maintenance.Planned, error) {
	plain := make([]partition.Set, len(sets))
	for i, s := range sets {
		plain[i] = s.Set
	}
	planned, err := m.Plan(ctx, plain)
	if err != nil {
		return nil, nil, err
	}
	sizes, err := sizesOf(ctx, m, planned)
	if err != nil {
		return nil, nil, err
	}
	statuses := make([]Status, len(sets))
	for i, p := range planned {
		archived, err := archives(ctx, m, p.Set)
		statuses[i] = describe(p, sets[i].Schedule, sizes, archived)
		if err != nil {
			statuses[i].ArchiveError = err.Error()
		}
	}
	return statuses, planned, nil
}

func sizesOf(ctx context.Context, m *maintenance.Maintainer, planned []maintenance.Planned) (map[uint32]int64, error) {
	var oids []uint32
	for _, p := range planned {
		for _, c := range p.Snapshot.Partitions {
			oids = append(oids, c.OID)
		}
	}
	if len(oids) == 0 {
		return nil, nil
	}
	conn, err := m.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", maintenance.ErrConnect, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return postgres.Sizes(ctx, conn, oids)
}

// describe turns what was seen of a set into its status. It is a pure function.
func describe(p maintenance.Planned, schedule cron.Schedule, sizes map[uint32]int64, archived []partition.Archived) Status {
	now := p.Snapshot.Server.Now.In(p.Set.Location)
	s := Status{
		Finding: maintenance.Check(p, schedule), Now: now, Interval: p.Set.Interval.String(), Retention: retention(p.Set.Retention),
		Partitions: len(p.Snapshot.Partitions), Archives: p.Set.Retention.Then == partition.Archive, Cells: []Cell{}, Plan: []Step{},
	}
	s.NextPass = s.NextPass.In(p.Set.Location)
	if p.Err != nil {
		return s
	}
	if runway, ends := partition.Runway(p.Set, p.Snapshot); ends {
		seconds, out := runway.Seconds(), now.Add(runway)
		s.RunwaySeconds, s.RunsOut = &seconds, &out
	}
	size := func(c partition.Partition) int64 {
		if bytes, ok := sizes[c.OID]; ok {
			return bytes
		}
		return max(0, c.Bytes)
	}
	due := map[uint32]bool{}
	for _, a := range append(p.Plan.Actions[:len(p.Plan.Actions):len(p.Plan.Actions)], p.Plan.Withheld...) {
		due[a.OID] = due[a.OID] || a.Kind == partition.Retire && a.Then == partition.Archive
	}
	for _, c := range p.Snapshot.Partitions {
		s.Rows, s.Bytes = s.Rows+max(0, c.Rows), s.Bytes+size(c)
		if due[c.OID] {
			s.Backlog.Partitions++
			s.Backlog.Rows, s.Backlog.Bytes = s.Backlog.Rows+max(0, c.Rows), s.Backlog.Bytes+size(c)
		}
	}
	for _, stray := range p.Snapshot.Strays {
		s.ParentRows += stray.Rows
	}
	if p.Snapshot.StraysUnseen != "" || p.Snapshot.Parent == nil {
		s.ParentRows = -1
	}
	for _, c := range partition.Strip(p.Set, p.Snapshot, p.Plan, sizes, archived) {
		s.Cells = append(s.Cells, cell(p, c))
	}
	for _, a := range p.Plan.Actions {
		s.Plan = append(s.Plan, Step{a.Verb(), a.Table.String(), a.Reason})
	}
	return s
}

func retention(r partition.Retention) string {
	switch {
	case r.Keep.IsZero() || r.Then == partition.Keep:
		return "all is kept"
	case r.Then == partition.Detach:
		return "detached after " + r.Keep.String()
	case r.Then == partition.Archive:
		return "archived after " + r.Keep.String()
	}
	return "dropped after " + r.Keep.String()
}

func cell(p maintenance.Planned, c partition.Cell) Cell {
	out := Cell{State: c.State, Label: label(p.Set, p.Snapshot.Parent.Key, c.Bounds), From: c.Bounds.From.String(), To: c.Bounds.To.String(),
		Now: c.Now, Periods: c.Periods, Rows: c.Rows, Bytes: c.Bytes, Why: c.Why}
	if c.Table != (partition.Name{}) {
		out.Table = c.Table.String()
	}
	return out
}

// label calls bounds by a short name where they are a period, and else by their ends.
func label(set partition.Set, key partition.KeyType, b partition.Bounds) string {
	if b == partition.Everywhere {
		return "unknown"
	}
	if !b.Finite() || !set.PeriodOf(b.From.Time, key).Bounds().Equal(b) {
		return b.From.String() + " to " + b.To.String()
	}
	from := b.From.Time.In(set.Calendar(key))
	if set.Interval.N > 1 && set.Interval.Unit >= partition.Day && set.Interval.Unit != partition.Month {
		return "from " + b.From.String()
	}
	switch set.Interval.Unit {
	case partition.Hour:
		return from.UTC().Format("2006-01-02 15h")
	case partition.Week:
		year, week := from.ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	case partition.Month:
		return from.Format("2006-01")
	case partition.Quarter:
		return fmt.Sprintf("%d Q%d", from.Year(), (from.Month()+2)/3)
	case partition.Year:
		return from.Format("2006")
	}
	return from.Format("2006-01-02")
}
