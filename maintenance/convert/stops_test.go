package convert_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/convert"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestStops puts one thing after the other in the way of a conversion: it is listed with
// its kind, and nothing is changed.
func TestStops(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "CREATE TABLE other (id int PRIMARY KEY, at timestamp)")
	month := f.query("SELECT 'chat_' || to_char(localtimestamp, 'YYYY_MM')")
	for _, c := range []struct{ kind, do, undo string }{
		{"unlogged table", "ALTER TABLE " + month + " SET UNLOGGED", "ALTER TABLE " + month + " SET LOGGED"},
		{"table that inherits", "CREATE TABLE above (); ALTER TABLE chat_master INHERIT above", "ALTER TABLE chat_master NO INHERIT above; DROP TABLE above"},
		{"partition with children", "CREATE TABLE below () INHERITS (" + month + ")", "DROP TABLE below"},
		{"partition of several parents", "CREATE TABLE above (); ALTER TABLE " + month + " INHERIT above", "ALTER TABLE " + month + " NO INHERIT above; DROP TABLE above"},
		{"rule", "CREATE RULE r AS ON DELETE TO chat_master WHERE false DO INSTEAD NOTHING", "DROP RULE r ON chat_master"},
		{"rule", "CREATE RULE r AS ON INSERT TO other DO ALSO INSERT INTO chat_master (created_at) VALUES (NEW.at)", "DROP RULE r ON other"},
		{"materialized view", "CREATE MATERIALIZED VIEW v AS SELECT count(*) FROM chat_master", "DROP MATERIALIZED VIEW v"},
		{"view of the row type", "CREATE VIEW v AS SELECT m FROM chat_master m", "DROP VIEW v"},
		{"user of the row type", "CREATE FUNCTION g() RETURNS SETOF chat_master LANGUAGE sql AS 'SELECT * FROM chat_master'", "DROP FUNCTION g"},
		{"dependent", "CREATE FUNCTION g() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM chat_master; END", "DROP FUNCTION g"},
		{"dependent", "CREATE POLICY p ON other USING (EXISTS (SELECT FROM chat_master))", "DROP POLICY p ON other"},
		{"foreign key to it", "ALTER TABLE chat_master ADD PRIMARY KEY (id, created_at); CREATE TABLE refers (id int, at timestamp, CONSTRAINT k FOREIGN KEY (id, at) REFERENCES chat_master)",
			"DROP TABLE refers; ALTER TABLE chat_master DROP CONSTRAINT chat_master_pkey"},
		{"foreign key", "ALTER TABLE chat_master ADD CONSTRAINT k FOREIGN KEY (id) REFERENCES other", "ALTER TABLE chat_master DROP CONSTRAINT k"},
		{"trigger", "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER z BEFORE UPDATE ON chat_master FOR EACH ROW EXECUTE FUNCTION g()", "DROP TRIGGER z ON chat_master; DROP FUNCTION g"},
		{"unique key without the partition key", "ALTER TABLE chat_master ADD UNIQUE (id)", "ALTER TABLE chat_master DROP CONSTRAINT chat_master_id_key"},
		{"exclusion constraint", "ALTER TABLE chat_master ADD CONSTRAINT x EXCLUDE USING btree (user_id WITH =)", "ALTER TABLE chat_master DROP CONSTRAINT x"},
		{"CHECK that is not inherited", "ALTER TABLE chat_master ADD CONSTRAINT k CHECK (id > 0) NO INHERIT", "ALTER TABLE chat_master DROP CONSTRAINT k"},
		{"CHECK that is not validated", "ALTER TABLE chat_master ADD CONSTRAINT k CHECK (id > 0) NOT VALID", "ALTER TABLE chat_master DROP CONSTRAINT k"},
		{"publication by the root", "CREATE PUBLICATION p FOR TABLE chat_master WITH (publish_via_partition_root = true)", "DROP PUBLICATION p"},
		{"column of the partition only", "ALTER TABLE " + month + " ADD extra int", "ALTER TABLE " + month + " DROP extra"},
		// No statement makes these two, for INHERIT looks as well.
		{"column that differs", "UPDATE pg_attribute SET attcollation = '\"C\"'::regcollation WHERE attname = 'dialogue' AND attrelid = '" + month + "'::regclass",
			"UPDATE pg_attribute SET attcollation = 'default'::regcollation WHERE attname = 'dialogue' AND attrelid = '" + month + "'::regclass"},
		{"invalid index", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_user_id'::regclass", "UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'idx_user_id'::regclass"},
		{"foreign table", "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE away (CHECK (created_at >= '2001-01-01'::timestamp AND created_at < '2001-02-01'::timestamp)) INHERITS (chat_master) SERVER s",
			"DROP FOREIGN DATA WRAPPER w CASCADE"},
		{"subscription", "CREATE SUBSCRIPTION s CONNECTION 'host=/nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE); INSERT INTO pg_subscription_rel SELECT oid, 'chat_master'::regclass, 'r' FROM pg_subscription WHERE subname = 's'",
			"DROP SUBSCRIPTION s"},
		{"name taken", "CREATE TABLE chat_master_inherited ()", "DROP TABLE chat_master_inherited"},
		{"name taken", "CREATE VIEW chat_default AS SELECT 1", "DROP VIEW chat_default"},
		{"overlap", "CREATE TABLE twice (CHECK (created_at >= date_trunc('month', '2018-11-01'::timestamp) AND created_at < '2999-01-01'::timestamp)) INHERITS (chat_master)", "DROP TABLE twice"},
		{"unreadable bounds", "CREATE TABLE odd (CHECK (created_at::text > 'x')) INHERITS (chat_master)", "DROP TABLE odd"},
		{"rows in the parent", "ALTER TABLE chat_master DISABLE TRIGGER USER; INSERT INTO chat_master (created_at) VALUES ('infinity'); ALTER TABLE chat_master ENABLE TRIGGER USER", "DELETE FROM ONLY chat_master"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			f := *f
			f.t = t
			f.refuses(c.kind, c.do, c.undo, true, func() (convert.Result, error) { return f.forward(options) })
		})
	}
	// Nothing of all that is left.
	if r := f.mustForward(); !r.Swapped {
		t.Error("nothing was swapped")
	}
}

