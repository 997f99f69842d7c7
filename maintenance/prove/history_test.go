package prove

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestRandomHistories lets people, clients and the daemon do whatever they like, in
// any order, and holds what comes of it against a simple model. After each step each
// row that is committed is found once, as it was written: in the set, in a table that
// was detached, or in the archive. A pass never fails in a way that nothing explains,
// and where it finds no problem nothing is left to do.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	var steps atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d steps", steps.Load())
		if steps.Load() < leastSteps && !t.Failed() && asDefault() {
			t.Errorf("there were %d steps, want %d", steps.Load(), leastSteps)
		}
	})
	for i, s := range styles {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			steps.Add(int64(testHistories(t, i, s)))
		})
	}
}

// leastSteps is how many there are in CI at least, and fewest how many in a history that
// does not fail: rapid alone draws very short ones and very long ones.
const (
	leastSteps = 2000
	fewest     = 60
)

// style is a way for a set to be partitioned, and what the histories know of it.
type style struct {
	name string
	// parent is a format for the SQL that makes the parent: its name, the name of the
	// key, and the key's type.
	parent string
	// declared tells that the parent is partitioned declaratively.
	declared bool
}

var styles = []style{
	{name: "inheritance", parent: "CREATE TABLE %s (id bigint NOT NULL, %s %s, body text)"},
	{name: "declarative", parent: "CREATE TABLE %[1]s (id bigint NOT NULL, %[2]s %[3]s, body text) PARTITION BY RANGE (%[2]s)", declared: true},
}

// testHistories returns how many steps there were.
func testHistories(t *testing.T, number int, s style) int {
	db := pgtest.New(t)
	roles := roles{owner: db.Role(t, "owner"), daemon: db.Role(t, "daemon"), app: db.Role(t, "app"), reader: db.Role(t, "reader")}
	admin := db.Conn(t)
	counts, histories := map[string]int{}, 0
	rapid.Check(t, func(rt *rapid.T) {
		name := fmt.Sprintf("history_%d_%d", number, histories)
		histories++
		h := &history{style: s, roles: roles, counts: counts, counted: histories}
		ctx := context.Background()
		if _, err := admin.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
			rt.Fatalf("%v", err)
		}
		defer func() {
			h.close()
			if _, err := admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
				rt.Errorf("%v", err)
			}
		}()
		directory, err := os.MkdirTemp(t.TempDir(), "archive")
		if err != nil {
			rt.Fatalf("%v", err)
		}
		h.begin(ctx, rt, func(role string) string { return db.Server.URLAs(role, name) }, directory)
		for h.made < fewest {
			rt.Repeat(h.steps())
		}
	})
	steps := 0
	for _, n := range counts {
		steps += n
	}
	t.Logf("%d histories, %d steps: %v", histories, steps, counts)
	return steps
}

type roles struct{ owner, daemon, app, reader string }

// history is one of them.
type history struct {
	*world
	style  style
	roles  roles
	counts map[string]int
	// made is how many steps there were.
	made int
	// counted is the number of the history.
	counted int
	rt      *rapid.T
	conns   []*pgx.Conn
	// owner and app are people's and clients' sessions.
	owner, app *pgx.Conn
	url        func(role string) string
	daemon     string
	directory  string
	keyType    string
	// month is the present one's first day.
	month time.Time
	model ledger
	// at is where each row was when it was last looked for.
	at map[string]sighting
	// exports were found when the archive was last looked at, which it is after steps
	// that may change it.
	exported []sighting
	looked   bool
	last     int
	// columns were added, and have their defaults.
	columns []column
	// taken are tables that stand on names of partitions, views depend on partitions.
	taken, views []string
	// outside tells that somebody took partitions out of the set, which keep their names.
	outside bool
	// unmarked tells that somebody took partitions away while an index was not valid yet.
	unmarked bool
	// messy tells that somebody took away CHECKs or made tables that overlap, and that
	// no pass has found it in order since.
	messy bool
	// interval and zone make the grid of new partitions; mixed tells that it changed.
	interval, zone string
	mixed          bool
}

type column struct {
	name    string
	without any
}

