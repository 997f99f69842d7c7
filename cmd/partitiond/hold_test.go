package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

const heldSet = eventsSet + `time_zone = "Europe/Berlin"
retention = { keep = "12 months", then = "drop", max_share = 1 }
`

// newHeld has a month of 2018 and one of 2019 that are due.
func newHeld(t *testing.T) *cli {
	c := newCLI(t, eventsSet+"time_zone = \"Europe/Berlin\"\n")
	c.run(exitOK, "--run-now")
	c.exec(`INSERT INTO events (at) VALUES ('2018-11-05'), ('2019-06-05')`)
	c.write(c.db.URL, heldSet)
	return c
}

// What is held stays through passes, and is told of, until the hold is removed.
func TestHold(t *testing.T) {
	t.Parallel()
	c := newHeld(t)
	out, _ := c.run(exitOK, "hold", "list")
	expect(t, out, "no holds")
	out, _ = c.run(exitOK, "hold", "add", "--from", "2018-11-30", "--to", "2018-12-01", "--until", "2190-01-01", "--reason", "case 4711")
	expect(t, out, "hold 1: public.events [2018-11-30, 2018-12-01) until 2190-01-01 00:00 CET (case 4711)", "  covers public.events_2018_11 [2018-11-01, 2018-12-01)\n")
	if strings.Contains(out, "2019") {
		t.Errorf("too much is held:\n%s", out)
	}
	const held = "  held: drop public.events_2018_11: until 2190-01-01 00:00 CET (case 4711)\n"
	out, _ = c.run(exitOK, "--run-now", "--dry-run")
	expect(t, out, held, "drop public.events_2019_06")
	out, _ = c.run(exitOK, "--run-now")
	expect(t, out, "public.events: done", "drop 1", held)
	for _, args := range [][]string{{"--run-now", "--dry-run"}, {"--run-now"}} {
		out, _ = c.run(exitOK, args...)
		expect(t, out, "public.events: nothing to do\n", held)
	}
	out, _ = c.run(exitOK, "check")
	expect(t, out, "public.events: healthy", held)
	for _, args := range [][]string{{"--run-now", "--dry-run", "--json"}, {"--run-now", "--json"}, {"check", "--json"}} {
		out, _ = c.run(exitOK, args...)
		expect(t, out, `"drop public.events_2018_11: until 2190-01-01 00:00 CET (case 4711)"`)
	}
	c.exec(`INSERT INTO partitiond.hold (parent_schema, parent_name, until, reason) VALUES ('public', 'events', '2018-01-01 00:00+01', 'over'), ('public', 'others', NULL, 'others')`)
	out, _ = c.run(exitOK, "hold", "list")
	expect(t, out, "1  public.events  [2018-11-30, 2018-12-01)", "active   until 2190-01-01 00:00 CET (case 4711)  manual  by ",
		"2  public.events  [-infinity, infinity)", "expired  until 2018-01-01 00:00 CET (over)", "3  public.others")
	out, _ = c.run(exitOK, "hold", "list", "--set", "events", "--json")
	var list []holdJSON
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 2 || *list[0].From != "2018-11-30T00:00:00+01:00" || !list[0].Active ||
		list[0].Until.UTC().Format("2006-01-02 15:04") != "2189-12-31 23:00" || list[1].Active || list[1].From != nil || list[0].MadeBy == "" {
		t.Errorf("--json prints %s (%v)", out, err)
	}
	c.run(exitOK, "hold", "remove", "1")
	_, log := c.run(exitUsage, "hold", "remove", "1")
	expect(t, log, "remove hold 1: there is no such hold")
	out, _ = c.run(exitOK, "--run-now")
	expect(t, out, "drop 1")
	if n := c.int(children); n != 3 {
		t.Errorf("%d partitions are left, expected 3", n)
	}
}

// Each way to say what is held means the set's own clock.
func TestHoldPeriods(t *testing.T) {
	t.Parallel()
	c := newHeld(t)
	for _, test := range []struct {
		args       []string
		from, to   string
		covers, no string
	}{
		{[]string{"--period", "2018-11"}, "2018-10-31 23:00:00", "2018-11-30 23:00:00", "events_2018_11", "events_2019_06"},
		{[]string{"--period", "2018-07-01"}, "2018-06-30 22:00:00", "2018-07-01 22:00:00", "no partition", "events_"},
		{[]string{"--period", "2018"}, "2017-12-31 23:00:00", "2018-12-31 23:00:00", "events_2018_11", "events_2019_06"},
		{[]string{"--period", "events_2019_06"}, "2019-05-31 22:00:00", "2019-06-30 22:00:00", "events_2019_06", "events_2018_11"},
		{[]string{"--period", "public.events_2019_06"}, "2019-05-31 22:00:00", "2019-06-30 22:00:00", "events_2019_06", "events_2018_11"},
		{[]string{"--to", "2018-12-01 06:30"}, "NULL", "2018-12-01 05:30:00", "events_2018_11", "events_2019_06"},
		{[]string{"--from", "2019-06-30T23:59:59+02:00"}, "2019-06-30 21:59:59", "NULL", "events_2019_06", "events_2018_11"},
		{[]string{"--all"}, "NULL", "NULL", "events_2018_11", "nothing"},
	} {
		out, _ := c.run(exitOK, append([]string{"hold", "add", "--set", "public.events", "--reason", "r"}, test.args...)...)
		expect(t, out, test.covers)
		if strings.Contains(out, test.no) {
			t.Errorf("%v holds too much:\n%s", test.args, out)
		}
		var got string
		if err := c.conn.QueryRow(t.Context(), `SELECT coalesce((lower AT TIME ZONE 'UTC')::text, 'NULL') || ' ' || coalesce((upper AT TIME ZONE 'UTC')::text, 'NULL')
			FROM partitiond.hold ORDER BY id DESC LIMIT 1`).Scan(&got); err != nil || got != test.from+" "+test.to {
			t.Errorf("%v holds %s (%v), expected %s %s", test.args, got, err, test.from, test.to)
		}
	}
}

