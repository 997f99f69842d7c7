package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/sql"
)

// routingOf describes the state of a set's trigger and functions.
func routingOf(o *observed, set partition.Set) string {
	o.t.Helper()
	r := o.observe(set)[0].Parent.Routing
	var words []string
	if r.Trigger {
		words = append(words, "trigger")
	}
	if r.Disabled {
		words = append(words, "disabled")
	}
	if r.TriggerOther != "" {
		words = append(words, "other: "+r.TriggerOther)
	}
	words = append(words, string(r.Function))
	if r.Fingerprint != "" {
		words = append(words, "whole")
	}
	if r.Others != nil {
		words = append(words, "beside "+strings.Join(r.Others, " "))
	}
	return strings.Join(words, "; ")
}

// The daemon's own functions, and all that may have happened to them: they are
// ours only together, whole and with the owner's rights.
func TestObserveRoutingOurs(t *testing.T) {
	t.Parallel()
	r := newRouted(t, eventParent, eventRoute())
	o := observedOn(t, r.Database)
	set := monthly("event_master")
	owner := r.Role(t, "owner")
	const ours, altered = "trigger; ours; whole", "trigger; altered"
	compare(t, "installed", routingOf(o, set), ours)
	compare(t, "fingerprint", o.observe(set)[0].Parent.Routing.Fingerprint, r.route.Fingerprint())
	alter := func(function, from, to string) string {
		return fmt.Sprintf(`DO $do$ BEGIN EXECUTE replace(pg_get_functiondef('%s'::regproc), '%s', '%s'); END $do$`, function, from, to)
	}
	const create = "event_insert_function_create"
	for _, test := range []struct{ name, harm, want string }{
		{"a byte of the trigger function", alter("event_insert_function", "END", "ENd"), altered},
		{"a byte of the helper that makes partitions", alter(create, "END", "ENd"), altered},
		{"a byte of the helper that compares columns", alter("event_insert_function_fits", "END", "ENd"), altered},
		{"a helper is missing", "DROP FUNCTION event_insert_function_fits", altered},
		{"all are missing", "DROP TRIGGER insert_event_trigger ON event_master; DROP FUNCTION event_insert_function, event_insert_function_create, event_insert_function_fits", "missing"},
		{"with the caller's rights", "ALTER FUNCTION " + create + " SECURITY INVOKER", altered},
		{"without a search path", "ALTER FUNCTION " + create + " RESET search_path", altered},
		{"another's function", "ALTER FUNCTION " + create + " OWNER TO " + owner, altered},
		{"another's table", "ALTER TABLE event_master OWNER TO " + owner, altered},
		{"overloaded by an old one", alter(create, "moment timestamp without time zone", "moment date"), ours},
		{"overloaded by a stranger", "CREATE FUNCTION event_insert_function_fits(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", ours},
		{"with another function of its name", "CREATE FUNCTION event_insert_function(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", ours},
		{"disabled", "ALTER TABLE event_master DISABLE TRIGGER insert_event_trigger", "trigger; disabled; ours; whole"},
		{"for replicas only", "ALTER TABLE event_master ENABLE REPLICA TRIGGER insert_event_trigger", "trigger; disabled; ours; whole"},
		{"always", "ALTER TABLE event_master ENABLE ALWAYS TRIGGER insert_event_trigger", ours},
		{"without the trigger", "DROP TRIGGER insert_event_trigger ON event_master", "ours; whole"},
	} {
		o.exec("BEGIN", test.harm, "COMMIT")
		compare(t, test.name, routingOf(o, set), test.want)
		// And back again, as the applier does.
		o.exec("ALTER TABLE event_master OWNER TO postgres", "DROP TRIGGER IF EXISTS insert_event_trigger ON event_master",
			`DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc WHERE proname ~ '^event_insert_function' LOOP EXECUTE 'DROP FUNCTION ' || f; END LOOP; END $$`)
		r.install(t)
		o.exec("CREATE TRIGGER insert_event_trigger BEFORE INSERT ON event_master FOR EACH ROW EXECUTE FUNCTION event_insert_function()")
	}
	// Where the key has changed its type, the old helper stays beside the new one.
	for _, kind := range []string{"date", "timestamp with time zone"} {
		o.exec(alter(create, "moment timestamp without time zone", "moment "+kind))
		r.route.Columns = r.route.Columns[:2]
		r.install(t)
		o.exec("ALTER FUNCTION " + create + "(" + kind + ") COST 101")
		compare(t, "renewed beside one for a "+kind, routingOf(o, set), ours)
		o.exec("DROP FUNCTION " + create + "(" + kind + ")")
		r.route.Columns = eventRoute().Columns
		r.install(t)
	}
	r.route.Columns = r.route.Columns[:2]
	r.install(t)
	compare(t, "renewed", routingOf(o, set), ours)
	compare(t, "its fingerprint", o.observe(set)[0].Parent.Routing.Fingerprint, r.route.Fingerprint())
}

