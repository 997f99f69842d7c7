package convert_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/partitiond/partitiond/maintenance/convert"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// newWide makes a declarative set of a table with rows of six months, whose first
// partition has them all.
func newWide(t *testing.T, more string) *fixture {
	t.Helper()
	f := &fixture{t: t, db: pgtest.New(t)}
	f.conn = f.db.Conn(t)
	f.configure(eventsSet + more)
	f.exec(`CREATE TABLE kinds (kind text PRIMARY KEY); INSERT INTO kinds VALUES ('a'), ('b');
		CREATE TABLE events (gone int, id bigserial, at timestamp, kind text REFERENCES kinds ON DELETE CASCADE, n int GENERATED ALWAYS AS (length(body)) STORED, body text, code int, PRIMARY KEY (id, at), UNIQUE (code, at));
		ALTER TABLE events DROP COLUMN gone; CREATE INDEX ON events (at);
		INSERT INTO events (at, kind, body, code) SELECT date_trunc('month', localtimestamp) - make_interval(months => i % 6, hours => i), 'a', repeat('text ', 1 + i % 40), i FROM generate_series(1, 3000) i`)
	o := options
	r, err := convert.Run(t.Context(), nil, f.connect, f.set, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
		return convert.Whole(ctx, conn, f.set, time.Time{}, o)
	}, f.m.Log)
	if err != nil || !r.Swapped {
		t.Fatalf("%v, stops %q", err, r.Plan.Stops)
	}
	f.pass()
	return f
}

func (f *fixture) drain(o convert.DrainOptions) (convert.Result, error) {
	f.t.Helper()
	if o.Bound == 0 {
		o.Bound = options.Bound
	}
	return convert.RunDrain(f.t.Context(), nil, f.connect, f.set, o, f.m.Log)
}

// leftovers are what a drain makes beside the set.
const leftovers = `SELECT (SELECT count(*) FROM pg_class WHERE relname ~ '^partitiond_') + (SELECT count(*) FROM pg_trigger WHERE tgname ~ '^partitiond_') + (SELECT count(*) FROM pg_proc WHERE proname ~ '^partitiond_')`

// drained looks at what a drain has to have left.
func (f *fixture) drained() {
	f.t.Helper()
	f.want(leftovers, "0")
	f.want("SELECT count(*) > 6 FROM pg_inherits WHERE inhparent = 'events'::regclass", "true")
	f.want("SELECT count(*) FROM pg_class WHERE relname = 'events_first'", "0")
	f.want("SELECT count(*) FROM events WHERE tableoid::regclass::text <> 'events_' || to_char(at, 'YYYY_MM')", "0")
	f.want("SELECT count(*) FROM pg_constraint WHERE conname = 'partition_bounds'", "0")
	f.want("SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relispartition AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = indexrelid)", "0")
	f.want("SELECT count(*) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype = 'f' AND c.relispartition AND (k.conparentid = 0 OR NOT k.convalidated)", "0")
	f.pass()
}

