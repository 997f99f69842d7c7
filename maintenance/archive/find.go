package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Find returns the manifests of the parts that are the archive of the bounds,
// in the order of their numbers. Superseded ones are not among them, nor are
// the parts of other bounds in the same directory. There may be several: of a table that
// was dropped, and of another one that late rows made. Find changes nothing
// and waits for nobody. A manifest that cannot be read is an error.
func Find(place Place) ([]Manifest, error) {
	d, err := place.directory(nil)
	if err != nil {
		return nil, err
	}
	l, err := d.list()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(live(l.manifests), func(m Manifest) bool {
		return m.Parent != Name(place.Parent) || !m.Bounds.Partition().Equal(place.Bounds)
	}), nil
}

// live returns the manifests that no other supersedes.
func live(manifests []Manifest) []Manifest {
	var live []Manifest
	for _, m := range manifests {
		if !slices.ContainsFunc(manifests, func(o Manifest) bool { return o.replaces(m) }) {
			live = append(live, m)
		}
	}
	return live
}

// listing is what a directory holds.
type listing struct {
	manifests []Manifest
	// bare are the stems of parts without a manifest.
	bare []string
	// temps are temporary files.
	temps []string
	// last is the highest number that a part, or what is left of one, has.
	last int
}

// list reads the directory; one that does not exist holds nothing. Manifests
// are in the order of their numbers.
func (d directory) list() (listing, error) {
	var l listing
	entries, err := os.ReadDir(d.path(""))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("reading the archive's directory: %w", err)
	}
	described := map[string]bool{}
	var data []string
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, tempPrefix) {
			l.temps = append(l.temps, name)
		} else if s, n, ok := stem(name, dataExt); ok {
			data = append(data, s)
			l.last = max(l.last, n)
		} else if s, n, ok := stem(name, manifestExt); ok {
			m, err := d.read(s)
			if err != nil {
				return l, err
			}
			described[s] = true
			l.manifests = append(l.manifests, m)
			l.last = max(l.last, n)
		}
	}
	l.bare = slices.DeleteFunc(data, func(s string) bool { return described[s] })
	slices.SortStableFunc(l.manifests, func(a, b Manifest) int { return a.number() - b.number() })
	return l, nil
}

func (d directory) read(stem string) (Manifest, error) {
	path := d.path(stem + manifestExt)
	text, err := os.ReadFile(path)
	if err != nil {
		return Manifest{}, fmt.Errorf("reading a manifest: %w", err)
	}
	m, err := decode(text, stem)
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", path, err)
	}
	m.Path = filepath.ToSlash(filepath.Join(d.rel, m.File))
	return m, nil
}

// sweep removes what a killed or failed export has left. The caller holds the
// lock, so that nobody's temporary files are in use.
func (d directory) sweep() error {
	l, err := d.list()
	if err != nil {
		return err
	}
	for _, bare := range l.bare {
		ours, err := d.linked(bare+dataExt, l.temps)
		if err != nil {
			return err
		}
		if !ours {
			continue
		}
		// The temporary file is the proof that the part is ours to remove, so it
		// must outlive the part even in a power failure.
		if err := errors.Join(d.remove(bare+dataExt), syncDir(d.path(""))); err != nil {
			return err
		}
		d.step("leftover removed")
	}
	return d.remove(l.temps...)
}

// linked tells whether the file is one of the others by another name.
func (d directory) linked(file string, others []string) (bool, error) {
	info, err := os.Lstat(d.path(file))
	if err != nil {
		return false, fmt.Errorf("looking at the archive: %w", err)
	}
	for _, other := range others {
		o, err := os.Lstat(d.path(other))
		if err != nil {
			return false, fmt.Errorf("looking at the archive: %w", err)
		}
		if os.SameFile(info, o) {
			return true, nil
		}
	}
	return false, nil
}

// settle removes the parts that others supersede, each once its successor has
// been read back. Those whose successor is damaged stay. The caller holds the lock.
func (d directory) settle(ctx context.Context) error {
	l, err := d.list()
	if err != nil {
		return err
	}
	for _, m := range live(l.manifests) {
		var old []string
		for _, o := range l.manifests {
			if m.replaces(o) {
				// The data first: alone, it would look like somebody else's.
				old = append(old, o.File, strings.TrimSuffix(o.File, dataExt)+manifestExt)
			}
		}
		if len(old) == 0 {
			continue
		}
		if err := verify(ctx, d.root, m); damaged(err) {
			continue
		} else if err != nil {
			return err
		}
		// Whoever named the successor may have died before it was durable.
		if err := d.sync(); err != nil {
			return err
		}
		d.step("successor verified")
		for _, file := range old {
			if err := d.remove(file); err != nil {
				return err
			}
			d.step("superseded file removed")
		}
		if err := syncDir(d.path("")); err != nil {
			return err
		}
	}
	return nil
}

// damaged tells whether Verify found that the part is not what it should be.
func damaged(err error) bool {
	_, ok := errors.AsType[*DamagedError](err)
	return ok || errors.Is(err, fs.ErrNotExist)
}
