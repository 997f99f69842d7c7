package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// waitingRows is a set without a partition for the present, whose default partition
// has more rows than go along at once: of this month, of a month that no partition is
// made for here, and of none. "expected" has all that is in the set.
const waitingRows = `CREATE TABLE kind (kind text PRIMARY KEY); INSERT INTO kind VALUES ('a'), ('b');
	CREATE TABLE event_master (gone int, id bigint, body text, kind text REFERENCES kind, doc json, n int GENERATED ALWAYS AS (length(body)) STORED, created_at timestamp) PARTITION BY RANGE (created_at);
	ALTER TABLE event_master DROP COLUMN gone;
	CREATE INDEX ON event_master (id);
	CREATE TABLE event_old PARTITION OF event_master FOR VALUES FROM (MINVALUE) TO ('2018-12-01');
	CREATE TABLE event_far PARTITION OF event_master FOR VALUES FROM ('3000-01-01') TO (MAXVALUE);
	CREATE TABLE rest PARTITION OF event_master DEFAULT;
	CREATE TABLE expected (id bigint, body text);
	INSERT INTO event_master (id, body, kind, doc, created_at) SELECT i / 2, 'old', 'a', '{"a": 1}', CASE i % 3 WHEN 0 THEN now() WHEN 1 THEN timestamp '2100-01-01' + i * interval '1 s' END FROM generate_series(1, 500) i;
	INSERT INTO expected SELECT id, body FROM event_master`

// TestExchange moves the rows of this month while others add, change and delete such
// and other rows: nobody waits for it in vain, and at any time all rows are seen, once.
func TestExchange(t *testing.T) {
	t.Parallel()
	a := newApplied(t, waitingRows)
	a.set.Retention.Then, a.set.Ahead, a.set.DefaultPartition = partition.Keep, 0, true
	a.set.Limits.Retries, a.set.SweepBatch = 100, 100
	a.exec(renderSQL(a.set, a.observe(), partition.Notify))
	snap, act := a.planned(partition.Create, time.Now().UTC().Format("event_2006_01"))
	done := make(chan struct{})
	var writers errgroup.Group
	var once sync.Once
	began := make(chan struct{})
	write := func(n int, sqls ...string) {
		conn := a.Conn(t)
		writers.Go(func() error {
			r := rand.New(rand.NewPCG(uint64(n), 0))
			for {
				for _, sql := range sqls {
					id, month := r.IntN(250), r.IntN(2)
					sql = strings.NewReplacer("{id}", fmt.Sprint(id), "{at}", []string{"localtimestamp", "'2100-02-01'"}[month], "{body}", fmt.Sprintf("'%d'", r.IntN(5))).Replace(sql)
					// What is done to the set is done to the other table in one transaction.
					if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
						return fmt.Errorf("%w in %s", err, sql)
					}
				}
				once.Do(func() { close(began) })
				select {
				case <-done:
					return nil
				default:
				}
			}
		})
	}
	const both = `BEGIN; LOCK TABLE expected IN SHARE ROW EXCLUSIVE MODE; %s; COMMIT`
	write(1, fmt.Sprintf(both, "WITH i AS (INSERT INTO event_master (id, body, kind, created_at) VALUES ({id}, {body}, 'b', {at}) RETURNING id, body) INSERT INTO expected SELECT * FROM i"))
	write(2, fmt.Sprintf(both, "WITH d AS (DELETE FROM event_master WHERE id = {id} RETURNING id, body) DELETE FROM expected WHERE id = {id}"))
	write(3, fmt.Sprintf(both, "UPDATE event_master SET body = {body} || 'x', created_at = {at} WHERE id = {id}; DELETE FROM expected WHERE id = {id}; INSERT INTO expected SELECT id, body FROM event_master WHERE id = {id}"))
	reader := a.Conn(t)
	writers.Go(func() error {
		for looks := 0; ; looks++ {
			var n int
			err := reader.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM event_master) - (SELECT count(*) FROM expected)").Scan(&n)
			if err == nil && n != 0 {
				err = fmt.Errorf("%d rows too many", n)
			}
			if err != nil {
				return fmt.Errorf("look %d: %w", looks, err)
			}
			select {
			case <-done:
				return nil
			default:
			}
		}
	})
	<-began
	out, err := a.apply(snap, act)
	close(done)
	if err := errors.Join(err, writers.Wait()); err != nil {
		t.Fatal(err)
	}
	if out.Rows < 100 {
		t.Errorf("%d rows were moved", out.Rows)
	}
	want(t, "rows that differ", a.one("SELECT (SELECT count(*) FROM (SELECT id, body FROM event_master EXCEPT ALL TABLE expected) x) || ' ' || (SELECT count(*) FROM (TABLE expected EXCEPT ALL SELECT id, body FROM event_master) x)"), "0 0")
	want(t, "rows of the month in the default partition", a.one("SELECT count(*) FROM rest WHERE created_at < '2090-01-01'"), "0")
	want(t, "what is left of it", a.one("SELECT count(*) FROM pg_class WHERE relname ~ '^partitiond_(part|rest|log)'"), "0")
	want(t, "CHECKs", a.one("SELECT count(*) FROM pg_constraint WHERE conname = 'partition_bounds'"), "0")
	want(t, "it tells of rows", a.one("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'rest'::regclass AND NOT tgisinternal"), "1")
	a.set.SweepBatch = 1000
	a.set.Window.Future = partition.Interval{N: 1, Unit: partition.Year}
	for range 2 {
		snap := a.observe()
		for _, act := range partition.Make(a.set, snap).Actions {
			if _, err := a.apply(snap, act); err != nil {
				t.Error(err)
			}
		}
	}
	if p := partition.Make(a.set, a.observe()); len(p.Actions) > 0 {
		t.Errorf("left: %v", p.Actions)
	}
}

