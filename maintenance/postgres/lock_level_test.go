package postgres

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// lockModes are PostgreSQL's, the weakest first, as a dry run and as pg_locks call
// them (PostgreSQL documentation, 13.3.1 Table-Level Locks).
var lockModes = []struct{ words, mode string }{
	{"ACCESS SHARE", "AccessShareLock"}, {"ROW SHARE", "RowShareLock"}, {"ROW EXCLUSIVE", "RowExclusiveLock"},
	{"SHARE UPDATE EXCLUSIVE", "ShareUpdateExclusiveLock"}, {"SHARE", "ShareLock"}, {"SHARE ROW EXCLUSIVE", "ShareRowExclusiveLock"},
	{"EXCLUSIVE", "ExclusiveLock"}, {"ACCESS EXCLUSIVE", "AccessExclusiveLock"},
}

// strength is a lock's place among the modes, and 0 for none.
func strength(t *testing.T, name string) int {
	t.Helper()
	for i, m := range lockModes {
		if name == m.words || name == m.mode {
			return i + 1
		}
	}
	t.Fatalf("there is no lock %q", name)
	return 0
}

// promise reads what a statement's lock is in words: the strongest lock by table.
func promise(t *testing.T, words string) map[string]int {
	t.Helper()
	locks := map[string]int{}
	if words == lockNone {
		return locks
	}
	for part := range strings.SplitSeq(words, "; ") {
		if part == "the new table is nobody else's yet" {
			continue
		}
		m := regexp.MustCompile(`^([A-Z ]+) on (.+)$`).FindStringSubmatch(part)
		if m == nil {
			t.Fatalf("cannot read the lock %q", words)
		}
		for table := range strings.SplitSeq(strings.Replace(m[2], "each partition", "public.event_2018_11 and public.event_2018_12", 1), " and ") {
			locks[table] = strength(t, m[1])
		}
	}
	return locks
}

// locksOf returns the strongest lock that a session has or waits for, by user table.
func (a *applied) locksOf(pid uint32) map[string]int {
	a.t.Helper()
	rows, err := a.conn.Query(a.t.Context(), `SELECT DISTINCT s.nspname || '.' || c.relname, l.mode
		FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_namespace AS s ON s.oid = c.relnamespace
		WHERE l.pid = $1 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		  AND c.relkind IN ('r', 'p') AND s.nspname NOT IN ('pg_catalog', 'pg_toast')`, int32(pid))
	if err != nil {
		a.t.Fatal(err)
	}
	locks := map[string]int{}
	var table, mode string
	if _, err := pgx.ForEachRow(rows, []any{&table, &mode}, func() error {
		locks[table] = max(locks[table], strength(a.t, mode))
		return nil
	}); err != nil {
		a.t.Fatal(err)
	}
	return locks
}

// named turns locks into words, to be compared.
func named(locks map[string]int) string {
	var out []string
	for table, n := range locks {
		out = append(out, lockModes[n-1].words+" on "+table)
	}
	slices.Sort(out)
	return cmp.Or(strings.Join(out, ", "), lockNone)
}

