package maintenance_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/convert"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// citusSet is a set of months; the limits are such that waits in vain end soon.
const citusSet = "[[set]]\nparent = \"public.events\"\nkey = \"at\"\nahead = %d\n%s\nlimits = { lock_timeout = \"100ms\", retries = 2, retry_wait = \"5ms\", max_retry_wait = \"10ms\" }\n"

// citusEvents is a parent whose rows can be distributed by tenant.
const citusEvents = `CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY, tenant text NOT NULL, at timestamptz NOT NULL, what jsonb,
		twice text GENERATED ALWAYS AS (tenant || tenant) STORED, PRIMARY KEY (tenant, id, at)) PARTITION BY RANGE (at);
	CREATE INDEX events_at ON events (at)`

// citusRows inserts as many rows into a month, of tenants in all shards.
const citusRows = `INSERT INTO events (tenant, at, what) SELECT 't' || i, date_trunc('month', now()) + make_interval(months => %d, secs => i), jsonb_build_object('i', i, 'at', now()) FROM generate_series(1, %d) i`

// TestCitus serves a set that Citus distributes over two servers, through their
// coordinator, as the README tells.
func TestCitus(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.configure(0, "")
	c.section("parent.sql", citusEvents)
	c.owner, _ = c.keeper()
	for _, part := range []struct {
		name string
		test func(*cluster)
	}{{"distribute", (*cluster).distribute}, {"ahead", (*cluster).ahead}, {"drift", (*cluster).drift}, {"archive", (*cluster).archiveAndRestore},
		{"detach", (*cluster).detach}, {"locked", (*cluster).locked}, {"too many", (*cluster).tooMany}, {"writers", (*cluster).writers}, {"refused", (*cluster).refused}} {
		t.Run(part.name, func(t *testing.T) {
			outer := c.t
			c.t = t
			defer func() { c.t = outer }()
			part.test(c)
		})
	}
}

// distribute distributes a set that passes have served already.
func (c *cluster) distribute() {
	c.mustPass(maintenance.Done)
	c.section("rows.sql", fmt.Sprintf(citusRows, 0, 100))
	c.section("fails distribute", "SELECT create_distributed_table('events', 'tenant')")
	c.section("result", `XX000 cannot distribute relation "events_default" because it has triggers`)
	c.section("trigger.sql", "DROP TRIGGER insert_events_trigger ON events_default")
	c.section("distribute.sql", "SELECT create_distributed_table('events', 'tenant')")
	c.section("truncate.sql", "SELECT truncate_local_data_after_distributing_table('events')")
	c.section("left", "")
}

// ahead makes partitions, whose rows go to all shards, and whose shards are no less
// readable than themselves.
func (c *cluster) ahead() {
	c.section("grant.sql", "GRANT SELECT ON events TO "+c.reader)
	c.configure(2, "")
	c.section("pass", c.name("done\n"+`align public.events_default
create public.events_{{month 1 "2006_01"}}
create public.events_{{month 2 "2006_01"}}
align public.events_{{month 0 "2006_01"}}`))
	c.section("left", "")
	c.section("rows.sql", fmt.Sprintf(citusRows, 1, 100)+";"+fmt.Sprintf(citusRows, 2, 100))
	for month := range 3 {
		table := c.name(fmt.Sprintf(`events_{{month %d "2006_01"}}`, month))
		if got := c.shards(table); got != "2 2" {
			c.t.Errorf("%s has %s shards on the workers", table, got)
		}
		if got := c.text(fmt.Sprintf("SET ROLE %s; SELECT count(*) FROM %s", c.reader, table)); got != "100" {
			c.t.Errorf("of %s %s sees %s rows", table, c.reader, got)
		}
		c.section("self.sql", "RESET ROLE")
		if got := c.onWorkers("SELECT count(*) FROM %s", table); got[0] == "0" || got[1] == "0" {
			c.t.Errorf("the workers have %s of its rows", got)
		}
	}
}

// drift takes from partitions what they have from their parent.
func (c *cluster) drift() {
	now := c.name(`events_{{month 0 "2006_01"}}`)
	for _, statement := range []string{"REVOKE SELECT ON " + now + " FROM " + c.reader, "GRANT UPDATE (what) ON events TO " + c.reader, "CREATE INDEX events_what ON ONLY events (what)",
		"CREATE POLICY everybody ON events USING (true)", "ALTER TABLE events ENABLE ROW LEVEL SECURITY", "ALTER TABLE events REPLICA IDENTITY FULL", "COMMENT ON COLUMN events.what IS 'that'"} {
		c.section("drift.sql", statement)
	}
	c.mustPass(maintenance.Done)
	c.section("left", "")
	for what, query := range map[string]string{
		"grant":            "SELECT count(*) FROM pg_class WHERE oid = '%s'::regclass AND has_table_privilege('" + c.reader + "', oid, 'SELECT')",
		"column grant":     "SELECT count(*) FROM pg_class WHERE oid = '%s'::regclass AND has_column_privilege('" + c.reader + "', oid, 'what', 'UPDATE')",
		"index":            "SELECT count(*) FROM pg_index WHERE indrelid = '%s'::regclass AND indisvalid AND pg_get_indexdef(indexrelid) ~ '\\(what\\)'",
		"policy":           "SELECT count(*) FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.oid = '%s'::regclass AND c.relrowsecurity",
		"replica identity": "SELECT count(*) FROM pg_class WHERE oid = '%s'::regclass AND relreplident = 'f'",
	} {
		if got := c.onWorkers(query, now); got[0] != "2" || got[1] != "2" {
			c.t.Errorf("%s: the shards of %s on the workers have %s", what, now, got)
		}
	}
	c.section("policy.sql", "ALTER TABLE events DISABLE ROW LEVEL SECURITY")
	c.mustPass(maintenance.Done)
}