// TestDrain cuts a wide partition while others add, change, delete and move rows of all
// its months, and look: each row is seen once at any time, and none is lost.
func TestDrain(t *testing.T) {
	t.Parallel()
	f := newWide(t, "sweep_batch = 20\n")
	f.exec("CREATE TABLE expected AS SELECT id, at, body, code FROM events")
	done := make(chan struct{})
	var others errgroup.Group
	began := make(chan struct{}, 3)
	write := func(n int, sqls ...string) {
		conn := f.db.Conn(t)
		others.Go(func() error {
			r := rand.New(rand.NewPCG(uint64(n), 0))
			for first := true; ; first = false {
				for _, sql := range sqls {
					sql = strings.NewReplacer("{id}", fmt.Sprint(1+r.IntN(3300)), "{id2}", fmt.Sprint(1+r.IntN(3300)), "{at}", fmt.Sprintf("date_trunc('month', localtimestamp) - make_interval(months => %d, mins => %d)", r.IntN(6), r.IntN(9999)), "{body}", fmt.Sprintf("'%d'", r.IntN(5))).Replace(sql)
					if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
						return fmt.Errorf("%w in %s", err, sql)
					}
				}
				if first {
					began <- struct{}{}
				}
				select {
				case <-done:
					return nil
				default:
				}
			}
		})
	}
	// What is done to the set is done to the other table in one transaction.
	const both = `BEGIN; LOCK TABLE expected IN SHARE ROW EXCLUSIVE MODE; %s; COMMIT`
	write(1, fmt.Sprintf(both, "WITH i AS (INSERT INTO events (at, kind, body) VALUES ({at}, 'b', {body}) RETURNING id, at, body, code) INSERT INTO expected SELECT * FROM i"))
	write(2, fmt.Sprintf(both, "DELETE FROM events WHERE id = {id}; DELETE FROM expected WHERE id NOT IN (SELECT id FROM events)"))
	write(3, fmt.Sprintf(both, "UPDATE events SET body = body || 'x' WHERE id = {id}; UPDATE events SET at = {at} WHERE id = {id2}; UPDATE events SET code = -code WHERE id = {id}; DELETE FROM expected; INSERT INTO expected SELECT id, at, body, code FROM events"))
	reader := f.db.Conn(t)
	others.Go(func() error {
		for looks := 0; ; looks++ {
			var differ int
			err := reader.QueryRow(t.Context(), "SELECT count(*) FROM (SELECT id, at, body, code FROM events) e FULL JOIN expected x USING (id, at, body) WHERE e.* IS NULL OR x.* IS NULL").Scan(&differ)
			if err == nil && differ != 0 {
				err = fmt.Errorf("%d rows differ", differ)
			}
			if err != nil {
				return fmt.Errorf("look %d: %w", looks, err)
			}
			select {
			case <-done:
				t.Logf("%d looks", looks)
				return nil
			default:
			}
		}
	})
	for range 3 {
		<-began
	}
	var told []convert.Copied
	r, err := f.drain(convert.DrainOptions{Progress: func(c convert.Copied) { told = append(told, c) }})
	close(done)
	if err := errors.Join(err, others.Wait()); err != nil || !r.Swapped {
		t.Fatalf("%v, in the way: %q", err, r.Plan.Stops)
	}
	t.Logf("held for %s, %d tries, %d copies", r.Held, r.Retries, len(told))
	if len(told) < 3 || told[len(told)-1].Rows < 2000 {
		t.Errorf("told of %v", told)
	}
	const now = "SELECT id, at, body, code FROM events"
	f.want(fmt.Sprintf("SELECT (SELECT count(*) FROM (%s EXCEPT ALL TABLE expected) x), (SELECT count(*) FROM (TABLE expected EXCEPT ALL %[1]s) x)", now), "0 | 0")
	f.drained()
	f.want("SELECT event, partition_name, reason ~ '^cut into [0-9]+ partitions' FROM partitiond.history ORDER BY id DESC LIMIT 1", "drain | events_first | true")
	if r, err = f.drain(convert.DrainOptions{}); err != nil || r.Plan.Done == "" {
		t.Errorf("drained twice: %+v, %v", r, err)
	}
}

// TestDrainResumes stops a drain again and again, in turn with clients' changes: no page is
// copied twice. What a kill leaves package prove looks at.
func TestDrainResumes(t *testing.T) {
	t.Parallel()
	f := newWide(t, "sweep_batch = 20\n")
	size := f.query("SELECT pg_relation_size('events_first')")
	var read int64
	calls, last := 0, int64(0)
	for done := false; !done; {
		calls++
		var told []convert.Copied
		stop := make(chan struct{})
		_, err := convert.RunDrain(t.Context(), stop, f.connect, f.set, convert.DrainOptions{Options: options, Progress: func(c convert.Copied) {
			if told = append(told, c); len(told) == 3 {
				close(stop)
			}
		}}, f.m.Log)
		if done = err == nil; !done && !errors.Is(err, postgres.ErrStopped) {
			t.Fatal(err)
		}
		if len(told) > 0 {
			if told[0].Rows <= last {
				t.Errorf("call %d: %d rows are copied, %d were before", calls, told[0].Rows, last)
			}
			read, last = read+told[len(told)-1].Bytes, told[len(told)-1].Rows
		}
		f.exec(fmt.Sprintf("INSERT INTO events (at, kind, body) VALUES (localtimestamp, 'b', 'after %d'); UPDATE events SET body = 'changed' WHERE id = %[1]d; DELETE FROM events WHERE id = 1000 + %[1]d; UPDATE events SET at = at - interval '1 month' WHERE id = 2000 + %[1]d AND at > (SELECT min(at) FROM events) + interval '1 month'", calls))
		f.want("SELECT count(*) FROM events", "3000")
	}
	if calls < 3 {
		t.Errorf("%d calls", calls)
	}
	f.same("bytes", size, fmt.Sprint(read))
	f.want(fmt.Sprintf("SELECT (SELECT count(*) FROM events WHERE body LIKE 'after%%'), (SELECT count(*) FROM events WHERE id BETWEEN 1001 AND 1000 + %[1]d), (SELECT count(*) FROM events WHERE id <= %[1]d AND body <> 'changed'), (SELECT count(DISTINCT id) FROM events)", calls),
		fmt.Sprintf("%d | 0 | 0 | 3000", calls))
	f.drained()
	f.want("SELECT count(*) FROM partitiond.history WHERE event = 'drain'", "1")
}

