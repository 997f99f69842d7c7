package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// TestBlockers has one session in the way of each kind of wait, and a bystander who
// holds a lock on the parent and all months that keeps nobody from anything but
// ACCESS EXCLUSIVE. Who is in the way is named, and nobody else.
func TestBlockers(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Format("event_2006_01")
	for _, test := range []struct {
		name, hold, want string
		kind             partition.Kind
		table            string
		bystander        bool
	}{
		{"create, at the parent", "LOCK TABLE ONLY event_master IN SHARE UPDATE EXCLUSIVE MODE", "ShareUpdateExclusiveLock on public.event_master", partition.Create, now, true},
		{"create, at the set's lock", "SELECT pg_advisory_xact_lock({class}, {parent})", "ExclusiveLock on the set's creation lock", partition.Create, now, true},
		{"constrain, at the new CHECK", "SELECT FROM event_2018_11", "AccessShareLock on public.event_2018_11", partition.Constrain, "event_2018_11", false},
		{"constrain, at its validation", "LOCK TABLE event_2018_12 IN SHARE UPDATE EXCLUSIVE MODE", "ShareUpdateExclusiveLock on public.event_2018_12", partition.Constrain, "event_2018_12", true},
		{"align", "SELECT FROM event_2018_11", "AccessShareLock on public.event_2018_11", partition.Align, "event_2018_11", false},
		{"index, at a writer", "DELETE FROM event_2018_11 WHERE false", "RowExclusiveLock on public.event_2018_11", partition.Index, "event_2018_11", true},
		{"index, at a snapshot", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT FROM elsewhere", "snapshot", partition.Index, "event_2018_11", true},
		{"route, at the trigger", "DELETE FROM ONLY event_master WHERE false", "RowExclusiveLock on public.event_master", partition.RouteRows, "event_master", true},
		{"sweep", "LOCK TABLE event_2018_11 IN SHARE MODE", "ShareLock on public.event_2018_11", partition.Sweep, "event_2018_11", true},
		{"drop", "SELECT FROM event_2018_11", "AccessShareLock on public.event_2018_11", partition.Retire, "event_2018_11", false},
		{"analyze", "LOCK TABLE ONLY event_master IN SHARE UPDATE EXCLUSIVE MODE", "ShareUpdateExclusiveLock on public.event_master", partition.Analyze, "event_master", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := newApplied(t, twoMonths+`; CREATE INDEX ON event_master (created_at); ALTER TABLE event_master REPLICA IDENTITY FULL; CREATE TABLE elsewhere ();
				INSERT INTO event_master (created_at) SELECT '2018-11-30' FROM generate_series(1, 5); ANALYZE event_2018_11`)
			a.set.Limits.Retries, a.set.Limits.ConcurrentTimeout = 0, a.set.Limits.LockTimeout
			if test.kind != partition.Retire {
				a.set.Retention = partition.Retention{Then: partition.Keep}
				a.exec(`ALTER TABLE event_2018_11 DROP CONSTRAINT partition_bounds, ADD CONSTRAINT old CHECK (date_trunc('day', created_at) >= '2018-11-01' AND date_trunc('day', created_at) < '2018-12-01');
					ALTER TABLE event_2018_12 DROP CONSTRAINT partition_bounds;
					ALTER TABLE event_2018_12 ADD CONSTRAINT partition_bounds CHECK (created_at >= '2018-12-01' AND created_at < '2019-01-01') NOT VALID`)
			}
			snap, act := a.planned(test.kind, test.table)
			if test.bystander {
				a.hold("SET application_name = 'bystander'; SELECT count(*) FROM event_master")
			}
			a.hold(strings.NewReplacer("{class}", fmt.Sprint(setLockClass), "{parent}", fmt.Sprint(int32(snap.Parent.OID))).Replace(test.hold))
			b := a.blocked(snap, act)
			want(t, "application, user and state", b.Application+", "+b.User+", "+b.State, "holder, postgres, idle in transaction")
			if b.PID == 0 || b.Since.IsZero() || b.QueryBegan.Before(b.Since) || b.Age <= 0 || b.Age > time.Since(b.Since)+partition.MaxSkew {
				t.Errorf("the blocker is %+v", b)
			}
			if got := b.String(); !strings.HasSuffix(got, ", "+test.want) {
				t.Errorf("the blocker is %q, which does not end with %q", got, test.want)
			}
		})
	}
}

// blocked tries an action that waits in vain for a single session, which it returns.
func (a *applied) blocked(snap partition.Snapshot, act partition.Action) Blocker {
	a.t.Helper()
	out, err := a.apply(snap, act)
	if code := pgCode(err); code != "55P03" {
		a.t.Errorf("got %v (%s), want a lock timeout", err, code)
	}
	if len(out.Blockers) != 1 {
		a.t.Fatalf("the blockers are %v", out.Blockers)
	}
	return out.Blockers[0]
}

// TestBlockersUnseen asks as a role that may not see what others do: what it cannot
// know it does not make up.
func TestBlockersUnseen(t *testing.T) {
	t.Parallel()
	a := newApplied(t, twoMonths)
	owner := a.Role(t, "owner")
	a.exec("GRANT CREATE, USAGE ON SCHEMA public TO " + owner)
	for _, table := range []string{"event_master", "event_2018_11", "event_2018_12"} {
		a.exec("ALTER TABLE " + table + " OWNER TO " + owner)
	}
	a.set.Limits.Retries = 0
	a.begin(a.URLAs(owner))
	a.hold("SELECT FROM event_2018_11")
	snap, act := a.planned(partition.Retire, "event_2018_11")
	b := a.blocked(snap, act)
	want(t, "the blocker", strings.TrimPrefix(b.String(), fmt.Sprintf("pid %d", b.PID)), " (holder) of postgres, AccessShareLock on public.event_2018_11")
}

// TestStandBack has a reader on the first of two months that are due. The second is
// not tried before those who queued behind the first try could get on.
func TestStandBack(t *testing.T) {
	t.Parallel()
	a := newApplied(t, twoMonths)
	a.set.Limits.Retries, a.set.Limits.RetryWait = 0, 12345*time.Microsecond
	release := a.hold("LOCK TABLE event_2018_11 IN ACCESS SHARE MODE")
	snap, first := a.planned(partition.Retire, "event_2018_11")
	_, second := a.planned(partition.Retire, "event_2018_12")
	if _, err := a.apply(snap, first); pgCode(err) != "55P03" {
		t.Fatalf("got %v, want a lock timeout", err)
	}
	for _, then := range []struct {
		action partition.Action
		waited time.Duration
	}{{second, a.set.Limits.RetryWait}, {first, 0}} {
		out, err := a.apply(snap, then.action)
		if err != nil || out.Waited != then.waited {
			t.Errorf("%s waited for %s, %v; want %s", then.action.Table, out.Waited, err, then.waited)
		}
		if then.waited > 0 {
			release()
		}
	}
}
