package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/sql"
)

func TestObserveNothing(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	if snaps, err := Observe(t.Context(), o.conn, nil); snaps != nil || err != nil {
		t.Errorf("%v, %v", snaps, err)
	}
	snap := o.observe(monthly("absent_master"))[0]
	if snap.Parent != nil || snap.Partitions != nil || snap.Taken != nil {
		t.Errorf("an absent parent: %+v", snap)
	}
	// What was configured is also found where nothing says so: by its exact name.
	o.exec(`CREATE SCHEMA "public.x"; CREATE TABLE "public.x".t (created_at timestamp); CREATE TABLE "Event_master" (created_at timestamp)`)
	if snap := o.observe(monthly("event_master"))[0]; snap.Parent != nil {
		t.Errorf("a name of another case: %+v", snap.Parent)
	}
}

// The schema that this pattern's users have, with months that its own trigger made.
func TestObserveSeed(t *testing.T) {
	t.Parallel()
	o := newObserved(t, sql.Text("seed.sql"), `INSERT INTO chat_master (program_id, user_id, dialogue, created_at)
		VALUES ('p', 'u', 'd', '2018-11-05 12:00'), ('p', 'u', 'd', '2018-12-31 23:59:59.999999'), ('p', 'u', 'd', '2019-01-01')`)
	set := monthly("chat_master")
	set.Trigger = "insert_chat_trigger"
	snap := o.observe(set)[0]
	p := snap.Parent
	compare(t, "columns", p.Columns, []partition.Column{{Name: "id", Type: "integer"}, {Name: "program_id", Type: "character varying"},
		{Name: "user_id", Type: "character varying"}, {Name: "dialogue", Type: "character varying(10000)"}, {Name: "created_at", Type: "timestamp without time zone"}})
	compare(t, "routing", p.Routing, partition.Routing{Trigger: true, Function: partition.FunctionSeed})
	if p.Owner != "postgres" || p.Key != partition.KeyTimestamp || !p.MayAct || !p.OwnerMayCreate || p.Declarative || p.NotTable != "" || p.Analyzed || !p.LastAnalyze.IsZero() {
		t.Errorf("the parent: %+v", p)
	}
	compareLines(t, "the parent's properties", propertyLines(p.Properties), `
		default: id = nextval('public.chat_id_seq'::regclass)
		index: USING btree (((created_at)::date)) =
		index: USING hash (program_id) =
		index: USING hash (user_id) =
		not null: id =
		owner:  = postgres
		replica identity:  = default
		row security:  = off`)
	var months []string
	for _, c := range snap.Partitions {
		months = append(months, fmt.Sprintf("%s %s; %s", c.Name, boundsOf(c), checksOf(c)))
		compareLines(t, "properties of "+c.Name.Local, propertyLines(c.Properties), `
			default: id = nextval('public.chat_id_seq'::regclass)
			not null: id =
			owner:  = postgres
			replica identity:  = default
			row security:  = off`)
		if !c.SameShape || c.OwnTriggers || c.Foreign || c.Rows != -1 || c.Bytes != 0 || c.Dependents != nil || c.InvalidIndexes != nil {
			t.Errorf("%s: %+v", c.Name, c)
		}
	}
	compare(t, "partitions", strings.Join(months, "\n"), `public.chat_2018_11 check [2018-11-01, 2018-12-01); chat_2018_11_created_at_check [2018-11-01, 2018-12-01) validated local
public.chat_2018_12 check [2018-12-01, 2019-01-01); chat_2018_12_created_at_check [2018-12-01, 2019-01-01) validated local
public.chat_2019_01 check [2019-01-01, 2019-02-01); chat_2019_01_created_at_check [2019-01-01, 2019-02-01) validated local`)
	if snap.Strays != nil || snap.Taken != nil || snap.StraysUnseen != "" {
		t.Errorf("strays %v (%s), taken %v", snap.Strays, snap.StraysUnseen, snap.Taken)
	}
}

