//go:build unix

package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestPasswordFile(t *testing.T) {
	quietEnvironment(t)
	t.Setenv("PGPASSWORD", "from the environment")
	for text, want := range map[string]string{
		"hunter2": "hunter2", "hunter2\n": "hunter2", "hunter2\r\n": "hunter2", " hunter 2 \n": " hunter 2 ",
	} {
		path := writeFile(t, text, 0o600)
		c := mustConnConfig(t, "[database]\nurl = \"postgres://u:other@h/d\"\npassword_file = \""+path+"\"")
		if c.Password != want {
			t.Errorf("%q gives %q, want %q", text, c.Password, want)
		}
	}
	// It may be changed while the daemon runs.
	path := writeFile(t, "before", 0o400)
	d := mustParse(t, "[database]\npassword_file = \""+path+"\""+oneSet).Databases[0]
	if err := os.WriteFile(path+"2", []byte("after"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"2", path); err != nil {
		t.Fatal(err)
	}
	if c, err := d.ConnConfig(); err != nil || c.Password != "after" {
		t.Errorf("after a change: %v", err)
	}
}

func TestPasswordFileRefused(t *testing.T) {
	quietEnvironment(t)
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	for _, test := range []struct{ path, want string }{
		{writeFile(t, "\n", 0o600), "the file is empty: expected a password in it"},
		{writeFile(t, "hunter2\nhunter2\n", 0o600), "expected one line in the file, the password"},
		{writeFile(t, strings.Repeat("hunter2", 1000), 0o600), "is too large: expected a password of at most 4096 bytes"},
		{dir, "is not a regular file"},
		{pipe, "is not a regular file"},
		{missing, "cannot be read: stat " + missing + ": no such file or directory"},
	} {
		_, err := connConfig(t, "[database]\n\npassword_file = \""+test.path+"\"")
		if want := "config.toml:3: database.password_file: " + test.want; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	_, err := connConfig(t, "[database]\npassword_file = \""+missing+"\"")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("does not wrap the system's error: %v", err)
	}
	_, err = connConfig(t, "[database]\npassword_file = \""+writeFile(t, "hunter2", 0o604)+"\"")
	if err == nil || !strings.Contains(err.Error(), "the file has mode 0604: expected 06") {
		t.Errorf("a file that others may read: %v", err)
	}
}

// info is a file of which only the mode and the owner are known.
type info struct {
	fs.FileInfo
	mode fs.FileMode
	uid  uint32
}

func (i info) Mode() fs.FileMode { return i.mode }
func (i info) Sys() any          { return &syscall.Stat_t{Uid: i.uid} }

func TestPasswordFileModes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		mode fs.FileMode
		uid  uint32
		ok   bool
	}{
		{0o600, 1000, true}, {0o400, 1000, true}, {0o700, 1000, true}, {0o640, 1000, false}, {0o604, 1000, false}, {0o620, 1000, false},
		{0o600, 0, true}, {0o640, 0, true}, {0o440, 0, true}, {0o660, 0, false}, {0o650, 0, false}, {0o644, 0, false},
		{fs.ModeDir | 0o600, 0, false}, {fs.ModeNamedPipe | 0o600, 0, false},
	} {
		if err := checkSecretFile(info{mode: test.mode, uid: test.uid}); (err == nil) != test.ok {
			t.Errorf("mode %o of user %d: %v", test.mode, test.uid, err)
		}
	}
}