func TestHoldBadArguments(t *testing.T) {
	t.Parallel()
	c := newHeld(t)
	for _, test := range []struct{ args, want string }{
		{"add --period 2018-11", `--reason is missing: expected why`},
		{"add --reason r", "nothing says what to hold: expected --from and --to, --period, or --all"},
		{"add --reason r --period 2018-11 --from 2018-11-01", "expected only one of --from and --to, --period, or --all"},
		{"add --reason r --all --to 2018-11-01", "expected only one of"},
		{"add --reason r --from 1.11.2018", `--from "1.11.2018": expected a date or a time in Europe/Berlin, such as 2018-11-01`},
		{"add --reason r --to 2018-02-30", `--to "2018-02-30": expected a date`},
		{"add --reason r --from 2018-11-01 --to 2018-11-01", `--to "2018-11-01": expected what is after --from "2018-11-01"`},
		{"add --reason r --period 2018-13", `--period "2018-13": there is no such date`},
		{"add --reason r --period events_2017_01", `--period "events_2017_01": expected a year, month or day, such as 2018-11, or the name of a partition`},
		{"add --reason r --all --until 2020-01-01", `--until "2020-01-01" is over: expected a date to come`},
		{"add --reason r --all --until soon", `--until "soon": expected a date`},
		{"add --reason r --all --set public.other", "--set"},
		{"add --reason r --all more", "more"},
		{"remove three", `hold remove "three": expected a number that hold list shows`},
		{"remove", "accepts 1 arg"},
		{"remove 1", "there is no such hold"},
		{"list --set public.other", "--set"},
		{"", "expected one of add, list, remove"},
		{"show", "expected one of add, list, remove"},
	} {
		_, log := c.run(exitUsage, append([]string{"hold"}, strings.Fields(test.args)...)...)
		expect(t, log, test.want)
		if strings.Count(strings.TrimSpace(log), "\n") != 0 {
			t.Errorf("hold %s: more than one error: %s", test.args, log)
		}
	}
	c.write("postgres://nobody@127.0.0.1:1/none", heldSet)
	for _, args := range [][]string{{"add", "--all", "--reason", "r"}, {"list"}, {"remove", "1"}} {
		c.run(exitConnect, append([]string{"hold"}, args...)...)
	}
}

// A hold that comes too late says so.
func TestHoldAddWhileRemoved(t *testing.T) {
	t.Parallel()
	c := newHeld(t)
	c.run(exitOK, "hold", "add", "--period", "2017", "--reason", "makes the table")
	other := c.db.Conn(t)
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// As a removal has it.
	for _, sql := range []string{"LOCK TABLE events_2018_11 IN ACCESS EXCLUSIVE MODE", "LOCK TABLE partitiond.hold IN SHARE MODE", "DROP TABLE events_2018_11"} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var out, log bytes.Buffer
	code := make(chan int)
	go func() {
		code <- run(t.Context(), []string{"hold", "add", "--to", "2019-07-01", "--reason", "case", "--config", c.file}, &out, &log)
	}()
	for c.int(`SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'partitiond.hold'::regclass`) == 0 {
		select {
		case got := <-code:
			t.Fatalf("hold add did not wait, and exits with %d: %s%s", got, &out, &log)
		default:
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-code; got != exitPartly {
		t.Errorf("hold add exits with %d: %s", got, &log)
	}
	expect(t, out.String(), "hold 2: public.events", "covers public.events_2019_06", "gone: public.events_2018_11 [2018-11-01, 2018-12-01) was removed before the hold took effect")
}

// Who may not make the table of holds is told what to run, and that does it. Who
// may not read it removes nothing.
func TestHoldPrivileges(t *testing.T) {
	t.Parallel()
	c := newCLI(t, eventsSet)
	keeper := c.db.Role(t, "keeper")
	c.exec("GRANT USAGE, CREATE ON SCHEMA public TO " + keeper)
	c.exec("ALTER TABLE events OWNER TO " + keeper)
	c.write(c.db.URLAs(keeper), eventsSet)
	c.run(exitOK, "--run-now")
	c.exec(`INSERT INTO events (at) VALUES ('2018-11-05'), ('2019-06-05')`)
	c.write(c.db.URLAs(keeper), heldSet)
	_, log := c.run(exitFailed, "hold", "add", "--all", "--reason", "case")
	expect(t, log, "there is no table partitiond.hold yet, and the role may not make it: init makes it with a new set, or an administrator does with this:\n\n")
	_, sql, _ := strings.Cut(log, "with this:\n")
	if _, err := c.conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatal(err)
	}
	c.run(exitOK, "hold", "add", "--period", "2018", "--reason", "case")
	c.exec("ALTER SCHEMA partitiond OWNER TO CURRENT_USER")
	c.exec("ALTER TABLE partitiond.hold OWNER TO CURRENT_USER")
	c.exec("REVOKE ALL ON SCHEMA partitiond FROM " + keeper)
	out, _ := c.run(exitPartly, "--run-now")
	expect(t, out, "problem: holds: public.events: the holds in partitiond.hold are out of reach: the role may not read it", "GRANT USAGE ON SCHEMA partitiond",
		"withheld: drop public.events_2018_11", "withheld: drop public.events_2019_06")
	c.run(exitPartly, "--run-now", "--dry-run")
	c.run(exitFound, "check")
	if n := c.int(`SELECT count(*) FROM events`); n != 2 {
		t.Errorf("%d rows are left, expected 2", n)
	}
}
