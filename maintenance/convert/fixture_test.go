package convert_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/convert"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
	"github.com/partitiond/partitiond/maintenance/postgres"
	"github.com/partitiond/partitiond/sql"
)

// options are those that most tests use.
var options = convert.Options{Bound: 30 * time.Second}

// fixture is a set in a database of its own.
type fixture struct {
	t    *testing.T
	db   *pgtest.Database
	conn *pgx.Conn
	set  partition.Set
	m    *maintenance.Maintainer
	// notices are what the conversion's sessions were told.
	notices []string
}

const seedSet = `[[set]]
parent = "public.chat_master"
key = "created_at"
limits = { lock_timeout = "200ms", retries = 100, retry_wait = "5ms", max_retry_wait = "20ms" }
`

// newFixture makes the seed's set with rows in each of six months, adopted by a pass.
func newFixture(t *testing.T, more string) *fixture {
	t.Helper()
	f := newSchema(t, sql.NewSchema()+more)
	f.pass()
	f.fill()
	f.pass()
	return f
}

// newSchema makes the seed's schema.
func newSchema(t *testing.T, schema string) *fixture {
	t.Helper()
	f := &fixture{t: t, db: pgtest.New(t)}
	f.conn = f.db.Conn(t)
	f.configure(seedSet)
	f.exec(schema)
	return f
}

// fill inserts rows of six months.
func (f *fixture) fill() {
	f.t.Helper()
	f.exec(`INSERT INTO chat_master (program_id, user_id, dialogue, created_at)
		SELECT 'p' || i % 3, 'u' || i % 7, 'text ' || i, date_trunc('month', localtimestamp) - make_interval(months => i % 6, hours => -i % 600) FROM generate_series(1, 600) i`)
}

func (f *fixture) configure(text string) {
	f.t.Helper()
	c, err := config.Parse("set.toml", []byte(text))
	if err != nil {
		f.t.Fatal(err)
	}
	f.set = c.Databases[0].Sets[0].Set
	f.m = &maintenance.Maintainer{Connect: f.connect, Log: slog.New(slog.NewTextHandler(f.t.Output(), nil))}
}

// connect is how conversions connect: they hear all that the server has to say.
func (f *fixture) connect(ctx context.Context) (*pgx.Conn, error) {
	options, err := pgx.ParseConfig(f.db.URL)
	if err != nil {
		return nil, err
	}
	options.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { f.notices = append(f.notices, n.Severity+": "+n.Message) }
	return pgx.ConnectConfig(ctx, options)
}

func (f *fixture) exec(sql string) {
	f.t.Helper()
	if _, err := f.conn.PgConn().Exec(f.t.Context(), sql).ReadAll(); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

// pass makes one pass, and another one that finds nothing to do.
func (f *fixture) pass() {
	f.t.Helper()
	if report, err := f.m.Pass(f.t.Context(), nil, []partition.Set{f.set}); err != nil || report.Status() != maintenance.Done && report.Status() != maintenance.Idle {
		f.t.Fatalf("a pass: %+v, %v", report, err)
	}
	planned, err := f.m.Plan(f.t.Context(), []partition.Set{f.set})
	if err != nil || planned[0].Err != nil || !planned[0].Plan.Empty() {
		f.t.Fatalf("the plan after a pass: %+v, %v", planned[0].Plan, err)
	}
}

// query returns a query's rows as text.
func (f *fixture) query(query string, args ...any) string {
	f.t.Helper()
	rows, err := f.conn.Query(f.t.Context(), query, args...)
	if err != nil {
		f.t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		var parts []string
		for _, v := range values {
			parts = append(parts, fmt.Sprint(v))
		}
		return strings.Join(parts, " | "), err
	})
	if err != nil {
		f.t.Fatalf("%s: %v", query, err)
	}
	return strings.Join(lines, "\n")
}

func (f *fixture) want(query, want string) {
	f.t.Helper()
	if got := f.query(query); got != want {
		f.t.Errorf("%s\ngives %q, want %q", query, got, want)
	}
}

