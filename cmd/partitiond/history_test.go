package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// newDue has March and April 2018 due to go where the retention says.
func newDue(t *testing.T, retention string) *cli {
	c := newCLI(t, eventsSet)
	c.run(exitOK, "--run-now")
	c.exec(`INSERT INTO events (at) SELECT timestamptz '2018-03-05 12:00+00' + i * interval '1 minute' FROM generate_series(1, 7) i`)
	c.exec(`INSERT INTO events (at) VALUES ('2018-04-05')`)
	c.write(c.db.URL, eventsSet+"retention = "+retention+"\n[history]\npasses = \"1 month\"\n")
	return c
}

func (c *cli) text(sql string) (text string) {
	c.t.Helper()
	if err := c.conn.QueryRow(c.t.Context(), "SELECT ("+sql+")::text").Scan(&text); err != nil {
		c.t.Fatalf("%s: %v", sql, err)
	}
	return text
}

// When was March deleted, and where is it now: in the archive; and after it came
// back, in the set again, held.
func TestHistoryOfAnArchivedMonth(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newDue(t, `{ keep = "12 months", then = "archive", max_share = 1, archive = "file://`+dir+`" }`)
	c.run(exitOK, "--run-now")
	_, log := c.run(exitUsage, "history", "2018-13")
	expect(t, log, "there is no such date")
	host, _ := os.Hostname()
	out, _ := c.run(exitOK, "history", "2018-03", "--check")
	manifest := c.text("SELECT archives[1] FROM partitiond.history WHERE partition_name = 'events_2018_03'")
	expect(t, out, "public.events 2018-03\n", "  archived and dropped: public.events_2018_03, 7 rows, ", "@"+host+" (partitiond ", "    why: older than", "    where: "+manifest+" (Ok)\n", "there now: nothing in the set")
	if strings.Contains(out, "2018_04") {
		t.Errorf("it tells of another month:\n%s", out)
	}
	out, _ = c.run(exitOK, "history", "2018")
	expect(t, out, "events_2018_03", "events_2018_04")
	if err := os.RemoveAll(dir + "/public.events/year=2018/month=04"); err != nil {
		t.Fatal(err)
	}
	out, _ = c.run(exitOK, "history", "events_2018_04", "--check")
	expect(t, out, "(Missing)")

	c.run(exitOK, "archives", "restore", "2018-03")
	c.run(exitOK, "hold", "remove", "1")
	c.run(exitOK, "hold", "add", "--period", "2018-03", "--reason", "case 4711")
	out, _ = c.run(exitOK, "history", "2018-03")
	expect(t, out, "archived and dropped: public.events_2018_03", "restored: public.events_2018_03, 7 rows", "    from "+manifest,
		"held: hold 1 on ", "hold 1 on ", "ended, by ", "held: hold 2 on ", "case 4711", "there now: public.events_2018_03 [2018-03-01, 2018-04-01)", "  held: hold 2 for ever (case 4711)")

	var answers []periodJSON
	out, _ = c.run(exitOK, "history", "2018-03", "--set", "events", "--check", "--json")
	if err := json.Unmarshal([]byte(out), &answers); err != nil || len(answers) != 1 || answers[0].Archives[manifest] != "ok" || len(answers[0].Partitions) != 1 || len(answers[0].Events) != 5 ||
		*answers[0].Events[0].Rows != 7 || !answers[0].Events[0].RowsExact || answers[0].Events[0].Host != host || *answers[0].Events[0].Bytes < 8192 {
		t.Errorf("--json prints %s (%v)", out, err)
	}
	out, _ = c.run(exitOK, "history", "--removals", "--since", "2020-01-01")
	expect(t, out, "archive  public.events  2018-03", "archive  public.events  2018-04")
	if strings.Contains(out, "restore") {
		t.Errorf("--removals lists more:\n%s", out)
	}
	out, _ = c.run(exitOK, "history", "--since", "2190-01-01")
	expect(t, out, "nothing has happened")
	out, _ = c.run(exitOK, "history", "2015")
	expect(t, out, "nothing is known of 2015")
	_, log = c.run(exitUsage, "history", "events_2015_01")
	expect(t, log, "events_2015_01", "expected a year, month or day")
}

// A detached table is found wherever it goes, and is told from one that is gone; a
// dropped one is nowhere.
func TestHistoryOfDetachedAndDropped(t *testing.T) {
	t.Parallel()
	c := newDue(t, `{ keep = "12 months", then = "detach", max_share = 1, schema = "old" }`)
	c.exec("CREATE SCHEMA old")
	c.exec("ANALYZE events_2018_03")
	c.run(exitOK, "--run-now")
	out, _ := c.run(exitOK, "history", "2018-03")
	expect(t, out, "detached: public.events_2018_03, about 7 rows, ", "where: in the table old.events_2018_03\n")
	c.exec("ALTER TABLE old.events_2018_03 RENAME TO march")
	c.exec("DROP TABLE old.events_2018_04")
	out, _ = c.run(exitOK, "history", "2018")
	expect(t, out, "where: in the table old.march\n", "where: the table old.events_2018_04, which is gone since")
	if n := c.int(`SELECT count(*) FROM partitiond.history WHERE event = 'detach' AND moved_schema = 'old' AND lower = '2018-03-01' AND upper = '2018-04-01' AND partition_oid = 'old.march'::regclass`); n != 1 {
		t.Errorf("%d rows tell of March", n)
	}

	c = newDue(t, `{ keep = "12 months", then = "drop", max_share = 1 }`)
	c.run(exitOK, "--run-now")
	out, _ = c.run(exitOK, "history", "public.events_2018_03")
	expect(t, out, "dropped: public.events_2018_03", "where: nowhere; it was dropped without an archive")
}

