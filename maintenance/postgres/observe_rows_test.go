package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// straysOf describes the rows in the parent, a group a line.
func straysOf(snap partition.Snapshot) string {
	var lines []string
	for _, s := range snap.Strays {
		where := "outside"
		if !s.Outside {
			where = s.Period.String()
		}
		lines = append(lines, fmt.Sprintf("%d of %s: %s", s.Rows, where, strings.Join(s.Examples, ", ")))
	}
	if snap.StraysUnseen != "" {
		lines = append(lines, "unseen: "+snap.StraysUnseen)
	}
	return strings.Join(lines, "\n")
}

// Where no CHECK proves the bounds, the rows are looked at.
func TestObserveRows(t *testing.T) {
	t.Parallel()
	o := newObserved(t, "CREATE TABLE event_master (id serial, created_at timestamp, CONSTRAINT positive CHECK (id > 0))")
	make := func(name, rows, checks string) {
		o.exec("CREATE TABLE "+name+" () INHERITS (event_master)", "INSERT INTO "+name+" (created_at) VALUES "+rows)
		if checks != "" {
			o.exec("ALTER TABLE " + name + " " + checks)
		}
	}
	const november = "CHECK (created_at >= '2018-11-01' AND created_at < '2018-12-01')"
	make("one_period", "('2018-11-01'), ('2018-11-30 23:59:59.999999')", "")
	make("two_periods", "('2018-11-01'), ('2018-12-01')", "")
	make("with_null", "('2018-11-01'), (NULL), (NULL)", "")
	make("only_null", "(NULL)", "")
	make("infinite", "('infinity')", "")
	make("minus_infinite", "('-infinity'), ('2018-11-01')", "")
	make("unreadable", "('2018-11-07')", "ADD CHECK (to_char(created_at, 'YYYY_MM') = '2018_11')")
	make("before_christ", "('0044-03-15 BC')", "")
	make("claimed", "('2018-11-01'), (NULL)", "ADD "+november+" NOT VALID")
	make("claimed_wrongly", "('2018-10-31 23:59:59'), ('2018-11-01'), ('2018-12-01'), ('infinity')", "ADD "+november+" NOT VALID")
	make("claimed_half", "('2018-12-07')", "ADD CHECK (created_at >= '2018-11-01'), ADD CHECK (created_at < '2018-12-01') NOT VALID")
	make("proved_twice", "('2018-11-07')", "ADD "+november+", ADD CHECK (created_at < '2018-11-20') NOT VALID")
	make("claimed_by_day", "('2018-12-07')", "ADD CHECK (date_trunc('day', created_at) >= '2018-11-01' AND date_trunc('day', created_at) < '2018-12-01') NOT VALID")
	o.exec("CREATE TABLE nothing () INHERITS (event_master)", "CREATE TABLE claimed_nothing () INHERITS (event_master)", "ALTER TABLE claimed_nothing ADD "+november+" NOT VALID")
	var got []string
	for _, c := range o.one("event_master").Partitions {
		got = append(got, c.Name.Local+": "+boundsOf(c))
	}
	compareLines(t, "partitions", strings.Join(got, "\n"), `
		before_christ: rows [-0043-03-01, -0043-04-01)
		claimed: claimed [2018-11-01, 2018-12-01)
		claimed_by_day: claimed [2018-11-01, 2018-12-01) violated by 1, 0 null: 2018-12-07 00:00:00
		claimed_half: claimed [2018-11-01, 2018-12-01) violated by 1, 0 null: 2018-12-07 00:00:00
		claimed_nothing: claimed [2018-11-01, 2018-12-01) empty
		claimed_wrongly: claimed [2018-11-01, 2018-12-01) violated by 3, 0 null: 2018-10-31 23:59:59, infinity
		infinite: unknown [-infinity, infinity) violated by 1, 0 null: infinity
		minus_infinite: unknown [-infinity, infinity) violated by 2, 0 null: -infinity, 2018-11-01 00:00:00
		nothing: unknown [-infinity, infinity) empty
		one_period: rows [2018-11-01, 2018-12-01)
		only_null: unknown [-infinity, infinity) violated by 1, 1 null:
		proved_twice: check [2018-11-01, 2018-12-01)
		two_periods: unknown [-infinity, infinity) violated by 2, 0 null: 2018-11-01 00:00:00, 2018-12-01 00:00:00
		unreadable: rows [2018-11-01, 2018-12-01)
		with_null: unknown [-infinity, infinity) violated by 3, 2 null: 2018-11-01 00:00:00`)
}

