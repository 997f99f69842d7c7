package prove

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// eternity bounds work that has to come to its end, whatever happens to it.
const eternity = 3 * time.Minute

// named returns one of the scenarios.
func named(t *testing.T, name string, few int) scenario {
	t.Helper()
	for _, s := range scenarios {
		if s.name == name {
			s.few = few
			return s
		}
	}
	t.Fatalf("there is no scenario %q", name)
	return scenario{}
}

// disturb does the work in this process, with something that happens at a point. The
// work may fail of it, but it has to end. It returns the point's label, and how the work
// failed.
func (l *lab) disturb(t *testing.T, name, directory string, at int64, dial func(ctx context.Context, network, address string) (net.Conn, error), happens func()) (label string, failed error) {
	t.Helper()
	label = fmt.Sprintf("point %d was not reached", at)
	trap := &trap{at: at, spring: func(at string) {
		label = at
		happens()
	}}
	k := l.task(name, directory, at)
	m, set, err := trap.maintainer(k, dial)
	if err != nil {
		t.Fatal(err)
	}
	m.Log = silent
	ctx, cancel := context.WithTimeout(t.Context(), eternity)
	defer cancel()
	failed = k.work(ctx, m, set)
	if ctx.Err() != nil {
		t.Fatalf("%s: the work does not end: %v", label, failed)
	}
	return label, failed
}

// TestConnectionCut cuts all connections at points all over the work, while a client
// whose connection stays writes.
func TestConnectionCut(t *testing.T) {
	t.Parallel()
	for _, s := range []scenario{named(t, "adopt and archive", 14), named(t, "sweep", 5), named(t, "restore", 8), named(t, "drop", 5),
		named(t, "declarative: many rows wait", 8), named(t, "declarative: archive", 8), named(t, "convert", 8), named(t, "drain", 5)} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, s)
			p := newProxy(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(l.server.Port())))
			count := l.count(t, true)
			points := choose(count, s.few)
			for _, at := range points {
				func() {
					name, directory := l.copy(t)
					defer l.drop(t, name, directory)
					w := l.world(t, name, directory)
					defer l.leave(w)
					model, stop := l.write(t, w, l.model, firstOfClient)
					label, _ := l.disturb(t, name, directory, at, p.dial, p.cut)
					stop()
					l.awaitAlone(w)
					l.settled(t, w, model, "cut at "+label)
				}()
			}
			t.Logf("cut at %d of %d points", len(points), count)
		})
	}
}

// TestServerKilled ends the server at points of the work, by SIGKILL and by an
// immediate stop in turn, and starts it again.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	for _, s := range []scenario{named(t, "adopt and archive", 4), named(t, "restore", 3), named(t, "declarative: many rows wait", 3), named(t, "convert", 3), named(t, "drain", 2)} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			server := pgtest.Server(t, pgtemp.Options{Durable: true})
			l := newLabOn(t, s, server)
			count := l.count(t, false)
			points := choose(count, s.few)
			for i, at := range points {
				name, directory := l.copy(t)
				label, _ := l.disturb(t, name, directory, at, nil, func() {
					stop := server.Kill
					if i%2 == 1 {
						stop = func() error { return server.Stop(pgtemp.Immediate) }
					}
					if err := stop(); err != nil {
						t.Errorf("stop the server: %v", err)
					}
					if err := server.Restart(t.Context()); err != nil {
						t.Errorf("start the server: %v", err)
					}
				})
				l.reconnect(t)
				w := l.world(t, name, directory)
				l.awaitAlone(w)
				l.settled(t, w, l.model, "server killed at "+label)
				l.leave(w)
				l.drop(t, name, directory)
			}
			t.Logf("the server was killed at %d of %d points", len(points), count)
		})
	}
}

// TestLockNeverGranted has a session hold on to all tables. The work gives up within
// its bounds, says so, and changes nothing; when the session is gone all is done.
func TestLockNeverGranted(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"adopt and archive", "sweep", "detach", "drop", "declarative: create and repair", "declarative: many rows wait", "declarative: archive", "drain"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := named(t, name, 0)
			limits := `limits = { lock_timeout = "20ms", retries = 2, retry_wait = "1ms", max_retry_wait = "2ms", concurrent_timeout = "50ms" }`
			s.config = strings.Replace(s.config, "\n", "\n"+limits+"\n", 1)
			l := newLab(t, s)
			database, directory := l.copy(t)
			defer l.drop(t, database, directory)
			w := l.world(t, database, directory)
			defer l.leave(w)
			before := w.catalog()
			holder, err := connect(t.Context(), l.server.URL(database))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = holder.Close(context.Background()) }()
			if _, err := holder.Exec(t.Context(), "BEGIN; LOCK TABLE "+quoted(w.set.Parent)+" IN ACCESS EXCLUSIVE MODE"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), eternity)
			defer cancel()
			if l.work != passing {
				err := l.task(database, directory, 0).work(ctx, w.m, w.set)
				var pgErr *pgconn.PgError
				if !errors.As(err, &pgErr) || pgErr.Code != "55P03" {
					t.Errorf("it comes to %v", err)
				}
			} else if report, err := w.m.Pass(ctx, nil, []partition.Set{w.set}); err != nil {
				t.Fatal(err)
			} else if status := report.Status(); status != maintenance.Failed && status != maintenance.Partly {
				t.Errorf("the pass is %s", status)
			}
			if got := w.catalog(); got != before {
				t.Errorf("the tables are\n%s\nbefore\n%s", got, before)
			}
			if _, err := holder.Exec(t.Context(), "ROLLBACK"); err != nil {
				t.Fatal(err)
			}
			l.settled(t, w, l.model, "locked")
		})
	}
}

// catalog describes all tables that are there, and what they have. It takes no lock.
func (w *world) catalog() string {
	return strings.Join(w.strings(`SELECT concat_ws(' ', n.nspname, c.relname, c.oid, c.relfilenode, c.relkind,
			(SELECT string_agg(concat(conname, convalidated), ' ' ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid),
			(SELECT string_agg(inhparent::text, ' ') FROM pg_inherits WHERE inhrelid = c.oid),
			(SELECT string_agg(concat(tgname, tgenabled), ' ') FROM pg_trigger WHERE tgrelid = c.oid))
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'partitiond') ORDER BY 1`), "\n")
}

// awaitAlone waits until the server has noticed that those who did the work are gone.
func (l *lab) awaitAlone(w *world) {
	for len(w.strings("SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1", application)) > 0 {
	}
}

// reconnect replaces what was lost with the server.
func (l *lab) reconnect(t *testing.T) {
	t.Helper()
	admin, err := pgx.Connect(t.Context(), l.server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	_ = l.admin.Close(context.Background())
	l.admin = admin
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
}
