package maintenance_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/pgtemp"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// cluster is a coordinator of Citus with two workers, which have all shards.
type cluster struct {
	*scenario
	workers       []*pgx.Conn
	owner, reader string
}

// newCluster starts the servers; where the extension is not installed the test is
// skipped. The workers have other settings for times than the coordinator.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	if rows(t, pgtest.New(t).Conn(t), "SELECT count(*) FROM pg_available_extensions WHERE name = 'citus'") == "0\n" {
		t.Skip("the extension citus is not installed, and so no set is distributed by it")
	}
	settings := map[string]string{"shared_preload_libraries": "citus", "citus.node_conninfo": "sslmode=disable", "citus.shard_count": "4",
		"max_prepared_transactions": "50", "citus.enable_statistics_collection": "off"}
	coordinator := pgtest.Server(t, pgtemp.Options{Settings: settings})
	settings["timezone"], settings["datestyle"] = "Asia/Tokyo", "SQL, DMY"
	db := pgtest.On(t, coordinator)
	c := &cluster{scenario: scenarioIn(t, db)}
	c.m.Archiving = maintenance.Archiving{Format: archive.Parquet}
	c.section("citus.sql", fmt.Sprintf("CREATE EXTENSION citus; SELECT citus_set_coordinator_host('127.0.0.1', %d)", coordinator.Port()))
	for range 2 {
		server := pgtest.Server(t, pgtemp.Options{Settings: settings})
		c.run(server.URL("postgres"), "CREATE DATABASE "+db.Name+" TEMPLATE template0") // All nodes' databases have one name.
		c.workers = append(c.workers, c.run(server.URL(db.Name), "CREATE EXTENSION citus"))
		c.section("node.sql", fmt.Sprintf("SELECT citus_add_node('127.0.0.1', %d)", server.Port()))
	}
	return c
}

// run runs a statement on a connection, which it returns.
func (c *cluster) run(url, sql string) *pgx.Conn {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), url)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(c.t.Context(), sql); err != nil {
		c.t.Fatal(err)
	}
	return conn
}

func (c *cluster) configure(ahead int, retention string) {
	c.t.Helper()
	c.section("set.toml", fmt.Sprintf(citusSet, ahead, retention))
}

// keeper makes a role that is no more than a member of the owner; passes are its from
// then on.
func (c *cluster) keeper() (owner, keeper string) {
	c.t.Helper()
	owner, keeper, c.reader = c.db.Role(c.t, "owner"), c.db.Role(c.t, "keeper"), c.db.Role(c.t, "reader")
	// Citus sends the text of some of these on, and so takes one at a time.
	for _, sql := range []string{"GRANT " + owner + " TO " + keeper, "REVOKE CREATE ON SCHEMA public FROM PUBLIC", "GRANT USAGE, CREATE ON SCHEMA public TO " + owner,
		"ALTER TABLE events OWNER TO " + owner, "CREATE SCHEMA partitiond AUTHORIZATION " + keeper} {
		c.section("owner.sql", sql)
	}
	c.m.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, c.db.URLAs(keeper)) }
	return owner, keeper
}

func (c *cluster) want(query, want string) {
	c.t.Helper()
	if got := c.text(query); got != want {
		c.t.Errorf("%s\ngives %q, want %q", query, got, want)
	}
}

// shardsOf returns a worker's shards of a table.
func (c *cluster) shardsOf(table string, worker *pgx.Conn) []string {
	c.t.Helper()
	return strings.Fields(rows(c.t, worker, fmt.Sprintf(`SET citus.override_table_visibility = off; SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relname ~ '^%s_\d{6,}$'`, table)))
}

// shards tells how many shards of a table there are on each worker.
func (c *cluster) shards(table string) string {
	c.t.Helper()
	return fmt.Sprintf("%d %d", len(c.shardsOf(table, c.workers[0])), len(c.shardsOf(table, c.workers[1])))
}

// onWorkers adds up what a query says of each shard of a table, for each worker.
func (c *cluster) onWorkers(query, table string) (sums []string) {
	c.t.Helper()
	for _, w := range c.workers {
		var sum int
		for _, shard := range c.shardsOf(table, w) {
			var n int
			if err := w.QueryRow(c.t.Context(), fmt.Sprintf(query, shard)).Scan(&n); err != nil {
				c.t.Fatal(err)
			}
			sum += n
		}
		sums = append(sums, fmt.Sprint(sum))
	}
	return sums
}

// gone asserts that nothing is left of a partition, here or on a worker.
func (c *cluster) gone(table string) {
	c.t.Helper()
	c.want(fmt.Sprintf("SELECT to_regclass('%s') IS NULL", table), "t")
	if got := c.shards(table); got != "0 0" {
		c.t.Errorf("%s shards of %s are left on the workers", got, table)
	}
}