// A set as pg_partman 4 made it, and children made by hand, in other schemas and
// with names that need quotes, of which names say nothing: bounds decide.
func TestObserveForeignHands(t *testing.T) {
	t.Parallel()
	o := newObserved(t, `CREATE TABLE event_master (id bigserial PRIMARY KEY, note text, created_at timestamp NOT NULL);
		CREATE TABLE event_master_p2018_11 (LIKE event_master INCLUDING ALL);
		ALTER TABLE event_master_p2018_11 ADD CONSTRAINT event_master_p2018_11_partition_check
		  CHECK (created_at >= '2018-11-01 00:00:00' AND created_at < '2018-12-01 00:00:00'), INHERIT event_master;
		CREATE FUNCTION event_master_part_trig_func() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
		CREATE TRIGGER event_master_part_trig BEFORE INSERT ON event_master FOR EACH ROW EXECUTE FUNCTION event_master_part_trig_func();
		CREATE SCHEMA "Old ""Stuff""";
		CREATE TABLE "Old ""Stuff"""."2018's 12%_" (CHECK (created_at >= '2018-12-01' AND created_at < '2019-01-01'),
		  CONSTRAINT "no % null" CHECK (created_at IS NOT NULL)) INHERITS (event_master);
		CREATE TABLE event_2018_01 (CHECK (created_at >= '2019-01-01' AND created_at < '2019-02-01')) INHERITS (event_master)`)
	snap := o.one("event_master")
	var got []string
	for _, c := range snap.Partitions {
		got = append(got, fmt.Sprintf("%s: %s; %s", c.Name, boundsOf(c), checksOf(c)))
		if !c.SameShape {
			t.Errorf("%s has another shape", c.Name)
		}
	}
	compare(t, "partitions", strings.Join(got, "\n"), `Old "Stuff".2018's 12%_: check [2018-12-01, 2019-01-01); 2018's 12%__created_at_check [2018-12-01, 2019-01-01) validated plain local
public.event_2018_01: check [2019-01-01, 2019-02-01); event_2018_01_created_at_check [2019-01-01, 2019-02-01) validated plain local
public.event_master_p2018_11: check [2018-11-01, 2018-12-01); event_master_p2018_11_partition_check [2018-11-01, 2018-12-01) validated plain local`)
	compare(t, "routing", snap.Parent.Routing, partition.Routing{Function: partition.FunctionMissing, Others: []string{"event_master_part_trig"}})
}

// What the relation of the configured name is, and its key.
func TestObserveParent(t *testing.T) {
	t.Parallel()
	o := newObserved(t, `CREATE TABLE plain (id int, created_at date); CREATE VIEW v AS SELECT * FROM plain; CREATE MATERIALIZED VIEW m AS SELECT * FROM plain;
		CREATE SEQUENCE s; CREATE INDEX i ON plain (id); CREATE TYPE c AS (created_at timestamp);
		CREATE TABLE declared (created_at timestamptz) PARTITION BY RANGE (created_at);
		CREATE TABLE declared_2018_11 PARTITION OF declared FOR VALUES FROM ('2018-11-01') TO ('2018-12-01');
		CREATE DOMAIN moment AS timestamp; CREATE TABLE of_domain (created_at moment);
		CREATE TABLE of_text (created_at varchar(7)); CREATE TABLE keyless (id int); CREATE TABLE dropped (created_at timestamp, id int);
		ALTER TABLE dropped DROP COLUMN created_at;
		CREATE UNLOGGED TABLE unlogged (created_at timestamp(3)); CREATE UNLOGGED TABLE unlogged_child () INHERITS (unlogged)`)
	var sets []partition.Set
	names := strings.Fields("plain v m s i c declared of_domain of_text keyless dropped unlogged nothing")
	for _, name := range names {
		sets = append(sets, monthly(name))
	}
	var got []string
	for i, snap := range o.observe(sets...) {
		line := names[i]
		if p := snap.Parent; p != nil {
			line += fmt.Sprintf(": key %s, other %s, not %s, declarative %t, %d partitions, shape", p.Key, p.KeyOther, p.NotTable, p.Declarative, len(snap.Partitions))
			for _, c := range snap.Partitions {
				line += fmt.Sprint(" ", c.SameShape)
			}
		}
		got = append(got, line)
	}
	compare(t, "parents", strings.Join(got, "\n"), `plain: key date, other , not , declarative false, 0 partitions, shape
v: key date, other , not view, declarative false, 0 partitions, shape
m: key date, other , not materialized view, declarative false, 0 partitions, shape
s: key , other , not sequence, declarative false, 0 partitions, shape
i: key , other , not index, declarative false, 0 partitions, shape
c: key timestamp without time zone, other , not composite type, declarative false, 0 partitions, shape
declared: key timestamp with time zone, other , not , declarative true, 1 partitions, shape true
of_domain: key , other public.moment, not , declarative false, 0 partitions, shape
of_text: key , other character varying(7), not , declarative false, 0 partitions, shape
keyless: key , other , not , declarative false, 0 partitions, shape
dropped: key , other , not , declarative false, 0 partitions, shape
unlogged: key timestamp without time zone, other , not , declarative false, 1 partitions, shape true
nothing`)
}

