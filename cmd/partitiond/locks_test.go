package main

import (
	"cmp"
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// hasty are limits that make short work of locks which are never granted.
const hasty = `limits = { lock_timeout = "20ms", retries = 1, retry_wait = "1ms", max_retry_wait = "2ms", concurrent_timeout = "50ms" }` + "\n"

// TestLockNeverGranted has a session hold on to a table. Each verb gives up, names the
// session and exits with what the README says; nothing is changed. When the session is
// gone, the same call does it all.
func TestLockNeverGranted(t *testing.T) {
	t.Parallel()
	const dropping = eventsSet + `retention = { keep = "6 months", then = "drop", max_share = 1 }` + "\n" + hasty
	for name, test := range map[string]struct {
		sets string
		// before is what is done first, by the program and then by SQL.
		before [][]string
		sql    string
		lock   string
		// mode is EXCLUSIVE unless it says otherwise, which lets the catalog be read.
		mode string
		args []string
		code int
	}{
		"nothing can be seen": {sets: eventsSet + hasty, lock: "events", mode: "ACCESS EXCLUSIVE", args: []string{"--run-now"}, code: exitFailed},
		"nothing can be done": {sets: eventsSet + hasty, lock: "events", args: []string{"--run-now"}, code: exitFailed},
		"a part can be done":  {sets: dropping, before: [][]string{{"--run-now"}}, sql: thirteenMonths, lock: "old", args: []string{"--run-now"}, code: exitPartly},
		"another set":         {sets: eventsSet + hasty + "[[set]]\nparent = \"public.free\"\nkey = \"at\"\n", sql: "CREATE TABLE free (at timestamptz)", lock: "events", args: []string{"--run-now"}, code: exitPartly},
		"convert":             {sets: eventsSet + hasty, before: [][]string{{"--run-now"}}, lock: "events", args: []string{"convert", "public.events"}, code: exitFailed},
		"convert back":        {sets: eventsSet + hasty, before: [][]string{{"--run-now"}, {"convert", "public.events"}}, lock: "events", args: []string{"convert", "public.events", "--rollback"}, code: exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCLI(t, test.sets)
			for _, args := range test.before {
				c.run(exitOK, args...)
			}
			if test.sql != "" {
				c.exec(test.sql, pgx.QueryExecModeSimpleProtocol)
			}
			if test.lock == "old" {
				test.lock = c.text("SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'events'::regclass")
			}
			holder := c.db.Conn(t)
			if _, err := holder.Exec(t.Context(), "SET application_name = 'holder'; BEGIN; LOCK TABLE "+test.lock+" IN "+cmp.Or(test.mode, "EXCLUSIVE")+" MODE", pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatal(err)
			}
			shape := func() string {
				return c.text(`SELECT string_agg(concat_ws(' ', relname, relkind, relfilenode, relhastriggers, (SELECT string_agg(conname, ' ' ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid)), E'\n' ORDER BY relname)
					FROM pg_class c WHERE relname = '` + test.lock + `' OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass('` + test.lock + `'))`)
			}
			before := shape()
			out, log := c.run(test.code, test.args...)
			if test.mode == "" && !strings.Contains(out+log, "holder") {
				t.Errorf("it does not name who is in the way:\n%s%s", out, log)
			}
			if after := shape(); after != before {
				t.Errorf("there are\n%s\nbefore\n%s", after, before)
			}
			if _, err := holder.Exec(context.WithoutCancel(t.Context()), "ROLLBACK"); err != nil {
				t.Fatal(err)
			}
			c.run(exitOK, test.args...)
			if test.lock == "events" && shape() == before {
				t.Errorf("nothing has changed:\n%s", before)
			}
		})
	}
}
