package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// seedSource is the body of [dynamicFunction].
var seedSource = strings.Split(dynamicFunction, "$$")[1]

func TestClassifyFunctionKnowsTheDynamicTrigger(t *testing.T) {
	t.Parallel()
	replace := func(pairs ...string) string {
		out := strings.NewReplacer(pairs...).Replace(seedSource)
		if out == seedSource {
			t.Fatalf("%q changes nothing", pairs)
		}
		return out
	}
	for name, source := range map[string]string{
		"as it is":             seedSource,
		"white space":          strings.Join(strings.Fields(replace("-- EXECUTE format('GRANT SELECT ON TABLE %I TO readonly', partition_name);", "")), "\n\t"),
		"upper case":           strings.NewReplacer("BEGIN", "begin", "EXECUTE", "execute", "TEXT", "Text", "SELECT", "select").Replace(seedSource),
		"the grant":            replace("-- EXECUTE format('GRANT", "EXECUTE format('GRANT"),
		"comments":             replace("BEGIN", "BEGIN /* it's; ours */ -- one's more; comment"),
		"another prefix":       replace("'event_'", "'log_'", "public.event_master", "app.log"),
		"another key":          replace("created_at", "at"),
		"days":                 replace("'YYYY_MM'", "'YYYY_MM_DD'", "interval '1 month'", "interval '1 day'"),
		"the schema looked at": replace("WHERE table_name", "WHERE table_schema = 'public' AND table_name"),
		"an index":             replace("END IF;", "EXECUTE format('CREATE INDEX ON %I (created_at)', partition_name); END IF;"),
	} {
		if state, fingerprint := classifyFunction(source); state != partition.FunctionSeed || fingerprint != "" {
			t.Errorf("%s: got %q, %q", name, state, fingerprint)
		}
	}
	for name, source := range map[string]string{
		"empty":               "",
		"something else":      " BEGIN RETURN NEW; END ",
		"a count on the side": replace("RETURN NULL;", "UPDATE counts SET n = n + 1; RETURN NULL;"),
		"a call on the side":  replace("RETURN NULL;", "PERFORM notify(partition_name); RETURN NULL;"),
		"a call in passing":   replace("'event_' || partition_date", "counted(partition_date)"),
		"a condition":         replace("EXECUTE format('INSERT", "IF NEW.body IS NULL THEN RETURN NULL; END IF; EXECUTE format('INSERT"),
		"it returns the row":  replace("RETURN NULL", "RETURN NEW"),
		"a changed row":       replace("partition_date :=", "NEW.body := lower(NEW.body); partition_date :="),
		"no look for tables":  replace("IF NOT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_name = partition_name) THEN", "IF true THEN"),
		"no table":            replace("CREATE TABLE", "CREATE VIEW"),
		"no date":             replace("to_char(", "lower("),
		"one more insert":     replace("RETURN NULL", "INSERT INTO log VALUES (NEW.*); RETURN NULL"),
		"a drop on the side":  replace("END IF;", "EXECUTE 'DROP TABLE old'; END IF;"),
	} {
		if state, _ := classifyFunction(source); state != partition.FunctionUnknown {
			t.Errorf("%s: got %q", name, state)
		}
	}
}

func TestClassifyRoutingKnowsItsOwn(t *testing.T) {
	t.Parallel()
	r := newRouted(t, eventParent, eventRoute())
	read := func(route partition.Route) (sources [3]string) {
		for i, name := range routeNames(route.Function) {
			sources[i] = r.rows(t, "SELECT prosrc FROM pg_proc WHERE proname = "+quoteLiteral(name.Local))
		}
		return sources
	}
	// What is not there has no source.
	classify := func(sources [3]string) (partition.FunctionState, string) {
		var functions [3]routine
		for i, source := range sources {
			if functions[i].state = partition.FunctionMissing; source != "" {
				functions[i].state, functions[i].fingerprint = classifyFunction(source)
			}
		}
		return together(functions)
	}
	first := read(r.route)
	state, fingerprint := classify(first)
	want(t, "installed", fmt.Sprint(state, fingerprint), fmt.Sprint(partition.FunctionOurs, r.route.Fingerprint()))
	r.branch(t, "2018-11-01", true)
	r.install(t)
	second := read(r.route)
	state, fingerprint = classify(second)
	want(t, "installed again", fmt.Sprint(state, fingerprint), fmt.Sprint(partition.FunctionOurs, r.route.Fingerprint()))
	for i := range second {
		mixed, missing, altered, headless := second, second, second, second
		mixed[i] = first[i]
		missing[i] = ""
		altered[i] = strings.Replace(second[i], "END", "END ", 1)
		headless[i] = strings.Replace(second[i], "body=", "body=0", 1)
		for what, sources := range map[string][3]string{"mixed": mixed, "missing": missing, "altered": altered, "headless": headless} {
			expect := partition.FunctionAltered
			if what == "missing" && i == 0 {
				expect = partition.FunctionMissing
			}
			if state, fingerprint := classify(sources); state != expect || fingerprint != "" {
				t.Errorf("%s %d: got %q, %q", what, i, state, fingerprint)
			}
		}
	}
	r.exec(t, dynamicFunction)
	if state, _ := classify(read(r.route)); state != partition.FunctionSeed {
		t.Errorf("replaced: got %q", state)
	}
}
