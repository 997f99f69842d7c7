package postgres

import (
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// hostile is a name that ends a quoted one, a string, a template and a dollar
// quote, if it can.
const hostile = `a"b'c%s %1$s \ $partitiond$ ;--`

// allKinds reads the values of the constants of a type from the source of the
// partition package, so that a new one cannot be forgotten here.
func allKinds(t *testing.T, file, typeName string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(gotoken.NewFileSet(), "../partition/"+file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			if id, ok := spec.Type.(*ast.Ident); ok && id.Name == typeName {
				value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, value)
			}
		}
		return true
	})
	if len(values) < 5 {
		t.Fatalf("%s has only the values %q", typeName, values)
	}
	return values
}

// hostileSet makes a parent and a partition, all of whose names are hostile, and
// returns them as they are observed.
func hostileSet(t *testing.T, conn *pgx.Conn, role string) (partition.Set, partition.Snapshot) {
	t.Helper()
	q := quoteIdent(hostile)
	month := partition.Interval{N: 1, Unit: partition.Month}
	pattern, err := partition.ParsePattern(strings.ReplaceAll(hostile, "%", "%%")+"%Y_%m", month)
	if err != nil {
		t.Fatal(err)
	}
	set := partition.Set{
		Parent: partition.Name{Schema: hostile, Local: hostile}, Key: hostile, Interval: month, Pattern: pattern, Location: time.UTC,
		Trigger: hostile, Function: partition.Name{Schema: hostile, Local: hostile}, Window: eventRoute().Window,
		Indexes: true, Grants: partition.GrantsExact, SweepBatch: 10,
	}
	_, err = conn.PgConn().Exec(t.Context(), strings.NewReplacer("{q}", q, "{role}", quoteIdent(role), "{table}", quoteName(set.Parent)).Replace(`
		CREATE SCHEMA {q};
		CREATE TABLE {table} ({q} timestamp, "order" text, "user" int GENERATED ALWAYS AS (length("order")) STORED);
		CREATE TABLE {q}.child ("order" text, {q} timestamp, "user" int GENERATED ALWAYS AS (length("order")) STORED);
		ALTER TABLE {q}.child INHERIT {table};
		ALTER TABLE {table} ADD UNIQUE ("order", {q}) DEFERRABLE;
		CREATE PUBLICATION {q}`)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	snaps, err := Observe(t.Context(), conn, []partition.Set{set})
	if err != nil {
		t.Fatal(err)
	}
	return set, snaps[0]
}

// oneOfEach are properties, one of each kind at least, as the observer would describe
// them on a server of that version: PostgreSQL 15 brought NULLS NOT DISTINCT and the
// columns of a publication.
func oneOfEach(role string, version int) []partition.Property {
	q := quoteIdent(hostile)
	var out []partition.Property
	add := func(kind partition.PropertyKind, name, value string) {
		out = append(out, partition.Property{Kind: kind, Name: name, Value: value})
	}
	add(partition.PropOwner, "", role)
	out = append(out, partition.Grant("", role, "SELECT", "with grant option"), partition.Grant("", "", "INSERT", ""), partition.Grant(hostile, role, "UPDATE", ""))
	add(partition.PropTablespace, "", "pg_default")
	add(partition.PropOption, "fillfactor", "77")
	add(partition.PropOption, "toast.autovacuum_enabled", "false")
	add(partition.PropDefault, "order", quoteLiteral(hostile))
	add(partition.PropNotNull, hostile, "")
	add(partition.PropColumnStorage, "order", "EXTERNAL")
	add(partition.PropIndex, `USING btree ("order" text_pattern_ops, `+q+` DESC) INCLUDE ("user") WITH (fillfactor='60') WHERE ("order" <> `+quoteLiteral(hostile)+`)`, "")
	add(partition.PropIndex, "UNIQUE USING btree ("+q+`, "order")`, "")
	distinct, columns := "", ""
	if version >= 150000 {
		distinct, columns = " NULLS NOT DISTINCT", `("order", `+q+`)`
	}
	add(partition.PropIndex, "UNIQUE USING btree ("+q+`)`+distinct, "unique constraint deferrable initially deferred")
	add(partition.PropIndex, "UNIQUE USING btree ("+q+`)`, "primary key")
	add(partition.PropIndex, `EXCLUDE USING btree ("order" WITH =)`, "exclude")
	add(partition.PropReplicaIdentity, "", "full")
	add(partition.PropReplicaIdentity, "", "nothing")
	add(partition.PropPolicy, hostile, "AS RESTRICTIVE FOR SELECT TO "+quoteIdent(role)+" USING (("+q+" > '2000-01-01'::timestamp without time zone))")
	add(partition.PropRowSecurity, "", "on")
	add(partition.PropRowSecurity, "", "forced")
	add(partition.PropRowSecurity, "", "off")
	add(partition.PropComment, "", hostile)
	add(partition.PropColumnComment, hostile, hostile)
	add(partition.PropPublication, hostile, columns)
	return out
}

// TestRenderProperties repairs one property of each kind after another, missing
// or different, on a table whose names are hostile, and gives all of them to new
// partitions.
func TestRenderProperties(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	role := db.Role(t, "role")
	conn := db.Conn(t)
	set, snap := hostileSet(t, conn, role)
	child := partition.Name{Schema: hostile, Local: "child"}
	missing := map[string]bool{}
	for _, kind := range allKinds(t, "property.go", "PropertyKind") {
		missing[kind] = true
	}
	delete(missing, string(partition.PropCheck)) // CHECKs are inherited, and never repaired.
	for _, p := range oneOfEach(role, snap.Server.Version) {
		delete(missing, string(p.Kind))
		t.Run(fmt.Sprintf("%s %.20s", p.Kind, p.Name), func(t *testing.T) {
			rollBack(t, conn, func(tx pgx.Tx) {
				change := partition.Change{Want: p, Missing: true}
				action := partition.Action{Kind: partition.Align, Table: child, OID: 1, Bounds: november, Changes: []partition.Change{change}}
				if p.Kind == partition.PropIndex {
					for _, template := range propertyTemplates(change) {
						runOne(t, tx, expand(template, child, snap.Parent.Key, november))
					}
					return
				}
				for _, step := range Render(set, snap, action) {
					runAll(t, tx, step)
				}
				// What is there but different, or too much, is put right as well.
				change.Missing = false
				action.Changes = []partition.Change{change}
				if p.Kind == partition.PropGrant || p.Kind == partition.PropColumnGrant {
					change.Remove = true
					action.Changes = append(action.Changes, change)
				}
				for _, step := range Render(set, snap, action) {
					runAll(t, tx, step)
				}
			})
			if p.Kind == partition.PropOwner || p.Kind == partition.PropDefault || p.Kind == partition.PropNotNull || p.Kind == partition.PropColumnStorage {
				return // A new partition inherits it.
			}
			rollBack(t, conn, func(tx pgx.Tx) {
				fresh := partition.Action{Kind: partition.Create, Table: partition.Name{Schema: hostile, Local: hostile + "2018_11"}, Bounds: november,
					Route: &partition.Route{Parent: set.Parent, Key: set.Key, KeyType: snap.Parent.Key, Properties: []partition.Property{p}}}
				for _, step := range Render(set, snap, fresh) {
					runAll(t, tx, step)
				}
			})
		})
	}
	for kind := range missing {
		t.Errorf("oneOfEach has none of kind %q", kind)
	}
}

// TestRenderActions runs what each kind of action comes to.
func TestRenderActions(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	role := db.Role(t, "role")
	conn := db.Conn(t)
	set, snap := hostileSet(t, conn, role)
	set.Retention.Schema = "pg_catalog" // Only for its name: a removal is rolled back.
	child := partition.Name{Schema: hostile, Local: "child"}
	route := &partition.Route{Version: partition.RouteVersion, Parent: set.Parent, Key: set.Key, KeyType: snap.Parent.Key, Trigger: set.Trigger, Function: set.Function,
		Interval: set.Interval, Pattern: set.Pattern.String(), Zone: "UTC", Window: set.Window, Columns: snap.Parent.Columns, Owner: snap.Parent.Owner,
		Rest: []partition.Branch{{Bounds: november, Table: child}}}
	for _, p := range oneOfEach(role, snap.Server.Version) {
		if p.Kind != partition.PropOwner && p.Kind != partition.PropDefault && p.Kind != partition.PropNotNull && p.Kind != partition.PropColumnStorage {
			route.Properties = append(route.Properties, p)
		}
	}
	actions := map[string][]partition.Action{}
	add := func(a partition.Action) { actions[string(a.Kind)] = append(actions[string(a.Kind)], a) }
	add(partition.Action{Kind: partition.Create, Table: partition.Name{Schema: hostile, Local: hostile + "2018_12"}, Bounds: november,
		Route: &partition.Route{Parent: set.Parent, Key: set.Key, KeyType: snap.Parent.Key, Revoke: []string{role, ""}}})
	add(partition.Action{Kind: partition.Constrain, Table: child, Bounds: november, Constraint: hostile, Exists: partition.ConstraintAbsent})
	add(partition.Action{Kind: partition.Align, Table: child, Changes: []partition.Change{{Want: partition.Property{Kind: partition.PropComment, Value: hostile}, Missing: true}}})
	add(partition.Action{Kind: partition.Index, Table: child, Invalid: []string{hostile + " gone"}, Changes: []partition.Change{{Missing: true,
		Want: partition.Property{Kind: partition.PropIndex, Name: "USING btree (" + quoteIdent(hostile) + ")"}}}})
	add(partition.Action{Kind: partition.Index, Table: child, Changes: []partition.Change{{Missing: true,
		Want: partition.Property{Kind: partition.PropIndex, Name: "UNIQUE USING btree (" + quoteIdent(hostile) + ", \"order\")", Value: "unique constraint deferrable"}}}})
	add(partition.Action{Kind: partition.RouteRows, Table: set.Parent, Route: route})
	add(partition.Action{Kind: partition.Sweep, Table: child, Bounds: november})
	for _, then := range []partition.Then{partition.Detach, partition.Drop, partition.Archive} {
		add(partition.Action{Kind: partition.Retire, Table: child, Bounds: november, Then: then})
	}
	add(partition.Action{Kind: partition.Analyze, Table: set.Parent})
	for _, kind := range allKinds(t, "plan.go", "Kind") {
		if len(actions[kind]) == 0 && !slices.Contains(declaredKinds, partition.Kind(kind)) {
			t.Errorf("there is no action of kind %q", kind)
		}
		for i, a := range actions[kind] {
			t.Run(fmt.Sprintf("%s %d", kind, i), func(t *testing.T) {
				if a.Then == partition.Detach {
					set.Retention.Schema = "public"
				}
				for _, step := range Render(set, snap, a) {
					for _, st := range step.Statements {
						if st.Lock == "" {
							t.Errorf("no word on the lock of %s", st.SQL)
						}
					}
					switch {
					case step.Alone:
						if _, err := conn.Exec(t.Context(), step.Statements[0].SQL); err != nil {
							t.Errorf("%v in %s", err, step.Statements[0].SQL)
						}
					case kind == string(partition.Retire):
						rollBack(t, conn, func(tx pgx.Tx) { runAll(t, tx, step) })
					default:
						tx, err := conn.Begin(t.Context())
						if err != nil {
							t.Fatal(err)
						}
						runAll(t, tx, step)
						if err := tx.Commit(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
				}
			})
		}
	}
	if t.Failed() {
		return
	}
	// The functions that were installed work, and make a partition with all of it.
	if _, err := conn.Exec(t.Context(), fmt.Sprintf(`INSERT INTO %s (%s, "order") VALUES ('2017-05-05', 'x'), ('2018-11-05', 'y')`, quoteName(set.Parent), quoteIdent(hostile))); err != nil {
		t.Fatal(err)
	}
	snaps, err := Observe(t.Context(), conn, []partition.Set{set})
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, c := range snaps[0].Partitions {
		if c.Name.Local == hostile+"2017_05" {
			made++
			for _, p := range c.Properties {
				if p.Kind == partition.PropComment && p.Value != hostile {
					t.Errorf("the comment is %q", p.Value)
				}
			}
		}
	}
	if made != 1 {
		t.Errorf("the trigger has made %v", snaps[0].Partitions)
	}
}

var november = partition.Bounds{From: partition.At(time.Date(2018, 11, 1, 0, 0, 0, 0, time.UTC)), To: partition.At(time.Date(2018, 12, 1, 0, 0, 0, 0, time.UTC))}

func rollBack(t *testing.T, conn *pgx.Conn, f func(pgx.Tx)) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f(tx)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func runAll(t *testing.T, tx pgx.Tx, step Step) {
	t.Helper()
	for _, st := range step.Statements {
		runOne(t, tx, st.SQL)
	}
}

func runOne(t *testing.T, tx pgx.Tx, sql string) {
	t.Helper()
	// A savepoint, so that one failure does not hide the others.
	err := pgx.BeginFunc(t.Context(), tx, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), sql)
		return err
	})
	if err != nil {
		t.Errorf("%v in %s", err, sql)
	}
}