// TestStopsForPrivilege has a role convert that owns the set, but neither the view
// nor the publication of it; once it does, all of it is done as that role.
func TestStopsForPrivilege(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "CREATE VIEW v AS SELECT count(*) FROM chat_master; CREATE PUBLICATION "+"p_priv FOR TABLE chat_master")
	owner, keeper := f.db.Role(t, "owner"), f.db.Role(t, "keeper")
	f.exec(fmt.Sprintf(`GRANT %[1]s TO %[2]s; GRANT CREATE, USAGE ON SCHEMA public TO %[1]s;
		DO $$ DECLARE c regclass; BEGIN
			FOR c IN SELECT 'chat_master'::regclass UNION SELECT inhrelid FROM pg_inherits LOOP EXECUTE format('ALTER TABLE %%s OWNER TO %[1]s', c); END LOOP;
			FOR c IN SELECT oid FROM pg_proc WHERE proname LIKE 'chat_insert%%' LOOP EXECUTE format('ALTER FUNCTION %%s OWNER TO %[1]s', c::oid::regprocedure); END LOOP;
		END $$`, owner, keeper))
	connect := func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, f.db.URLAs(keeper)) }
	work := func() (convert.Result, error) {
		return convert.Run(t.Context(), nil, connect, f.set, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
			return convert.Forward(ctx, conn, f.set, options)
		}, f.m.Log)
	}
	r, err := work()
	var kinds []string
	for _, s := range r.Plan.Stops {
		kinds = append(kinds, s.Kind)
	}
	if want := []string{"publication of another owner", "view of another owner"}; !errors.Is(err, convert.ErrStops) || !slices.Equal(kinds, want) {
		t.Fatalf("in the way: %q, %v", kinds, err)
	}
	f.exec("GRANT CREATE ON DATABASE " + f.db.Name + " TO " + keeper + "; ALTER PUBLICATION p_priv OWNER TO " + keeper + "; ALTER VIEW v OWNER TO " + owner)
	before := f.digest()
	if r, err = work(); err != nil || !r.Swapped {
		t.Fatalf("%v, in the way: %q", err, r.Plan.Stops)
	}
	f.same("rows", before, f.digest())
	f.want("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname IN ('chat_master', 'chat_default')", owner+"\n"+owner)
	f.want("SELECT count(*) FROM v", "1")
	f.want("SELECT string_agg(prrelid::regclass::text, ' ' ORDER BY prrelid::regclass::text) LIKE '%chat_master' FROM pg_publication_rel", "true")
}