// Rows in the parent are grouped by the period they belong to. What is outside of
// the window belongs somewhere only if its partition is there.
func TestObserveStrays(t *testing.T) {
	t.Parallel()
	o := newObserved(t, `CREATE TABLE event_master (created_at timestamp);
		CREATE TABLE old (CHECK (created_at >= '1888-01-01' AND created_at < '1888-03-01')) INHERITS (event_master);
		CREATE TABLE unknown () INHERITS (event_master); INSERT INTO unknown VALUES ('1777-01-01'), ('1777-03-01')`)
	compare(t, "none", straysOf(o.one("event_master")), "")
	o.exec(`INSERT INTO event_master VALUES (NULL), ('infinity'), ('-infinity'), ('1888-02-29'), ('1888-03-01'), ('1777-02-01'), ('4000-01-01 12:00'),
		('2018-11-01'), ('2018-11-30 23:59:59.999999'), ('2018-11-02'), ('2018-11-02 01:00'), ('2018-12-01')`)
	snap := o.one("event_master")
	compareLines(t, "strays", straysOf(snap), `
		1 of [1888-02-01, 1888-03-01): 1888-02-29 00:00:00
		4 of [2018-11-01, 2018-12-01): 2018-11-01 00:00:00, 2018-11-02 00:00:00, 2018-11-02 01:00:00
		1 of [2018-12-01, 2019-01-01): 2018-12-01 00:00:00
		6 of outside: 1777-02-01 00:00:00, 1888-03-01 00:00:00, 4000-01-01 12:00:00`)
	o.exec("DELETE FROM event_master WHERE isfinite(created_at)")
	compareLines(t, "without a period", straysOf(o.one("event_master")), "3 of outside: NULL, -infinity, infinity")
	// The window opens and closes by the server's clock, a period at once.
	o.exec("TRUNCATE event_master; INSERT INTO event_master SELECT date_trunc('month', now()::timestamp) + make_interval(months => n) FROM generate_series(-5, 5) AS g (n)")
	set := monthly("event_master")
	set.Window = partition.Window{Past: partition.Interval{N: 2, Unit: partition.Month}, Future: partition.Interval{N: 1, Unit: partition.Month}}
	snap = o.observe(set)[0]
	// From two months ago to next month, each begun: that is four.
	if len(snap.Strays) != 5 || !snap.Strays[4].Outside || snap.Strays[4].Rows != 7 {
		t.Errorf("with a narrow window:\n%s", straysOf(snap))
	}
}

