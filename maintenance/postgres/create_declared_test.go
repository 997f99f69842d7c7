package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// TestWhoWaitsBesideDefault has a query and an INSERT begin while a partition is made
// beside a default one: whether rows wait in that or not, the one sees all rows and the
// other brings its own to the new partition.
func TestWhoWaitsBesideDefault(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ sql, rows string }{
		"rows wait": {withDefault, "102"},
		"no row":    {"CREATE TABLE rest PARTITION OF event_master DEFAULT", "101"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApplied(t, declaredMonths+test.sql)
			a.set.Retention.Then, a.set.Ahead = partition.Keep, 0
			snap, act := a.planned(partition.Create, time.Now().UTC().Format("event_2006_01"))
			tx, err := a.Conn(t).Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, st := range Render(a.set, snap, act)[0].Statements {
				runSQL(t, tx.Conn(), st.SQL)
			}
			var waiting errgroup.Group
			var seen int
			reader, writer := a.Conn(t), a.Conn(t)
			waiting.Go(func() error {
				return reader.QueryRow(t.Context(), "SELECT count(*) FROM event_master", pgx.QueryExecModeExec).Scan(&seen)
			})
			a.wait(reader.PgConn().PID())
			waiting.Go(func() error {
				_, err := writer.Exec(t.Context(), "INSERT INTO event_master VALUES (0, 'new', now())", pgx.QueryExecModeExec)
				return err
			})
			a.wait(writer.PgConn().PID())
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := waiting.Wait(); err != nil {
				t.Error(err)
			}
			want(t, "rows", a.one("SELECT count(*) FROM event_master"), test.rows)
			want(t, "rows in the default partition", a.one("SELECT count(*) FROM rest"), "0")
			if want := map[string]int{"102": 101, "101": 100}[test.rows]; seen < want {
				t.Errorf("the query saw %d rows, want %d", seen, want)
			}
		})
	}
}

// TestCreateWhileRowsCome makes a partition of next month beside a default one, while a
// row of that month comes that PostgreSQL has to send somewhere in that very moment. If
// it sent it to the default partition and looked at what belongs there only when the new
// one is there, the INSERT would fail.
func TestCreateWhileRowsCome(t *testing.T) {
	t.Parallel()
	const next = "date_trunc('month', now()) + interval '40 days'"
	for name, test := range map[string]struct{ before, after string }{
		"they wait":             {before: "INSERT INTO event_master VALUES (1, 'first', " + next + ")"},
		"they come since":       {after: "INSERT INTO event_master VALUES (1, 'first', " + next + ")"},
		"this one is the first": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApplied(t, declaredMonths+"CREATE TABLE rest PARTITION OF event_master DEFAULT;"+test.before)
			a.set.Retention.Then, a.set.Limits.LockTimeout = partition.Keep, 20*time.Second
			now := time.Now().UTC()
			snap, act := a.planned(partition.Create, time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC).Format("event_2006_01"))
			a.exec(test.after)
			release := a.hold("LOCK TABLE rest IN ACCESS SHARE MODE")
			made, came := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := a.apply(snap, act)
				made <- err
			}()
			a.wait(a.session.conn.PgConn().PID())
			client := a.Conn(t)
			go func() {
				_, err := client.Exec(t.Context(), "INSERT INTO event_master VALUES (2, 'second', "+next+")", pgx.QueryExecModeExec)
				came <- err
			}()
			a.wait(client.PgConn().PID())
			release()
			if err := <-made; err != nil {
				t.Errorf("making the partition: %v", err)
			}
			if err := <-came; err != nil {
				t.Errorf("the row that came meanwhile: %v", err)
			}
			want(t, "rows in the default partition", a.one("SELECT count(*) FROM ONLY rest"), "0")
			want(t, "the last row is there", a.one("SELECT count(*) FROM "+quoteName(act.Table)+" WHERE id = 2"), "1")
		})
	}
}

// TestReadsLittleBesideDefault: a default partition that has more than a few pages is
// exchanged for another table and not read under a lock, unless something of its own
// would be lost by that; then one that is large, too, is left as it is.
func TestReadsLittleBesideDefault(t *testing.T) {
	t.Parallel()
	const here, elsewhere = "localtimestamp", "timestamp '2100-01-01'"
	rows := func(n int, at string) string {
		return fmt.Sprintf("; INSERT INTO event_master SELECT i, repeat('x', 1000), %s FROM generate_series(1, %d) i", at, n)
	}
	const trigger = `; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER "my own" AFTER INSERT ON rest FOR EACH ROW EXECUTE FUNCTION f()`
	for name, test := range map[string]struct {
		sql       string
		exchanged bool
		refused   string
	}{
		"few":                           {sql: rows(10, here)},
		"some":                          {sql: rows(200, here), exchanged: true},
		"some of another period":        {sql: rows(200, elsewhere), exchanged: true},
		"with a view":                   {sql: rows(200, here) + "; CREATE VIEW v AS SELECT * FROM rest"},
		"with a storage option":         {sql: rows(200, here) + "; ALTER TABLE rest SET (fillfactor = 50)"},
		"with an index":                 {sql: rows(200, here) + "; CREATE INDEX ON rest (id)"},
		"with a trigger":                {sql: rows(200, here) + trigger},
		"large, with a trigger":         {sql: rows(9000, elsewhere) + trigger, refused: `because of the trigger "my own"`},
		"large, with a view":            {sql: rows(9000, elsewhere) + "; CREATE VIEW v AS SELECT * FROM rest", refused: "because of view public.v"},
		"large, with a foreign key":     {sql: rows(9000, elsewhere) + "; CREATE UNIQUE INDEX ON rest (id); CREATE TABLE other (id bigint REFERENCES rest (id))", refused: "because of the foreign key"},
		"more than a batch, a trigger":  {sql: rows(600, here) + trigger, refused: `because of the trigger "my own"`},
		"more than a batch, and plain":  {sql: rows(600, here), exchanged: true},
		"more than a batch, and a view": {sql: rows(600, here) + "; CREATE VIEW v AS SELECT * FROM rest", refused: "because of view public.v"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApplied(t, declaredMonths+"CREATE TABLE rest PARTITION OF event_master DEFAULT"+test.sql)
			a.set.Retention.Then, a.set.Ahead, a.set.SweepBatch = partition.Keep, 0, 500
			snap, act := a.planned(partition.Create, time.Now().UTC().Format("event_2006_01"))
			const oid, all = "SELECT 'rest'::regclass::oid", "SELECT count(*) || ' ' || sum(hashtext(e::text)) FROM event_master e"
			was, had := a.one(oid), a.one(all)
			_, err := a.apply(snap, act)
			if test.refused != "" {
				if err == nil || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("got %v, want %q", err, test.refused)
				}
				want(t, "leftovers", a.one("SELECT count(*) FROM pg_class WHERE relname ~ '^partitiond_'"), "0")
			} else if err != nil {
				t.Fatal(err)
			}
			if exchanged := a.one(oid) != was; exchanged != test.exchanged {
				t.Errorf("exchanged: %t", exchanged)
			}
			want(t, "all rows", a.one(all), had)
		})
	}
}
