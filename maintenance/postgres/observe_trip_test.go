package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// counted counts the round trips of a connection: each write that follows a read.
type counted struct {
	net.Conn
	mu    sync.Mutex
	read  bool
	trips int
	// before is called before the trip of that number begins.
	before map[int]func()
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.mu.Lock()
		c.read = true
		c.mu.Unlock()
	}
	return n, err
}

func (c *counted) Write(b []byte) (int, error) {
	c.mu.Lock()
	var f func()
	if c.read {
		c.trips++
		f = c.before[c.trips]
	}
	c.read = false
	c.mu.Unlock()
	if f != nil {
		f()
	}
	return c.Conn.Write(b)
}

// count returns the round trips since it was called last.
func (c *counted) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.trips
	c.trips = 0
	return n
}

// countedConn connects as the superuser, counting.
func countedConn(t *testing.T, url string) (*pgx.Conn, *counted) {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	var c *counted
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			c = &counted{Conn: conn}
			conn = c
		}
		return conn, err
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn, c
}

// family is SQL for a parent with children of a month each, from 2001 on.
func family(parent string, children int, check string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (id int NOT NULL DEFAULT 1, body text, created_at timestamp); CREATE INDEX ON %[1]s (id); CREATE INDEX ON %[1]s ((created_at::date));", parent)
	for i := range children {
		from := time.Date(2001, time.Month(1+i), 1, 0, 0, 0, 0, time.UTC)
		fmt.Fprintf(&b, "CREATE TABLE %s_%d () INHERITS (%[1]s);", parent, i)
		if check != "" {
			fmt.Fprintf(&b, "ALTER TABLE %s_%d ADD CHECK (created_at >= '%s' AND created_at < '%s') %s;", parent, i, from.Format(time.DateOnly), from.AddDate(0, 1, 0).Format(time.DateOnly), check)
		}
		fmt.Fprintf(&b, "CREATE INDEX ON %s_%d (id); CREATE INDEX ON %[1]s_%[2]d ((created_at::date));", parent, i)
	}
	return b.String()
}

// However many sets and partitions there are, it is three round trips, and a
// fourth where rows have to be looked at.
func TestObserveRoundTrips(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	var many, looked []partition.Set
	for i := range 20 {
		parent := fmt.Sprintf("p%d_master", i)
		o.exec(family(parent, 10, " "), family("looked_"+parent, 4, ""), "INSERT INTO looked_"+parent+" (created_at) VALUES (now())")
		many, looked = append(many, monthly(parent)), append(looked, monthly("looked_"+parent))
	}
	o.exec(family("few_master", 3, " "))
	conn, c := countedConn(t, o.URL)
	for _, test := range []struct {
		name string
		sets []partition.Set
		want int
	}{
		{"one set of 3", []partition.Set{monthly("few_master")}, 3},
		{"the same again", []partition.Set{monthly("few_master")}, 3},
		{"none", []partition.Set{monthly("absent")}, 3},
		{"20 sets of 10", many, 3},
		{"20 sets and 100 looks at rows", looked, 4},
	} {
		c.count()
		snaps := o.observeBy(conn, test.sets...)
		if got := c.count(); got != test.want {
			t.Errorf("%s: %d round trips, want %d", test.name, got, test.want)
		}
		for i, snap := range snaps {
			if len(test.sets) > 1 && (len(snap.Partitions) < 4 || snap.Partitions[0].Unseen != "") {
				t.Errorf("%s: %d partitions of %s", test.name, len(snap.Partitions), test.sets[i].Parent)
			}
		}
	}
}

// everyKind has what is read in all ways: proved, claimed, unknown, with rows in
// the parent.
const everyKind = `CREATE TABLE event_master (id int, created_at timestamp); CREATE INDEX ON event_master ((id + 1)) WHERE id > 0; INSERT INTO event_master VALUES (1, '2018-11-01');
	CREATE TABLE proved (CHECK (created_at >= '2018-11-01' AND created_at < '2018-12-01')) INHERITS (event_master); CREATE INDEX ON proved ((id + 1)) WHERE id > 0;
	CREATE TABLE claimed () INHERITS (event_master); ALTER TABLE claimed ADD CHECK (created_at >= '2018-12-01' AND created_at < '2019-01-01') NOT VALID;
	CREATE TABLE rows (other int, CHECK ((rows.*) IS NOT NULL)) INHERITS (event_master); INSERT INTO rows (id, created_at, other) VALUES (1, '2018-10-01', 2); CREATE INDEX ON rows ((other + 1));
	CREATE POLICY p ON rows USING (other > 1); CREATE VIEW v AS SELECT * FROM proved`

