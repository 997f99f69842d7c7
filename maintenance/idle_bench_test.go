package maintenance_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

var (
	idleSets = flag.String("idle.sets", "10,100", "numbers of sets for BenchmarkIdlePass")
	idleURL  = flag.String("idle.url", "", "a server for BenchmarkIdlePass to make its databases on and keep them; by default a throw-away one")
)

// idlePast and idleAhead make 63 partitions of each set, with the present month,
// which has a row: pg_partman looks for the newest one.
const idlePast, idleAhead = 58, 4

// BenchmarkIdlePass compares a pass that finds nothing to do with pg_partman's
// run_maintenance() over the same number of sets, of the same tables, in another
// database of the same server. They take turns, and the medians count. Run it
// with -benchtime 20x; pg_partman may be missing.
func BenchmarkIdlePass(b *testing.B) {
	for _, text := range strings.Split(*idleSets, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("sets="+text, func(b *testing.B) {
			m, sets := idleMaintainer(b, n)
			partman := partmanSets(b, n)
			var ours, theirs []time.Duration
			var memory runtime.MemStats
			for b.Loop() {
				began := time.Now()
				report, err := m.Pass(b.Context(), nil, sets)
				ours = append(ours, time.Since(began))
				if err != nil || report.Status() != maintenance.Idle {
					b.Fatalf("the pass is %s: %v", report.Status(), err)
				}
				if partman != nil {
					theirs = append(theirs, partman())
				}
			}
			runtime.ReadMemStats(&memory)
			b.ReportMetric(median(ours), "ms")
			b.ReportMetric(float64(memory.Sys)/(1<<20), "MiB")
			if partman != nil {
				b.ReportMetric(median(theirs), "partman-ms")
				b.ReportMetric(median(ours)/median(theirs), "of-partman")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// median returns the middle one of several times, in milliseconds.
func median(times []time.Duration) float64 {
	slices.Sort(times)
	return float64(times[len(times)/2].Microseconds()) / 1000
}

// idleTable is what each set's parent is like.
const idleTable = `(id bigint NOT NULL DEFAULT 0, program_id varchar, user_id varchar, body varchar(10000), created_at timestamp NOT NULL)`

// idleMaintainer makes sets of 63 months each by a first pass.
func idleMaintainer(b *testing.B, n int) (*maintenance.Maintainer, []partition.Set) {
	b.Helper()
	url, fresh := idleDatabase(b, fmt.Sprintf("idle_%d", n))
	conn := connectTo(b, url)
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "[[set]]\nparent = \"public.event%d_master\"\nkey = \"created_at\"\nahead = %d\nfill_gaps = true\n", i, idleAhead)
		if fresh {
			execute(b, conn, fmt.Sprintf(`CREATE TABLE event%d_master %s; CREATE INDEX ON event%[1]d_master (program_id);
				CREATE INDEX ON event%[1]d_master (user_id); CREATE INDEX ON event%[1]d_master (created_at);
				DO $$ DECLARE first timestamp := date_trunc('month', localtimestamp) - interval '%[3]d months'; BEGIN
					EXECUTE format('CREATE TABLE event%[1]d_first (CHECK (created_at >= %%L AND created_at < %%L)) INHERITS (event%[1]d_master)', first, first + interval '1 month');
				END $$; INSERT INTO event%[1]d_master (created_at) VALUES (localtimestamp)`, i, idleTable, idlePast))
		}
	}
	c, err := config.Parse("idle", []byte(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	sets := make([]partition.Set, n)
	for i, s := range c.Databases[0].Sets {
		sets[i] = s.Set
	}
	m := &maintenance.Maintainer{Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, url) },
		Log: slog.New(slog.DiscardHandler), Parallel: 2}
	report, err := m.Pass(b.Context(), nil, sets)
	if err != nil || report.Status() != maintenance.Done && report.Status() != maintenance.Idle {
		b.Fatalf("the first pass is %s: %v", report.Status(), err)
	}
	if fresh {
		execute(b, conn, "VACUUM ANALYZE")
	}
	return m, sets
}

// partmanSets makes as many sets with pg_partman, and returns what runs its
// maintenance and tells how long that took; nil where it is not installed.
func partmanSets(b *testing.B, n int) func() time.Duration {
	b.Helper()
	url, fresh := idleDatabase(b, fmt.Sprintf("partman_%d", n))
	conn := connectTo(b, url)
	if fresh {
		var there bool
		if err := conn.QueryRow(b.Context(), "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_partman')").Scan(&there); err != nil {
			b.Fatal(err)
		}
		if !there {
			b.Log("pg_partman is not installed")
			return nil
		}
		execute(b, conn, "CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman")
		for i := range n {
			execute(b, conn, fmt.Sprintf(`CREATE TABLE event%d %s PARTITION BY RANGE (created_at); CREATE INDEX ON event%[1]d (program_id);
				CREATE INDEX ON event%[1]d (user_id); CREATE INDEX ON event%[1]d (created_at);
				SELECT partman.create_parent('public.event%[1]d', 'created_at', 'native', 'monthly', p_premake := %[4]d,
					p_start_partition := (date_trunc('month', localtimestamp) - interval '%[3]d months')::text);
				INSERT INTO event%[1]d (created_at) VALUES (localtimestamp)`, i, idleTable, idlePast, idleAhead))
		}
		execute(b, conn, "VACUUM ANALYZE")
	}
	return func() time.Duration {
		began := time.Now()
		conn := connectTo(b, url)
		execute(b, conn, "SELECT partman.run_maintenance()")
		took := time.Since(began)
		_ = conn.Close(b.Context()) // A pass closes its connections, too.
		return took
	}
}

// idleDatabase returns a database's URL, and whether it was made by this.
func idleDatabase(b *testing.B, name string) (url string, fresh bool) {
	b.Helper()
	if *idleURL == "" {
		return pgtest.DB(b), true
	}
	admin := connectTo(b, *idleURL)
	if err := admin.QueryRow(b.Context(), "SELECT NOT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&fresh); err != nil {
		b.Fatal(err)
	}
	if fresh {
		execute(b, admin, "CREATE DATABASE "+name)
	}
	config := admin.Config()
	return fmt.Sprintf("postgres://%s@%s:%d/%s", config.User, config.Host, config.Port, name), fresh
}

func connectTo(b *testing.B, url string) *pgx.Conn {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(b *testing.B, conn *pgx.Conn, sql string) {
	b.Helper()
	if _, err := conn.PgConn().Exec(b.Context(), sql).ReadAll(); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}