// TestStopsOfWhole has tables that cannot become the first partition of a set.
func TestStopsOfWhole(t *testing.T) {
	t.Parallel()
	f := &fixture{t: t, db: pgtest.New(t)}
	f.conn = f.db.Conn(t)
	f.configure(eventsSet)
	f.exec(`CREATE TABLE kinds (id int PRIMARY KEY); CREATE TYPE shape AS (at timestamp, n int);
		CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
	for _, c := range []struct{ kind, table string }{
		{"typed table", "CREATE TABLE events OF shape"},
		{"table with children", "CREATE TABLE events (at timestamp); CREATE TABLE below () INHERITS (events)"},
		{"generated key", "CREATE TABLE events (given timestamp, at timestamp GENERATED ALWAYS AS (given) STORED)"},
		{"foreign key", "CREATE TABLE events (at timestamp, kind int); ALTER TABLE events ADD FOREIGN KEY (kind) REFERENCES kinds NOT VALID"},
		{"foreign key to it", "CREATE TABLE events (at timestamp UNIQUE); CREATE TABLE refers (at timestamp REFERENCES events (at))"},
		{"rows without a key", "CREATE TABLE events (at timestamp); INSERT INTO events VALUES (NULL)"},
		{"rows without a key", "CREATE TABLE events (at timestamp); INSERT INTO events VALUES ('infinity')"},
		{"trigger", "CREATE TABLE events (at timestamp); CREATE TRIGGER z AFTER INSERT ON events REFERENCING NEW TABLE AS fresh FOR EACH ROW EXECUTE FUNCTION g()"},
		{"unlogged table", "CREATE UNLOGGED TABLE events (at timestamp)"},
		{"unsupported", "CREATE TABLE events (at text)"},
		{"unsupported", "CREATE VIEW events AS SELECT localtimestamp AS at"},
		{"replica identity", "CREATE TABLE events (id int PRIMARY KEY, at timestamp); ALTER TABLE events REPLICA IDENTITY USING INDEX events_pkey"},
		{"name taken", "CREATE TABLE events (at timestamp); CREATE TABLE events_first ()"},
		{"no parent", "SELECT"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			f := *f
			f.t = t
			f.exec(c.table)
			before := f.schema()
			r, err := convert.Run(t.Context(), nil, f.connect, f.set, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
				return convert.Whole(ctx, conn, f.set, time.Time{}, convert.Options{Bound: options.Bound, WidenKeys: true})
			}, f.m.Log)
			if !errors.Is(err, convert.ErrStops) || r.Swapped || r.Tasks > 0 || !slices.ContainsFunc(r.Plan.Stops, func(s convert.Stop) bool { return s.Kind == c.kind && s.What != "" }) {
				t.Errorf("%v, in the way: %q", err, r.Plan.Stops)
			}
			f.same("the schema", before, f.schema())
			for _, name := range strings.Fields(f.query("SELECT CASE relkind WHEN 'v' THEN 'VIEW:' ELSE 'TABLE:' END || relname FROM pg_class WHERE relname IN ('refers', 'below', 'events_first', 'events')")) {
				kind, name, _ := strings.Cut(name, ":")
				f.exec("DROP " + kind + " IF EXISTS " + name + " CASCADE")
			}
		})
	}
}
