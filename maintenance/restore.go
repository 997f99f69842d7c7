package maintenance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// RestoreRequest says what comes back from an archive, and where to.
type RestoreRequest struct {
	Set partition.Set
	// Manifests are the exports that are restored, all of the same bounds.
	Manifests []archive.Manifest
	// Into is a table that is made for the rows beside the set. Where it is zero
	// they become a partition of the set again.
	Into partition.Name
	// HoldUntil is how long the partition is kept from being retired again; zero is
	// until somebody releases it.
	HoldUntil time.Time
	// Progress, if it is not nil, is told how far the loading is.
	Progress func(archive.Progress)
}

// Restoration is what a restore has done.
type Restoration struct {
	// Database is what it is called where there are several.
	Database string   `json:"database,omitempty"`
	Set      string   `json:"set"`
	Table    string   `json:"table"`
	From     []string `json:"from"`
	Rows     int64    `json:"rows"`
	Bytes    int64    `json:"bytes"`
	Seconds  float64  `json:"seconds"`
	// Hold is the number of the hold, 0 where there is none, and HoldUntil its end,
	// nil where it has none.
	Hold      int64      `json:"hold,omitempty"`
	HoldUntil *time.Time `json:"hold_until,omitempty"`
	// Actions are what was done after the rows were in place, as a pass would, and
	// Left what then is still to be done; neither puts the rows in doubt.
	Actions []ActionReport `json:"actions,omitempty"`
	Left    []string       `json:"left,omitempty"`
}

// ErrBusy says that another instance is at work on the set.
var ErrBusy = errors.New("another instance is at work on the set")

// ErrNoPlace says that the rows cannot be a partition of the set as it is now; a
// table beside it could hold them.
var ErrNoPlace = errors.New("the rows cannot become a partition of the set")

// Restore brings archived rows back. All of them are in the table, and proved to
// be the archived ones by the server's own count and by the digest of what was
// sent, or nothing has happened; see [postgres.Session.Restore]. Errors to tell
// apart are [ErrBusy], [ErrNoPlace], [ErrConnect] and [*archive.DamagedError].
func (m *Maintainer) Restore(ctx context.Context, r RestoreRequest) (done Restoration, err error) {
	done = Restoration{Database: m.Database, Set: r.Set.Parent.String(), From: []string{}}
	began := time.Now()
	defer func() { done.Seconds = time.Since(began).Seconds() }()
	if len(r.Manifests) == 0 {
		return done, errors.New("there is nothing to restore")
	}
	store, err := m.OpenStore(r.Set)
	if err != nil {
		return done, err
	}
	for _, e := range r.Manifests {
		if !e.Bounds.Partition().Equal(r.Manifests[0].Bounds.Partition()) {
			return done, fmt.Errorf("%s and %s have other bounds: expected exports of one period", r.Manifests[0].Key, e.Key)
		}
		done.From = append(done.From, store.URL(e.Key))
		done.Rows += e.Content.Rows
		done.Bytes += e.Bytes()
	}
	if r.Into != (partition.Name{}) {
		done.Table = r.Into.String()
		err = m.restoreInto(ctx, r, store)
	} else {
		err = m.restorePartition(ctx, r, store, &done)
	}
	if err != nil {
		return done, fmt.Errorf("restore %s: %w", strings.Join(done.From, ", "), err)
	}
	m.Log.Info("restored", "set", done.Set, "table", done.Table, "rows", done.Rows, "took", time.Since(began).Round(time.Millisecond), "from", done.From)
	return done, nil
}