// Many strays of many periods among many partitions are a matter of sorting.
func TestObserveHomes(t *testing.T) {
	t.Parallel()
	at := func(from, to int) partition.Bounds {
		return partition.Bounds{From: partition.At(time.Unix(int64(from), 0)), To: partition.At(time.Unix(int64(to), 0))}
	}
	known := func(b partition.Bounds) partition.Partition {
		return partition.Partition{Bounds: b, Known: partition.BoundsFromCheck}
	}
	partitions := []partition.Partition{known(at(40, 50)), known(at(0, 30)), known(at(10, 20)), known(at(60, 55)), {Bounds: partition.Everywhere, Known: partition.BoundsUnknown}}
	test := func(has func(partition.Bounds) bool, b partition.Bounds, expected bool) {
		t.Helper()
		if has(b) != expected {
			t.Errorf("%s has a home: %t", b, !expected)
		}
	}
	has := homes(partitions)
	test(has, at(0, 30), true)
	test(has, at(25, 30), true) // Behind the end of one that begins later.
	test(has, at(25, 31), false)
	test(has, at(-1, 2), false)
	test(has, at(40, 41), true)
	test(has, at(30, 41), false)
	test(has, at(56, 57), false)
	test(homes(nil), at(0, 1), false)
	test(homes([]partition.Partition{known(partition.Bounds{From: partition.MinusInfinity, To: partition.At(time.Unix(5, 0))})}), at(-100, 5), true)
}

// Keys that are instants are grouped by the set's own calendar, through the
// nights when a clock is turned; hours are those of UTC; dates are days.
func TestObserveCalendars(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	o := newObserved(t, `SET TimeZone = 'America/New_York'; CREATE TABLE event_master (created_at timestamptz); CREATE TABLE day_master (created_at date);
		CREATE TABLE wall_master (created_at timestamp);
		CREATE TABLE event_rows () INHERITS (event_master);
		INSERT INTO event_rows VALUES ('2018-10-28 00:00 Europe/Berlin'), ('2018-10-28 23:59:59 Europe/Berlin');
		INSERT INTO event_master VALUES ('2018-03-24 23:59:59.999999 Europe/Berlin'), ('2018-03-25 00:00 Europe/Berlin'), ('2018-03-25 23:59:59 Europe/Berlin'),
		  ('2018-10-28 02:30+02'), ('2018-10-28 02:30+01'), ('2018-10-28 23:30+01'), ('2018-10-29 00:00+01'), (NULL);
		INSERT INTO day_master VALUES ('2018-11-01'), ('2018-11-30'), ('2018-12-01'), ('infinity');
		INSERT INTO wall_master VALUES ('2018-10-28 02:30'), ('2018-10-28 23:59:59'), ('2018-10-29');
		CREATE TABLE day_rows () INHERITS (day_master); INSERT INTO day_rows VALUES ('2018-11-01'), ('2018-11-30')`)
	every := func(unit partition.Unit, parent, pattern string) partition.Set {
		set := monthly(parent)
		set.Interval, set.Location = partition.Interval{N: 1, Unit: unit}, berlin
		if set.Pattern, err = partition.ParsePattern(pattern, set.Interval); err != nil {
			t.Fatal(err)
		}
		return set
	}
	hourly := every(partition.Hour, "event_master", "e_%Y_%m_%d_%H")
	snaps := o.observe(every(partition.Day, "event_master", "e_%Y_%m_%d"), hourly, every(partition.Day, "wall_master", "w_%Y_%m_%d"), every(partition.Month, "day_master", "d_%Y_%m"))
	compareLines(t, "days", straysOf(snaps[0]), `
		1 of [2018-03-24, 2018-03-25): 2018-03-24 22:59:59.999999+00
		2 of [2018-03-25, 2018-03-26): 2018-03-24 23:00:00+00, 2018-03-25 21:59:59+00
		3 of [2018-10-28, 2018-10-29): 2018-10-28 00:30:00+00, 2018-10-28 22:30:00+00
		1 of [2018-10-29, 2018-10-30): 2018-10-28 23:00:00+00
		1 of outside: NULL`)
	if day := snaps[0].Strays[2].Period; day.To.Sub(day.From) != 25*time.Hour {
		t.Errorf("a day in autumn has %s", day.To.Sub(day.From))
	}
	compareLines(t, "hours", straysOf(snaps[1]), `
		1 of [2018-03-24 22:00:00, 2018-03-24 23:00:00): 2018-03-24 22:59:59.999999+00
		1 of [2018-03-24 23:00:00, 2018-03-25): 2018-03-24 23:00:00+00
		1 of [2018-03-25 21:00:00, 2018-03-25 22:00:00): 2018-03-25 21:59:59+00
		1 of [2018-10-28, 2018-10-28 01:00:00): 2018-10-28 00:30:00+00
		1 of [2018-10-28 01:00:00, 2018-10-28 02:00:00): 2018-10-28 01:30:00+00
		1 of [2018-10-28 22:00:00, 2018-10-28 23:00:00): 2018-10-28 22:30:00+00
		1 of [2018-10-28 23:00:00, 2018-10-29): 2018-10-28 23:00:00+00
		1 of outside: NULL`)
	compareLines(t, "wall clock days", straysOf(snaps[2]), `
		2 of [2018-10-28, 2018-10-29): 2018-10-28 02:30:00, 2018-10-28 23:59:59
		1 of [2018-10-29, 2018-10-30): 2018-10-29 00:00:00`)
	compareLines(t, "dates", straysOf(snaps[3]), `
		2 of [2018-11-01, 2018-12-01): 2018-11-01, 2018-11-30
		1 of [2018-12-01, 2019-01-01): 2018-12-01
		1 of outside: infinity`)
	compare(t, "one day's rows", boundsOf(child(t, snaps[0], "event_rows")), "rows [2018-10-28, 2018-10-29)")
	compare(t, "one month's dates", boundsOf(child(t, snaps[3], "day_rows")), "rows [2018-11-01, 2018-12-01)")
	compare(t, "many hours' rows", boundsOf(child(t, snaps[1], "event_rows")), "unknown "+all+" violated by 2, 0 null: 2018-10-27 22:00:00+00, 2018-10-28 22:59:59+00")
}

