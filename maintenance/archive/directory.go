package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrBusy says that another process writes to the archive of the same parent.
var ErrBusy = errors.New("another process writes to this archive")

// Names that are not objects. Most globs pass over names that begin with a dot.
const (
	tempPrefix = ".tmp-"
	lockName   = ".lock"
)

// Directory is a [Store] in a directory of the local file system, which must
// have hard links, flock(2) and fsync(2) of directories. The directory itself
// must exist: made on demand, it could end up beneath the mount point of a disk
// that is not mounted. Files are made with mode 0600 and directories with 0700.
type Directory struct {
	root string
	// hook is told of each step that changes something. Only tests have one.
	hook func(step string)
}

// NewDirectory returns the store of an absolute path. It does no I/O.
func NewDirectory(root string) *Directory { return &Directory{root: root} }

func (d *Directory) step(name string) {
	if d.hook != nil {
		d.hook(name)
	}
}

func (d *Directory) path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

// URL implements [Store].
func (d *Directory) URL(key string) string {
	return (&url.URL{Scheme: "file", Path: path.Join(filepath.ToSlash(d.root), key)}).String()
}

// Conditional implements [Store]: link(2) fails if the name exists.
func (d *Directory) Conditional(context.Context) (bool, error) { return true, nil }

// look makes sure that the root is there.
func (d *Directory) look() error {
	if info, err := os.Stat(d.root); err != nil {
		return fmt.Errorf("looking for the archive's root: %w", err)
	} else if !info.IsDir() {
		return fmt.Errorf("the archive's root %s is not a directory", d.root)
	}
	return nil
}

// List implements [Store].
func (d *Directory) List(ctx context.Context, prefix string) ([]Object, error) {
	if err := d.look(); err != nil {
		return nil, err
	}
	var found []Object
	start := d.path(path.Dir(prefix + "x")) // All keys of the prefix are in there.
	err := filepath.WalkDir(start, func(p string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // The directory, or a file that has gone meanwhile.
		case err != nil:
			return err
		case entry.IsDir():
			return ctx.Err()
		}
		rel, err := filepath.Rel(d.root, p)
		if err != nil {
			return err
		}
		key, name := filepath.ToSlash(rel), entry.Name()
		if !strings.HasPrefix(key, prefix) || name == lockName || strings.HasPrefix(name, tempPrefix) {
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		found = append(found, Object{Key: key, Size: info.Size()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the archive: %w", err)
	}
	sortObjects(found) // The walk has a/b before a-b, and keys do not.
	return found, nil
}

// Open implements [Store].
func (d *Directory) Open(_ context.Context, key string) (*os.File, error) {
	f, err := os.Open(d.path(key))
	if err != nil {
		return nil, fmt.Errorf("opening an archive: %w", err)
	}
	return f, nil
}

// Temp implements [Store]. The directory is made, with those above it up to the root.
func (d *Directory) Temp(_ context.Context, dir string) (*os.File, error) {
	if err := d.mkdir(dir); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(d.path(dir), tempPrefix+"*") // 0600
	if err != nil {
		return nil, fmt.Errorf("making a temporary file in the archive: %w", err)
	}
	d.step("temporary file made")
	return f, nil
}

func (d *Directory) mkdir(rel string) error {
	if err := d.look(); err != nil {
		return err
	}
	dir := d.root
	for name := range strings.SplitSeq(rel, "/") {
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("making the archive's directory: %w", err)
		}
	}
	return nil
}

// Put implements [Store]. After an error of fsync(2) the content is lost, even if
// a second one succeeded: the kernel may have dropped the pages that it could not
// write. link(2) fails if the name exists, "it will not be overwritten", where
// rename(2) replaces what is there.
func (d *Directory) Put(_ context.Context, f *os.File, key string) error {
	defer d.Discard(f)
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the archive to disk: %w", err)
	}
	d.step("content on disk")
	if err := os.Link(f.Name(), d.path(key)); err != nil {
		return fmt.Errorf("naming the archive: %w", err)
	}
	d.step("named")
	if err := d.sync(path.Dir(key)); err != nil {
		return err
	}
	d.step("name on disk")
	return nil
}

// Discard implements [Store].
func (d *Directory) Discard(f *os.File) {
	_ = f.Close()           // Maybe for the second time, and nobody wants what is in it.
	_ = os.Remove(f.Name()) // What remains, Sweep removes.
}

// sync makes the entries of a directory durable, and those of the directories
// above it up to the root: fsync(2) of a file "does not necessarily ensure that
// the entry in the directory containing the file has also reached disk. For
// that an explicit fsync() on a file descriptor for the directory is also
// needed". The ones above are synced always, not only when they are made here, for
// whoever made them may have been killed before it could.
func (d *Directory) sync(rel string) error {
	for {
		if err := syncDir(d.path(rel)); err != nil {
			return err
		}
		if rel == "." {
			return nil
		}
		rel = path.Dir(rel)
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

// Remove implements [Store]. Each is gone for good before the next, so that the
// order holds after a power failure, too.
func (d *Directory) Remove(_ context.Context, keys ...string) error {
	for _, key := range keys {
		if err := os.Remove(d.path(key)); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return fmt.Errorf("removing from the archive: %w", err)
		}
		if err := syncDir(filepath.Dir(d.path(key))); err != nil {
			return err
		}
		d.step("removed")
	}
	return nil
}

// Sweep implements [Store]: it removes the temporary files of the directory, of
// whatever key they were to be, since whoever had the lock before is dead.
func (d *Directory) Sweep(_ context.Context, dir string, _ []string) error {
	entries, err := os.ReadDir(d.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the archive's directory: %w", err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), tempPrefix) {
			continue
		}
		if err := os.Remove(filepath.Join(d.path(dir), entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing a leftover of the archive: %w", err)
		}
	}
	return nil
}

// Lock implements [Store]. The kernel lets go of a flock(2) when its process
// dies, so no lock is ever left behind. The file is: to remove it would let two
// processes lock two files of one name.
func (d *Directory) Lock(_ context.Context, dir string) (unlock func(), err error) {
	if err := d.mkdir(dir); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(d.path(dir), lockName), os.O_RDWR|os.O_CREATE, 0o600)
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