// archiveAndRestore moves rows that wait in the default partition to one of their own,
// archives that, brings it back, and archives it again.
func (c *cluster) archiveAndRestore() {
	c.configure(2, fmt.Sprintf(`retention = { keep = "12 months", then = "archive", archive = "file://%s", max_share = 1, late_grace = "0s" }`, c.archive))
	old := c.name(`events_{{month -14 "2006_01"}}`)
	c.section("old.sql", fmt.Sprintf(citusRows, -14, 300)+";"+fmt.Sprintf(citusRows, -3, 50))
	digest := fmt.Sprintf(digestOf, "events")
	before := c.text(digest)
	c.section("pass", c.name(`done
create public.events_{{month -14 "2006_01"}}
create public.events_{{month -3 "2006_01"}}
analyze public.events
archive public.events_{{month -14 "2006_01"}}`))
	c.section("left", "")
	c.want("SELECT event, rows, rows_exact, bytes > 0 FROM partitiond.history", "archive | 300 | t | t")
	c.gone(old)
	done, err := c.m.Restore(c.t.Context(), c.request())
	if err != nil || len(done.Left) != 0 || done.Rows != 300 {
		c.t.Fatalf("%+v, %v", done, err)
	}
	c.want(digest, before)
	if got := c.shards(old); got != "2 2" {
		c.t.Errorf("it has %s shards on the workers", got)
	}
	c.heldLeft()
	// Citus hides rows that are left on the coordinator.
	c.want("SELECT count(*) FROM pg_class WHERE relname ~ '^events' AND relkind = 'r' AND pg_relation_size(oid) > 0", "0")
	c.section("hold.sql", "DELETE FROM partitiond.hold")
	c.mustPass(maintenance.Done)
	c.section("left", "")
	c.gone(old)
	if n := len(c.request().Manifests); n != 1 {
		c.t.Errorf("there are %d manifests", n)
	}
}

// detach takes months out into another schema, the second beside the first, gives one
// back that is not to go any more, with a row that has come meanwhile, and drops it.
func (c *cluster) detach() {
	c.section("schema.sql", "CREATE SCHEMA old AUTHORIZATION "+c.owner)
	c.configure(2, `retention = { keep = "12 months", then = "detach", schema = "old", max_share = 1 }`)
	old := c.name(`events_{{month -14 "2006_01"}}`)
	for i, name := range []string{old, old + "_2"} {
		c.section("old.sql", fmt.Sprintf(citusRows, -14, 10+i))
		c.mustPass(maintenance.Done)
		c.section("left", "")
		c.want("SELECT count(*) FROM old."+name, strconv.Itoa(10+i))
		c.want("SELECT conname, convalidated FROM pg_constraint WHERE contype = 'c' AND conrelid = 'old."+name+"'::regclass", "partition_bounds | t")
		c.want("SELECT event, rows, bytes > 0, moved_name FROM partitiond.history WHERE event = 'detach' ORDER BY id DESC LIMIT 1", "detach |  | t | "+name)
	}
	c.section("drop.sql", "DROP TABLE old."+old+", old."+old+"_2")
	c.configure(2, "")
	c.section("old.sql", fmt.Sprintf(citusRows, -14, 10))
	c.mustPass(maintenance.Done)
	mark := partition.RetireMark(c.sets[0].Parent)
	c.section("mark.sql", c.text(fmt.Sprintf(`SELECT format('ALTER TABLE %s ADD CONSTRAINT %s CHECK (at IS NOT NULL AND at >= %%L AND at < %%L)', month, month + interval '1 month')
		FROM (SELECT date_trunc('month', now()) - interval '14 months') AS m (month)`, old, mark)))
	c.section("taken.sql", "ALTER TABLE events DETACH PARTITION "+old)
	c.section("late.sql", fmt.Sprintf(citusRows, -14, 1))
	c.section("pass", c.name("done\nattach public.events_{{month -14 \"2006_01\"}}"))
	c.section("left", "")
	c.want("SELECT count(*) FROM "+old, "11")
	c.configure(2, `retention = { keep = "12 months", then = "drop", max_share = 1 }`)
	c.mustPass(maintenance.Done)
	c.section("left", "")
	c.gone(old)
}