func TestObserveServer(t *testing.T) {
	t.Parallel()
	o := newObserved(t, "CREATE TABLE event_master (created_at timestamp)")
	role := o.Role(t, "looker")
	before := time.Now()
	server := o.observeBy(o.ConnAs(t, role), monthly("event_master"))[0].Server
	took := time.Since(before)
	if server.Version != o.version || server.Standby || server.Role != role {
		t.Errorf("%+v", server)
	}
	// Both clocks are one here. What is told of them errs by what the round trips
	// took at most.
	if server.Skew > took || server.Skew < -took {
		t.Errorf("a skew of %s after %s", server.Skew, took)
	}
	if at := server.Now; at.Before(before.Add(-time.Millisecond)) || at.After(before.Add(took+time.Millisecond)) {
		t.Errorf("the server's clock stood at %s, between %s and %s", at, before, before.Add(took))
	}
}

// Columns in another order, added, missing, of other types: such a partition
// does not take the parent's rows by position.
func TestObserveShape(t *testing.T) {
	t.Parallel()
	o := newObserved(t, `CREATE TABLE event_master (gone int, id int, a varchar(10), gone_too text, created_at timestamp, g int GENERATED ALWAYS AS (id + 1) STORED);
		ALTER TABLE event_master DROP COLUMN gone, DROP COLUMN gone_too;
		CREATE TABLE same () INHERITS (event_master);
		CREATE TABLE dropped (x int, id int, a varchar(10), created_at timestamp, y text, g int GENERATED ALWAYS AS (id + 1) STORED);
		ALTER TABLE dropped DROP COLUMN x, DROP COLUMN y, INHERIT event_master;
		CREATE TABLE turned (a varchar(10), id int, created_at timestamp, g int GENERATED ALWAYS AS (id + 1) STORED); ALTER TABLE turned INHERIT event_master;
		CREATE TABLE added () INHERITS (event_master); ALTER TABLE added ADD COLUMN more int;
		CREATE TABLE behind (id int, a varchar(10), created_at timestamp, g int GENERATED ALWAYS AS (id + 1) STORED, more int); ALTER TABLE behind INHERIT event_master`)
	snap := o.one("event_master")
	compare(t, "columns", snap.Parent.Columns, []partition.Column{{Name: "id", Type: "integer"}, {Name: "a", Type: "character varying(10)"},
		{Name: "created_at", Type: "timestamp without time zone"}, {Name: "g", Type: "integer", Generated: true}})
	got := map[string]bool{}
	for _, c := range snap.Partitions {
		got[c.Name.Local] = c.SameShape
	}
	compare(t, "shape", got, map[string]bool{"same": true, "dropped": true, "turned": false, "added": false, "behind": false})
	// A column that only the partition generates cannot be written by position. PostgreSQL 16 refuses such a child.
	o.exec(`CREATE TABLE late_master (id int, created_at timestamp, g int)`)
	if o.version < 160000 {
		o.exec(`CREATE TABLE late_child (id int, created_at timestamp, g int GENERATED ALWAYS AS (id + 1) STORED); ALTER TABLE late_child INHERIT late_master`)
		if child(t, o.one("late_master"), "late_child").SameShape {
			t.Error("a column that is generated in the partition alone")
		}
	}
	if o.since(18, "virtual column") {
		o.exec("CREATE TABLE virtual_master (created_at timestamp, g int GENERATED ALWAYS AS (1) VIRTUAL)")
		p := o.one("virtual_master").Parent
		if !p.Columns[1].Generated || propertyLines(p.Properties, partition.PropDefault) != "" {
			t.Errorf("a virtual column: %+v, %s", p.Columns, propertyLines(p.Properties))
		}
	}
}

