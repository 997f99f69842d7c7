package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// script returns the command that runs a shell script.
func script(text string, args ...string) []string {
	return append([]string{"/bin/sh", "-c", text, "hook"}, args...)
}

func run(ctx context.Context, e Event, command []string) error {
	return Receiver{Command: command}.deliver(ctx, e)
}

// TestCommandGetsTheEvent looks at all that a command is given, and that it is
// given nothing else.
func TestCommandGetsTheEvent(t *testing.T) {
	t.Setenv("PGPASSWORD", secret) // Hence not parallel.
	t.Setenv("NOTIFY_SOCKET", "/nowhere")
	dir := t.TempDir()
	e := Event{
		Event: Removal, Time: time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC), Host: "db1", Text: "drop \x00 it", Set: "public.events",
		Action: "drop", Table: "public.events_2019_01", Reason: "it is old",
	}
	if err := run(t.Context(), e, script(`cat > "$1/stdin"; env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= | sort > "$1/env"; pwd > "$1/pwd"`, dir)); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var got Event
	if err := json.Unmarshal([]byte(read("stdin")), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, got); diff != "" {
		t.Errorf("on standard input (-want +got):\n%s", diff)
	}
	want := `LANG=C.UTF-8
PARTITIOND_ACTION=drop
PARTITIOND_DATABASE=
PARTITIOND_EVENT=removal
PARTITIOND_HOST=db1
PARTITIOND_SET=public.events
PARTITIOND_STATUS=
PARTITIOND_TABLE=public.events_2019_01
PARTITIOND_TEXT=drop  it
PARTITIOND_TIME=2026-12-01T03:00:00Z
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
`
	if diff := cmp.Diff(want, read("env")); diff != "" {
		t.Errorf("the environment (-want +got):\n%s", diff)
	}
	if pwd := read("pwd"); pwd != "/\n" {
		t.Errorf("it runs in %q", pwd)
	}
}

func TestCommandOutcomes(t *testing.T) {
	t.Parallel()
	big := Event{Text: strings.Repeat("x", 1<<20)}
	for _, test := range []struct {
		name, want string
		command    []string
		final      bool
	}{
		{"good", "", script("exit 0"), false},
		{"good with words", "", script("echo fine"), false},
		{"bad", "exit status 3", script("exit 3"), false},
		{"bad with words", "exit status 1: not today, it is Friday", script("echo not today,; echo it is Friday >&2; exit 1"), false},
		{"bad with many words", "exit status 1: " + strings.TrimSpace(strings.Repeat("aaaaaaaaa ", 30)) + "  ...", script("yes aaaaaaaaa | head -c 5000000; exit 1"), false},
		{"killed", "signal: killed", script("kill -9 $$"), false},
		{"gone", "start it: fork/exec /no/such/program: no such file or directory", []string{"/no/such/program", secret}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := run(t.Context(), big, test.command) // None of them reads it.
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			var final finalError
			if errors.As(err, &final) != test.final {
				t.Errorf("final is not %t", test.final)
			}
		})
	}
}

// A command that hangs is killed, and all that it has started with it: the pipe
// that they all hold comes to its end.
func TestHangingCommandIsKilledWithItsChildren(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, timeOut := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, Event{}, script(`exec 3> "$1"; (sh -c 'echo up >&3; sleep 1000000'; sleep 1000000) & trap "" TERM; wait`, fifo))
	}()
	f, err := os.Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	up := make([]byte, 3)
	if _, err := io.ReadFull(f, up); err != nil {
		t.Fatal(err)
	}
	timeOut(nil)
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if err := f.SetReadDeadline(time.Now().Add(ages)); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(f); err != nil {
		t.Errorf("something lives on: %v (%q)", err, rest)
	}
}

// What a command leaves running on purpose is no reason to wait for it.
func TestCommandMayLeaveSomethingRunning(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	// Its child keeps standard output open until the test lets it go.
	if err := run(t.Context(), Event{}, script(`read line < "$1" & exit 0`, fifo)); err != nil {
		t.Error(err)
	}
	f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A hook that is a command vetoes by its exit code, by a signal and by silence.
func TestCommandVeto(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"exit 0":             "",
		"echo no; exit 1":    "the hook: exit status 1: no",
		"kill -9 $$":         "the hook: signal: killed",
		"sleep 1000000":      "the hook: no answer within 50ms",
		"exec sleep 1000000": "the hook: no answer within 50ms",
	} {
		timeout := ages
		if strings.Contains(text, "sleep") {
			timeout = 50 * time.Millisecond
		}
		n := newNotifier(t, &logged{})
		n.Configure(Options{Log: (&logged{}).logger(), BeforeRemoval: []Receiver{{Name: "the hook", Command: script(text)}}, AskTimeout: timeout})
		got := ""
		if err := n.Watch("").Removing(t.Context(), events, drop); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