// load loads all exports into a table and proves that it holds nothing else.
func (r RestoreRequest) load(ctx context.Context, tx pgx.Tx, store archive.Store, table partition.Name) error {
	var before, total archive.Progress
	for _, e := range r.Manifests {
		total.Rows += e.Content.Rows
	}
	for _, e := range r.Manifests {
		tell := func(p archive.Progress) {
			if r.Progress != nil {
				r.Progress(archive.Progress{Rows: before.Rows + p.Rows, Bytes: before.Bytes + p.Bytes, TotalRows: total.Rows})
			}
		}
		if err := archive.Restore(ctx, tx, store, e, table, tell); err != nil {
			return err
		}
		before.Rows, before.Bytes = before.Rows+e.Content.Rows, before.Bytes+e.Bytes()
	}
	return archive.EqualRows(ctx, tx, r.Manifests, table)
}

// alike makes sure that the exports have the same columns.
func (r RestoreRequest) alike() error {
	first := r.Manifests[0]
	for _, e := range r.Manifests[1:] {
		if !slices.EqualFunc(first.Columns, e.Columns, func(a, b archive.Column) bool { return a.Name == b.Name && a.Type == b.Type }) {
			return fmt.Errorf("%s and %s have other columns, so that their rows could not be compared with one table: restore each by its key into a table of its own: %w", first.Key, e.Key, ErrNoPlace)
		}
	}
	return nil
}

func (m *Maintainer) restoreInto(ctx context.Context, r RestoreRequest, store archive.Store) error {
	if err := r.alike(); err != nil {
		return err
	}
	session, err := m.session(ctx, nil, nil)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close(context.WithoutCancel(ctx)) }()
	var columns []postgres.Column
	for _, c := range r.Manifests[0].Columns {
		notNull := !slices.ContainsFunc(r.Manifests, func(e archive.Manifest) bool {
			return !e.Columns[slices.IndexFunc(e.Columns, func(o archive.Column) bool { return o.Name == c.Name })].NotNull
		})
		columns = append(columns, postgres.Column{Name: c.Name, Type: c.Type, NotNull: notNull})
	}
	return session.RestoreInto(ctx, r.Set, r.Into, columns, func(ctx context.Context, tx pgx.Tx) error {
		return r.load(ctx, tx, store, r.Into)
	})
}

func (m *Maintainer) restorePartition(ctx context.Context, r RestoreRequest, store archive.Store, done *Restoration) (err error) {
	defer func() {
		if errors.Is(err, partition.ErrOccupied) {
			err = fmt.Errorf("%w: %w", ErrNoPlace, err)
		}
	}()
	lock, err := m.lock(ctx, []partition.Set{r.Set})
	if err != nil {
		return err
	}
	defer func() {
		if err := lock.Release(context.WithoutCancel(ctx)); err != nil {
			m.Log.Warn("the pass lock's connection did not end well", "error", err)
		}
	}()
	if !lock.Held(0) {
		return fmt.Errorf("%s: %w", r.Set.Parent, ErrBusy)
	}
	again := func(ctx context.Context) (partition.Snapshot, partition.Action, error) { return m.giveBack(ctx, r) }
	snap, action, err := again(ctx)
	if err != nil {
		return err
	}
	session, err := m.session(ctx, nil, lock)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close(context.WithoutCancel(ctx)) }()
	keys := make([]string, len(r.Manifests))
	for i, e := range r.Manifests {
		keys[i] = e.Key
	}
	out, hold, err := session.Restore(ctx, postgres.Restoration{
		Set: r.Set, Snapshot: snap, Action: action, Again: again, Sources: keys, URLs: done.From, Rows: done.Rows,
		Load: func(ctx context.Context, tx pgx.Tx, table partition.Name) error { return r.load(ctx, tx, store, table) },
		Hold: partition.Hold{
			Bounds: action.Bounds, Until: r.HoldUntil, Kind: partition.HoldRestore,
			Reason: "restored from " + strings.Join(done.From, " "),
		},
	})
	if hold == 0 {
		return err
	}
	done.Table, done.Hold = action.Table.String(), hold
	if !r.HoldUntil.IsZero() {
		done.HoldUntil = &r.HoldUntil
	}
	if err != nil {
		// It is there; only what a policy or a publication needs is not.
		m.Log.Warn("the restored partition lacks something", "partition", done.Table, "error", err)
	}
	logAction(m.Log.With("set", done.Set), action, out, nil)
	if err := m.finish(ctx, session, r.Set, action.Table, done); err != nil {
		done.Left = append(done.Left, "look again: "+err.Error())
	}
	return nil
}