// TestLockLevels runs each statement of every kind of action and looks at the locks
// that it has then: they are those that a dry run prints, no stronger, and on no other
// tables.
func TestLockLevels(t *testing.T) {
	t.Parallel()
	child := partition.Name{Schema: "public", Local: "event_2018_11"}
	seen := map[partition.Kind]bool{}
	const months = twoMonths + `; CREATE TABLE elsewhere (created_at timestamp); CREATE SCHEMA old; CREATE PUBLICATION changes;
		ALTER TABLE event_2018_12 DROP CONSTRAINT partition_bounds;
		ALTER TABLE event_2018_12 ADD CONSTRAINT partition_bounds CHECK (created_at >= '2018-12-01' AND created_at < '2019-01-01') NOT VALID;
		ALTER TABLE event_2018_11 ADD CONSTRAINT old CHECK (created_at >= '2018-01-01');
		CREATE INDEX leftover ON event_2018_11 (body)`
	type test struct {
		name string
		a    partition.Action
		then func(*partition.Set, *partition.Snapshot)
	}
	tests := []test{
		{name: "constrain", a: partition.Action{Kind: partition.Constrain, Constraint: "range", Exists: partition.ConstraintAbsent,
			Replaces: []partition.BoundsCheck{{Name: "old"}}}},
		{name: "index", a: partition.Action{Kind: partition.Index, Invalid: []string{"leftover"}, Changes: []partition.Change{{Missing: true,
			Want: partition.Property{Kind: partition.PropIndex, Name: "UNIQUE USING btree (created_at)", Value: "unique constraint"}}}}},
		{name: "index of a primary key", a: partition.Action{Kind: partition.Index, Changes: []partition.Change{{Missing: true,
			Want: partition.Property{Kind: partition.PropIndex, Name: "UNIQUE USING btree (id)", Value: "primary key"}}}}},
		{name: "sweep", a: partition.Action{Kind: partition.Sweep, Rows: 1}},
		{name: "drop", a: partition.Action{Kind: partition.Retire, Then: partition.Drop}},
		{name: "archive", a: partition.Action{Kind: partition.Retire, Then: partition.Archive}},
		{name: "detach", a: partition.Action{Kind: partition.Retire, Then: partition.Detach}},
		{name: "detach to a schema", a: partition.Action{Kind: partition.Retire, Then: partition.Detach},
			then: func(set *partition.Set, _ *partition.Snapshot) { set.Retention.Schema = "old" }},
		{name: "analyze", a: partition.Action{Kind: partition.Analyze}},
		{name: "create", a: partition.Action{Kind: partition.Create}},
		{name: "route", a: partition.Action{Kind: partition.RouteRows}},
		{name: "route, with a trigger that is disabled", a: partition.Action{Kind: partition.RouteRows},
			then: func(_ *partition.Set, snap *partition.Snapshot) {
				snap.Parent.Routing.Trigger, snap.Parent.Routing.Disabled = true, true
			}},
	}
	for _, test := range tests {
		seen[test.a.Kind] = true
	}
	// One kind of property after another, as Align brings it to a partition that is there.
	for _, p := range lockProperties {
		seen[partition.Align] = true
		tests = append(tests, test{name: fmt.Sprintf("align %s %s", p.Kind, p.Name), a: partition.Action{Kind: partition.Align, Changes: []partition.Change{{Want: p, Missing: true}}}})
	}
	for _, kind := range allKinds(t, "plan.go", "Kind") {
		if !seen[partition.Kind(kind)] && !slices.Contains(declaredKinds, partition.Kind(kind)) {
			t.Errorf("there is no action of kind %q", kind)
		}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := newApplied(t, months)
			snap, act := a.observe(), test.a
			if act.Kind == partition.Create || act.Kind == partition.RouteRows {
				table := "event_master"
				if act.Kind == partition.Create {
					table = time.Now().UTC().Format("event_2006_01")
				}
				snap, act = a.planned(act.Kind, table)
			} else {
				act.Table, act.Bounds = child, november
				if act.Kind == partition.Analyze {
					act.Table = a.set.Parent
				}
				i := slices.IndexFunc(snap.Partitions, func(c partition.Partition) bool { return c.Name == child })
				act.OID = snap.Partitions[i].OID
			}
			if test.then != nil {
				test.then(&a.set, &snap)
				if snap.Parent.Routing.Disabled {
					a.exec(routeFunctionsSQL(act) + `CREATE TRIGGER insert_event_trigger BEFORE INSERT ON event_master FOR EACH ROW EXECUTE FUNCTION event_insert_function(); ALTER TABLE event_master DISABLE TRIGGER ALL`)
				}
			}
			for _, step := range Render(a.set, snap, act) {
				a.checkLocks(step)
			}
		})
	}
}