// The names that a table cannot be given, and those that it can.
func TestObserveTaken(t *testing.T) {
	t.Parallel()
	o := newObserved(t, `CREATE TABLE event_master (id int, created_at timestamp);
		CREATE TABLE event_2018_01 (CHECK (created_at < '2018-02-01')) INHERITS (event_master);
		CREATE TABLE event_2018_02 (); CREATE VIEW event_2018_03 AS SELECT 1; CREATE SEQUENCE event_2018_04; CREATE TYPE event_2018_05 AS ENUM ();
		CREATE INDEX event_2018_06 ON event_2018_02 ((1)); CREATE DOMAIN event_2018_07 AS int[]; CREATE TYPE event_2018_08 AS (a int);
		CREATE DOMAIN event_20181_09 AS int; CREATE TABLE event_2018_010 (); CREATE TABLE event_12018_10 ();
		CREATE TABLE event_2018_11x (); CREATE TABLE "Event_2018_11" (); CREATE TABLE event_2018 (); CREATE TABLE xevent_2018_11 (); CREATE TABLE "event_2018_1१" ();
		CREATE FUNCTION event_2018_12() RETURNS int LANGUAGE sql AS 'SELECT 1';
		CREATE SCHEMA other; CREATE TABLE other.event_2018_11 ();
		CREATE TABLE other.event_2019_01 (CHECK (created_at >= '2019-01-01')) INHERITS (event_master);
		CREATE DOMAIN _event_2018_20 AS int[];
		CREATE TABLE "100%_a'.*_2018_01" (); CREATE TABLE "100%_a'..*_2018_01" (); CREATE TABLE "2018 чат 02" (); CREATE TABLE "x2018 чат 02" ()`)
	odd, leading, under := monthly("100%_a'.*"), monthly("event_master"), monthly("_event_master")
	var err error
	if leading.Pattern, err = partition.ParsePattern("%Y чат %m", leading.Interval); err != nil {
		t.Fatal(err)
	}
	absent := monthly("event_master")
	absent.Parent.Local = "absent"
	snaps := o.observe(monthly("event_master"), odd, leading, absent, under)
	list := func(i int) string {
		var names []string
		for _, n := range snaps[i].Taken {
			names = append(names, n.Local)
			if n.Schema != "public" {
				t.Errorf("taken in another schema: %s", n)
			}
		}
		return strings.Join(names, ", ")
	}
	const taken = "event_12018_10, event_20181_09, event_2018_010, event_2018_02, event_2018_03, event_2018_04, event_2018_05, event_2018_06, event_2018_07, event_2018_08"
	compare(t, "taken", list(0), taken)
	compare(t, "odd names", list(1), "100%_a'.*_2018_01")
	compare(t, "digits first", list(2), "2018 чат 02")
	// The array types of all those tables give way to a table, a domain does not.
	compare(t, "names of array types", list(4), "_event_2018_20")
	compare(t, "without a parent", list(3), strings.Replace(taken, "event_2018_010,", "event_2018_01, event_2018_010,", 1))
}

