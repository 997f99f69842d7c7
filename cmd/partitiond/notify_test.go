package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// webhook hands out what it is sent, in short. Its path is a secret.
type webhook struct {
	*httptest.Server
	told chan string
}

func newWebhook(t *testing.T, status int) *webhook {
	w := &webhook{told: make(chan string, 100)}
	w.Server = httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		var e struct{ Event, Set, Action, Table, Status string }
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		w.told <- strings.TrimSpace(fmt.Sprintln(e.Event, e.Set, e.Action, e.Table, e.Status))
		answer.WriteHeader(status)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *webhook) url() string { return w.URL + "/hunter2" }

// all returns what has been told so far.
func (w *webhook) all() (all []string) {
	for len(w.told) > 0 {
		all = append(all, strings.Join(strings.Fields(<-w.told), " "))
	}
	return all
}

const oldEvents = eventsSet + "retention = { keep = \"12 months\", then = \"drop\" }\n"

// newOld makes a database with a partition that is due to be dropped.
func newOld(t *testing.T, sets string) *cli {
	c := newCLI(t, sets)
	c.exec(`CREATE TABLE events_2019_01 (CHECK (at >= '2019-01-01 00:00+00' AND at < '2019-02-01 00:00+00')) INHERITS (events)`)
	return c
}

const oldThere = `SELECT count(*) FROM pg_class WHERE relname = 'events_2019_01'`

// TestHookVetoes keeps a partition until the hook agrees: a command, and a webhook
// whose URL is in a file.
func TestHookVetoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hook, urlFile, asked := filepath.Join(dir, "hook"), filepath.Join(dir, "url"), filepath.Join(dir, "asked")
	write := func(file, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	yes, no, ops := newWebhook(t, http.StatusOK), newWebhook(t, http.StatusForbidden), newWebhook(t, http.StatusOK)
	write(urlFile, no.url()+"\n", 0o600)
	write(hook, "#!/bin/sh\necho $PARTITIOND_EVENT $PARTITIOND_ACTION $PARTITIOND_TABLE >> "+asked+"\necho the auditor is here\nexit 1\n", 0o700)
	c := newOld(t, fmt.Sprintf("[hooks.before_removal]\ncommand = [%q]\nurl_file = %q\n[[notify]]\nurl = %q\nevents = [\"failure\", \"recovery\", \"removal\", \"pass\"]\n", hook, urlFile, ops.url())+oldEvents)

	out, log := c.run(exitPartly, "--run-now")
	expect(t, out, "the removal was vetoed: before_removal ("+hook+"): exit status 1: the auditor is here")
	write(hook, "#!/bin/sh\nexit 0\n", 0o700)
	out, more := c.run(exitPartly, "--run-now", "--json")
	expect(t, out, "the removal was vetoed: before_removal (webhook): the server answers 403 Forbidden")
	if shown := out + log + more; strings.Contains(shown, "hunter2") || strings.Contains(shown, no.URL) {
		t.Errorf("the secret is shown:\n%s", shown)
	}
	if c.int(oldThere) != 1 {
		t.Fatal("the partition went against both vetoes")
	}
	write(urlFile, yes.url()+"\n", 0o600)
	c.run(exitOK, "--run-now")
	if c.int(oldThere) != 0 {
		t.Error("the partition stays though all agree")
	}
	question := "before_removal public.events drop public.events_2019_01"
	if diff := cmp.Diff([][]string{{question}, {question}}, [][]string{no.all(), yes.all()}); diff != "" {
		t.Errorf("the webhooks (-want +got):\n%s", diff)
	}
	if text, err := os.ReadFile(asked); err != nil || string(text) != "before_removal drop public.events_2019_01\n" {
		t.Errorf("the command was asked %q (%v)", text, err)
	}
	want := []string{
		"failure public.events partly", "pass partly", "failure public.events partly", "pass partly",
		"removal public.events drop public.events_2019_01", "pass done",
	}
	if diff := cmp.Diff(want, ops.all()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// A single pass has told all when it ends, also that there was none.
func TestRunNowTellsOfNoConnection(t *testing.T) {
	t.Parallel()
	c := newCLI(t, eventsSet)
	ops := newWebhook(t, http.StatusOK)
	c.write("postgres://nobody@127.0.0.1:1/none", fmt.Sprintf("[[notify]]\nurl = %q\n", ops.url())+eventsSet)
	c.run(exitConnect, "--run-now")
	if diff := cmp.Diff([]string{"failure failed"}, ops.all()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// A URL that is not there is a bad configuration, and nothing runs.
func TestMissingURLFile(t *testing.T) {
	t.Parallel()
	c := newCLI(t, "[[notify]]\nurl_file = \"/no/such/file\"\n"+eventsSet)
	for _, args := range [][]string{{"--run-now"}, {}} {
		_, log := c.run(exitUsage, args...)
		expect(t, log, "notify.url_file: cannot be read")
	}
	c.write(c.db.URL, "[hooks.before_removal]\nurl_file = \"/no/such/file\"\n"+eventsSet)
	_, log := c.run(exitUsage, "--run-now")
	expect(t, log, "hooks.before_removal.url_file: cannot be read")
	if n := c.int(children); n != 0 {
		t.Fatalf("%d partitions were made", n)
	}
}

// The daemon tells a failure once and its end once, though a reload comes between.
func TestDaemonTellsOnce(t *testing.T) {
	ops := newWebhook(t, http.StatusOK)
	head := fmt.Sprintf("[schedule]\ncron = \"@every 1s\"\n[[notify]]\nurl = %q\nevents = [\"failure\", \"recovery\", \"pass\"]\n", ops.url())
	missing := "[[set]]\nparent = \"public.missing\"\nkey = \"at\"\n"
	c := newCLI(t, head+missing)
	log, code, cancel := c.daemon()
	defer cancel()
	awaitTold := func(want string) {
		t.Helper()
		for {
			select {
			case got := <-ops.told:
				got = strings.Join(strings.Fields(got), " ")
				if got == want {
					return
				}
				if !strings.HasPrefix(got, "pass") {
					t.Fatalf("told %q, waiting for %q", got, want)
				}
			case got := <-code:
				t.Fatalf("the daemon exits with %d", got)
			}
		}
	}
	go func() {
		for log.lines.Scan() { // Lets the daemon go on.
		}
	}()
	awaitTold("failure public.missing partly")
	awaitTold("pass partly")
	awaitTold("pass partly")
	c.write(c.db.URL, head+"timeout = \"20s\"\n"+missing)
	hangUp(t)
	awaitTold("pass partly")
	awaitTold("pass partly")
	c.exec(`CREATE TABLE missing (at timestamptz)`)
	awaitTold("recovery public.missing done")
	cancel()
	if got := <-code; got != exitOK {
		t.Errorf("the daemon exits with %d", got)
	}
}
