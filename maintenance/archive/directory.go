package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrBusy says that another process writes to the archive of the same parent.
var ErrBusy = errors.New("another process writes to this archive")

// Names that no reader takes for a part: most globs pass over names that begin
// with a dot, and those that do not look at the extension.
const (
	tempPrefix = ".tmp-"
	lockName   = ".lock"
)

// directory is a store: the parts of one place, in a directory of the local
// file system, which must have hard links, flock(2) and fsync(2) of directories.
type directory struct {
	// root is the store's directory, and rel the parts' beneath it.
	root, rel string
	// hook is told of each step that changes something. Only tests have one.
	hook func(step string)
}

func (p Place) directory(hook func(string)) (directory, error) {
	rel, err := p.dir()
	if err != nil {
		return directory{}, err
	}
	root, err := rootPath(p.Root)
	if err != nil {
		return directory{}, err
	}
	if info, err := os.Stat(root); err != nil {
		return directory{}, fmt.Errorf("looking for the archive's root: %w", err)
	} else if !info.IsDir() {
		return directory{}, fmt.Errorf("the archive's root %s is not a directory", root)
	}
	return directory{root: root, rel: rel, hook: hook}, nil
}

func (d directory) step(name string) {
	if d.hook != nil {
		d.hook(name)
	}
}

func (d directory) path(file string) string { return filepath.Join(d.root, d.rel, file) }

// mkdir makes the directory and those above it, up to the root.
func (d directory) mkdir() error {
	dir := d.root
	for name := range strings.SplitSeq(d.rel, string(filepath.Separator)) {
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("making the archive's directory: %w", err)
		}
	}
	return nil
}

// sync makes the entries of the directory durable, and those of the directories
// above it up to the root: fsync(2) of a file "does not necessarily ensure that
// the entry in the directory containing the file has also reached disk. For
// that an explicit fsync() on a file descriptor for the directory is also
// needed". The ones above are synced always, not only when they are made here, for
// whoever made them may have been killed before it could.
func (d directory) sync() error {
	for dir := filepath.Join(d.root, d.rel); ; dir = filepath.Dir(dir) {
		if err := syncDir(dir); err != nil {
			return err
		}
		if dir == d.root {
			return nil
		}
	}
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("opening a directory to sync it: %w", err)
	}
	defer func() { _ = f.Close() }() // Nothing was written through it.
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing a directory: %w", err)
	}
	return nil
}

// lock makes the directory and keeps other processes out of those of the same
// parent until unlock. The kernel lets go of a flock(2) when its process dies, so
// no lock is ever left behind. The file is: to remove it would let two
// processes lock two files of one name.
func (d directory) lock() (unlock func(), err error) {
	if err := d.mkdir(); err != nil {
		return nil, err
	}
	parent, _, _ := strings.Cut(d.rel, string(filepath.Separator))
	f, err := os.OpenFile(filepath.Join(d.root, parent, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the archive's lock: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close() // The error that matters is the lock's.
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrBusy
		}
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return func() { _ = f.Close() }, nil // Nothing was written; closing unlocks.
}

// temp makes a temporary file.
func (d directory) temp() (*os.File, error) {
	f, err := os.CreateTemp(d.path(""), tempPrefix+"*") // 0600
	if err != nil {
		return nil, fmt.Errorf("making a temporary file in the archive: %w", err)
	}
	return f, nil
}

// openPart opens a part to read it back.
func openPart(root string, m Manifest) (*os.File, error) {
	f, err := os.Open(filepath.Join(root, filepath.FromSlash(m.Path)))
	if err != nil {
		return nil, fmt.Errorf("opening an archive: %w", err)
	}
	return f, nil
}

// finish makes the content of a temporary file durable and closes it. After an
// error the content is lost, even if a second fsync(2) succeeded: the kernel may
// have dropped the pages that it could not write.
func finish(f *os.File) error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the archive to disk: %w", err)
	}
	return nil
}

// publish gives a temporary file its name. link(2) fails if the name exists,
// "it will not be overwritten", where rename(2) replaces what is there.
func (d directory) publish(temp, name string) error {
	if err := os.Link(temp, d.path(name)); err != nil {
		return fmt.Errorf("naming the archive: %w", err)
	}
	return nil
}

// remove removes files of the directory, in order; those that are not there are
// not missed.
func (d directory) remove(files ...string) error {
	for _, file := range files {
		if err := os.Remove(d.path(file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing from the archive: %w", err)
		}
	}
	return nil
}
