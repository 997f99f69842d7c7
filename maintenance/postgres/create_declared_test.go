package postgres

import (
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
