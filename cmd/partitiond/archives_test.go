package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// archivedCLI archives one month with 100 rows. It returns the month, as in
// 2018-11, the archive's directory, and the configuration of the set.
func archivedCLI(t *testing.T) (c *cli, month, root, set string) {
	t.Helper()
	root = t.TempDir()
	set = eventsSet + "retention = { keep = \"12 months\", then = \"archive\", archive = \"file://" + root + "\", max_share = 1 }\n"
	c = newCLI(t, set)
	c.run(exitOK, "--run-now")
	c.exec(`INSERT INTO events (at, what) SELECT date_trunc('month', now(), 'UTC') - interval '14 months' + i * interval '1 minute', 'old' FROM generate_series(1, 100) i`)
	c.run(exitOK, "--run-now")
	if n := c.int("SELECT count(*) FROM events"); n != 0 {
		t.Fatalf("%d rows are left, want them archived", n)
	}
	if err := c.conn.QueryRow(t.Context(), "SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '14 months', 'YYYY-MM')").Scan(&month); err != nil {
		t.Fatal(err)
	}
	return c, month, root, set
}

// What only looks into the archive needs no server.
func TestArchivesWithoutAServer(t *testing.T) {
	t.Parallel()
	c, month, root, set := archivedCLI(t)
	table := "public.events_" + strings.Replace(month, "-", "_", 1)
	c.write("postgres://nobody@127.0.0.1:1/none", set)
	out, _ := c.run(exitOK, "archives", "list")
	expect(t, out, "public.events", month, table, "100", "parquet", "file://"+root)
	out, _ = c.run(exitOK, "archives", "list", "--set", "events", "--json")
	var listed []archiveJSON
	if err := json.Unmarshal([]byte(out), &listed); err != nil || len(listed) != 1 || listed[0].Rows != 100 || listed[0].Period != month || listed[0].Table != table {
		t.Fatalf("--json prints %s (%v)", out, err)
	}
	for _, text := range []string{month, month[:4], month + "-01", table, strings.TrimPrefix(table, "public."), listed[0].URL} {
		out, _ = c.run(exitOK, "archives", "show", text)
		expect(t, out, table, "100, hash", "what text", "at timestamp with time zone", "SHA-256", listed[0].URL)
		out, _ = c.run(exitOK, "archives", "verify", text)
		expect(t, out, month+": OK")
	}
	out, _ = c.run(exitOK, "archives", "show", month, "--json")
	var manifests []archive.Manifest
	if err := json.Unmarshal([]byte(out), &manifests); err != nil || len(manifests) != 1 || manifests[0].Content.Rows != 100 {
		t.Errorf("show --json prints %s (%v)", out, err)
	}
	c.run(exitOK, "archives", "verify", "--all")
	_, log := c.run(exitUsage, "archives", "show", "1999")
	expect(t, log, `no archive "1999"`)
	c.run(exitConnect, "archives", "restore", month)
	c.run(exitConnect, "archives", "restore", month, "--into", "beside")

	// A byte is changed, then the file is gone, then the manifest is none.
	part := ""
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".parquet" {
			part = path
		}
		return err
	})
	text, readErr := os.ReadFile(part)
	if err != nil || readErr != nil {
		t.Fatal(err, readErr)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(part, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ = c.run(exitFailed, "archives", "verify", "--all")
	expect(t, out, "DAMAGED", "SHA-256")
	if err := os.Remove(part); err != nil {
		t.Fatal(err)
	}
	out, _ = c.run(exitFailed, "archives", "verify", month, "--json")
	var verified []verifiedJSON
	if err := json.Unmarshal([]byte(out), &verified); err != nil || len(verified) != 1 || verified[0].Result != "missing" || verified[0].Error == "" {
		t.Errorf("verify --json prints %s (%v)", out, err)
	}
	manifest := filepath.Join(filepath.Dir(part), "manifest.json")
	if err := os.WriteFile(manifest, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, log = c.run(exitFailed, "archives", "list")
	expect(t, log, manifest)
	_, log = c.run(exitFailed, "archives", "verify", "--all")
	expect(t, log, manifest)
}

func TestArchivesRestore(t *testing.T) {
	t.Parallel()
	c, month, _, _ := archivedCLI(t)
	table := "events_" + strings.Replace(month, "-", "_", 1)
	out, _ := c.run(exitOK, "archives", "restore", month, "--into", "beside")
	expect(t, out, "public.events "+month+": restored into public.beside, 100 rows")
	if n := c.int("SELECT count(*) FROM beside"); n != 100 {
		t.Errorf("%d rows beside", n)
	}
	lock, err := postgres.AcquirePassLock(t.Context(), c.db.Conn(t), []partition.Set{{Parent: partition.Name{Schema: "public", Local: "events"}}})
	if err != nil || !lock.Held(0) {
		t.Fatalf("the lock: %v", err)
	}
	c.run(exitBusy, "archives", "restore", month)
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, log := c.run(exitOK, "archives", "restore", month, "--hold", "2 years")
	expect(t, out, "restored into public."+table+", 100 rows", "keeps it from being retired until "+time.Now().AddDate(2, 0, 0).Format("2006-"))
	expect(t, log, `"msg":"restored"`)
	if strings.Contains(log, "\x1b") || strings.Contains(log, "MB/s") {
		t.Errorf("progress without a terminal: %q", log)
	}
	if n := c.int("SELECT count(*) FROM " + table); n != 100 {
		t.Errorf("%d rows in %s", n, table)
	}
	out, _ = c.run(exitOK, "--run-now")
	expect(t, out, "public.events: nothing to do")
	_, log = c.run(exitFailed, "archives", "restore", month)
	expect(t, log, "public."+table, "--into")
	out, _ = c.run(exitOK, "archives", "restore", month, "--into", `public."Again"`, "--json")
	expect(t, out, `"table": "public.Again"`, `"rows": 100`)
}

func TestArchivesBadArguments(t *testing.T) {
	t.Parallel()
	c := newCLI(t, eventsSet)
	_, log := c.run(exitUsage, "archives", "list")
	expect(t, log, "no set with an archive")
	_, log = c.run(exitUsage, "archives", "list", "--set", "events")
	expect(t, log, "has no archive")
	c.write(c.db.URL, eventsSet+"retention = { keep = \"12 months\", then = \"archive\", archive = \"file:///nowhere\" }\n")
	for _, args := range [][]string{{}, {"list", "more"}, {"show"}, {"verify"}, {"verify", "2018", "--all"}, {"restore"},
		{"restore", "2018", "--hold", "soon"}, {"restore", "2018", "--hold", "2001-01-01"}, {"restore", "2018", "--into", "a.b.c"}, {"list", "--set", "none"}} {
		if args = append([]string{"archives"}, args...); len(args) > 1 && args[1] == "restore" && len(args) > 3 {
			c.write(c.db.URL, eventsSet+"retention = { keep = \"12 months\", then = \"archive\", archive = \"file://"+t.TempDir()+"\" }\n")
		}
		c.run(exitUsage, args...)
	}
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(loc *time.Location, y, m, d, h int) time.Time {
		return time.Date(y, time.Month(m), d, h, 0, 0, 0, loc)
	}
	for _, c := range []struct {
		from, to time.Time
		label    string
		means    string
		not      string
	}{
		{at(time.UTC, 2018, 11, 1, 0), at(time.UTC, 2018, 12, 1, 0), "2018-11", "2018 2018-11 2018-11-01 2018-Q4 2018-W44 2018-11-01T00", "2018-1 2018-12 2018-11-02 201 2018-W45"},
		{at(berlin, 2018, 11, 1, 0), at(berlin, 2018, 12, 1, 0), "2018-11", "2018-11 2018-11-01", "2018-10 2018-10-31"},
		{at(time.UTC, 2018, 1, 1, 0), at(time.UTC, 2019, 1, 1, 0), "2018", "2018 2018-01", "2019"},
		{at(time.UTC, 2018, 4, 1, 0), at(time.UTC, 2018, 7, 1, 0), "2018-Q2", "2018-Q2 2018-04", "2018-Q1 2018-05"},
		{at(time.UTC, 2018, 12, 31, 0), at(time.UTC, 2019, 1, 7, 0), "2019-W01", "2019-W01 2018-12-31", "2018-W01 2019"},
		{at(berlin, 2018, 10, 28, 0), at(berlin, 2018, 10, 29, 0), "2018-10-28", "2018-10-28 2018-10-28T00", "2018-10-27"},
		{at(time.UTC, 2018, 10, 28, 7), at(time.UTC, 2018, 10, 28, 8), "2018-10-28T07", "2018-10-28T07 2018-10-28T07:00", "2018-10-28T08"},
		{at(time.UTC, 2018, 11, 1, 0), at(time.UTC, 2018, 11, 16, 0), "2018-11-01..2018-11-16", "2018-11 2018-11-01..2018-11-16", "2018-11-16"},
	} {
		// As it is read from a file: with an offset and no zone.
		text, err := json.Marshal(archive.Bounds{From: archive.Edge(partition.At(c.from)), To: archive.Edge(partition.At(c.to))})
		if err != nil {
			t.Fatal(err)
		}
		m := archive.Manifest{TimeZone: c.from.Location().String(), Source: archive.Source{Table: archive.Name{Schema: "public", Local: "t"}}}
		if err := json.Unmarshal(text, &m.Bounds); err != nil {
			t.Fatal(err)
		}
		if got := periodLabel(m); got != c.label {
			t.Errorf("%s is called %s, want %s", m.Bounds.Partition(), got, c.label)
		}
		for _, text := range append(strings.Fields(c.means), "t", "public.t", `public."t"`) {
			if !means(m, text) {
				t.Errorf("%q does not mean %s", text, c.label)
			}
		}
		for _, text := range append(strings.Fields(c.not), "", "u", "private.t") {
			if means(m, text) {
				t.Errorf("%q means %s", text, c.label)
			}
		}
	}
}

func TestHoldUntil(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2030, 3, 30, 12, 0, 0, 0, berlin)
	for text, want := range map[string]time.Time{
		"forever": {}, "30 days": now.AddDate(0, 0, 30), "1 year": now.AddDate(1, 0, 0),
		"2030-04-01": time.Date(2030, 4, 1, 0, 0, 0, 0, berlin), "2030-04-01T07:00:00Z": time.Date(2030, 4, 1, 7, 0, 0, 0, time.UTC),
	} {
		if got, err := holdUntil(text, now, berlin); err != nil || !got.Equal(want) {
			t.Errorf("--hold %q is until %s (%v), want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "soon", "30", "2030-03-30", "0 days"} {
		if got, err := holdUntil(text, now, berlin); err == nil {
			t.Errorf("--hold %q is until %s", text, got)
		}
	}
}