// It waits for nobody who writes or maintains a table, so it takes no lock but
// ACCESS SHARE; and it leaves nothing in its session.
func TestObserveDisturbsNobody(t *testing.T) {
	t.Parallel()
	o := newObserved(t, everyKind)
	set := monthly("event_master")
	set.Limits.LockTimeout = time.Millisecond
	// EXCLUSIVE lets only ACCESS SHARE in (PostgreSQL documentation, 13.3.1
	// Table-Level Locks).
	runSQL(t, o.Conn(t), "BEGIN", "LOCK TABLE event_master, proved, claimed, rows, v IN EXCLUSIVE MODE")
	const settings = "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings"
	o.exec("SET search_path = s, public", "SET TimeZone = 'Asia/Tokyo'", "SET DateStyle = 'German'", "SET lock_timeout = 77", "SET statement_timeout = 0", "SET client_encoding = 'LATIN1'", "SET quote_all_identifiers = on")
	var before, after string
	if err := o.conn.QueryRow(t.Context(), settings).Scan(&before); err != nil {
		t.Fatal(err)
	}
	snap := o.observe(set)[0]
	if err := o.conn.QueryRow(t.Context(), settings).Scan(&after); err != nil {
		t.Fatal(err)
	}
	compare(t, "settings", after, before)
	compare(t, "proved", boundsOf(child(t, snap, "proved")), "check "+nov)
	compare(t, "claimed", boundsOf(child(t, snap, "claimed")), "claimed [2018-12-01, 2019-01-01) empty")
	compare(t, "rows", boundsOf(child(t, snap, "rows")), "rows [2018-10-01, 2018-11-01)")
	compare(t, "strays", straysOf(snap), "1 of [2018-11-01, 2018-12-01): 2018-11-01 00:00:00")
	compare(t, "view", child(t, snap, "proved").Dependents, []string{"view public.v"})
}

// A partition that somebody has for himself is seen all the same, if only its
// rows are not needed: the catalogs are read by way of its parent.
func TestObserveLockedPartition(t *testing.T) {
	t.Parallel()
	o := newObserved(t, everyKind)
	set := monthly("event_master")
	set.Limits.LockTimeout = time.Millisecond
	runSQL(t, o.Conn(t), "BEGIN", "LOCK TABLE proved, claimed IN ACCESS EXCLUSIVE MODE")
	snap := o.observe(set)[0]
	compare(t, "proved", boundsOf(child(t, snap, "proved")), "check "+nov)
	compare(t, "its index", propertyLines(child(t, snap, "proved").Properties, partition.PropIndex), "index: USING btree (((id + 1))) WHERE (id > 0) =")
	compare(t, "claimed", boundsOf(child(t, snap, "claimed")), "unknown "+all+" unseen: canceling statement due to lock timeout")
	compare(t, "rows", boundsOf(child(t, snap, "rows")), "rows [2018-10-01, 2018-11-01)")
}

// A parent that somebody has for himself is the trouble of its own set.
func TestObserveLockedParent(t *testing.T) {
	t.Parallel()
	o := newObserved(t, everyKind, family("a_master", 2, " "), family("b_master", 2, ""), "CREATE INDEX ON a_master (body)")
	sets := []partition.Set{monthly("a_master"), monthly("event_master"), monthly("b_master"), monthly("absent")}
	for i := range sets {
		sets[i].Limits.LockTimeout = 50 * time.Millisecond
	}
	calm := o.observe(sets...)
	holder := o.Conn(t)
	runSQL(t, holder, "BEGIN", "LOCK TABLE ONLY event_master IN ACCESS EXCLUSIVE MODE")
	snaps, err := Observe(t.Context(), o.conn, sets)
	var failed SetErrors
	if !errors.As(err, &failed) || len(failed) != len(sets) {
		t.Fatalf("the error: %v", err)
	}
	for i, want := range []string{"", "55P03", "", ""} {
		var pgErr *pgconn.PgError
		got := ""
		if errors.As(failed[i], &pgErr) {
			got = pgErr.Code
		}
		if got != want || (failed[i] == nil) != (want == "") {
			t.Errorf("%s: %v", sets[i].Parent, failed[i])
		}
		if want == "" {
			snaps[i].Server, calm[i].Server = partition.Server{}, partition.Server{}
			compare(t, sets[i].Parent.String(), snaps[i], calm[i])
		} else if snaps[i].Parent != nil {
			t.Errorf("%s has a snapshot", sets[i].Parent)
		}
	}
	if !strings.Contains(err.Error(), "observe public.event_master") {
		t.Errorf("the error does not name the set: %v", err)
	}
	if status := o.conn.PgConn().TxStatus(); status != 'I' {
		t.Errorf("the connection is left in transaction status %c", status)
	}
	runSQL(t, holder, "ROLLBACK")
	o.observe(sets...)
}

