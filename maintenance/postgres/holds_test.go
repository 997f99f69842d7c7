package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

var novemberBounds = partition.Bounds{From: partition.At(time.Date(2018, 11, 1, 0, 0, 0, 0, time.UTC)), To: partition.At(time.Date(2018, 12, 1, 0, 0, 0, 0, time.UTC))}

func (a *applied) addHold(h partition.Hold) int64 {
	a.t.Helper()
	if h.Kind == "" {
		h.Kind = partition.HoldManual
	}
	h.Reason = "case"
	id, err := AddHold(a.t.Context(), a.conn, a.set.Parent, h)
	if err != nil {
		a.t.Fatal(err)
	}
	return id
}

// What is added is listed, seen by an observation, and removed.
func TestHoldRows(t *testing.T) {
	t.Parallel()
	a := newApplied(t, twoMonths)
	if holds, err := Holds(t.Context(), a.conn, a.set.Parent); err != nil || len(holds) != 0 {
		t.Errorf("without a table: %v, %v", holds, err)
	}
	if err := RemoveHold(t.Context(), a.conn, 1); !errors.Is(err, ErrNoHold) {
		t.Errorf("without a table: %v", err)
	}
	until := time.Date(2027, 1, 1, 0, 0, 0, 1000, time.UTC)
	added := []partition.Hold{
		{Bounds: novemberBounds, Kind: partition.HoldManual},
		{Bounds: partition.Everywhere, Until: until, Kind: partition.HoldLate, OID: 1<<32 - 1, MadeBy: "somebody"},
		{Bounds: partition.Bounds{From: novemberBounds.To, To: partition.PlusInfinity}, Kind: partition.HoldRestore},
	}
	for i, h := range added {
		if id := a.addHold(h); id != int64(i+1) {
			t.Errorf("the number is %d", id)
		}
	}
	other, err := AddHold(t.Context(), a.conn, partition.Name{Schema: "x", Local: "y"}, partition.Hold{Bounds: partition.Everywhere, Kind: partition.HoldManual, Reason: "r"})
	if err != nil {
		t.Fatal(err)
	}
	listed, err := Holds(t.Context(), a.conn, a.set.Parent)
	if err != nil {
		t.Fatal(err)
	}
	observed := a.observe()
	want(t, "why holds were not seen", observed.HoldsUnseen, "")
	if len(listed) != len(added) {
		t.Fatalf("listed are %v", listed)
	}
	for i, h := range listed {
		if diff := cmp.Diff(h.Hold, observed.Holds[i]); diff != "" {
			t.Errorf("listed and observed (-listed +observed):\n%s", diff)
		}
		if h.MadeAt.IsZero() || h.MadeBy == "" || h.Parent != a.set.Parent {
			t.Errorf("not filled in: %+v", h)
		}
		w := added[i]
		w.ID, w.Reason, w.MadeAt = int64(i+1), "case", h.MadeAt
		if w.MadeBy == "" {
			w.MadeBy = a.one("session_user")
		}
		if diff := cmp.Diff(w, h.Hold); diff != "" {
			t.Errorf("added and listed (-added +listed):\n%s", diff)
		}
	}
	if all, err := Holds(t.Context(), a.conn, partition.Name{}); err != nil || len(all) != 4 || all[3].ID != other {
		t.Errorf("all are %v, %v", all, err)
	}
	if err := RemoveHold(t.Context(), a.conn, 2); err != nil {
		t.Error(err)
	}
	if err := RemoveHold(t.Context(), a.conn, 2); !errors.Is(err, ErrNoHold) {
		t.Errorf("removed twice: %v", err)
	}
	// A table of late rows is not held twice.
	want(t, "left", a.one("SELECT string_agg(kind || CASE WHEN until <= now() THEN ' is over' ELSE '' END, ', ' ORDER BY id) FROM partitiond.hold"),
		"manual, restore, manual, late is over")
	for _, bad := range []partition.Hold{{Bounds: partition.Everywhere, Kind: "other", Reason: "r"}, {Bounds: partition.Everywhere, Kind: partition.HoldManual},
		{Bounds: partition.Bounds{From: novemberBounds.To, To: novemberBounds.From}, Kind: partition.HoldManual, Reason: "r"}} {
		if _, err := AddHold(t.Context(), a.conn, a.set.Parent, bad); pgCode(err) != "23514" {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// Observing holds takes no further round trip, for however many sets.
func TestHoldRoundTrips(t *testing.T) {
	t.Parallel()
	a := newApplied(t, twoMonths)
	a.addHold(partition.Hold{Bounds: novemberBounds})
	conn, c := countedConn(t, a.URL)
	other := a.set
	other.Parent.Local = "absent"
	c.count()
	snaps, err := Observe(t.Context(), conn, []partition.Set{other, a.set})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.count(); got != 3 {
		t.Errorf("%d round trips, want 3", got)
	}
	if len(snaps[0].Holds) != 0 || len(snaps[1].Holds) != 1 {
		t.Errorf("the holds are %v and %v", snaps[0].Holds, snaps[1].Holds)
	}
}

// TestHoldStopsRemoval adds a hold between the plan and the removal. Only what it
// covers stays.
func TestHoldStopsRemoval(t *testing.T) {
	t.Parallel()
	for _, then := range []partition.Then{partition.Drop, partition.Detach, partition.Archive} {
		t.Run(string(then), func(t *testing.T) {
			t.Parallel()
			a := newApplied(t, twoMonths)
			a.set.Retention.Then = then
			snap, act := a.planned(partition.Retire, "event_2018_11")
			_, next := a.planned(partition.Retire, "event_2018_12")
			a.addHold(partition.Hold{Bounds: novemberBounds, Until: time.Now().Add(time.Hour)})
			a.addHold(partition.Hold{Bounds: partition.Everywhere, Until: time.Now().Add(-time.Hour)})
			a.addHold(partition.Hold{Bounds: partition.Everywhere, OID: act.OID, Kind: partition.HoldLate})
			if _, err := a.apply(snap, act); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "it is held for ever (case)") {
				t.Errorf("got %v, want %v", err, ErrHeld)
			}
			want(t, "rows", a.one("SELECT count(*) FROM event_2018_11"), "100")
			want(t, "children", a.one("SELECT count(*) FROM pg_inherits"), "2")
			if _, err := a.apply(snap, next); err != nil {
				t.Error(err)
			}
			want(t, "children", a.one("SELECT count(*) FROM pg_inherits"), "1")
		})
	}
}

// withAndWithoutTables runs a test where the table of holds is there from the
// beginning, and where it is made meanwhile.
func withAndWithoutTables(t *testing.T, test func(*testing.T, *applied)) {
	t.Parallel()
	for _, installed := range []bool{true, false} {
		t.Run(fmt.Sprintf("with the table there before %t", installed), func(t *testing.T) {
			t.Parallel()
			a := newApplied(t, twoMonths)
			if installed {
				if err := InstallTables(t.Context(), a.conn); err != nil {
					t.Fatal(err)
				}
			}
			test(t, a)
		})
	}
}

// TestHoldWaitsForRemoval adds a hold while a removal is past its last look: the
// hold waits until that is committed, whether or not its table was there before.
func TestHoldWaitsForRemoval(t *testing.T) {
	withAndWithoutTables(t, func(t *testing.T, a *applied) {
		a.exec(`CREATE FUNCTION wait() RETURNS event_trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$ BEGIN PERFORM pg_advisory_xact_lock(42); END $$;
		CREATE EVENT TRIGGER wait ON ddl_command_start WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION wait()`)
		snap, act := a.planned(partition.Retire, "event_2018_11")
		release := a.hold("SELECT pg_advisory_xact_lock(42)")
		removed, added := make(chan error, 1), make(chan error, 1)
		go func() { _, err := a.apply(snap, act); removed <- err }()
		a.wait(a.session.Conn().PgConn().PID())
		conn := a.Conn(t)
		go func() {
			_, err := AddHold(t.Context(), conn, a.set.Parent, partition.Hold{Bounds: novemberBounds, Kind: partition.HoldManual, Reason: "case"})
			added <- err
		}()
		a.wait(conn.PgConn().PID())
		release()
		if err := errors.Join(<-removed, <-added); err != nil {
			t.Error(err)
		}
		want(t, "the table and holds", a.one("SELECT coalesce(to_regclass('event_2018_11')::text, 'gone') || ' ' || count(*) FROM partitiond.hold"), "gone 1")
	})
}

// TestHoldInTransaction: a removal does not overtake a hold that is being added,
// or a table of holds that is being made, and does not wait for long either.
func TestHoldInTransaction(t *testing.T) {
	withAndWithoutTables(t, func(t *testing.T, a *applied) {
		snap, act := a.planned(partition.Retire, "event_2018_11")
		tx, err := a.Conn(t).Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := AddHold(t.Context(), tx, a.set.Parent, partition.Hold{Bounds: novemberBounds, Kind: partition.HoldManual, Reason: "case"}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.apply(snap, act); !retryable(err) {
			t.Errorf("got %v, want a lock that was not to be had", err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := a.apply(snap, act); !errors.Is(err, ErrHeld) {
			t.Errorf("got %v, want %v", err, ErrHeld)
		}
		want(t, "rows", a.one("SELECT count(*) FROM event_2018_11"), "100")
	})
}

// TestHoldsUnread: whatever keeps the holds from being read keeps everything, and
// the other facts are seen all the same.
func TestHoldsUnread(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, sql, why string
		// code is of the removal's error, "" if it is not the server's.
		code string
	}{
		{"a column is missing", "ALTER TABLE partitiond.hold DROP COLUMN until", "column h.until does not exist", "42703"},
		{"a column is something else", "ALTER TABLE partitiond.hold DROP COLUMN lower, ADD COLUMN lower text DEFAULT 'soon'", "function pg_catalog.extract(unknown, text) does not exist", ""},
		{"a value is out of range", "ALTER TABLE partitiond.hold DROP CONSTRAINT hold_made_at_check; UPDATE partitiond.hold SET made_at = 'infinity'", "cannot convert infinity to bigint", "-"},
		{"it is a view", "ALTER TABLE partitiond.hold RENAME TO holds; CREATE VIEW partitiond.hold AS SELECT * FROM partitiond.holds WHERE false", "it is not a table", "-"},
		{"no privilege on the schema", "REVOKE ALL ON SCHEMA partitiond FROM keeper", "the role may not read it", "42501"},
		{"no privilege on the table", "REVOKE SELECT ON partitiond.hold FROM keeper", "the role may not read it", "42501"},
		{"only to read", "REVOKE DELETE, INSERT ON partitiond.hold FROM keeper", "the role may read but not lock it", "42501"},
		{"row security", "ALTER TABLE partitiond.hold ENABLE ROW LEVEL SECURITY", `query would be affected by row-level security policy for table "hold"`, "42501"},
		{"locked", "LOCK", "canceling statement due to lock timeout", "55P03"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := newApplied(t, twoMonths)
			keeper, owner := a.Role(t, "keeper"), a.Role(t, "owner")
			a.exec(fmt.Sprintf(`GRANT %[2]s TO %[1]s; GRANT USAGE, CREATE ON SCHEMA public TO %[2]s; GRANT USAGE ON SCHEMA public TO %[1]s;
				ALTER TABLE event_master OWNER TO %[2]s; ALTER TABLE event_2018_11 OWNER TO %[2]s; ALTER TABLE event_2018_12 OWNER TO %[2]s`, keeper, owner))
			a.addHold(partition.Hold{Bounds: novemberBounds, OID: 1, Until: time.Now().Add(-time.Hour)})
			a.exec(fmt.Sprintf("GRANT USAGE ON SCHEMA partitiond TO %[1]s; GRANT SELECT, INSERT, DELETE ON partitiond.hold TO %[1]s", keeper))
			a.actAs(keeper)
			snap, act := a.planned(partition.Retire, "event_2018_11")
			admin := a.Conn(t)
			if test.sql == "LOCK" {
				a.hold("LOCK TABLE partitiond.hold IN ACCESS EXCLUSIVE MODE")
			} else {
				runSQL(t, admin, strings.ReplaceAll(test.sql, "keeper", keeper))
			}
			seen := a.observe()
			if !strings.Contains(seen.HoldsUnseen, test.why) || seen.HoldsUnseen == "" {
				t.Errorf("unseen because %q, want %q", seen.HoldsUnseen, test.why)
			}
			if len(seen.Partitions) != 2 || len(seen.Holds) != 0 {
				t.Errorf("seen are %+v", seen)
			}
			if plan := partition.Make(a.set, seen); len(plan.Withheld) != 2 || len(plan.Held) != 0 {
				t.Errorf("the plan is %v, withheld %v, held %v", plan.Actions, plan.Withheld, plan.Held)
			}
			if test.code == "-" {
				return // The removal itself can tell what is held.
			}
			if _, err := a.apply(snap, act); err == nil || pgCode(err) != test.code {
				t.Errorf("the removal: got %v, want %q", err, test.code)
			}
			var rows int
			if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM event_2018_11").Scan(&rows); err != nil || rows != 100 {
				t.Errorf("%d rows, %v", rows, err)
			}
		})
	}
}

// actAs has everything done by another role from here on.
func (a *applied) actAs(role string) {
	a.t.Helper()
	if err := a.lock.Release(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	a.conn = a.ConnAs(a.t, role)
	a.begin(a.URLAs(role))
}

// TestHoldsOfAnotherRole: the owner of a set's tables need not know of holds; the
// session's role does. Without holds its removals go on.
func TestHoldsOfAnotherRole(t *testing.T) {
	t.Parallel()
	a := newApplied(t, twoMonths)
	keeper, owner := a.Role(t, "keeper"), a.Role(t, "owner")
	a.exec(fmt.Sprintf(`GRANT %[2]s TO %[1]s; GRANT USAGE, CREATE ON SCHEMA public TO %[2]s; GRANT USAGE ON SCHEMA public TO %[1]s;
		ALTER TABLE event_master OWNER TO %[2]s; ALTER TABLE event_2018_11 OWNER TO %[2]s; ALTER TABLE event_2018_12 OWNER TO %[2]s`, keeper, owner))
	a.exec(TablesSQL(keeper))
	want(t, "owners", a.one("SELECT string_agg(DISTINCT pg_get_userbyid(o), ' ') FROM (SELECT relowner o FROM pg_class WHERE relname = 'hold' UNION ALL SELECT nspowner FROM pg_namespace WHERE nspname = 'partitiond') x"), keeper)
	a.actAs(keeper)
	snap, act := a.planned(partition.Retire, "event_2018_11")
	_, next := a.planned(partition.Retire, "event_2018_12")
	a.addHold(partition.Hold{Bounds: novemberBounds})
	if _, err := a.apply(snap, act); !errors.Is(err, ErrHeld) {
		t.Errorf("got %v, want %v", err, ErrHeld)
	}
	if _, err := a.apply(snap, next); err != nil {
		t.Error(err)
	}
	want(t, "children", a.one("SELECT count(*) FROM pg_inherits"), "1")
}

// TestInstallTables: nobody gets anything that he did not have, and what is there stays.
func TestInstallTables(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	admin := db.Conn(t)
	keeper, second, stranger := db.Role(t, "keeper"), db.Role(t, "second"), db.Role(t, "stranger")
	tx, err := db.ConnAs(t, keeper).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := partition.Hold{Bounds: partition.Everywhere, Kind: partition.HoldManual, Reason: "case"}
	parent := partition.Name{Schema: "s", Local: "p"}
	if _, err := AddHold(t.Context(), tx, parent, h); !errors.Is(err, ErrHoldsMissing) {
		t.Errorf("got %v, want %v", err, ErrHoldsMissing)
	}
	if _, err := tx.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("the transaction does not go on: %v", err)
	}
	_ = tx.Rollback(t.Context())
	runSQL(t, admin, "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC; ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO PUBLIC")
	// What an administrator runs twice, for two roles.
	runSQL(t, admin, TablesSQL(keeper), TablesSQL(keeper), TablesSQL(second))
	for _, role := range []string{keeper, second} {
		if _, err := AddHold(t.Context(), db.ConnAs(t, role), parent, h); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
	var pgErr *pgconn.PgError
	if _, err := AddHold(t.Context(), db.ConnAs(t, stranger), parent, h); !errors.As(err, &pgErr) || pgErr.Code != "42501" {
		t.Errorf("a stranger: %v", err)
	}
	holds, err := Holds(t.Context(), admin, parent)
	if err != nil || len(holds) != 2 || holds[1].MadeBy != second {
		t.Errorf("the holds are %v, %v", holds, err)
	}
}

// A role that may create schemas makes its own table of holds, once.
func TestAddHoldInstalls(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	keeper := db.Role(t, "keeper")
	runSQL(t, db.Conn(t), "GRANT CREATE ON DATABASE "+db.Name+" TO "+keeper)
	for i := range 2 {
		h := partition.Hold{Bounds: partition.Everywhere, Kind: partition.HoldManual, Reason: "case"}
		if id, err := AddHold(t.Context(), db.ConnAs(t, keeper), partition.Name{Schema: "s", Local: "p"}, h); err != nil || id != int64(i+1) {
			t.Errorf("hold %d, %v", id, err)
		}
	}
}