// TestDrainBeginsAnew truncates, rewrites and alters a partition in the middle of its
// drain: what the copies have of it then is not used.
func TestDrainBeginsAnew(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, do, want string }{
		{"truncate", "TRUNCATE events; INSERT INTO events (at, body) SELECT localtimestamp - make_interval(months => i % 4, hours => i), 'new' FROM generate_series(1, 200) i", "200"},
		{"vacuum full", "VACUUM FULL events_first", "3000"},
		{"column", "ALTER TABLE events ADD more int DEFAULT 7; UPDATE events SET more = 8 WHERE id % 2 = 0", "3000"},
		{"column gone", "ALTER TABLE events DROP code CASCADE", "3000"},
		{"index", "CREATE INDEX ON events (body, at)", "3000"},
		{"default partition", "INSERT INTO events (at, body) VALUES (localtimestamp + interval '8 months', 'late')", "3001"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newWide(t, "sweep_batch = 20\n")
			before := "rows"
			for i, at := range []int{1, 1000} {
				// In the middle of the copy, and at its end.
				copies := 0
				ctx, cancel := context.WithCancel(t.Context())
				stop := make(chan struct{})
				_, err := convert.RunDrain(ctx, stop, f.connect, f.set, convert.DrainOptions{Options: options, Progress: func(convert.Copied) {
					if copies++; copies == at {
						close(stop)
					}
				}}, f.m.Log)
				cancel()
				if i == 0 {
					if !errors.Is(err, postgres.ErrStopped) {
						t.Fatalf("stopped: %v", err)
					}
					f.exec(c.do)
					before = f.query("SELECT count(*), sum(hashtextextended(e::text, 0)::numeric) FROM events e")
				} else if err != nil {
					t.Fatal(err)
				}
			}
			f.want("SELECT count(*) FROM events", c.want)
			f.same("rows", before, f.query("SELECT count(*), sum(hashtextextended(e::text, 0)::numeric) FROM events e"))
			f.want(leftovers, "0")
			f.want("SELECT count(*) FROM pg_class WHERE relname = 'events_first'", "0")
			f.pass()
		})
	}
}

// TestDrainEdges has a partition without a lower bound, with rows from before the window,
// and one that ends within a period: the first stay in one partition, and the last period is
// cut short. What a drain has begun can be given up.
func TestDrainEdges(t *testing.T) {
	t.Parallel()
	f := &fixture{t: t, db: pgtest.New(t)}
	f.conn = f.db.Conn(t)
	f.configure(strings.Replace(eventsSet, "at\"", "at\"\nwindow = { past = \"10 years\" }", 1))
	f.exec(`CREATE TABLE events (id int, at timestamptz, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE TABLE wide PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2026-02-10');
		INSERT INTO events SELECT i, '2025-11-05'::timestamptz + make_interval(days => i) FROM generate_series(1, 90) i;
		INSERT INTO events VALUES (0, '-infinity'), (-1, '1969-01-01')`)
	f.pass()
	r, err := f.drain(convert.DrainOptions{Options: options, BytesPerSecond: 1 << 30})
	if err != nil || !r.Swapped {
		t.Fatalf("%v, in the way: %q", err, r.Plan.Stops)
	}
	f.want("SELECT tableoid::regclass::text, count(*) FROM events GROUP BY 1 ORDER BY 1",
		"events_2025_11 | 25\nevents_2025_12 | 31\nevents_2026_01 | 31\nevents_2026_02 | 3\nwide | 2")
	f.want("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname IN ('wide', 'events_2026_02') ORDER BY relname",
		"FOR VALUES FROM ('2026-02-01 00:00:00+00') TO ('2026-02-10 00:00:00+00')\nFOR VALUES FROM (MINVALUE) TO ('2025-11-01 00:00:00+00')")
	f.want(leftovers, "0")
	if r, err = f.drain(convert.DrainOptions{}); err != nil || r.Plan.Done == "" {
		t.Errorf("drained twice: %+v, %v", r, err)
	}
}