// lockProperties are what Align brings: each kind, and an option for each strength.
var lockProperties = []partition.Property{
	{Kind: partition.PropOwner, Value: "pg_monitor"},
	{Kind: partition.PropGrant, Name: "pg_monitor\tSELECT"},
	{Kind: partition.PropColumnGrant, Name: "body\tpg_monitor\tUPDATE"},
	{Kind: partition.PropOption, Name: "fillfactor", Value: "77"},
	{Kind: partition.PropOption, Name: "autovacuum_enabled", Value: "false"},
	{Kind: partition.PropOption, Name: "user_catalog_table", Value: "true"},
	{Kind: partition.PropOption, Name: "toast.autovacuum_enabled", Value: "false"},
	{Kind: partition.PropDefault, Name: "body", Value: "'x'"},
	{Kind: partition.PropNotNull, Name: "body"},
	{Kind: partition.PropColumnStorage, Name: "body", Value: "EXTERNAL"},
	{Kind: partition.PropReplicaIdentity, Value: "full"},
	{Kind: partition.PropPolicy, Name: "p", Value: "AS PERMISSIVE FOR SELECT TO pg_monitor USING (true)"},
	{Kind: partition.PropRowSecurity, Value: "on"},
	{Kind: partition.PropComment, Value: "x"},
	{Kind: partition.PropColumnComment, Name: "body", Value: "x"},
	{Kind: partition.PropPublication, Name: "changes"},
}

func routeFunctionsSQL(a partition.Action) (sql string) {
	for _, f := range routeFunctions(*a.Route) {
		sql += f + ";\n"
	}
	return sql
}

// checkLocks runs a step and compares the locks after each of its statements with the
// strongest that was promised up to there.
func (a *applied) checkLocks(step Step) {
	a.t.Helper()
	promised := map[string]int{}
	also := func(st Statement) {
		for table, n := range promise(a.t, st.Lock) {
			promised[table] = max(promised[table], n)
		}
	}
	conn := a.Conn(a.t)
	check := func(sql string, locks map[string]int) {
		a.t.Helper()
		// What does not exist for others yet cannot be in their way.
		for table := range locks {
			if a.one(fmt.Sprintf("SELECT to_regclass('%s') IS NULL", table)) == "true" {
				delete(locks, table)
			}
		}
		if got, want := named(locks), named(promised); got != want {
			a.t.Errorf("%s\ntakes     %s\nand says  %s", brief(sql), got, want)
		}
	}
	if step.Alone && strings.Contains(step.Statements[0].SQL, " CONCURRENTLY ") {
		// It waits for a writer of the table, with its lock.
		st := step.Statements[0]
		also(st)
		release := a.hold("DELETE FROM event_2018_11 WHERE false")
		result := make(chan error, 1)
		go func() { _, err := conn.Exec(a.t.Context(), st.SQL); result <- err }()
		a.wait(conn.PgConn().PID())
		check(st.SQL, a.locksOf(conn.PgConn().PID()))
		release()
		// The rest of a build goes past a reader whose transaction is open, so it waits for
		// no stronger lock. DROP INDEX does wait for who may be reading by the index.
		release = func() {}
		if strings.HasPrefix(st.SQL, "CREATE ") {
			release = a.hold("SELECT FROM event_2018_11")
		}
		if err := <-result; err != nil {
			a.t.Errorf("%s: %v", st.SQL, err)
		}
		release()
		return
	}
	tx, err := conn.Begin(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	for _, st := range step.Statements {
		also(st)
		if _, err := tx.Exec(a.t.Context(), st.SQL); err != nil {
			a.t.Fatalf("%s: %v", st.SQL, err)
		}
		check(st.SQL, a.locksOf(conn.PgConn().PID()))
	}
	if err := tx.Commit(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
}

// TestRemovalLeavesOthersAlone removes a month, with all that looks again before,
// while the parent may be read and not written, and the other month not even read.
func TestRemovalLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	for _, then := range []partition.Then{partition.Drop, partition.Detach, partition.Archive} {
		t.Run(string(then), func(t *testing.T) {
			t.Parallel()
			a := newApplied(t, twoMonths)
			a.set.Retention.Then, a.set.Limits.Retries = then, 0
			snap, act := a.planned(partition.Retire, "event_2018_11")
			// EXCLUSIVE lets only ACCESS SHARE in.
			release := a.hold("LOCK TABLE ONLY event_master IN EXCLUSIVE MODE; LOCK TABLE event_2018_12 IN ACCESS EXCLUSIVE MODE")
			if _, err := a.apply(snap, act); err != nil {
				t.Error(err)
			}
			release()
			want(t, "rows", a.one("SELECT count(*) FROM event_master"), "100")
		})
	}
}
