package postgres

import (
	"slices"
	"testing"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestRestoredFrom notes what a table was restored from, and does not believe a
// note that a dump has brought under another table's OID.
func TestRestoredFrom(t *testing.T) {
	t.Parallel()
	conn := pgtest.New(t).Conn(t)
	ctx := t.Context()
	var oid uint32
	if err := conn.QueryRow(ctx, "SELECT oid FROM pg_class WHERE relname = 'pg_class'").Scan(&oid); err != nil {
		t.Fatal(err)
	}
	want := func(what string, keys ...string) {
		t.Helper()
		if got, err := RestoredFrom(ctx, conn, oid); err != nil || !slices.Equal(got, keys) {
			t.Errorf("%s it is restored from %q (%v), want %q", what, got, err, keys)
		}
	}
	want("before anything was restored")
	for range 2 {
		if err := ensureNotes(ctx, conn); err != nil {
			t.Fatal(err)
		}
	}
	note := func(table partition.Name, oid uint32, keys ...string) {
		t.Helper()
		tx, err := conn.Begin(ctx)
		if err == nil {
			err = noteRestored(ctx, tx, partition.Name{Schema: "public", Local: "parent"}, table, oid, keys)
		}
		if err == nil {
			err = tx.Commit(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	note(partition.Name{Schema: "public", Local: "another"}, oid, "x")
	want("under another's name")
	note(partition.Name{Schema: "pg_catalog", Local: "pg_class"}, oid, "x", "b/manifest.json")
	want("then", "b/manifest.json", "x")
	// What is gone is forgotten when the next is noted.
	note(partition.Name{Schema: "public", Local: "gone"}, 1, "y")
	note(partition.Name{Schema: "pg_catalog", Local: "pg_class"}, oid, "x")
	var n int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM partitiond.restored WHERE partition_oid = 1").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d notes of a table that is gone (%v)", n, err)
	}
}