// TestDrainAbandoned gives up what was begun: the set is as it was before.
func TestDrainAbandoned(t *testing.T) {
	t.Parallel()
	f := newWide(t, "sweep_batch = 20\n")
	before := f.schema()
	stop := make(chan struct{})
	var told int
	_, err := convert.RunDrain(t.Context(), stop, f.connect, f.set, convert.DrainOptions{Options: options, Progress: func(convert.Copied) {
		if told++; told == 1 {
			close(stop)
		}
	}}, f.m.Log)
	if !errors.Is(err, postgres.ErrStopped) {
		t.Fatal(err)
	}
	if f.query(leftovers) == "0" {
		t.Error("nothing was begun")
	}
	// The daemon goes on meanwhile.
	f.pass()
	for range 2 {
		if err := convert.AbandonDrain(t.Context(), nil, f.connect, f.set, f.m.Log); err != nil {
			t.Fatal(err)
		}
	}
	f.want(leftovers, "0")
	f.same("the schema", before, f.schema())
}

// TestStopsOfDrain has partitions that cannot be cut: it is listed why, and nothing is changed.
func TestStopsOfDrain(t *testing.T) {
	t.Parallel()
	f := newWide(t, "")
	for _, c := range []struct{ kind, do, undo string }{
		{"foreign key to it", "CREATE TABLE refers (id bigint, at timestamp, FOREIGN KEY (id, at) REFERENCES events)", "DROP TABLE refers"},
		{"row security", "ALTER TABLE events FORCE ROW LEVEL SECURITY", "ALTER TABLE events NO FORCE ROW LEVEL SECURITY"},
		{"trigger", "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER z BEFORE UPDATE ON events_first FOR EACH ROW EXECUTE FUNCTION g()", "DROP TRIGGER z ON events_first; DROP FUNCTION g"},
		{"rule", "CREATE RULE r AS ON UPDATE TO events_first WHERE false DO INSTEAD NOTHING", "DROP RULE r ON events_first"},
		{"view", "CREATE VIEW v AS SELECT count(*) FROM events_first", "DROP VIEW v"},
		{"sequence", "CREATE SEQUENCE q OWNED BY events_first.code", "DROP SEQUENCE q"},
		{"publication", "CREATE PUBLICATION p FOR ALL TABLES", "DROP PUBLICATION p"},
		{"no unique key", "ALTER TABLE events DROP CONSTRAINT events_pkey; ALTER TABLE events DROP CONSTRAINT events_code_at_key", "ALTER TABLE events ADD PRIMARY KEY (id, at)"},
		{"name taken", "CREATE VIEW taken AS SELECT 1; ALTER VIEW taken RENAME TO " + f.query("SELECT 'events_' || to_char(localtimestamp - interval '2 months', 'YYYY_MM')"), "DROP VIEW " + f.query("SELECT 'events_' || to_char(localtimestamp - interval '2 months', 'YYYY_MM')")},
		{"no default partition", "DROP TABLE events_default", ""},
		{"not declarative", "DROP TABLE events; CREATE TABLE events (at timestamp)", "DROP TABLE events"},
		{"no parent", "SELECT", ""},
	} {
		t.Run(c.kind, func(t *testing.T) {
			f := *f
			f.t = t
			f.refuses(c.kind, c.do, c.undo, false, func() (convert.Result, error) { return f.drain(convert.DrainOptions{}) })
		})
	}
}