// What a role may not read is a fact, and so is what a policy would hide: rows
// that are not seen must not pass for rows that are not there.
func TestObserveUnreadable(t *testing.T) {
	t.Parallel()
	o := newObserved(t, `CREATE TABLE event_master (id int, created_at timestamp); INSERT INTO event_master VALUES (1, '2018-11-01'), (2, '2018-11-02');
		CREATE TABLE event_2018_11 (CHECK (created_at >= '2018-11-01' AND created_at < '2018-12-01')) INHERITS (event_master);
		CREATE TABLE claimed () INHERITS (event_master); ALTER TABLE claimed ADD CHECK (created_at >= '2018-12-01' AND created_at < '2019-01-01') NOT VALID;
		CREATE TABLE rows () INHERITS (event_master); INSERT INTO rows VALUES (1, '2018-10-01'); CREATE TABLE private () INHERITS (event_master);
		ALTER TABLE private ENABLE ROW LEVEL SECURITY; ALTER TABLE rows ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
		ANALYZE event_master`)
	// Before PostgreSQL 15 a process of its own collects statistics, and tells later.
	o.exec(`SET statement_timeout = '1min'; DO $$ BEGIN WHILE pg_stat_get_last_analyze_time('event_master'::regclass) IS NULL LOOP PERFORM pg_stat_clear_snapshot(); END LOOP; END $$; RESET statement_timeout`)
	blind, reader, owner := o.Role(t, "blind"), o.Role(t, "reader"), o.Role(t, "owner")
	facts := func(role string) string {
		snap := o.observeBy(o.ConnAs(t, role), monthly("event_master"))[0]
		lines := fmt.Sprintf("may act: %t, owner may create: %t, analyzed: %t, at %t\n", snap.Parent.MayAct, snap.Parent.OwnerMayCreate, snap.Parent.Analyzed, !snap.Parent.LastAnalyze.IsZero())
		for _, c := range snap.Partitions {
			lines += c.Name.Local + ": " + boundsOf(c) + "\n"
		}
		return lines + straysOf(snap)
	}
	compareLines(t, "no privilege", facts(blind), `
		may act: false, owner may create: true, analyzed: true, at true
		claimed: unknown [-infinity, infinity) unseen: permission denied for table claimed
		event_2018_11: check [2018-11-01, 2018-12-01)
		private: unknown [-infinity, infinity) unseen: query would be affected by row-level security policy for table "private"
		rows: unknown [-infinity, infinity) unseen: query would be affected by row-level security policy for table "rows"
		unseen: permission denied for table event_master`)
	o.exec("GRANT SELECT ON event_master, claimed, rows, private TO " + reader)
	compareLines(t, "a reader", facts(reader), `
		may act: false, owner may create: true, analyzed: true, at true
		claimed: claimed [2018-12-01, 2019-01-01) empty
		event_2018_11: check [2018-11-01, 2018-12-01)
		private: unknown [-infinity, infinity) unseen: query would be affected by row-level security policy for table "private"
		rows: unknown [-infinity, infinity) unseen: query would be affected by row-level security policy for table "rows"
		2 of [2018-11-01, 2018-12-01): 2018-11-01 00:00:00, 2018-11-02 00:00:00`)
	o.exec("ALTER TABLE event_master OWNER TO "+owner, "ALTER TABLE rows OWNER TO "+owner, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	want(t, "the owner", strings.Split(facts(owner), "\n")[0], "may act: true, owner may create: false, analyzed: true, at true")
	want(t, "forced on the owner", strings.Split(facts(owner), "\n")[4], `rows: unknown [-infinity, infinity) unseen: query would be affected by row-level security policy for table "rows"`)
	o.exec("GRANT "+owner+" TO "+blind, "GRANT CREATE ON SCHEMA public TO "+owner)
	want(t, "a member", strings.Split(facts(blind), "\n")[0], "may act: true, owner may create: true, analyzed: true, at true")
}

// Statistics over all partitions are there after an ANALYZE of the parent, not of
// its partitions, and not forgotten because all rows were deleted.
func TestObserveAnalyzed(t *testing.T) {
	t.Parallel()
	o := newObserved(t, `CREATE TABLE event_master (created_at timestamp); CREATE TABLE event_2018_11 (CHECK (created_at >= '2018-11-01' AND created_at < '2018-12-01')) INHERITS (event_master)`)
	// The time of the last ANALYZE comes by another process before PostgreSQL 15.
	expect := func(what string, expected bool) {
		t.Helper()
		if got := o.one("event_master").Parent.Analyzed; got != expected {
			t.Errorf("%s: analyzed is %t", what, got)
		}
	}
	expect("never", false)
	o.exec("ANALYZE event_master")
	expect("without a row", true)
	o.exec("INSERT INTO event_2018_11 SELECT timestamp '2018-11-01' + n * interval '1 minute' FROM generate_series(1, 1000) AS g (n)", "ANALYZE event_2018_11")
	expect("with rows that came later", false)
	c := child(t, o.one("event_master"), "event_2018_11")
	if c.Rows != 1000 || c.Bytes <= 0 || c.Bytes%8192 != 0 {
		t.Errorf("%d rows, %d bytes", c.Rows, c.Bytes)
	}
	o.exec("ANALYZE event_master")
	expect("with rows", true)
	if last := o.one("event_master").Parent.LastAnalyze; o.version >= 150000 && time.Since(last).Abs() > time.Hour {
		t.Errorf("last analyzed at %s", last)
	}
	o.exec("DELETE FROM event_2018_11", "ANALYZE event_master")
	expect("with all rows deleted", true)
	// Here no statistics of former rows are left, but pages.
	o.exec("DROP TABLE event_master CASCADE", "CREATE TABLE event_master (created_at timestamp)", "CREATE TABLE event_2018_11 () INHERITS (event_master)",
		"INSERT INTO event_2018_11 VALUES (now())", "DELETE FROM event_2018_11", "ANALYZE event_2018_11", "ANALYZE event_master")
	expect("with all rows deleted before", true)
}