// What a removal would break, and what it would not.
func TestObserveDependents(t *testing.T) {
	t.Parallel()
	o := newObserved(t, `CREATE TABLE event_master (id int, created_at timestamp);
		CREATE TABLE event_2018_01 (PRIMARY KEY (id), CHECK (id > 0)) INHERITS (event_master);
		CREATE TABLE event_2018_02 (CHECK (created_at < '2018-03-01')) INHERITS (event_master);
		CREATE VIEW "Seen" AS SELECT * FROM event_2018_01; CREATE VIEW whole AS SELECT * FROM event_master; CREATE VIEW seen2 AS SELECT id FROM "Seen";
		CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM event_2018_01;
		CREATE TABLE log (a int); CREATE RULE "also" AS ON INSERT TO log DO ALSO DELETE FROM event_2018_01;
		CREATE RULE own AS ON DELETE TO event_2018_01 DO INSTEAD NOTHING;
		CREATE TABLE refers (id int REFERENCES event_2018_01);
		ALTER TABLE event_2018_01 ADD COLUMN up int REFERENCES event_2018_01;
		CREATE FUNCTION counted(int) RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM event_2018_01; END;
		CREATE FUNCTION typed(event_2018_01) RETURNS int LANGUAGE sql AS 'SELECT $1.id';
		CREATE FUNCTION typed() RETURNS SETOF event_2018_01 LANGUAGE sql AS 'SELECT * FROM public.event_2018_01';
		CREATE FUNCTION loose() RETURNS int LANGUAGE sql AS 'SELECT 1';
		CREATE TABLE rows_of (a event_2018_01[], b int);
		CREATE TABLE guarded (id int); CREATE POLICY p ON guarded USING (EXISTS (SELECT FROM event_2018_01 e WHERE e.id = guarded.id));
		CREATE POLICY own ON event_2018_01 USING (id > 0);
		CREATE TABLE half () INHERITS (event_2018_01);
		CREATE TABLE second_master (created_at timestamp); ALTER TABLE event_2018_01 INHERIT second_master;
		CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
		CREATE TRIGGER own BEFORE UPDATE ON event_2018_01 FOR EACH ROW WHEN (NEW.id > 0) EXECUTE FUNCTION f();
		CREATE STATISTICS st ON id, created_at FROM event_2018_01; CREATE PUBLICATION pub_dependents FOR TABLE event_2018_01`)
	// The child is in both sets; in each the other's parent is one too many.
	snaps := o.observe(monthly("event_master"), monthly("second_master"))
	const common = `column a of public.rows_of
		foreign key refers_id_fkey of public.refers
		function public.counted(integer)
		function public.typed()
		function public.typed(public.event_2018_01)
		materialized view public.kept
		policy p of table public.guarded
		rule also of table public.log
		table public.half inherits from it
		table public.%s is another parent of it
		view public."Seen"`
	compareLines(t, "dependents", strings.Join(child(t, snaps[0], "event_2018_01").Dependents, "\n"), fmt.Sprintf(common, "second_master"))
	compareLines(t, "dependents in the other set", strings.Join(child(t, snaps[1], "event_2018_01").Dependents, "\n"),
		strings.Replace(fmt.Sprintf(common, "event_master"), "table public.half inherits from it\n\t\ttable public.event_master is another parent of it",
			"table public.event_master is another parent of it\n\t\ttable public.half inherits from it", 1))
	if d := child(t, snaps[0], "event_2018_02").Dependents; d != nil {
		t.Errorf("dependents of a child alone: %v", d)
	}
	// The list is whole: without those, the server drops it.
	o.exec(`DROP VIEW "Seen" CASCADE; DROP MATERIALIZED VIEW kept; DROP RULE also ON log; DROP TABLE refers, rows_of, half; DROP FUNCTION counted, typed(event_2018_01), typed();
		DROP POLICY p ON guarded; ALTER TABLE event_2018_01 NO INHERIT second_master`)
	if d := child(t, o.one("event_master"), "event_2018_01").Dependents; d != nil {
		t.Errorf("dependents in the end: %v", d)
	}
	o.exec("DROP TABLE event_2018_01")
}

// The middle level of a hierarchy is a partition of the upper set and the parent
// of the lower one; both see the same table.
func TestObserveLevels(t *testing.T) {
	t.Parallel()
	o := newObserved(t, `CREATE TABLE top_master (id int NOT NULL, created_at timestamp); COMMENT ON TABLE top_master IS 'top';
		CREATE TABLE mid_master (CHECK (created_at >= '2018-01-01' AND created_at < '2019-01-01')) INHERITS (top_master); CREATE INDEX ON mid_master (id);
		CREATE TABLE mid_2018_01 (CHECK (created_at >= '2018-01-01' AND created_at < '2018-02-01')) INHERITS (mid_master);
		CREATE TABLE mid_bare () INHERITS (mid_master)`)
	snaps := o.observe(monthly("mid_master"), monthly("top_master"), monthly("mid_master"))
	compare(t, "the set twice", snaps[0], snaps[2])
	mid := child(t, snaps[1], "mid_master")
	compare(t, "middle", boundsOf(mid), "check [2018-01-01, 2019-01-01)")
	compare(t, "middle's properties", propertyLines(mid.Properties), propertyLines(snaps[0].Parent.Properties))
	compareLines(t, "middle's dependents", strings.Join(mid.Dependents, "\n"), "table public.mid_2018_01 inherits from it\ntable public.mid_bare inherits from it")
	compare(t, "lower", boundsOf(child(t, snaps[0], "mid_2018_01")), "check [2018-01-01, 2018-02-01)")
	// The CHECK that all have from the parent tells none from another.
	compare(t, "lower without a CHECK of its own", boundsOf(child(t, snaps[0], "mid_bare")), "unknown "+all+" empty")
	compare(t, "its checks", checksOf(child(t, snaps[0], "mid_bare")), "mid_master_created_at_check [2018-01-01, 2019-01-01) validated plain")
}