// Passes that did something are listed, and those that did nothing are one row;
// what is older than it has to be goes.
func TestHistoryOfPasses(t *testing.T) {
	t.Parallel()
	c := newDue(t, `{ keep = "12 months", then = "drop", max_share = 1 }`)
	for range 3 {
		c.run(exitOK, "--run-now")
	}
	if n := c.int("SELECT count(*) FROM partitiond.pass"); n != 2 { // The pass that removed, and idle ones.
		t.Errorf("there are %d rows", n)
	}
	out, _ := c.run(exitOK, "history", "--passes")
	expect(t, out, "  public.events: done, ", "drop 2", "nothing to do, ", ": the last of 2 that did nothing, over public.events")
	c.exec("UPDATE partitiond.pass SET ended_at = now() - interval '32 days' WHERE idle IS NULL")
	c.exec("UPDATE partitiond.history SET at = now() - interval '32 days'")
	c.run(exitOK, "--run-now")
	c.exec("INSERT INTO events (at) VALUES ('2018-05-05')")
	c.run(exitOK, "--run-now")
	if n := c.int("SELECT count(*) FROM partitiond.pass WHERE idle IS NULL"); n != 1 {
		t.Errorf("%d passes are left", n)
	}
	if n := c.int("SELECT count(*) FROM partitiond.history"); n != 3 {
		t.Errorf("%d removals are left, expected all 3", n)
	}
	c.write(c.db.URL, eventsSet+"retention = { keep = \"12 months\", then = \"drop\", max_share = 1 }\n[history]\nevents = \"1 quarter\"\n")
	c.exec("UPDATE partitiond.history SET at = now() - interval '93 days' WHERE partition_name = 'events_2018_03'")
	c.exec("INSERT INTO events (at) VALUES ('2018-06-05')")
	c.run(exitOK, "--run-now")
	if text := c.text("SELECT string_agg(partition_name, ' ' ORDER BY id) FROM partitiond.history"); text != "events_2018_04 events_2018_05 events_2018_06" {
		t.Errorf("left are %s", text)
	}
	var passes []passJSON
	out, _ = c.run(exitOK, "history", "--passes", "--json")
	if err := json.Unmarshal([]byte(out), &passes); err != nil || len(passes) != 3 || passes[2].Status != "done" || passes[2].Passes != 1 {
		t.Errorf("--json prints %s (%v)", out, err)
	}
}

// A role that may make no tables removes all the same, and says that nothing is
// written down; what it prints makes the tables. With them there, it removes
// nothing that it cannot write down.
func TestHistoryPrivileges(t *testing.T) {
	t.Parallel()
	c := newDue(t, `{ keep = "12 months", then = "drop", max_share = 1 }`)
	c.exec("DROP SCHEMA IF EXISTS partitiond CASCADE")
	keeper, owner := c.db.Role(t, "keeper"), c.db.Role(t, "owner")
	c.exec("GRANT " + owner + " TO " + keeper)
	c.exec("GRANT USAGE, CREATE ON SCHEMA public TO " + owner)
	c.exec("GRANT USAGE ON SCHEMA public TO " + keeper)
	c.exec(`DO $$ DECLARE c text; BEGIN
		FOR c IN SELECT 'TABLE ' || oid::regclass FROM pg_class WHERE relname LIKE 'events%' AND relkind = 'r' UNION ALL SELECT 'FUNCTION ' || oid::regprocedure FROM pg_proc WHERE proname LIKE 'events\_insert%' LOOP
			EXECUTE format('ALTER %s OWNER TO ` + owner + `', c);
		END LOOP; END $$`)
	sets := eventsSet + "retention = { keep = \"12 months\", then = \"drop\", max_share = 1 }\n"
	c.write(c.db.URLAs(keeper), sets)
	_, log := c.run(exitFailed, "history")
	_, sql, _ := strings.Cut(log, "with this:\n")
	expect(t, sql, "CREATE TABLE partitiond.history")
	out, log := c.run(exitOK, "--run-now")
	expect(t, out, "drop 2", "not in the history, for there is none: drop public.events_2018_03")
	expect(t, log, `"history":"missing"`)

	if _, err := c.conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatal(err)
	}
	c.exec("INSERT INTO events (at) VALUES ('2018-05-05')")
	c.run(exitOK, "--run-now")
	if text := c.text("SELECT partition_name || ' ' || (role = '" + keeper + "') || ' ' || acted_as FROM partitiond.history"); text != "events_2018_05 true "+owner {
		t.Errorf("the history has %s", text)
	}
	c.exec("ALTER TABLE partitiond.history OWNER TO CURRENT_USER")
	c.exec("REVOKE INSERT ON partitiond.history FROM " + keeper)
	c.exec("INSERT INTO events (at) VALUES ('2018-06-05')")
	out, _ = c.run(exitPartly, "--run-now")
	expect(t, out, "failed: drop public.events_2018_06", "write to partitiond.history, without which nothing is done")
	if n := c.int("SELECT count(*) FROM events"); n != 1 {
		t.Errorf("%d rows are left, expected 1", n)
	}
	c.exec("GRANT SELECT, INSERT ON partitiond.history TO " + keeper)
	// Whoever holds by hand is written down even so.
	c.exec("INSERT INTO partitiond.hold (parent_schema, parent_name, reason) VALUES ('public', 'events', 'by hand')")
	out, _ = c.run(exitOK, "history")
	expect(t, out, "hold  public.events", "by hand")
}
