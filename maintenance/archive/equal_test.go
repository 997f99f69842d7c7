package archive

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// asked returns StillEqual's answer in a transaction that is rolled back.
func (f *fixture) asked(m Manifest, options pgx.TxOptions, mode string) (answer error) {
	f.t.Helper()
	tx, err := f.conn.BeginTx(f.t.Context(), options)
	if err != nil {
		f.t.Fatal(err)
	}
	defer end(tx)
	if _, err := tx.Exec(f.t.Context(), "LOCK TABLE ONLY "+f.sql()+" IN "+mode+" MODE"); err != nil {
		f.t.Fatal(err)
	}
	answer = StillEqual(f.t.Context(), tx, []Manifest{m}, f.spec.Table, m.Source.OID)
	var zone, rls string
	if err := tx.QueryRow(f.t.Context(), "SELECT current_setting('TimeZone'), current_setting('row_security')").Scan(&zone, &rls); err != nil {
		f.t.Fatal(err)
	}
	if zone != "Asia/Kolkata" || rls != "on" {
		f.t.Errorf("the transaction's settings are now %s and %s", zone, rls)
	}
	return answer
}

func TestStillEqual(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, columns, values string
		change                string
		columnsChange         bool
		same                  bool
		method                HashMethod
	}{
		{name: "untouched", change: "SELECT", same: true},
		{name: "rewritten", change: "UPDATE event SET body = body", same: true},
		{name: "moved on disk", change: "VACUUM FULL event", same: true},
		{name: "column no longer NOT NULL", change: "ALTER TABLE event ALTER at DROP NOT NULL", same: true},
		{name: "row added", change: "INSERT INTO event VALUES ('2018-11-03')"},
		{name: "equal row added", change: "INSERT INTO event SELECT * FROM event LIMIT 1"},
		{name: "two equal rows added", change: "INSERT INTO event SELECT e.* FROM (SELECT * FROM event LIMIT 1) e, generate_series(1, 2)"},
		{
			name: "two equal rows exchanged", columns: "at timestamp, body text", values: "('2018-11-01', 'a'), ('2018-11-01', 'a')",
			change: "UPDATE event SET body = 'z'",
		},
		{name: "row deleted", change: "DELETE FROM event WHERE body = 'a'"},
		{name: "row exchanged", change: "UPDATE event SET body = 'z' WHERE body = 'a'"},
		{name: "values exchanged", change: "UPDATE event SET body = CASE body WHEN 'a' THEN 'b' ELSE 'a' END"},
		{name: "NULL for an empty string", change: "UPDATE event SET body = NULL WHERE body = ''"},
		{name: "emptied", change: "TRUNCATE event"},
		{name: "column added", change: "ALTER TABLE event ADD extra int", columnsChange: true},
		{name: "column dropped", change: "ALTER TABLE event DROP body", columnsChange: true},
		{name: "column renamed", change: "ALTER TABLE event RENAME body TO words", columnsChange: true},
		{name: "column of another type", change: "ALTER TABLE event ALTER body TYPE varchar", columnsChange: true},

		// Equal in SQL, and yet not what the archive holds.
		{name: "scale", columns: "at timestamp, n numeric", values: "('2018-11-01', 1.0)", change: "UPDATE event SET n = 1.00", method: HashText},
		{name: "negative zero", columns: "at timestamp, n float8", values: "('2018-11-01', 0)", change: "UPDATE event SET n = '-0'", method: HashText},
		{name: "interval", columns: "at timestamp, n interval", values: "('2018-11-01', '1 day')", change: "UPDATE event SET n = '24:00'", method: HashText},
		{name: "dimensions", columns: "at timestamp, n int[]", values: "('2018-11-01', '{1,2}')", change: "UPDATE event SET n = '{{1,2}}'", method: HashText},
		{name: "number in jsonb", columns: "at timestamp, n jsonb", values: "('2018-11-01', '1.0')", change: "UPDATE event SET n = '1.00'", method: HashText},
		{
			name: "case", columns: `at timestamp, n text COLLATE "loose"`, values: "('2018-11-01', 'A')",
			change: "UPDATE event SET n = 'a'", method: HashText,
		},
		// A column must not be taken for the row.
		{name: "column named like an alias", columns: "at timestamp, t text, event text", values: "('2018-11-01', 'x', 'y')", change: "UPDATE event SET at = '2018-11-02'"},
		{name: "no hash", columns: "at timestamp, n json", values: "('2018-11-01', '{}')", change: "UPDATE event SET n = '{ }'", method: HashText},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			columns, values, method := "at timestamp NOT NULL, body text", "('2018-11-01', 'a'), ('2018-11-02', 'b'), ('2018-11-02', '')", HashRecord
			if c.columns != "" {
				columns, values = c.columns, c.values
			}
			if c.method != "" {
				method = c.method
			}
			conn := pgtest.New(t).Conn(t)
			if c.name == "case" {
				if _, err := conn.Exec(t.Context(), "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"); err != nil {
					t.Fatal(err)
				}
			}
			f := fixtureOn(t, conn, t.TempDir(), "event", columns)
			f.exec("INSERT INTO event VALUES " + values)
			f.exec("SET TimeZone = 'Asia/Kolkata'")
			m := f.ensure()
			if m.Content.Method != method {
				t.Errorf("the method is %s, want %s", m.Content.Method, method)
			}
			f.exec(c.change)
			err := f.asked(m, pgx.TxOptions{}, "ACCESS EXCLUSIVE")
			if c.same {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			changed, ok := errors.AsType[*ChangedError](err)
			if !ok || !errors.Is(err, ErrChanged) {
				t.Fatalf("got %v", err)
			}
			if changed.Table != f.spec.Table || changed.Want != m.Content || (changed.Columns != "") != c.columnsChange ||
				!c.columnsChange && changed.Got.Rows == changed.Want.Rows && changed.Got.Hash == changed.Want.Hash {
				t.Errorf("got %+v", changed)
			}
		})
	}
}

func TestStillEqualWantsTheLock(t *testing.T) {
	t.Parallel()
	f := newEvents(t)
	f.exec("SET TimeZone = 'Asia/Kolkata'")
	m := f.ensure()
	if err := f.asked(m, pgx.TxOptions{}, "ACCESS EXCLUSIVE"); err != nil {
		t.Errorf("with everything: got %v", err)
	}
	if err := f.asked(m, pgx.TxOptions{}, "ROW EXCLUSIVE"); !errors.Is(err, ErrNotLocked) {
		t.Errorf("with a weaker lock: got %v", err)
	}
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		if err := f.asked(m, pgx.TxOptions{IsoLevel: level}, "ACCESS EXCLUSIVE"); !errors.Is(err, ErrNotLocked) {
			t.Errorf("at %s: got %v", level, err)
		}
	}
	other := m
	other.Source.OID++
	if err := f.asked(other, pgx.TxOptions{}, "ACCESS EXCLUSIVE"); !errors.Is(err, ErrOtherTable) {
		t.Errorf("with another table's manifest: got %v", err)
	}
}
