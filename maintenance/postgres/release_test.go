package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestRelease17TransactionTimeout works in a database whose sessions may have no long
// transactions: what a pass takes is bounded by its own limits alone.
func TestRelease17TransactionTimeout(t *testing.T) {
	t.Parallel()
	pgtest.New(t).Since(t, 17, "transaction_timeout")
	a := newApplied(t, everyKind)
	a.set = monthly("event_master")
	a.set.Limits.LockTimeout = 500 * time.Millisecond
	if err := a.lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.exec("ALTER DATABASE " + a.Name + " SET transaction_timeout = '100ms'")
	a.begin(a.URL)
	a.conn = a.Conn(t)
	release := a.hold("SET LOCAL transaction_timeout = 0; LOCK TABLE claimed IN ACCESS EXCLUSIVE MODE")
	snap := a.observe()
	compare(t, "a look that waits", boundsOf(child(t, snap, "claimed")), "unknown "+all+" unseen: canceling statement due to lock timeout")
	release()
	long := []Statement{{SQL: "SELECT pg_sleep(0.3)"}}
	for _, step := range []Step{{Statements: long}, {Statements: long, Alone: true}} {
		if err := a.session.runStep(t.Context(), a.set, snap, step, &Outcome{}); err != nil {
			t.Error(err)
		}
	}
	err := pgx.BeginFunc(t.Context(), a.session.Conn(), func(tx pgx.Tx) error { return a.lock.stillHeld(t.Context(), tx, a.set) })
	if err != nil {
		t.Error(err)
	}
}
