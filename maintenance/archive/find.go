package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Listed is a manifest in the list of a parent's.
type Listed struct {
	Manifest
	// Superseded says that a later export counts instead: of the same table, or of
	// one that was restored from it and changed.
	Superseded bool
}

// List returns the manifests of all partitions of a parent, by their lower
// bounds and then in the order of their exports. It changes nothing and waits for
// nobody. A manifest that cannot be read is an error, but the others are returned
// with it.
func List(ctx context.Context, store Store, parent partition.Name) ([]Listed, error) {
	objects, err := store.List(ctx, parentDir(parent)+"/")
	if err != nil {
		return nil, err
	}
	byDir := map[string][]Object{}
	for _, o := range objects {
		byDir[path.Dir(o.Key)] = append(byDir[path.Dir(o.Key)], o)
	}
	var all []Listed
	var bad []error
	for dir, objects := range byDir {
		l, err := read(ctx, store, dir, objects)
		if err != nil {
			bad = append(bad, err)
		}
		for _, m := range l.manifests {
			if m.Parent == Name(parent) {
				all = append(all, Listed{Manifest: m, Superseded: !isLive(m, l.manifests)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Listed) int {
		if c := a.Bounds.Partition().From.Compare(b.Bounds.Partition().From); c != 0 {
			return c
		}
		if c := strings.Compare(a.dir(), b.dir()); c != 0 {
			return c
		}
		return a.first() - b.first()
	})
	return all, errors.Join(bad...)
}

// Find returns the manifests that are the archive of the bounds, in the order of
// their exports. Superseded ones are not among them, nor are those of other
// bounds in the same directory. There may be several: of a table that was dropped,
// and of another one that late rows made. Find changes nothing and waits for
// nobody. A manifest that cannot be read is an error.
func Find(ctx context.Context, store Store, place Place) ([]Manifest, error) {
	dir, err := place.dir()
	if err != nil {
		return nil, err
	}
	l, err := list(ctx, store, dir)
	if err != nil {
		return nil, err
	}
	return l.of(place), nil
}

// of returns the live manifests of a place.
func (l listing) of(place Place) []Manifest {
	return slices.DeleteFunc(live(l.manifests), func(m Manifest) bool {
		return m.Parent != Name(place.Parent) || !m.Bounds.Partition().Equal(place.Bounds)
	})
}

func isLive(m Manifest, among []Manifest) bool {
	return !slices.ContainsFunc(among, func(o Manifest) bool { return o.outdates(m) })
}

// live returns the manifests that no other outdates.
func live(manifests []Manifest) []Manifest {
	var live []Manifest
	for _, m := range manifests {
		if isLive(m, manifests) {
			live = append(live, m)
		}
	}
	return live
}

// listing is what a directory of a store holds.
type listing struct {
	dir string
	// manifests are in the order of their first parts.
	manifests []Manifest
	// pending are notes of parts that may not be complete.
	pending []pending
	// last is the highest number that a part has, whoever's it is.
	last int
}

// pending is the note that is written before a part is uploaded, and removed
// when a manifest names the part: it proves that the part is ours to remove.
type pending struct {
	FormatVersion int    `json:"format_version"`
	Part          string `json:"part"`
	Source        Source `json:"source"`
	key           string
}

// list reads a directory; one that does not exist holds nothing.
func list(ctx context.Context, store Store, dir string) (listing, error) {
	objects, err := store.List(ctx, dir+"/")
	if err != nil {
		return listing{}, err
	}
	objects = slices.DeleteFunc(objects, func(o Object) bool { return path.Dir(o.Key) != dir })
	return read(ctx, store, dir, objects)
}

// read reads the manifests among a directory's objects. After an error the
// listing has all that could be read.
func read(ctx context.Context, store Store, dir string, objects []Object) (listing, error) {
	l := listing{dir: dir}
	var bad []error
	fail := func(key string, err error) {
		bad = append(bad, fmt.Errorf("%s: %w", store.URL(key), err))
	}
	for _, o := range objects {
		name := path.Base(o.Key)
		if _, n, ok := parsePart(name); ok {
			l.last = max(l.last, n)
			continue
		}
		note := pendingName.FindStringSubmatch(name)
		if note == nil && !isManifest(name) {
			continue
		}
		text, err := content(ctx, store, o.Key)
		if errors.Is(err, fs.ErrNotExist) {
			continue // Whoever superseded it has removed it meanwhile.
		}
		if err != nil {
			return l, err
		}
		if note != nil {
			p := pending{key: o.Key}
			if err := json.Unmarshal(text, &p); err != nil || p.Part != note[1] {
				fail(o.Key, fmt.Errorf("not a note of a part to come: %w", err))
				continue
			}
			if _, n, ok := parsePart(p.Part); ok {
				l.last = max(l.last, n)
			}
			l.pending = append(l.pending, p)
			continue
		}
		m, err := decode(text, o.Key)
		if err != nil {
			fail(o.Key, err)
			continue
		}
		for _, p := range m.Parts {
			_, n, _ := parsePart(p.File)
			l.last = max(l.last, n)
		}
		l.manifests = append(l.manifests, m)
	}
	slices.SortStableFunc(l.manifests, func(a, b Manifest) int { return a.first() - b.first() })
	return l, errors.Join(bad...)
}

// maxManifest bounds what is read of an object that has a manifest's name.
const maxManifest = 64 << 20

func content(ctx context.Context, store Store, key string) ([]byte, error) {
	f, err := store.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // It was only read.
	text, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return nil, fmt.Errorf("reading a manifest: %w", err)
	}
	return text, nil
}
