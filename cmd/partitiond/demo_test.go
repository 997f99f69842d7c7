package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// demoHome is a directory for temporary files, short enough for a socket's name
// and open to the user that the server runs as, unlike t.TempDir's. That it is
// empty afterwards, and that no process works in it, is what the tests are about.
func demoHome(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "demo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	return dir
}

// requireNothingLeft fails if there is a file in dir, or a process whose command
// line or working directory is in it.
func requireNothingLeft(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		t.Errorf("%s is left behind", filepath.Join(dir, entry.Name()))
	}
	for _, p := range processesIn(t, dir) {
		t.Errorf("process %s is left behind", p)
	}
}

func processesIn(t *testing.T, dir string) (found []string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		out, err := exec.CommandContext(t.Context(), "ps", "-axww", "-o", "pid=,args=").Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, dir) {
				found = append(found, strings.TrimSpace(line))
			}
		}
		return found
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(processes) == 0 {
		t.Fatalf("list the processes: %v", err)
	}
	for _, p := range processes {
		// What cannot be read has ended, or is another user's.
		args, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		cwd, _ := os.Readlink(filepath.Join(p, "cwd"))
		if bytes.Contains(args, []byte(dir)) || strings.HasPrefix(cwd, dir) {
			found = append(found, p+" "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return found
}

// watcher keeps what is written to it, and calls back once a text is there.
type watcher struct {
	mu    sync.Mutex
	text  bytes.Buffer
	until string
	then  func()
	fail  error
}

func (w *watcher) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(b)
	if w.until != "" && strings.Contains(w.text.String(), w.until) {
		w.until = ""
		w.then()
	}
	if w.until == "" && w.fail != nil {
		return 0, w.fail
	}
	return len(b), nil
}

func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func TestDemo(t *testing.T) {
	home := demoHome(t)
	var stdout, stderr watcher
	if code := run(t.Context(), []string{"demo", "--rows", "300"}, &stdout, &stderr); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	out := stdout.String()
	if text := stderr.String(); text != "" {
		t.Errorf("on standard error: %s", text)
	}
	for _, want := range []string{
		`(?m)^  chat_\d{4}_\d\d .* date_trunc\(\.\.\.\) +[\d,]+ +0 +refused `,
		`(?m)^  chat_\d{4}_\d\d .* created_at +[\d,]+ +3 +reads `,
		`(?m)^  partitions ahead: 0; rows in the parent itself: 47; `,
		`(?m)^  scans 19 of 19 tables: `,
		`(?m)^  archive +5 +older than 12 months$`,
		`(?m)^    tables that it scans +19 of 19 tables +2 of 16 tables$`,
		`(?m)^  role app inserts, this month +no +yes$`,
		`(?m)^  ok      \S+ rows before = \S+ in the database \+ \S+ in the archive$`,
		`(?m)^  ok      a second pass: nothing to do$`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no line matches %s", want)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("there are colours although this is no terminal")
	}
	for line := range strings.Lines(out) {
		line = strings.ReplaceAll(strings.TrimRight(line, "\n"), home, "/tmp")
		if utf8.RuneCountInString(line) > demoWidth {
			t.Errorf("longer than %d columns: %s", demoWidth, line)
		}
	}
	if t.Failed() {
		t.Logf("the output:\n%s", out)
	}
	requireNothingLeft(t, home)
}

func TestDemoStopped(t *testing.T) {
	for name, at := range map[string]string{
		"while the server starts":   "Starting a throw-away",
		"while the trigger works":   "chat_",
		"while the pass goes on":    " INF ",
		"while the archive is read": "sha256",
	} {
		t.Run(name, func(t *testing.T) {
			home := demoHome(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stdout, stderr := watcher{until: at, then: cancel}, watcher{}
			if code := run(ctx, []string{"demo", "--rows", "300"}, &stdout, &stderr); code != exitStopped {
				t.Errorf("exit code %d", code)
			}
			if ctx.Err() == nil {
				t.Errorf("%q was never printed:\n%s", at, stdout.String())
			}
			if strings.Contains(stdout.String(), "a second pass") {
				t.Error("it went on to the end")
			}
			if want := "partitiond: the demo was stopped; its server and its files are removed\n"; stderr.String() != want {
				t.Errorf("on standard error: %s", stderr.String())
			}
			requireNothingLeft(t, home)
		})
	}
}

func TestDemoKeep(t *testing.T) {
	home := demoHome(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// By now the server should be there; it is looked at when the hint is printed.
	alive := 0
	stdout := watcher{until: "partitiond check --config", then: func() { alive = len(processesIn(t, home)); cancel() }}
	if code := run(ctx, []string{"demo", "--rows", "300", "--keep"}, &stdout, &watcher{}); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if alive == 0 {
		t.Error("the server was gone before it was stopped")
	}
	requireNothingLeft(t, home)
}

func TestDemoPanics(t *testing.T) {
	home := demoHome(t)
	stdout := watcher{until: "Before", then: func() { panic("as if it were a mistake in the demo") }}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic came through")
			}
		}()
		// A panic holds the watcher's lock for good, so nothing may write after it.
		run(t.Context(), []string{"demo", "--rows", "300"}, &stdout, &watcher{})
	}()
	requireNothingLeft(t, home)
}

func TestDemoWithoutReader(t *testing.T) {
	home := demoHome(t)
	stdout := watcher{until: "Before", then: func() {}, fail: errors.New("broken pipe")}
	var stderr watcher
	if code := run(t.Context(), []string{"demo", "--rows", "300"}, &stdout, &stderr); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if want := "partitiond: demo: write the output: broken pipe\n"; stderr.String() != want {
		t.Errorf("on standard error: %s", stderr.String())
	}
	requireNothingLeft(t, home)
}

func TestDemoWithoutPostgreSQL(t *testing.T) {
	home := demoHome(t)
	t.Setenv("PARTITIOND_PG_BIN", home)
	var stderr watcher
	if code := run(t.Context(), []string{"demo"}, &watcher{}, &stderr); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if text := stderr.String(); !strings.Contains(text, "apt-get install postgresql") {
		t.Errorf("it does not say what to install: %s", text)
	}
	requireNothingLeft(t, home)
}

func TestDemoRows(t *testing.T) {
	for _, rows := range []string{"0", "-5", "99", "2000001", "many"} {
		if code := run(t.Context(), []string{"demo", "--rows", rows}, &watcher{}, &watcher{}); code != exitUsage {
			t.Errorf("--rows %s: exit code %d", rows, code)
		}
	}
}
