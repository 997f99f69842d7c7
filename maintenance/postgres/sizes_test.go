package postgres

import (
	"testing"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

func TestSizes(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	conn, other := db.Conn(t), db.Conn(t)
	if _, err := conn.Exec(t.Context(), `CREATE TABLE a (x text PRIMARY KEY); CREATE TABLE b (x int); INSERT INTO a SELECT n FROM generate_series(1, 1000) n`); err != nil {
		t.Fatal(err)
	}
	var a, b uint32
	var size int64
	if err := conn.QueryRow(t.Context(), `SELECT 'a'::regclass::oid, 'b'::regclass::oid, pg_total_relation_size('a')`).Scan(&a, &b, &size); err != nil {
		t.Fatal(err)
	}
	const gone = 4_000_000_000
	got, err := Sizes(t.Context(), conn, []uint32{a, b, gone})
	if err != nil || len(got) != 2 || got[a] != size || size == 0 || got[b] != 0 {
		t.Errorf("%v %v, want %d", got, err, size)
	}
	if got, err := Sizes(t.Context(), conn, nil); err != nil || len(got) != 0 {
		t.Errorf("of nothing: %v %v", got, err)
	}
	if _, err := other.Exec(t.Context(), `BEGIN; LOCK TABLE b`); err != nil {
		t.Fatal(err)
	}
	got, err = Sizes(t.Context(), conn, []uint32{a, b})
	if err != nil || got != nil {
		t.Errorf("of a locked table: %v %v, want nothing at all", got, err)
	}
	var timeout string
	if err := conn.QueryRow(t.Context(), "SHOW lock_timeout").Scan(&timeout); err != nil || timeout != "0" {
		t.Errorf("lock_timeout is left at %s (%v)", timeout, err)
	}
}
