package postgres

import (
	"slices"
	"strings"
	"testing"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Everything that a partition has to have because its parent has it, on a parent
// and on a child that somebody made complete. An index, a policy and the like
// have one text on both, for by it they are compared.
func TestObserveProperties(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	app, owner, reader := o.Role(t, "app"), o.Role(t, "owner"), o.Role(t, "reader")
	version15 := o.since(15, "publication of columns and rows")
	nulls, published := "", ""
	if version15 {
		nulls, published = " NULLS NOT DISTINCT", " (id, created_at) WHERE (id > 10)"
	}
	const dress = `
		ALTER TABLE {T} ALTER COLUMN body SET STORAGE EXTERNAL, SET (fillfactor = 70, autovacuum_enabled = off, toast.autovacuum_vacuum_threshold = 99, toast.autovacuum_enabled = off);
		ALTER TABLE {T} ADD CONSTRAINT {T}_pk PRIMARY KEY (id, created_at), ADD CONSTRAINT {T}_un UNIQUE{NULLS} (ref, "odd "" USING ") DEFERRABLE INITIALLY DEFERRED,
		  ADD CONSTRAINT {T}_uni UNIQUE (ref) INCLUDE (body) DEFERRABLE, ADD CONSTRAINT {T}_ex EXCLUDE USING btree (ref WITH =) WHERE (id > 5) DEFERRABLE INITIALLY DEFERRED,
		  ADD CONSTRAINT {T}_ex2 EXCLUDE USING btree (ref WITH =) WHERE (id > 5);
		CREATE INDEX "{T}'s USING odd" ON {T} USING hash (ref) WITH (fillfactor = 50);
		CREATE INDEX ON {T} USING hash (ref);
		CREATE INDEX ON {T} (lower(body) COLLATE "C" text_pattern_ops DESC NULLS LAST) INCLUDE (id) WHERE id <> 7;
		CREATE INDEX ON {T} ((created_at::date));
		CREATE INDEX ON {T} USING gist (box(point(id, id), point(id, id)));
		CREATE UNIQUE INDEX {T}_identity ON {T} (id);
		ALTER TABLE {T} REPLICA IDENTITY USING INDEX {T}_identity, ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
		CREATE POLICY "a ""b""" ON {T} AS RESTRICTIVE FOR UPDATE TO {APP}, PUBLIC USING (id > 0) WITH CHECK (ref <> '');
		CREATE POLICY sub ON {T} FOR SELECT USING (EXISTS (SELECT FROM lookup l WHERE l.id = 7));
		CREATE POLICY add ON {T} FOR INSERT TO {READER} WITH CHECK (body IS NOT NULL);
		COMMENT ON TABLE {T} IS E'it''s\na table'; COMMENT ON COLUMN {T}."odd "" USING " IS 'odd \ column'; COMMENT ON INDEX {T}_identity IS 'no property';
		GRANT SELECT ON {T} TO PUBLIC; GRANT INSERT, UPDATE ON {T} TO {APP}; GRANT INSERT ON {T} TO {READER} WITH GRANT OPTION;
		GRANT SELECT (id), UPDATE ("odd "" USING ") ON {T} TO {APP}; GRANT REFERENCES (id) ON {T} TO PUBLIC; GRANT UPDATE (id) ON {T} TO {READER} WITH GRANT OPTION;
		ALTER PUBLICATION pub ADD TABLE ONLY {T}; ALTER PUBLICATION "Pub 2" ADD TABLE ONLY {T}{PUBLISHED};
		ALTER TABLE {T} OWNER TO {OWNER}`
	clothe := func(table string) {
		o.exec(strings.NewReplacer("{PUBLISHED}", published, "{NULLS}", nulls, "{READER}", reader, "{APP}", app, "{OWNER}", owner, "{T}", table).Replace(dress))
	}
	o.exec(`CREATE TABLE lookup (id int); CREATE PUBLICATION pub; CREATE PUBLICATION "Pub 2"; CREATE PUBLICATION everything FOR ALL TABLES;
		CREATE TYPE mood AS ENUM ('good'); CREATE SCHEMA s; CREATE SEQUENCE s.seq;
		CREATE TABLE event_master (gone int, id bigint NOT NULL DEFAULT nextval('s.seq'), ref text DEFAULT 'it''s ' || current_user, body text,
		  "odd "" USING " mood DEFAULT 'good', at_zone timestamptz DEFAULT '2018-11-01 00:00+01', g int GENERATED ALWAYS AS (id + 1) STORED, created_at timestamp NOT NULL);
		ALTER TABLE event_master DROP COLUMN gone;
		CREATE TABLE bare () INHERITS (event_master); CREATE TABLE complete () INHERITS (event_master);
		-- Its columns have other numbers.
		CREATE TABLE moved (x int, y int, LIKE event_master INCLUDING DEFAULTS INCLUDING GENERATED); ALTER TABLE moved DROP COLUMN x, DROP COLUMN y, INHERIT event_master`)
	o.exec("GRANT CREATE ON SCHEMA public TO " + owner) // An owner has to be able to make a table's indexes.
	for _, table := range []string{"event_master", "complete", "moved"} {
		clothe(table)
	}
	snap := o.one("event_master")
	named := strings.NewReplacer(app, "app", owner, "owner", reader, "reader")
	const wanted = `
		column comment: odd " USING  = odd \ column
		column grant: id  REFERENCES =
		column grant: id app SELECT =
		column grant: id reader UPDATE = with grant option
		column grant: odd " USING  app UPDATE =
		column storage: body = EXTERNAL
		comment:  = it's
		a table
		default: at_zone = '2018-10-31 23:00:00+00'::timestamp with time zone
		default: id = nextval('s.seq'::regclass)
		default: odd " USING  = 'good'::public.mood
		default: ref = ('it''s '::text || (CURRENT_USER)::text)
		grant:  SELECT =
		grant: app INSERT =
		grant: app UPDATE =
		grant: reader INSERT = with grant option
		index: EXCLUDE USING btree (ref WITH =) WHERE ((id > 5)) = exclude
		index: EXCLUDE USING btree (ref WITH =) WHERE ((id > 5)) DEFERRABLE INITIALLY DEFERRED = exclude
		index: UNIQUE USING btree (id) =
		index: UNIQUE USING btree (id, created_at) = primary key
		index: UNIQUE USING btree (ref) INCLUDE (body) = unique constraint deferrable
		index: UNIQUE USING btree (ref, "odd "" USING ") NULLS NOT DISTINCT = unique constraint deferrable initially deferred
		index: USING btree (((created_at)::date)) =
		index: USING btree (lower(body) COLLATE "C" text_pattern_ops DESC NULLS LAST) INCLUDE (id) WHERE (id <> 7) =
		index: USING gist (box(point((id)::double precision, (id)::double precision), point((id)::double precision, (id)::double precision))) =
		index: USING hash (ref) =
		index: USING hash (ref) WITH (fillfactor='50') =
		not null: created_at =
		not null: id =
		owner:  = owner
		policy: a "b" = AS RESTRICTIVE FOR UPDATE TO PUBLIC USING ((id > 0)) WITH CHECK ((ref <> ''::text))
		policy: add = AS PERMISSIVE FOR INSERT TO reader WITH CHECK ((body IS NOT NULL))
		policy: sub = AS PERMISSIVE FOR SELECT TO PUBLIC USING ((EXISTS ( SELECT
		FROM public.lookup l
		WHERE (l.id = 7))))
		publication: Pub 2 = (id, created_at) WHERE ((id > 10))
		publication: pub =
		replica identity:  = index UNIQUE USING btree (id)
		row security:  = forced
		storage option: autovacuum_enabled = off
		storage option: fillfactor = 70
		storage option: toast.autovacuum_enabled = off
		storage option: toast.autovacuum_vacuum_threshold = 99`
	older := func(text string) string {
		if !version15 {
			text = strings.NewReplacer(" NULLS NOT DISTINCT", "", "(id, created_at) WHERE ((id > 10))", "").Replace(text)
		}
		return text
	}
	compareLines(t, "the parent's", named.Replace(propertyLines(snap.Parent.Properties)), older(wanted))
	compareLines(t, "a complete child's", propertyLines(child(t, snap, "complete").Properties), propertyLines(snap.Parent.Properties))
	compareLines(t, "a child's with moved columns", propertyLines(child(t, snap, "moved").Properties), propertyLines(snap.Parent.Properties))
	if changes := partition.Diff(partition.Set{Indexes: true, Grants: partition.GrantsExact}, snap.Parent.Properties, child(t, snap, "complete").Properties); changes != nil {
		t.Errorf("a complete child differs: %+v", changes)
	}
	compareLines(t, "a bare child's", named.Replace(propertyLines(child(t, snap, "bare").Properties)), `
		column storage: body = EXTERNAL
		default: at_zone = '2018-10-31 23:00:00+00'::timestamp with time zone
		default: id = nextval('s.seq'::regclass)
		default: odd " USING  = 'good'::public.mood
		default: ref = ('it''s '::text || (CURRENT_USER)::text)
		not null: created_at =
		not null: id =
		owner:  = postgres
		replica identity:  = default
		row security:  = off`)
}

// Row security and replica identity in their other states, a replica identity
// whose index is gone, and a policy that has the table's own name in it.
func TestObserveStates(t *testing.T) {
	t.Parallel()
	o := newObserved(t, `CREATE TABLE event_master (id int NOT NULL, created_at timestamp); ALTER TABLE event_master REPLICA IDENTITY FULL, ENABLE ROW LEVEL SECURITY;
		CREATE TABLE nothing () INHERITS (event_master); ALTER TABLE nothing REPLICA IDENTITY NOTHING, FORCE ROW LEVEL SECURITY;
		CREATE TABLE lost () INHERITS (event_master); CREATE UNIQUE INDEX lost_id ON lost (id); ALTER TABLE lost REPLICA IDENTITY USING INDEX lost_id; DROP INDEX lost_id;
		CREATE POLICY p ON event_master USING (EXISTS (SELECT FROM pg_class c WHERE c.oid = event_master.id));
		CREATE POLICY p ON lost USING (EXISTS (SELECT FROM pg_class c WHERE c.oid = lost.id))`)
	snap := o.one("event_master")
	kinds := []partition.PropertyKind{partition.PropReplicaIdentity, partition.PropRowSecurity}
	compareLines(t, "parent", propertyLines(snap.Parent.Properties, kinds...), "replica identity:  = full\nrow security:  = on")
	compareLines(t, "nothing", propertyLines(child(t, snap, "nothing").Properties, kinds...), "replica identity:  = nothing\nrow security:  = off")
	compareLines(t, "lost", propertyLines(child(t, snap, "lost").Properties, kinds...), "row security:  = off")
	policy := propertyLines(snap.Parent.Properties, partition.PropPolicy)
	compareLines(t, "policy", propertyLines(child(t, snap, "lost").Properties, partition.PropPolicy), policy)
	if !strings.Contains(policy, "event_master.id") {
		t.Errorf("the parent's policy has no name in it: %s", policy)
	}
}

// To whom new tables of the owner are open by ALTER DEFAULT PRIVILEGES, here or
// in all schemas, but not what concerns others.
func TestObserveDefaultGrantees(t *testing.T) {
	t.Parallel()
	o := newObserved(t, "CREATE TABLE event_master (created_at timestamp); CREATE SCHEMA s; CREATE TABLE s.event_master (created_at timestamp)")
	owner, here, anywhere, other := o.Role(t, "owner"), o.Role(t, "here"), o.Role(t, "anywhere"), o.Role(t, "other")
	runSQL(t, o.ConnAs(t, owner), "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO "+here,
		"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC, "+anywhere, "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO "+other)
	o.exec("ALTER TABLE event_master OWNER TO "+owner, "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO "+other)
	elsewhere := monthly("event_master")
	elsewhere.Parent.Schema = "s"
	snaps := o.observe(monthly("event_master"), elsewhere, monthly("event_master"))
	compare(t, "grantees", snaps[0].Parent.DefaultGrantees, []string{"", anywhere, here})
	compare(t, "another owner's", snaps[1].Parent.DefaultGrantees, []string{other})
	compare(t, "the set again", snaps[2].Parent.DefaultGrantees, []string{"", anywhere, here})
}

// An index that CREATE INDEX CONCURRENTLY could not finish is no index, and is
// found by what it should have been.
func TestObserveInvalidIndex(t *testing.T) {
	t.Parallel()
	o := newObserved(t, `CREATE TABLE event_master (id int, created_at timestamp); CREATE UNIQUE INDEX ON event_master (id); CREATE INDEX ON event_master (created_at);
		CREATE TABLE event_2018_01 (CHECK (created_at < '2018-02-01')) INHERITS (event_master); INSERT INTO event_2018_01 (id) VALUES (1), (1)`)
	for _, name := range []string{"event_half", `"event half"`} {
		if got := code(t, o.conn, "CREATE UNIQUE INDEX CONCURRENTLY "+name+" ON event_2018_01 (id)"); got != "23505" {
			t.Fatalf("the index was built: %s", got)
		}
	}
	c := child(t, o.one("event_master"), "event_2018_01")
	compare(t, "indexes", propertyLines(c.Properties, partition.PropIndex), "")
	for _, names := range c.InvalidIndexes {
		slices.Sort(names)
	}
	compare(t, "invalid", c.InvalidIndexes, map[string][]string{"UNIQUE USING btree (id)": {"event half", "event_half"}})
	runSQL(t, o.conn, "DELETE FROM event_2018_01", "REINDEX INDEX event_half")
	c = child(t, o.one("event_master"), "event_2018_01")
	compare(t, "indexes in the end", propertyLines(c.Properties, partition.PropIndex), "index: UNIQUE USING btree (id) =")
	compare(t, "invalid in the end", c.InvalidIndexes, map[string][]string{"UNIQUE USING btree (id)": {"event half"}})
}

// Of the same index for a constraint and by itself, the constraint counts.
func TestObserveTwice(t *testing.T) {
	t.Parallel()
	o := newObserved(t, `CREATE TABLE event_master (id int NOT NULL, created_at timestamp); CREATE UNIQUE INDEX ON event_master (id); CREATE UNIQUE INDEX ON event_master (id);
		ALTER TABLE event_master ADD UNIQUE (id), ADD UNIQUE (id) DEFERRABLE`)
	compare(t, "unique", propertyLines(o.one("event_master").Parent.Properties, partition.PropIndex), "index: UNIQUE USING btree (id) = unique constraint")
	o.exec("ALTER TABLE event_master ADD PRIMARY KEY (id)")
	compare(t, "primary", propertyLines(o.one("event_master").Parent.Properties, partition.PropIndex), "index: UNIQUE USING btree (id) = primary key")
}
