package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"syscall"
	"testing"
)

// logs reads a daemon's JSON log and hands out the lines with a message.
type logs struct {
	t     *testing.T
	lines *bufio.Scanner
}

// await returns the next line that has the message; the daemon's end fails it.
func (l *logs) await(msg string) map[string]any {
	l.t.Helper()
	for l.lines.Scan() {
		line := map[string]any{}
		if err := json.Unmarshal(l.lines.Bytes(), &line); err != nil {
			l.t.Fatalf("not JSON: %s", l.lines.Text())
		}
		if line["msg"] == msg {
			return line
		}
	}
	l.t.Fatalf("the log ended before %q: %v", msg, l.lines.Err())
	return nil
}

// daemon runs the daemon in this process until cancel is called, and returns its
// log and what it will exit with.
func (c *cli) daemon() (log *logs, code <-chan int, cancel context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.t.Context())
	r, w := io.Pipe()
	exit := make(chan int, 1)
	go func() {
		exit <- run(ctx, []string{"--config", c.file}, io.Discard, w)
		_ = w.Close()
	}()
	return &logs{c.t, bufio.NewScanner(r)}, exit, cancel
}

// hangUp sends SIGHUP, which is for every daemon of this process.
func hangUp(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// The daemon is one process with one set of signals, so what it does is told in
// one test: a pass at start, a reload that is refused, one that is taken, and a stop.
func TestDaemon(t *testing.T) {
	c := newCLI(t, "[schedule]\ncron = \"@yearly\"\n"+eventsSet)
	log, code, cancel := c.daemon()
	defer cancel()

	if next := log.await("started")["next"]; next == "" || next == "0001-01-01T00:00:00Z" {
		t.Errorf("the daemon does not say when the next pass is: %v", next)
	}
	if status := log.await("the pass ended")["status"]; status != "done" {
		t.Errorf("the pass at start is %v", status)
	}
	if n := c.int(children); n != 3 {
		t.Errorf("the pass at start made %d partitions, expected 3", n)
	}

	c.write(c.db.URL, "[schedule]\ncron = \"never\"\n"+eventsSet)
	hangUp(t)
	log.await("the file is not good, the old configuration stays")
	c.write(c.db.URL, "[schedule]\ncron = \"* * * * *\"\n"+eventsSet+"ahead = 5\n")
	hangUp(t)
	log.await("read the configuration again")

	cancel()
	log.await("stopping")
	log.await("stopped")
	if got := <-code; got != exitOK {
		t.Errorf("the daemon exits with %d", got)
	}
}

// A pass at start can be switched off, and a dry run of the daemon changes nothing.
func TestDaemonDryRun(t *testing.T) {
	c := newCLI(t, "[schedule]\ncron = \"@yearly\"\n"+eventsSet)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	outR, outW := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"--config", c.file, "--dry-run"}, outW, io.Discard)
		_ = outW.Close()
	}()
	plan := bufio.NewScanner(outR)
	if !plan.Scan() {
		t.Fatal("no plan was printed")
	}
	expect(t, plan.Text(), "public.events: ", "actions")
	cancel()
	for plan.Scan() { // Lets the daemon finish its printing.
	}
	if got := <-code; got != exitOK {
		t.Errorf("the daemon exits with %d", got)
	}
	if n := c.int(children); n != 0 {
		t.Errorf("the dry run made %d partitions", n)
	}
}