// digest is the number of rows, and a sum over them that does not depend on their order.
func (f *fixture) digest() string {
	f.t.Helper()
	return f.query("SELECT count(*), sum(hashtextextended(m::text, 0)::numeric) FROM chat_master m")
}

// files are the files that the partitions' rows are in.
func (f *fixture) files() string {
	f.t.Helper()
	return f.query(`SELECT c.relname, c.relfilenode FROM pg_class c WHERE c.relname ~ '^chat_\d' AND c.relkind = 'r' AND pg_relation_size(c.oid) > 0 ORDER BY 1`)
}

func (f *fixture) forward(o convert.Options) (convert.Result, error) {
	f.t.Helper()
	return convert.Run(f.t.Context(), nil, f.connect, f.set, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
		p, err := convert.Forward(ctx, conn, f.set, o)
		// At this level the server says whether ATTACH PARTITION looks at rows.
		p.Swap.Build = append([]postgres.Statement{{SQL: "SET LOCAL client_min_messages = debug1"}}, p.Swap.Build...)
		return p, err
	}, f.m.Log)
}

func (f *fixture) mustForward() convert.Result {
	f.t.Helper()
	r, err := f.forward(options)
	if err != nil {
		f.t.Fatalf("convert: %v\nstops: %q", err, r.Plan.Stops)
	}
	return r
}

func (f *fixture) back() (convert.Result, error) {
	f.t.Helper()
	return convert.Run(f.t.Context(), nil, f.connect, f.set, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
		return convert.Back(ctx, conn, f.set, options)
	}, f.m.Log)
}

func (f *fixture) mustBack() convert.Result {
	f.t.Helper()
	r, err := f.back()
	if err != nil {
		f.t.Fatalf("convert --rollback: %v\nstops: %q", err, r.Plan.Stops)
	}
	return r
}

// schema is all that the catalog says of the set, but for what a conversion may change.
func (f *fixture) schema() string {
	f.t.Helper()
	return f.query(`SELECT c.relname, c.relkind::text, pg_get_userbyid(c.relowner), c.relacl::text, c.relrowsecurity, c.relreplident::text, obj_description(c.oid, 'pg_class'),
		(SELECT string_agg(pg_get_indexdef(i.indexrelid), E'\\n' ORDER BY i.indexrelid::regclass::text COLLATE "C") FROM pg_index i WHERE i.indrelid = c.oid),
		(SELECT string_agg(k.conname || ' ' || pg_get_constraintdef(k.oid), E'\\n' ORDER BY k.conname) FROM pg_constraint k WHERE k.conrelid = c.oid),
		(SELECT string_agg(pg_get_triggerdef(g.oid) || g.tgenabled::text, E'\\n' ORDER BY g.tgname) FROM pg_trigger g WHERE g.tgrelid = c.oid),
		(SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), ''), E'\\n' ORDER BY a.attnum) FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
		(SELECT string_agg(s.objid::regclass::text, ' ') FROM pg_depend s JOIN pg_class q ON q.oid = s.objid AND q.relkind = 'S' WHERE s.refobjid = c.oid AND s.refclassid = 'pg_class'::regclass),
		(SELECT string_agg(p.pubname, ' ' ORDER BY 1) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = c.oid)
		FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY c.relname`)
}

// refuses has SQL put something in the way of a call. The call has to say so, by that
// kind, with a hint if there is one to give, and to leave everything as it was.
func (f *fixture) refuses(kind, do, undo string, hinted bool, call func() (convert.Result, error)) {
	f.t.Helper()
	f.exec(do)
	before := f.schema()
	r, err := call()
	if !errors.Is(err, convert.ErrStops) || r.Swapped || r.Tasks > 0 {
		f.t.Errorf("%v, swapped %t, %d tasks", err, r.Swapped, r.Tasks)
	}
	if !slices.ContainsFunc(r.Plan.Stops, func(s convert.Stop) bool {
		return s.Kind == kind && s.What != "" && (s.Hint != "" || !hinted)
	}) {
		f.t.Errorf("in the way: %q", r.Plan.Stops)
	}
	f.same("the schema", before, f.schema())
	f.exec(undo)
}