// TestExchangeTakesOverChanges changes rows in all ways between the copy and the end.
func TestExchangeTakesOverChanges(t *testing.T) {
	t.Parallel()
	a := newApplied(t, waitingRows)
	a.set.Retention.Then, a.set.Ahead, a.set.SweepBatch = partition.Keep, 0, 100
	snap, act := a.planned(partition.Create, time.Now().UTC().Format("event_2006_01"))
	x := newExchange(a.set, snap, act, "")
	aside, watch := x.prepareSQL()
	a.exec(strings.Join(aside, ";\n"))
	a.exec("BEGIN;" + strings.Join(watch, ";\n") + "; COMMIT;" + strings.Join(x.copySQL(), ";\n"))
	// Each row has a twin, of which one goes, in this month, in another, and without a date.
	a.exec(`DELETE FROM event_master WHERE ctid IN (SELECT min(ctid) FROM event_master WHERE tableoid = 'rest'::regclass AND id IN (2, 3, 4, 5) GROUP BY id);
		UPDATE event_master SET body = 'changed' WHERE id IN (6, 7, 8);
		UPDATE event_master SET created_at = localtimestamp WHERE id = 10;
		UPDATE event_master SET created_at = '2100-05-05' WHERE id = 11;
		UPDATE event_master SET created_at = '2018-11-11' WHERE id = 12;
		UPDATE event_old SET created_at = localtimestamp WHERE id = 12 AND body = 'none';
		UPDATE event_master SET created_at = NULL, doc = NULL WHERE id = 13;
		DELETE FROM event_master WHERE id = 14;
		INSERT INTO event_master (id, body, created_at) VALUES (1000, 'new', localtimestamp), (1000, 'new', localtimestamp), (1001, 'new', NULL), (1002, 'new', '2018-01-01');
		DELETE FROM event_master WHERE ctid IN (SELECT min(ctid) FROM event_master WHERE id = 1000);
		CREATE TABLE all_of_it AS SELECT id, body, kind, doc::text, n, created_at FROM event_master`)
	if err := a.session.inTx(t.Context(), a.set, "", func(tx pgx.Tx) error { return a.session.swap(t.Context(), tx, x) }); err != nil {
		t.Fatal(err)
	}
	const now = "SELECT id, body, kind, doc::text, n, created_at FROM event_master"
	want(t, "rows that differ", a.one(fmt.Sprintf("SELECT (SELECT count(*) FROM (%s EXCEPT ALL TABLE all_of_it) x) || ' ' || (SELECT count(*) FROM (TABLE all_of_it EXCEPT ALL %[1]s) x)", now)), "0 0")
}

// renderSQL returns the statements of what a plan has of a kind.
func renderSQL(set partition.Set, snap partition.Snapshot, kind partition.Kind) (sql string) {
	for _, a := range partition.Make(set, snap).Actions {
		if a.Kind != kind {
			continue
		}
		for _, step := range Render(set, snap, a) {
			for _, st := range step.Statements {
				sql += st.SQL + ";\n"
			}
		}
	}
	return sql
}

