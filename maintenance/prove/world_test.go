package prove

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// world is a database with one set, and its archive.
type world struct {
	t   failer
	ctx context.Context
	// super looks at it all, as the superuser and with the settings of [connect].
	super *pgx.Conn
	// m makes the passes, and looker reads the archive, as the superuser.
	m, looker *maintenance.Maintainer
	set       partition.Set
	// archived is a set whose retention names the archive, whatever the set's does now.
	archived partition.Set
	// id is the column by which rows are known. It is unique and never NULL.
	id string
	// exports are what was read of archives, which nothing changes: only whether they
	// are whole is looked at each time. Several worlds may share it.
	exports *sync.Map
}

// silent is for work whose report is looked at.
var silent = slog.New(slog.DiscardHandler)

// connect opens a connection that shows values in one way only.
func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET client_min_messages = error")
	return conn, err
}

// maintainer returns one whose connections go to the URL, and the only set of a
// configuration. The log goes to w.
func maintainer(text, url string, log *slog.Logger) (*maintenance.Maintainer, partition.Set, error) {
	c, err := config.Parse("set.toml", []byte(text))
	if err != nil {
		return nil, partition.Set{}, err
	}
	m := &maintenance.Maintainer{
		Connect:   func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, url) },
		Log:       log,
		Archiving: maintenance.Archiving{Format: archive.Format(c.Archive.Format), PartBytes: c.Archive.PartBytes},
		History:   maintenance.History{Passes: c.History.Passes, Events: c.History.Events},
	}
	return m, c.Databases[0].Sets[0].Set, nil
}

func (w *world) exec(conn *pgx.Conn, sql string, args ...any) {
	w.t.Helper()
	if _, err := conn.Exec(w.ctx, sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// strings returns the first column of a query.
func (w *world) strings(sql string, args ...any) []string {
	w.t.Helper()
	rows, err := w.super.Query(w.ctx, sql, args...)
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// quoted returns a name as SQL has it.
func quoted(n partition.Name) string { return pgx.Identifier{n.Schema, n.Local}.Sanitize() }

// look finds every row that there is: in the set, in tables that were detached from
// it, and in what counts as its archive.
func (w *world) look() seen {
	w.t.Helper()
	found := seen{}
	w.lookAtTables(found)
	for _, m := range w.counting() {
		for _, s := range w.read(m) {
			found[s.id] = append(found[s.id], s)
		}
	}
	return found
}

// lookAtTables finds what is in the set, and in tables that were detached from it.
func (w *world) lookAtTables(found seen) {
	w.t.Helper()
	w.readTable(found, quoted(w.set.Parent), false)
	detached := w.strings(`SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT IN ('partitiond', 'pg_catalog', 'information_schema') AND c.oid <> $1::text::regclass
		AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid AND NOT inhdetachpending)
		AND c.relname !~ '^partitiond_(part|rest|log|drain_log)_[0-9a-f]+$' -- Copies, until they take the place of what they were made of.
		AND 2 = (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attname = ANY ($2))`,
		quoted(w.set.Parent), []string{w.id, w.set.Key})
	for _, table := range detached {
		w.readTable(found, table, true)
	}
}

func (w *world) readTable(found seen, table string, detached bool) {
	w.t.Helper()
	id := pgx.Identifier{w.id}.Sanitize()
	rows, err := w.super.Query(w.ctx, fmt.Sprintf("SELECT tableoid::regclass::text, t.%s::text, to_jsonb(t) - $1::text FROM %s t", id, table), w.id)
	if err != nil {
		w.t.Fatalf("read %s: %v", table, err)
	}
	var s sighting
	var text []byte
	_, err = pgx.ForEachRow(rows, []any{&s.where, &s.id, &text}, func() error {
		s.row, s.detached = nil, detached
		found[s.id] = append(found[s.id], s)
		return json.Unmarshal(text, &found[s.id][len(found[s.id])-1].row)
	})
	if err != nil {
		w.t.Fatalf("read %s: %v", table, err)
	}
}

// counting lists the exports that count: nothing supersedes them, and the table that
// they were made of, or that was restored from them, is not there. As long as it is, its
// rows are there, and the export is only a copy.
func (w *world) counting() []archive.Manifest {
	w.t.Helper()
	store, err := w.looker.OpenStore(w.archived)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	all, err := archive.List(w.ctx, store, w.archived.Parent)
	if err != nil {
		w.t.Fatalf("list the archive: %v", err)
	}
	if len(all) == 0 {
		return nil
	}
	tables := w.strings("SELECT oid::text FROM pg_class WHERE relkind = 'r'")
	var restored []string
	if len(w.strings("SELECT 'yes' FROM pg_class WHERE oid = to_regclass('partitiond.restored')")) > 0 {
		restored = w.strings("SELECT manifest_key FROM partitiond.restored WHERE partition_oid IN (SELECT oid FROM pg_class)")
	}
	var out []archive.Manifest
	for _, m := range all {
		if m.Superseded || slices.Contains(tables, fmt.Sprint(m.Source.OID)) || slices.Contains(restored, m.Key) {
			continue
		}
		if err := archive.Verify(w.ctx, store, m.Manifest, nil); err != nil {
			w.t.Fatalf("verify %s: %v", m.Key, err)
		}
		out = append(out, m.Manifest)
	}
	return out
}

// read returns the rows of an export, by restoring it into a table beside the set.
func (w *world) read(m archive.Manifest) []sighting {
	w.t.Helper()
	parts := make([]string, len(m.Parts))
	for i, p := range m.Parts {
		parts[i] = p.SHA256
	}
	key := m.Key + " " + strings.Join(parts, " ")
	if known, ok := w.exports.Load(key); ok {
		return known.([]sighting)
	}
	beside := partition.Name{Schema: "public", Local: "prove read back"}
	if _, err := w.looker.Restore(w.ctx, maintenance.RestoreRequest{Set: w.archived, Manifests: []archive.Manifest{m}, Into: beside}); err != nil {
		w.t.Fatalf("read %s back: %v", m.Key, err)
	}
	found := seen{}
	w.readTable(found, quoted(beside), true)
	w.exec(w.super, "DROP TABLE "+quoted(beside))
	var out []sighting
	for _, group := range found {
		for _, s := range group {
			s.where, s.archived, s.detached = m.Key, true, false
			out = append(out, s)
		}
	}
	w.exports.Store(key, out)
	return out
}

// plan returns what a pass would do, and what a person has to look at.
func (w *world) plan() partition.Plan {
	w.t.Helper()
	planned, err := w.m.Plan(w.ctx, []partition.Set{w.set})
	if err != nil {
		w.t.Fatalf("plan: %v", err)
	}
	if planned[0].Err != nil {
		w.t.Fatalf("plan: %v", planned[0].Err)
	}
	return planned[0].Plan
}

// words says what is in a plan that is not empty.
func words(p partition.Plan) string {
	var out []string
	for _, a := range p.Actions {
		out = append(out, a.String())
	}
	for _, problem := range p.Problems {
		out = append(out, problem.String())
	}
	for _, a := range p.Withheld {
		out = append(out, "withheld: "+a.String())
	}
	return strings.Join(out, "\n")
}
