package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/partitiond/partitiond/maintenance/monitor"
	"github.com/partitiond/partitiond/maintenance/partition"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	c := newCLI(t, eventsSet)
	out, _ := c.run(exitOK, "status")
	expect(t, out, "public.events: NOT HEALTHY", "There is no table for the present.", "\n  MMM\n", "a pass now would:", "create public.events_", "missing")
	c.run(exitOK, "--run-now")
	out, _ = c.run(exitOK, "status")
	expect(t, out, "public.events: healthy", "\n  CAA\n", "a pass now would do nothing", "1 month each, all is kept", "next pass: ", "C 2")
	if strings.Contains(out, "\x1b[") {
		t.Errorf("colours where there is no terminal:\n%q", out)
	}
	out, _ = c.run(exitOK, "status", "--json")
	var statuses []monitor.Status
	if err := json.Unmarshal([]byte(out), &statuses); err != nil || len(statuses) != 1 || len(statuses[0].Cells) != 3 || !statuses[0].Healthy || statuses[0].Set != "public.events" {
		t.Fatalf("--json prints %q (%v)", out, err)
	}
	c.write("postgres://nobody@127.0.0.1:1/none", eventsSet)
	c.run(exitConnect, "status")
}

// On a terminal each state has a colour, and long strips are broken.
func TestStripOnTerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := stripPrinter{w: &out, width: 12, colour: true}
	p.strip(make([]monitor.Cell, 25))
	if lines := strings.Fields(strings.ReplaceAll(out.String(), "\x1b", "")); len(lines) > 3 {
		t.Errorf("%q", lines)
	}
	for _, state := range monitor.States {
		l := stateLooks[state]
		if l.letter == "" || l.sgr == "" {
			t.Errorf("%s has no look", state)
		}
		if got := p.paint(l.sgr, l.letter); got != "\x1b["+l.sgr+"m"+l.letter+"\x1b[0m" {
			t.Errorf("%q", got)
		}
	}
	if len(stateLooks) != len(monitor.States) {
		t.Errorf("%d looks for %d states", len(stateLooks), len(monitor.States))
	}
	if got := (stripPrinter{}).paint("1", string(partition.CellDue)); got != "due" {
		t.Errorf("%q", got)
	}
}

func monitorAt(address, more string) string {
	return "[monitor]\nlisten = \"" + address + "\"\n" + more + "[schedule]\ncron = \"@yearly\"\n" + eventsSet
}

// A port that is taken is told at once, and nothing runs.
func TestDaemonAtTakenPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := newCLI(t, monitorAt(l.Addr().String(), ""))
	_, log := c.run(exitFailed)
	expect(t, log, "listen for the monitor at "+l.Addr().String(), "address already in use")
	if n := c.int(children); n != 0 {
		t.Errorf("%d partitions were made", n)
	}
	c.write(c.db.URL, monitorAt("0.0.0.0:1", ""))
	_, log = c.run(exitUsage)
	expect(t, log, "monitor.listen", "user and password_file")
}

// Not parallel: the signal is for every daemon of this process.
func TestDaemonMovesItsMonitor(t *testing.T) {
	c := newCLI(t, monitorAt("127.0.0.1:0", ""))
	log, code, cancel := c.daemon()
	defer cancel()
	first, _ := log.await("the monitor listens")["address"].(string)
	log.await("the pass ended")
	_, metrics := get(t, first, "/metrics", "", "")
	expect(t, metrics, `partitiond_actions_total{action="create",outcome="done",set="public.events"} 3`, "partitiond_config_last_reload_successful 1")

	// A listener that cannot be moved leaves all as it was.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c.write(c.db.URL, monitorAt(taken.Addr().String(), ""))
	hangUp(t)
	log.await("the file is not good, the old configuration stays")
	_, metrics = get(t, first, "/metrics", "", "")
	expect(t, metrics, "partitiond_config_last_reload_successful 0")

	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.write(c.db.URL, monitorAt("127.0.0.2:0", "user = \"ops\"\npassword_file = \""+secret+"\"\n"))
	hangUp(t)
	second, _ := log.await("the monitor listens")["address"].(string)
	log.await("read the configuration again")
	if status, _ := get(t, second, "/", "", ""); status != http.StatusUnauthorized {
		t.Errorf("without a password: %d", status)
	}
	status, metrics := get(t, second, "/metrics", "ops", "hunter2")
	if status != http.StatusOK {
		t.Errorf("with the password: %d", status)
	}
	expect(t, metrics, "partitiond_config_last_reload_successful 1")
	if conn, err := net.Dial("tcp", first); err == nil {
		_ = conn.Close()
		t.Error("still listens at the old port")
	}
	cancel()
	log.await("stopped")
	if got := <-code; got != exitOK {
		t.Errorf("the daemon exits with %d", got)
	}
}

// get asks a monitor for a path, as a user if that is not empty.
func get(t *testing.T, address, path, user, password string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}