// TestExchangeInterrupted ends an exchange in the middle, by a TRUNCATE and by death:
// all rows stay, and nothing that it made.
func TestExchangeInterrupted(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"truncated", "killed", "killed at the beginning"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			a := newApplied(t, waitingRows)
			a.set.Retention.Then, a.set.Ahead = partition.Keep, 0
			snap, act := a.planned(partition.Create, time.Now().UTC().Format("event_2006_01"))
			x := newExchange(a.set, snap, act, "")
			aside, watch := x.prepareSQL()
			a.exec(strings.Join(aside, ";\n"))
			if how != "killed at the beginning" {
				a.exec("BEGIN;" + strings.Join(watch, ";\n") + "; COMMIT;" + strings.Join(x.copySQL(), ";\n"))
			}
			rows := "500"
			if how == "truncated" {
				rows = "0"
				a.exec("TRUNCATE event_master")
				if _, err := a.Conn(t).Exec(t.Context(), x.catchUpSQL(10)); err == nil || !strings.Contains(err.Error(), "was truncated") {
					t.Errorf("after a TRUNCATE: %v", err)
				}
			} else {
				a.exec("UPDATE event_master SET body = 'changed' WHERE id = 7")
			}
			snap = a.observe()
			plan := partition.Make(a.set, snap)
			if plan.Actions[0].Kind != partition.TidyDefault {
				t.Fatalf("the plan begins with %s", plan.Actions[0])
			}
			for _, act := range plan.Actions {
				if _, err := a.apply(snap, act); err != nil {
					t.Error(err)
				}
			}
			want(t, "rows", a.one("SELECT count(*) FROM event_master"), rows)
			want(t, "what is left of it", a.one("SELECT (SELECT count(*) FROM pg_class WHERE relname ~ '^partitiond_') + (SELECT count(*) FROM pg_trigger WHERE tgname ~ '^partitiond_log') + (SELECT count(*) FROM pg_proc WHERE proname ~ '^partitiond_log')"), "0")
		})
	}
}

// TestExchangeReadsNothing: neither table is scanned when it is attached.
func TestExchangeReadsNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	config, err := pgx.ParseConfig(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	var heard []string
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { heard = append(heard, n.Message) }
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	edge := func(year int) partition.Edge { return partition.At(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)) }
	between := func(from, to partition.Edge) partition.Bounds { return partition.Bounds{From: from, To: to} }
	for key, columnType := range map[partition.KeyType]string{partition.KeyDate: "date", partition.KeyTimestamp: "timestamp", partition.KeyTimestampTZ: "timestamptz",
		partition.KeyMilliseconds: "bigint", partition.KeyUUID: "uuid"} {
		for _, others := range [][]partition.Bounds{nil, {between(edge(2001), edge(2002))}, {between(edge(2005), partition.PlusInfinity), between(partition.MinusInfinity, edge(2001)), between(edge(2001), edge(2002))}} {
			set := monthly("p")
			snap := partition.Snapshot{Parent: &partition.Parent{Key: key}, Default: &partition.Partition{Name: partition.Name{Schema: "public", Local: "d"}}}
			runSQL(t, conn, "DROP TABLE IF EXISTS p; SET client_min_messages = notice; CREATE TABLE p (created_at "+columnType+") PARTITION BY RANGE (created_at)")
			for i, b := range others {
				snap.Partitions = append(snap.Partitions, partition.Partition{Bounds: b})
				runSQL(t, conn, fmt.Sprintf("CREATE TABLE p%d PARTITION OF p %s", i, forValues(key, b)))
			}
			x := newExchange(set, snap, partition.Action{Bounds: between(edge(2003), edge(2004)), Route: &partition.Route{KeyType: key}}, "")
			aside, _ := x.prepareSQL()
			runSQL(t, conn, aside[0], aside[1], "SET client_min_messages = debug1")
			heard = nil
			runSQL(t, conn, fmt.Sprintf("ALTER TABLE p ATTACH PARTITION %s %s", quoteName(x.part), forValues(key, x.a.Bounds)), fmt.Sprintf("ALTER TABLE p ATTACH PARTITION %s DEFAULT", quoteName(x.rest)))
			implied := 0
			for _, h := range heard {
				if strings.Contains(h, "implied by existing constraints") {
					implied++
				}
				if strings.HasPrefix(h, "verifying table") {
					t.Errorf("%s beside %v: %s", key, others, h)
				}
			}
			if implied != 2 {
				t.Errorf("%s beside %v: %q", key, others, heard)
			}
		}
	}
}