func (h *history) begin(ctx context.Context, rt *rapid.T, url func(string) string, directory string) {
	h.world = &world{t: rt, ctx: ctx, id: "id", exports: &sync.Map{}}
	h.rt, h.url, h.directory, h.model, h.at = rt, url, directory, ledger{}, map[string]sighting{}
	connectAs := func(role string) *pgx.Conn {
		conn, err := connect(ctx, url(role))
		if err != nil {
			rt.Fatalf("%v", err)
		}
		h.conns = append(h.conns, conn)
		return conn
	}
	h.super = connectAs("postgres")
	schema := rapid.SampledFrom([]string{"public", "select", "Sch ema"}).Draw(rt, "schema")
	h.set.Parent = partition.Name{Schema: schema, Local: rapid.SampledFrom([]string{"events", "Events", "table", "Ereignisse für_master", `qu"oted`}).Draw(rt, "parent")}
	h.set.Key = rapid.SampledFrom([]string{"at", "At", "order", "time stamp"}).Draw(rt, "key")
	h.keyType = rapid.SampledFrom([]string{"timestamp", "timestamptz", "date"}).Draw(rt, "type")
	h.daemon = rapid.SampledFrom([]string{h.roles.daemon, "postgres"}).Draw(rt, "daemon")
	q := func(names ...string) string { return pgx.Identifier(names).Sanitize() }
	h.exec(h.super, fmt.Sprintf(`CREATE SCHEMA IF NOT EXISTS %[1]s; CREATE SCHEMA old; GRANT CREATE, USAGE ON SCHEMA %[1]s, old TO %[2]s;
		GRANT USAGE ON SCHEMA %[1]s TO PUBLIC; GRANT %[2]s TO %[3]s; GRANT CREATE ON DATABASE %[4]s TO %[3]s`,
		q(schema), h.roles.owner, h.roles.daemon, q(h.super.Config().Database)))
	h.owner, h.app = connectAs(h.roles.owner), connectAs(h.roles.app)
	h.exec(h.owner, fmt.Sprintf(h.style.parent, quoted(h.set.Parent), q(h.set.Key), h.keyType))
	h.exec(h.owner, fmt.Sprintf("GRANT INSERT, SELECT, UPDATE, DELETE ON %s TO %s", quoted(h.set.Parent), h.roles.app))
	if err := h.super.QueryRow(ctx, "SELECT date_trunc('month', now())::timestamp").Scan(&h.month); err != nil {
		rt.Fatalf("%v", err)
	}
	h.interval = rapid.SampledFrom([]string{"1 month", "1 month", "1 quarter", "2 weeks"}).Draw(rt, "interval")
	h.zone = rapid.SampledFrom([]string{"UTC", "Europe/Berlin"}).Draw(rt, "zone")
	h.configure()
}

func (h *history) close() {
	for _, conn := range h.conns {
		_ = conn.Close(context.Background())
	}
}

// configure draws a configuration.
func (h *history) configure() {
	choose := func(name string, from ...string) string { return rapid.SampledFrom(from).Draw(h.rt, name) }
	net := "true"
	then := choose("then", "archive", "archive", "archive", "keep", "detach", "drop")
	if then == "drop" && h.restored() {
		then = "archive" // Dropped, its rows would be back in the archive, as they were then.
	}
	if h.style.declared {
		net = choose("default_partition", "true", "true", "false")
	}
	ident := func(names ...string) string { return pgx.Identifier(names).Sanitize() }
	set := func(then string) string {
		retention := fmt.Sprintf("then = %q, max_share = %s", then, choose("share", "1", "1", "1", "0.5"))
		switch then {
		case "archive":
			retention += fmt.Sprintf(", archive = \"file://%s\", late_grace = %q", h.directory, choose("grace", "0s", "0s", "24h"))
		case "detach":
			retention += choose("to", "", `, schema = "old"`, `, schema = "old"`)
		}
		return fmt.Sprintf(`
[archive]
format = %q
[[set]]
parent = '%s'
key = '%s'
interval = %q
ahead = %s
fill_gaps = %s
grants = %q
sweep_batch = %s
time_zone = %q
default_partition = %s
limits = { retry_wait = "1ms", max_retry_wait = "10ms" }
retention = { keep = %q, %s }
`, choose("format", "csv", "parquet"), ident(h.set.Parent.Schema, h.set.Parent.Local), ident(h.set.Key),
			h.interval, choose("ahead", "0", "1", "2", "4"),
			choose("fill_gaps", "false", "true"), choose("grants", "add", "exact", "off"), choose("batch", "2", "5000"),
			h.zone, net, choose("keep", "6 months", "12 months", "18 months", "24 months"), retention)
	}
	var err error
	text := set(then)
	if h.m, h.set, err = maintainer(text, h.url(h.daemon), silent); err != nil {
		h.rt.Fatalf("%v\n%s", err, text)
	}
	h.looker, _, _ = maintainer(text, h.url("postgres"), silent)
	h.archived = h.set
	h.archived.Retention.Then, h.archived.Retention.Archive = partition.Archive, "file://"+h.directory
}

func (h *history) restored() bool {
	return len(h.strings("SELECT 'yes' FROM pg_class WHERE oid = to_regclass('partitiond.restored')")) > 0 &&
		len(h.strings("SELECT 'yes' FROM partitiond.restored WHERE partition_oid IN (SELECT oid FROM pg_class)")) > 0
}

// account holds what there is against the model. Steps that may change the archive
// have set looked to false.
func (h *history) account() {
	h.rt.Helper()
	found := h.find()
	if err := h.model.check(found, nil); err != nil {
		h.rt.Fatalf("%v", err)
	}
	h.note(found)
}

