package postgres

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// The lock is exclusive by set, seen by the removing transaction, gone with its
// connection, and holds no snapshot that an index build would wait for.
func TestPassLock(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	set := func(name string) partition.Set {
		return partition.Set{Parent: partition.Name{Schema: "public", Local: name}}
	}
	acquire := func(sets ...partition.Set) *PassLock {
		t.Helper()
		lock, err := AcquirePassLock(t.Context(), db.Conn(t), sets)
		if err != nil {
			t.Fatal(err)
		}
		return lock
	}
	held := func(l *PassLock, s partition.Set) error {
		return pgx.BeginFunc(t.Context(), db.Conn(t), func(tx pgx.Tx) error { return l.stillHeld(t.Context(), tx, s) })
	}
	first := acquire(set("a"), set("b"))
	if !first.Held(0) || !first.Held(1) {
		t.Fatal("free locks were not to be had")
	}
	second := acquire(set("b"), set("c"))
	if second.Held(0) || !second.Held(1) {
		t.Errorf("second has b: %t, c: %t; expected only c", second.Held(0), second.Held(1))
	}
	var xmin *string
	if err := db.Conn(t).QueryRow(t.Context(), `SELECT backend_xmin::text FROM pg_stat_activity WHERE pid = $1`, first.pid).Scan(&xmin); err != nil {
		t.Fatal(err)
	}
	if xmin != nil {
		t.Errorf("the lock's transaction holds a snapshot, xmin %s", *xmin)
	}
	if err := held(first, set("a")); err != nil {
		t.Errorf("a is held: %v", err)
	}
	if err := held(second, set("b")); err == nil {
		t.Error("b is not second's, and that is not noticed")
	}
	if _, err := db.Conn(t).Exec(t.Context(), "SELECT pg_terminate_backend($1, 10000)", first.pid); err != nil {
		t.Fatal(err)
	}
	if err := held(first, set("a")); err == nil {
		t.Error("the lost lock is not noticed")
	}
	if third := acquire(set("a")); !third.Held(0) {
		t.Error("the lock outlived its connection")
	}
	if err := second.Release(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}