// What ends the session, or the caller's patience, is no set's trouble.
func TestObserveBreaksOff(t *testing.T) {
	t.Parallel()
	o := newObserved(t, everyKind)
	runSQL(t, o.Conn(t), "BEGIN", "LOCK TABLE ONLY event_master IN ACCESS EXCLUSIVE MODE")
	waits := func(conn *pgx.Conn) {
		t.Helper()
		for waiting := false; !waiting; {
			if err := o.conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)", conn.PgConn().PID()).Scan(&waiting); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name string
		end  func(conn *pgx.Conn, cancel context.CancelFunc)
	}{
		{"terminated", func(conn *pgx.Conn, _ context.CancelFunc) {
			o.exec(fmt.Sprintf("SELECT pg_terminate_backend(%d)", conn.PgConn().PID()))
		}},
		{"cancelled on the server", func(conn *pgx.Conn, _ context.CancelFunc) {
			o.exec(fmt.Sprintf("SELECT pg_cancel_backend(%d)", conn.PgConn().PID()))
		}},
		{"cancelled here", func(_ *pgx.Conn, cancel context.CancelFunc) { cancel() }},
	} {
		conn := o.Conn(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := Observe(ctx, conn, []partition.Set{monthly("event_master"), monthly("absent")})
			done <- err
		}()
		waits(conn)
		test.end(conn, cancel)
		err := <-done
		cancel()
		var failed SetErrors
		if err == nil || errors.As(err, &failed) {
			t.Errorf("%s: %v", test.name, err)
		}
		if !conn.IsClosed() && conn.PgConn().TxStatus() != 'I' {
			t.Errorf("%s: the connection is left in transaction status %c", test.name, conn.PgConn().TxStatus())
		}
	}
}

// A table or an index that is dropped between two round trips is not there, and
// what is left is seen as it is: nothing that could not be read is missing.
func TestObserveVanishing(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	conn, c := countedConn(t, o.URL)
	for _, test := range []struct {
		name string
		trip int
		sql  string
		want int
		left string
	}{
		{"a table before its CHECK", 2, "DROP TABLE bbb", 6, "aaa, event_master_0, event_master_1"},
		{"a table before its index", 3, "DROP TABLE aaa", 6, "event_master_0, event_master_1"},
		{"an index before its definition", 3, "DROP INDEX aaa_index", 6, "aaa, event_master_0, event_master_1"},
		{"a table before its rows", 4, "DROP TABLE bare", 4, "aaa, bare, event_master_0, event_master_1"},
		{"all", 2, "DROP TABLE event_master CASCADE", 6, ""},
	} {
		o.exec(family("event_master", 2, " "), `CREATE TABLE aaa (extra int, CHECK (created_at >= '2038-11-01')) INHERITS (event_master); CREATE INDEX aaa_index ON aaa ((extra + 1));`)
		if test.trip == 2 {
			o.exec("CREATE TABLE bbb (more int, CHECK (created_at >= '2038-11-01')) INHERITS (event_master)")
		}
		if test.trip == 4 {
			o.exec("CREATE TABLE bare () INHERITS (event_master)")
		}
		c.count()
		c.before = map[int]func(){test.trip: func() { o.exec(test.sql) }}
		snaps, err := Observe(t.Context(), conn, []partition.Set{monthly("event_master")})
		c.before = nil
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := c.count(); got != test.want {
			t.Errorf("%s: %d round trips, want %d", test.name, got, test.want)
		}
		var left []string
		for _, p := range snaps[0].Partitions {
			left = append(left, p.Name.Local)
			indexes := 2
			switch p.Name.Local {
			case "aaa":
				indexes = 1
				if strings.HasPrefix(test.sql, "DROP INDEX") {
					indexes = 0
				}
			case "bare":
				indexes = 0
				compare(t, "bare", boundsOf(p), "unknown "+all+` unseen: relation "public.bare" does not exist`)
			}
			if p.Known != partition.BoundsFromCheck && p.Name.Local != "bare" || strings.Count(propertyLines(p.Properties, partition.PropIndex), "index: ") != indexes {
				t.Errorf("%s: %s: %s, %s", test.name, p.Name, boundsOf(p), propertyLines(p.Properties))
			}
		}
		compare(t, test.name, strings.Join(left, ", "), test.left)
		o.exec("DROP TABLE IF EXISTS event_master CASCADE")
	}
}
