package convert_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/convert"
	"github.com/partitiond/partitiond/maintenance/pgtemp"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
	"github.com/partitiond/partitiond/maintenance/postgres"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// TestCitus distributes a declarative set by Citus and makes partitions of it ahead, as
// the README tells. A set of Citus is no set for convert.
func TestCitus(t *testing.T) {
	t.Parallel()
	f := &fixture{t: t, db: pgtest.New(t)}
	f.conn = f.db.Conn(t)
	if f.query("SELECT count(*) FROM pg_available_extensions WHERE name = 'citus'") == "0" {
		t.Skip("the extension citus is not installed, and so no set is distributed by it")
	}
	f.db = pgtest.On(t, pgtest.Server(t, pgtemp.Options{Settings: map[string]string{"shared_preload_libraries": "citus"}}))
	f.conn = f.db.Conn(t)
	f.configure(eventsSet)
	f.exec(`CREATE EXTENSION citus; SELECT citus_set_coordinator_host('localhost', current_setting('port')::int);
		CREATE TABLE events (at timestamptz NOT NULL, tenant text NOT NULL, body text, PRIMARY KEY (tenant, at)) PARTITION BY RANGE (at);
		SELECT create_distributed_table('events', 'tenant')`)
	f.pass()
	f.exec("INSERT INTO events SELECT now(), 't' || i, 'text' FROM generate_series(1, 100) i")
	f.want("SELECT count(*) FROM events", "100")
	f.want("SELECT count(*) > 0 FROM pg_dist_partition WHERE logicalrelid = (SELECT min(inhrelid) FROM pg_inherits WHERE inhparent = 'events'::regclass)", "true")
	snaps, err := postgres.Observe(t.Context(), f.conn, []partition.Set{f.set})
	if err != nil || len(snaps[0].Partitions) != 1+f.set.Ahead {
		t.Errorf("%d partitions, %v", len(snaps[0].Partitions), err)
	}
	r, err := convert.Run(t.Context(), nil, f.connect, f.set, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
		return convert.Forward(ctx, conn, f.set, options)
	}, f.m.Log)
	if err != nil || r.Plan.Done == "" {
		t.Errorf("convert: %+v, %v", r, err)
	}
}
