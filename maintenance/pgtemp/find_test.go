package pgtemp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// install writes an initdb, and a postgres that calls itself the version.
func install(t *testing.T, dir, version string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"initdb", "postgres"} {
		script := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) %s (made up)'\n", program, version)
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindOrder(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	install(t, at("env/bin"), "19.1")
	install(t, at("config/bin"), "16.2")
	install(t, at("debian/9.6/bin"), "9.6.24")
	install(t, at("debian/14/bin"), "14.3")
	install(t, at("debian/18/bin"), "18beta1")
	install(t, at("path/bin"), "13.4")
	install(t, at("common-17/bin"), "17.5")
	if err := os.MkdirAll(at("client/bin"), 0o755); err != nil { // no server in it
		t.Fatal(err)
	}
	all := places{
		env:      at("env/bin"),
		pgConfig: func() string { return at("config/bin") },
		debian:   at("debian/*/bin"),
		path:     []string{"", at("nowhere"), at("path/bin")},
		common:   []string{at("missing-*/bin"), at("common-*/bin")},
	}
	client := func() string { return at("client/bin") }
	steps := []struct {
		name      string
		blind     func(*places)
		version   string
		major     int
		directory string
	}{
		{"everything there", func(*places) {}, "19.1", 19, "env/bin"},
		{"no variable", func(p *places) { p.env = "" }, "16.2", 16, "config/bin"},
		{"pg_config of a client", func(p *places) { p.pgConfig = client }, "18beta1", 18, "debian/18/bin"},
		{"not Debian", func(p *places) { p.debian = at("redhat/*/bin") }, "13.4", 13, "path/bin"},
		{"not on the PATH", func(p *places) { p.path = nil }, "17.5", 17, "common-17/bin"},
	}
	for _, step := range steps { // each is also blind as those before it
		step.blind(&all)
		found, err := all.find()
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if found.Version != step.version || found.Major() != step.major || found.Dir != at(step.directory) {
			t.Errorf("%s: found %+v (major %d), want %s in %s", step.name, found, found.Major(), step.version, step.directory)
		}
	}
}

func TestFindNothing(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	nowhere := places{
		pgConfig: func() string { return "" },
		debian:   filepath.Join(empty, "debian/*/bin"),
		path:     []string{filepath.Join(empty, "path")},
		common:   []string{filepath.Join(empty, "common-*/bin")},
	}
	_, err := nowhere.find()
	requireNotInstalled(t, err, "debian/*/bin", "path", "common-*/bin")
}

// A directory that was asked for is not replaced by another one silently.
func TestFindVariableIsBinding(t *testing.T) {
	root := t.TempDir()
	t.Setenv(EnvBin, filepath.Join(root, "asked-for"))
	_, err := Find()
	requireNotInstalled(t, err, EnvBin+"="+filepath.Join(root, "asked-for"))

	_, err = Start(t.Context(), Options{Dir: root})
	requireNotInstalled(t, err)
}

func requireNotInstalled(t *testing.T, err error, mentions ...string) {
	t.Helper()
	if !errors.Is(err, ErrNotInstalled) {
		t.Fatalf("got error %v, want ErrNotInstalled", err)
	}
	mentions = append(mentions, "apt-get install postgresql", "dnf install postgresql-server", "brew install postgresql", EnvBin)
	for _, mention := range mentions {
		if !strings.Contains(err.Error(), mention) {
			t.Errorf("the error does not mention %q:\n%v", mention, err)
		}
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]string{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": "15.18",
		"postgres (PostgreSQL) 18beta1\n":                        "18beta1",
		"a shell's complaint\n":                                  "",
		"":                                                       "",
	} {
		got, err := parseVersion(out)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("parseVersion(%q) = %q, %v; want %q", out, got, err, want)
		}
	}
}