// Triggers and functions of other hands.
func TestObserveRoutingOthers(t *testing.T) {
	t.Parallel()
	o := newObserved(t, sql.Text("seed.sql"), "CREATE SCHEMA s; CREATE FUNCTION s.chat_insert_function() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
	set := monthly("chat_master")
	set.Trigger = "insert_chat_trigger"
	compare(t, "the dynamic function", routingOf(o, set), "trigger; seed")
	const drop = "DROP TRIGGER insert_chat_trigger ON chat_master; CREATE TRIGGER insert_chat_trigger "
	for _, test := range []struct{ name, sql, want string }{
		{"with a condition", drop + "BEFORE INSERT ON chat_master FOR EACH ROW WHEN (NEW.id > 0) EXECUTE FUNCTION chat_insert_function()",
			"other: CREATE TRIGGER insert_chat_trigger BEFORE INSERT ON public.chat_master FOR EACH ROW WHEN ((new.id > 0)) EXECUTE FUNCTION public.chat_insert_function(); seed"},
		{"of another schema's function", drop + "BEFORE INSERT ON chat_master FOR EACH ROW EXECUTE FUNCTION s.chat_insert_function()",
			"other: CREATE TRIGGER insert_chat_trigger BEFORE INSERT ON public.chat_master FOR EACH ROW EXECUTE FUNCTION s.chat_insert_function(); seed"},
		{"after", drop + "AFTER INSERT ON chat_master FOR EACH ROW EXECUTE FUNCTION chat_insert_function()",
			"other: CREATE TRIGGER insert_chat_trigger AFTER INSERT ON public.chat_master FOR EACH ROW EXECUTE FUNCTION public.chat_insert_function(); seed"},
		{"for updates as well", drop + "BEFORE INSERT OR UPDATE ON chat_master FOR EACH ROW EXECUTE FUNCTION chat_insert_function()",
			"other: CREATE TRIGGER insert_chat_trigger BEFORE INSERT OR UPDATE ON public.chat_master FOR EACH ROW EXECUTE FUNCTION public.chat_insert_function(); seed"},
		{"for a statement", drop + "BEFORE INSERT ON chat_master EXECUTE FUNCTION chat_insert_function()",
			"other: CREATE TRIGGER insert_chat_trigger BEFORE INSERT ON public.chat_master FOR EACH STATEMENT EXECUTE FUNCTION public.chat_insert_function(); seed"},
		{"with others beside", drop + `BEFORE INSERT ON chat_master FOR EACH ROW EXECUTE FUNCTION chat_insert_function();
			CREATE TRIGGER "a b" BEFORE INSERT OR DELETE ON chat_master FOR EACH ROW EXECUTE FUNCTION s.chat_insert_function();
			CREATE TRIGGER sleeps BEFORE INSERT ON chat_master FOR EACH ROW EXECUTE FUNCTION s.chat_insert_function(); ALTER TABLE chat_master DISABLE TRIGGER sleeps;
			CREATE TRIGGER later AFTER INSERT ON chat_master FOR EACH ROW EXECUTE FUNCTION s.chat_insert_function();
			CREATE TRIGGER once BEFORE INSERT ON chat_master EXECUTE FUNCTION s.chat_insert_function()`, "trigger; seed; beside a b"},
	} {
		o.exec("BEGIN", test.sql, "COMMIT")
		compare(t, test.name, routingOf(o, set), test.want)
	}
	o.exec("CREATE OR REPLACE FUNCTION chat_insert_function() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
	compare(t, "an unknown function", routingOf(o, set), "trigger; unknown; beside a b")
	// For another set of the same parent those are the wrong names.
	set.Trigger, set.Function.Local = "later", "chat_function"
	compare(t, "other names", routingOf(o, set), "other: CREATE TRIGGER later AFTER INSERT ON public.chat_master FOR EACH ROW EXECUTE FUNCTION s.chat_insert_function(); missing; beside a b insert_chat_trigger")
}

// A partition's own BEFORE INSERT row triggers count, if they fire.
func TestObserveOwnTriggers(t *testing.T) {
	t.Parallel()
	o := newObserved(t, `CREATE TABLE event_master (created_at timestamp); CREATE TABLE before () INHERITS (event_master); CREATE TABLE after () INHERITS (event_master);
		CREATE TABLE sleeps () INHERITS (event_master); CREATE TABLE none () INHERITS (event_master);
		CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
		CREATE TRIGGER x BEFORE INSERT ON before FOR EACH ROW EXECUTE FUNCTION f(); CREATE TRIGGER x AFTER INSERT ON after FOR EACH ROW EXECUTE FUNCTION f();
		CREATE TRIGGER y BEFORE UPDATE ON after FOR EACH ROW EXECUTE FUNCTION f();
		CREATE TRIGGER insert_event_trigger BEFORE INSERT ON sleeps FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE sleeps DISABLE TRIGGER ALL`)
	got := map[string]bool{}
	snap := o.one("event_master")
	for _, c := range snap.Partitions {
		got[c.Name.Local] = c.OwnTriggers
	}
	compare(t, "own triggers", got, map[string]bool{"before": true, "after": false, "sleeps": false, "none": false})
	compare(t, "the parent's", snap.Parent.Routing, partition.Routing{Function: partition.FunctionMissing})
}
