package pgtemp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// dirPrefix begins the name of a server's directory.
	dirPrefix = "partitiond-pg-"

	// longestSocketPath is what fits into sun_path of the smallest sockaddr_un in
	// use, macOS's, with its final NUL; Linux has 107 bytes.
	longestSocketPath = 103
)

// directory is a server's own directory. Holding the lock tells other
// processes that the directory is in use; the kernel lets go of it when this
// process ends, however it ends.
type directory struct {
	path string
	lock *os.File
	as   *syscall.Credential
}

func (d *directory) data() string   { return filepath.Join(d.path, "data") }
func (d *directory) socket() string { return filepath.Join(d.path, "socket") }
func (d *directory) log() string    { return filepath.Join(d.path, "log") }

// makeDirectory makes a directory that the user can work in. It also removes
// those beside it that a process like this one left when it died.
func makeDirectory(base string, as *syscall.Credential) (*directory, error) {
	bases := []string{base}
	if base == "" {
		bases = []string{os.TempDir(), "/tmp", "/var/tmp"}
	}
	var unfit error
	for _, base := range bases {
		base, err := suitable(base, as)
		if err != nil {
			unfit = errors.Join(unfit, err)
			continue
		}
		removeAbandoned(base)
		return newDirectory(base, as)
	}
	return nil, fmt.Errorf("no place for the server's directory: %w", unfit)
}

// suitable is the real name of a directory that can hold a server's directory.
func suitable(base string, as *syscall.Credential) (string, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return "", err
	}
	if base, err = filepath.EvalSymlinks(base); err != nil {
		return "", err
	}
	if err := reachable(base, as); err != nil {
		return "", err
	}
	longest := filepath.Join(base, dirPrefix+"4294967295", "socket", ".s.PGSQL.65535")
	if len(longest) > longestSocketPath {
		return "", fmt.Errorf("%s is too long a name for a Unix socket in it", base)
	}
	return base, nil
}

// newDirectory makes a directory and holds its lock. Until it holds that, another
// process's removeAbandoned takes the directory for one that was left behind; then
// it begins again.
func newDirectory(base string, as *syscall.Credential) (*directory, error) {
	for {
		path, err := os.MkdirTemp(base, dirPrefix+"*")
		if err != nil {
			return nil, err
		}
		d := &directory{path: path, as: as}
		d.lock, err = os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err == nil {
			var held bool
			if held, err = hold(d.lock); err == nil && !held {
				_ = d.lock.Close() // nothing was written to it
				continue
			}
		}
		if err == nil {
			err = d.furnish()
		}
		if err != nil {
			return nil, errors.Join(err, d.remove())
		}
		return d, nil
	}
}

// hold takes the lock, and reports whether it is the caller's: not so when
// another process holds it, or held it and removed the file, in which case the
// lock is one on a file without a name, which nobody else looks at.
func hold(lock *os.File) (bool, error) {
	err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	held, err := lock.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(lock.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(held, named), err
}

// furnish makes the directories that belong to the server's user.
func (d *directory) furnish() error {
	if d.as != nil {
		// The server's user has to pass through, and needs to list nothing.
		if err := os.Chmod(d.path, 0o711); err != nil { // #nosec G302 -- a directory, for another user
			return err
		}
	}
	for _, path := range []string{d.data(), d.socket()} {
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
		if d.as != nil {
			if err := os.Chown(path, int(d.as.Uid), int(d.as.Gid)); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove removes the directory, and lets go of its lock last.
func (d *directory) remove() error {
	err := os.RemoveAll(d.path)
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
		d.lock = nil
	}
	return err
}

// removeAbandoned removes the directories in base that this user's processes
// made and no process holds. What cannot be looked at or removed is left: the
// next call may do better, and it is not what the caller asked for.
func removeAbandoned(base string) {
	entries, err := os.ReadDir(base)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), dirPrefix) {
			removeIfAbandoned(filepath.Join(base, entry.Name()))
		}
	}
}

func removeIfAbandoned(path string) {
	// In a directory that all may write to, a name alone says nothing.
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
		return
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	defer lock.Close() // nothing was written to it
	if held, err := hold(lock); err != nil || !held {
		return
	}
	// The lock file goes last: if a server that is just shutting down still
	// writes, the rest is found again next time.
	d := directory{path: path}
	if os.RemoveAll(d.data()) == nil {
		_ = os.RemoveAll(path)
	}
}

// writeFile makes a file that only the server's user can read.
func (d *directory) writeFile(name, content string) error {
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		return err
	}
	if d.as != nil {
		return os.Chown(name, int(d.as.Uid), int(d.as.Gid))
	}
	return nil
}