func (h *history) find() seen {
	found := seen{}
	if !h.looked {
		found = h.look()
		h.exported, h.looked = nil, true
		for _, all := range found {
			for _, s := range all {
				if s.archived {
					h.exported = append(h.exported, s)
				}
			}
		}
		return found
	}
	h.lookAtTables(found)
	for _, s := range h.exported {
		found[s.id] = append(found[s.id], s)
	}
	return found
}

func (h *history) note(found seen) {
	h.at = map[string]sighting{}
	for id, all := range found {
		h.at[id] = all[0]
	}
}

// inSet lists the rows that are in the set, in order.
func (h *history) inSet() []string {
	var out []string
	for id, s := range h.at {
		if !s.archived && !s.detached {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return out
}

// explained are the kinds of problems that what happened so far explains.
func (h *history) explained(kind string) bool {
	detached := h.outside || slices.ContainsFunc(h.inAll(), func(s sighting) bool { return s.detached })
	odd := slices.ContainsFunc(h.inAll(), func(s sighting) bool { return !s.archived && h.isOdd(s.row[h.set.Key]) })
	switch partition.ProblemKind(kind) {
	case partition.ProblemStray:
		return odd || detached || h.messy || h.mixed || len(h.taken) > 0
	case partition.ProblemNameTaken:
		return len(h.taken) > 0 || detached || h.messy
	case partition.ProblemDependents:
		return len(h.views) > 0
	case partition.ProblemShare:
		return h.set.Retention.MaxShare < 1
	case partition.ProblemOverlap:
		return h.messy || h.mixed
	case partition.ProblemUnsupported:
		return h.unmarked
	case partition.ProblemUnreadable, partition.ProblemViolation:
		return h.messy
	}
	return false
}

func (h *history) inAll() []sighting {
	var out []sighting
	for _, s := range h.at {
		out = append(out, s)
	}
	return out
}

// isOdd tells whether a partition cannot be made for the value.
func (h *history) isOdd(value any) bool {
	text, ok := value.(string)
	if !ok || len(text) < 4 {
		return true
	}
	return text == "infinity" || text == "-infinity" || text[:4] < fmt.Sprint(h.month.Year()-29) || text[:4] > fmt.Sprint(h.month.Year()+1)
}

// pass makes one, and holds its report against what it may say.
func (h *history) pass() {
	h.looked = false
	report, err := h.m.Pass(h.ctx, nil, []partition.Set{h.set})
	if err != nil {
		h.rt.Fatalf("pass: %v", err)
	}
	r := report.Sets[0]
	if r.Error != "" {
		h.rt.Errorf("the pass failed: %s", r.Error)
	}
	dropped := false
	for _, a := range r.Actions {
		if a.Error != "" && !a.Held {
			h.rt.Errorf("%s %s failed: %s", a.Action, a.Table, a.Error)
		}
		dropped = dropped || a.Action == string(partition.Drop) && a.Error == ""
	}
	found := h.find()
	var gone []string
	if err := h.model.check(found, func(id string, r row) bool {
		due := dropped && !h.at[id].archived && !h.at[id].detached && h.isOld(r[h.set.Key])
		if due {
			gone = append(gone, id)
		}
		return due
	}); err != nil {
		h.rt.Fatalf("after a pass: %v", err)
	}
	for _, id := range gone {
		delete(h.model, id)
	}
	h.note(found)
	for _, p := range r.Problems {
		if !h.explained(p.Kind) {
			h.rt.Errorf("nothing explains the problem %s of %s: %s", p.Kind, p.Table, p.Text)
		}
	}
	h.messy = slices.ContainsFunc(r.Problems, func(p maintenance.ProblemReport) bool {
		return slices.Contains([]partition.ProblemKind{partition.ProblemOverlap, partition.ProblemUnreadable, partition.ProblemViolation}, partition.ProblemKind(p.Kind))
	})
	plan := h.plan()
	if len(plan.Actions) > 0 || len(r.Problems) == 0 && !plan.Empty() {
		h.rt.Errorf("the pass is %s, and the plan after it is not empty:\n%s", report.Status(), words(plan))
	}
	if want := maintenance.Partly; len(r.Problems) > 0 && report.Status() != want {
		h.rt.Errorf("a pass with problems is %s, want %s: %+v", report.Status(), want, r)
	}
}

// isOld tells whether a row may be dropped by now, to a day.
func (h *history) isOld(value any) bool {
	text, ok := value.(string)
	if !ok || len(text) < 10 {
		return false
	}
	t, err := time.Parse(time.DateOnly, text[:10])
	return err == nil && t.Before(h.set.Retention.Keep.AddTo(time.Now().UTC(), -1).AddDate(0, 0, 1))
}
