package postgres

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// With a second connection it is one round trip more on the first one and two on the
// second, however many sets there are, and what is seen is the same.
func TestObserveBeside(t *testing.T) {
	t.Parallel()
	o := newObserved(t, everyKind)
	sets := []partition.Set{monthly("event_master"), monthly("absent")}
	for i := range 20 {
		parent := fmt.Sprintf("p%d_master", i)
		o.exec(family(parent, 4, " "))
		sets = append(sets, monthly(parent))
	}
	conn, first := countedConn(t, o.URL)
	alike := func(got, want []partition.Snapshot) {
		t.Helper()
		for i := range want {
			got[i].Server, want[i].Server = partition.Server{}, partition.Server{}
			compare(t, sets[i].Parent.String(), got[i], want[i])
		}
	}
	for _, n := range []int{1, len(sets)} {
		beside, second := countedConn(t, o.URL)
		first.count()
		second.count()
		snaps, err := ObserveBeside(t.Context(), conn, beside, sets[:n])
		if err != nil {
			t.Fatal(err)
		}
		if a, b := first.count(), second.count(); a != 5 || b != 2 {
			t.Errorf("%d sets: %d round trips and %d on the second connection, want 5 and 2", n, a, b)
		}
		alike(snaps, o.observe(sets[:n]...))
		if status := conn.PgConn().TxStatus(); status != 'I' {
			t.Errorf("the connection is left in transaction status %c", status)
		}
	}
	// What was made since the first connection began is seen by neither.
	beside, second := countedConn(t, o.URL)
	want := o.observe(sets...)
	second.count()
	second.before = map[int]func(){1: func() { o.exec("ALTER TABLE p0_master ADD COLUMN late int") }}
	snaps, err := ObserveBeside(t.Context(), conn, beside, sets)
	if err != nil {
		t.Fatal(err)
	}
	alike(snaps, want)
}

// Where the second connection is of no help, the first one does all.
func TestObserveBesideInVain(t *testing.T) {
	t.Parallel()
	o := newObserved(t, everyKind)
	set := monthly("event_master")
	want := o.observe(set)
	for _, test := range []struct {
		name   string
		beside func() *pgx.Conn
	}{
		{"closed", func() *pgx.Conn {
			conn := o.Conn(t)
			if err := conn.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			return conn
		}},
		{"to another database", func() *pgx.Conn { return pgtest.New(t).Conn(t) }},
		{"which ends on the way", func() *pgx.Conn {
			conn, c := countedConn(t, o.URL)
			other := o.Conn(t)
			c.before = map[int]func(){2: func() { runSQL(t, other, fmt.Sprintf("SELECT pg_terminate_backend(%d, 10000)", conn.PgConn().PID())) }}
			return conn
		}},
	} {
		snaps, err := ObserveBeside(t.Context(), o.conn, test.beside(), []partition.Set{set})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		snaps[0].Server, want[0].Server = partition.Server{}, partition.Server{}
		compare(t, test.name, snaps, want)
		if status := o.conn.PgConn().TxStatus(); status != 'I' {
			t.Errorf("%s: the connection is left in transaction status %c", test.name, status)
		}
	}
}
