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