// locked holds a lock on one worker, of the table and then of a shard: a pass waits for
// neither longer than it may.
func (c *cluster) locked() {
	c.section("old.sql", fmt.Sprintf(citusRows, -14, 10))
	rest := c.shardsOf("events_default", c.workers[0])[0]
	for _, table := range []string{"events", rest} {
		tx, err := c.workers[0].Begin(c.t.Context())
		if err != nil {
			c.t.Fatal(err)
		}
		rows(c.t, tx.Conn(), "SELECT count(*) FROM "+table)
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
		report, err := c.m.Pass(ctx, nil, c.sets)
		cancel()
		if err != nil {
			c.t.Fatal(err)
		}
		c.compare(table, c.name("partly\nfailed create public.events_{{month -14 \"2006_01\"}}\nanalyze public.events"), passed(report))
		if a := report.Sets[0].Actions[0]; a.Retries != 2 {
			c.t.Errorf("beside a reader of %s there were %d further tries: %s", table, a.Retries, a.Error)
		}
		if err := tx.Rollback(context.WithoutCancel(c.t.Context())); err != nil {
			c.t.Fatal(err)
		}
	}
	c.mustPass(maintenance.Done)
	c.section("left", "")
}

// tooMany has more rows wait in the default partition than may be moved under a lock.
func (c *cluster) tooMany() {
	c.section("old.sql", fmt.Sprintf(citusRows, -5, 30))
	before := c.text("SELECT count(*) FROM events")
	c.sets[0].SweepBatch = 20
	report, err := c.m.Pass(c.t.Context(), nil, c.sets)
	if err != nil {
		c.t.Fatal(err)
	}
	if a := report.Sets[0].Actions[0]; !strings.Contains(a.Error, "has more than 20 rows") || !strings.Contains(a.Error, "set sweep_batch higher") {
		c.t.Errorf("%s: %s", a.Action, a.Error)
	}
	c.want("SELECT count(*) FROM events", before)
	c.sets[0].SweepBatch = 30
	c.mustPass(maintenance.Done)
	c.section("left", "")
	c.want("SELECT count(*) FROM events", before)
}

// writers write through the coordinator and the workers while passes make partitions
// and drop others: all rows that were committed and are not old are there.
func (c *cluster) writers() {
	before, err := strconv.Atoi(c.text("SELECT count(*) FROM events"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.configure(2, `retention = { keep = "12 months", then = "drop", max_share = 1 }`)
	ctx, stop := context.WithCancel(c.t.Context())
	defer stop()
	var mu sync.Mutex
	var wrote int
	failed := map[string]int{}
	var group sync.WaitGroup
	for _, conn := range append([]*pgx.Conn{c.db.Conn(c.t)}, c.workers...) {
		group.Go(func() {
			for ctx.Err() == nil {
				// Of the last months some have partitions, and the others get theirs.
				_, err := conn.Exec(c.t.Context(), fmt.Sprintf(citusRows, -rand.IntN(11), 1))
				mu.Lock()
				if err == nil {
					wrote++
				} else {
					failed[err.Error()]++
				}
				mu.Unlock()
			}
		})
	}
	for range 4 {
		c.section("old.sql", fmt.Sprintf(citusRows, -14, 1))
		if _, err := c.m.Pass(c.t.Context(), nil, c.sets); err != nil {
			c.t.Error(err)
		}
	}
	stop()
	group.Wait()
	c.section("old.sql", fmt.Sprintf(citusRows, -14, 1))
	c.mustPass(maintenance.Done)
	c.section("left", "")
	c.t.Logf("%d rows, failed: %v", wrote, failed)
	c.want("SELECT count(*) FROM events", strconv.Itoa(before+wrote))
}

// refused are a distributed table that is not partitioned, and its conversion.
func (c *cluster) refused() {
	c.section("plain.sql", "CREATE TABLE plain (tenant text, at timestamptz NOT NULL); SELECT create_distributed_table('plain', 'tenant')")
	c.section("set.toml", "[[set]]\nparent = \"public.plain\"\nkey = \"at\"\n")
	c.section("pass", "partly\nproblem unsupported public.plain")
	set := c.sets[0]
	stops := func(what string, p convert.Plan, err error) {
		c.t.Helper()
		if err != nil || len(p.Stops) != 1 || !strings.Contains(p.Stops[0].String(), "Citus") {
			c.t.Errorf("%s stops at %q, %v", what, p.Stops, err)
		}
	}
	p, err := convert.Forward(c.t.Context(), c.conn, set, convert.Options{})
	stops("convert", p, err)
	p, err = convert.Whole(c.t.Context(), c.conn, set, time.Time{}, convert.Options{})
	stops("partition", p, err)
	c.configure(2, "")
	p, err = convert.Back(c.t.Context(), c.conn, c.sets[0], convert.Options{})
	stops("convert --rollback", p, err)
	if p, err = convert.Forward(c.t.Context(), c.conn, c.sets[0], convert.Options{}); err != nil || p.Done == "" {
		c.t.Errorf("convert: %+v, %v", p, err)
	}
}