// giveBack looks at the set and plans for the rows to come back.
func (m *Maintainer) giveBack(ctx context.Context, r RestoreRequest) (partition.Snapshot, partition.Action, error) {
	planned, err := m.Plan(ctx, []partition.Set{r.Set})
	if err != nil {
		return partition.Snapshot{}, partition.Action{}, err
	}
	snap, first := planned[0].Snapshot, r.Manifests[0]
	if planned[0].Err != nil {
		return snap, partition.Action{}, fmt.Errorf("observe %s: %w", r.Set.Parent, planned[0].Err)
	}
	action, err := partition.GiveBack(r.Set, snap, first.Bounds.Partition(), partition.Name(first.Source.Table))
	if err == nil {
		err = r.alike()
	}
	if err == nil {
		err = r.fits(snap.Parent)
	}
	return snap, action, err
}

// fits makes sure that the parent still has what was archived.
func (r RestoreRequest) fits(parent *partition.Parent) error {
	for _, e := range r.Manifests {
		if e.KeyColumn.Column != r.Set.Key {
			return fmt.Errorf("%w: %s was partitioned by the column %q, and %s is by %q", ErrNoPlace, e.Key, e.KeyColumn.Column, r.Set.Parent, r.Set.Key)
		}
		for _, c := range e.Columns {
			i := slices.IndexFunc(parent.Columns, func(p partition.Column) bool { return p.Name == c.Name })
			switch {
			case i < 0:
				return fmt.Errorf("%w: the archived column %q is not in %s any more", ErrNoPlace, c.Name, r.Set.Parent)
			case parent.Columns[i].Generated:
				return fmt.Errorf("%w: the archived column %q is a generated one of %s now", ErrNoPlace, c.Name, r.Set.Parent)
			case parent.Columns[i].Type != c.Type:
				return fmt.Errorf("%w: the archived column %q is of type %s, and that of %s of type %s", ErrNoPlace, c.Name, c.Type, r.Set.Parent, parent.Columns[i].Type)
			}
		}
	}
	return nil
}

// finish does to the restored partition what a pass would do next, but for what
// removes: above all the routing function gets a branch for it, and the parent
// statistics with its rows.
func (m *Maintainer) finish(ctx context.Context, session *postgres.Session, set partition.Set, table partition.Name, done *Restoration) error {
	tried := map[string]bool{}
	for round := range maxRounds {
		planned, err := m.plan(ctx, session.Conn(), nil, []partition.Set{set})
		if err != nil {
			return err
		}
		p := planned[0]
		if p.Err != nil {
			return p.Err
		}
		if p.Snapshot.Parent != nil && round == 0 {
			p.Plan.Actions = append(p.Plan.Actions, partition.Action{Kind: partition.Analyze, Table: set.Parent, OID: p.Snapshot.Parent.OID,
				Bounds: partition.Everywhere, Reason: "rows came back"})
		}
		fresh := false
		done.Left = nil
		for _, a := range p.Plan.Actions {
			if a.Destructive() || a.Table != table && a.Kind != partition.RouteRows && a.Kind != partition.Analyze {
				continue
			}
			if tried[a.Identity()] {
				if round > 0 {
					done.Left = append(done.Left, a.String())
				}
				continue
			}
			tried[a.Identity()], fresh = true, true
			out, err := session.Apply(ctx, p.Set, p.Snapshot, a)
			done.Actions = append(done.Actions, reportAction(a, out, err))
			logAction(m.Log.With("set", done.Set), a, out, err)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if !fresh {
			return nil
		}
	}
	return nil
}
