// Package systemd_test holds the unit files to what the program does and to what
// the README promises.
package systemd_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/partitiond/partitiond/maintenance/config"
)

const (
	daemon  = "partitiond.service"
	onePass = "partitiond-run.service"
	timer   = "partitiond.timer"
	account = "partitiond.sysusers"
	reload  = "partitiond-reload.conf"
)

// unit is a unit file: the values of each "Section.Key", in their order.
type unit map[string][]string

// read reads a unit file. Neither continued lines nor the resetting of lists by
// an empty value is needed here, so the former fail the test.
func read(t *testing.T, file string) unit {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	u := unit{}
	section := ""
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && line[len(line)-1] == ']':
			section = line[1 : len(line)-1]
		case !ok || section == "" || strings.HasSuffix(line, `\`):
			t.Fatalf("%s:%d: not understood: %s", file, i+1, line)
		default:
			u[section+"."+key] = append(u[section+"."+key], value)
		}
	}
	return u
}

// one returns the value of a key that must be there exactly once.
func (u unit) one(t *testing.T, key string) string {
	t.Helper()
	if len(u[key]) != 1 {
		t.Fatalf("%s is there %d times: expected once", key, len(u[key]))
	}
	return u[key][0]
}

func TestUnits(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]map[string]string{
		daemon: {
			"Unit.After":                       "network-online.target postgresql.service",
			"Service.Type":                     "notify",
			"Service.NotifyAccess":             "main",
			"Service.WatchdogSec":              "2min",
			"Service.KillMode":                 "mixed",
			"Service.ExecReload":               "/bin/kill -HUP $MAINPID",
			"Service.Restart":                  "on-failure",
			"Service.RestartPreventExitStatus": "2",
			"Install.WantedBy":                 "multi-user.target",
			// The sandbox; partitiond-run.service has the same by another test.
			"Service.User":                    "partitiond",
			"Service.ConfigurationDirectory":  "partitiond",
			"Service.StateDirectory":          "partitiond partitiond/archive",
			"Service.StateDirectoryMode":      "0700",
			"Service.UMask":                   "0077",
			"Service.LimitCORE":               "0",
			"Service.CapabilityBoundingSet":   "",
			"Service.AmbientCapabilities":     "",
			"Service.NoNewPrivileges":         "yes",
			"Service.PrivateUsers":            "yes",
			"Service.RestrictSUIDSGID":        "yes",
			"Service.ProtectSystem":           "strict",
			"Service.ProtectHome":             "yes",
			"Service.PrivateTmp":              "yes",
			"Service.PrivateDevices":          "yes",
			"Service.ProtectProc":             "invisible",
			"Service.ProcSubset":              "pid",
			"Service.ProtectKernelTunables":   "yes",
			"Service.ProtectKernelModules":    "yes",
			"Service.ProtectKernelLogs":       "yes",
			"Service.ProtectControlGroups":    "yes",
			"Service.RestrictNamespaces":      "yes",
			"Service.LockPersonality":         "yes",
			"Service.MemoryDenyWriteExecute":  "yes",
			"Service.RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
			"Service.SystemCallArchitectures": "native",
			"Service.SystemCallErrorNumber":   "EPERM",
		},
		onePass: {
			"Service.Type":         "oneshot",
			"Service.NotifyAccess": "main",
			"Service.Restart":      "on-failure",
		},
		reload: {
			"Service.Type":       "notify-reload",
			"Service.ExecReload": "",
		},
		timer: {
			"Timer.Persistent": "true",
			"Timer.Unit":       onePass,
			"Install.WantedBy": "timers.target",
		},
	} {
		u := read(t, file)
		for key, value := range want {
			if got := u.one(t, key); got != value {
				t.Errorf("%s: %s is %q: expected %q", file, key, got, value)
			}
		}
	}
	filters := read(t, daemon)["Service.SystemCallFilter"]
	if want := []string{"@system-service", "~@privileged @resources"}; !slices.Equal(filters, want) {
		t.Errorf("%s: SystemCallFilter is %q: expected %q", daemon, filters, want)
	}
}

// The pass of the timer must be able to do what the daemon's can, and no more.
func TestOneSandbox(t *testing.T) {
	t.Parallel()
	sandbox := func(file string) unit {
		u := read(t, file)
		maps.DeleteFunc(u, func(key string, _ []string) bool {
			name, ok := strings.CutPrefix(key, "Service.")
			// What starts, restarts and ends the process differs for good reasons.
			return !ok || slices.Contains([]string{"Type", "ExecStart", "ExecReload", "WatchdogSec", "Restart", "RestartSec",
				"RestartPreventExitStatus", "SuccessExitStatus", "TimeoutStartSec"}, name)
		})
		return u
	}
	if diff := cmp.Diff(sandbox(daemon), sandbox(onePass)); diff != "" {
		t.Errorf("%s (-) and %s (+) differ:\n%s", daemon, onePass, diff)
	}
}

func TestTheUserIsMade(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(account)
	if err != nil {
		t.Fatal(err)
	}
	u := read(t, daemon)
	if user, group := u.one(t, "Service.User"), u.one(t, "Service.Group"); user != group {
		t.Errorf("user %s and group %s: a sysusers line makes both with one name", user, group)
	} else if !strings.Contains(string(text), "\nu "+user+" - ") {
		t.Errorf("%s does not make the user %s", account, user)
	}
}

// constants returns the constants of a Go file of the command.
func constants(t *testing.T, file string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "cmd", "partitiond", file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(parsed, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			if i >= len(spec.Values) {
				break
			}
			if literal, ok := spec.Values[i].(*ast.BasicLit); ok {
				found[name.Name] = literal.Value
			}
		}
		return true
	})
	return found
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	codes := constants(t, "exit.go")
	list := func(names ...string) string {
		var out []string
		for _, name := range names {
			if codes[name] == "" {
				t.Fatalf("exit.go has no constant %s", name)
			}
			out = append(out, codes[name])
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct{ file, key, want string }{
		{daemon, "Service.RestartPreventExitStatus", list("exitUsage")},
		// All but exitConnect, exitStopped, and exitFound, which is check's.
		{onePass, "Service.RestartPreventExitStatus", list("exitFailed", "exitUsage", "exitPartly", "exitBusy")},
		{onePass, "Service.SuccessExitStatus", list("exitStopped")},
	} {
		if got := read(t, c.file).one(t, c.key); got != c.want {
			t.Errorf("%s: %s is %q: expected %q", c.file, c.key, got, c.want)
		}
	}
}

func TestCommandLines(t *testing.T) {
	t.Parallel()
	file, err := strconv.Unquote(constants(t, "root.go")["defaultConfig"])
	if err != nil {
		t.Fatalf("root.go has no constant defaultConfig: %v", err)
	}
	start := "/usr/bin/partitiond --config " + file
	for name, want := range map[string]string{daemon: start, onePass: start + " --run-now"} {
		u := read(t, name)
		if got := u.one(t, "Service.ExecStart"); got != want {
			t.Errorf("%s starts %q: expected %q", name, got, want)
		}
		if dir := "/etc/" + u.one(t, "Service.ConfigurationDirectory"); filepath.Dir(file) != dir {
			t.Errorf("%s has the configuration directory %s, the file is %s", name, dir, file)
		}
	}
}

// defaults returns what a configuration is that says only what it must.
func defaults(t *testing.T) *config.Config {
	t.Helper()
	c, err := config.Parse("defaults.toml", []byte("[[set]]\nparent = \"public.events\"\nkey = \"at\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A SIGKILL while the program still waits for its transaction would be a stop
// that is not clean.
func TestAStopIsNotCutShort(t *testing.T) {
	t.Parallel()
	stop := defaults(t).Schedule.StopTimeout
	for _, file := range []string{daemon, onePass} {
		text := read(t, file).one(t, "Service.TimeoutStopSec")
		limit, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if limit < 2*stop {
			t.Errorf("%s kills after %s, the program waits for %s and then for a rollback: expected twice that", file, limit, stop)
		}
	}
}

// partitiond check judges by the configuration's schedule what is overdue.
func TestTheTimerKeepsTheDefaultSchedule(t *testing.T) {
	t.Parallel()
	schedule := defaults(t).Schedule
	var minute, hour int
	if n, err := fmt.Sscanf(schedule.CronText, "%d %d * * *", &minute, &hour); n != 2 {
		t.Fatalf("the default schedule %q is not daily: %v", schedule.CronText, err)
	}
	want := fmt.Sprintf("*-*-* %02d:%02d:00 %s", hour, minute, schedule.Location)
	if got := read(t, timer).one(t, "Timer.OnCalendar"); got != want {
		t.Errorf("the timer is due %q: expected %q, which is schedule.cron's default", got, want)
	}
}

// analyze runs systemd-analyze on the units, with a program in place of the one
// that need not be installed here.
func analyze(t *testing.T, args ...string) {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("skipped: there is no systemd-analyze here (Debian's package systemd has it)")
	}
	if version := versionOf(t, program); version < 250 {
		t.Skipf("skipped: systemd-analyze is of systemd %d, and what is asked of it here came with 250", version)
	}
	dir := t.TempDir()
	stand := filepath.Join(dir, "partitiond")
	if err := os.WriteFile(stand, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{daemon, onePass, timer} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("=/usr/bin/partitiond "), []byte("="+stand+" "))
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	// A key that is not known is only a warning, and what it asks for is not done.
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, dir) && strings.Contains(line, "ignoring") {
			t.Errorf("systemd-analyze %s: %s", strings.Join(args, " "), strings.TrimSpace(line))
		}
	}
}

// versionOf reads "systemd 252 (252.38-1~deb12u1)".
func versionOf(t *testing.T, program string) (version int) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, "--version").Output()
	if err != nil {
		t.Fatalf("systemd-analyze --version: %v", err)
	}
	if _, err := fmt.Sscanf(string(out), "systemd %d", &version); err != nil {
		t.Fatalf("systemd-analyze --version says %q: %v", out, err)
	}
	return version
}

func TestSystemdVerifies(t *testing.T) {
	t.Parallel()
	analyze(t, "verify", "--man=no", "--recursive-errors=no", "./"+daemon, "./"+onePass, "./"+timer)
}

// Systemd's own judgement of a sandbox goes from 0, all shut, to 10. The
// threshold is in tenths, with room for versions that look at more.
// CONTRIBUTING.md has the present value.
func TestSystemdFindsLittleExposed(t *testing.T) {
	t.Parallel()
	for _, file := range []string{daemon, onePass} {
		analyze(t, "security", "--offline=true", "--no-pager", "--threshold=20", "./"+file)
	}
}
