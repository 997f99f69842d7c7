package archive

import (
	"context"
	"errors"
	"io/fs"
	"path"
)

// sweep removes what killed or failed exports of the same database have left:
// parts that a note announced and no manifest names. Parts without a note are not
// ours to remove: they may be the only copy of rows whose manifest somebody lost.
// Nor are those of other databases, which may be about to be named. It tells whether
// there was anything. The caller holds the lock.
func (l listing) sweep(ctx context.Context, store Store, source Source) (swept bool, err error) {
	named := map[string]bool{}
	for _, m := range l.manifests {
		for _, p := range m.Parts {
			named[p.File] = true
		}
	}
	var ours []pending
	var unfinished []string
	for _, p := range l.pending {
		if !p.Source.sameDatabase(source) {
			continue
		}
		ours = append(ours, p)
		if !named[p.Part] {
			unfinished = append(unfinished, path.Join(l.dir, p.Part))
		}
	}
	if err := store.Sweep(ctx, l.dir, unfinished); err != nil {
		return false, err
	}
	for _, p := range ours {
		// The note must outlive the part.
		if !named[p.Part] {
			if err := store.Remove(ctx, path.Join(l.dir, p.Part)); err != nil {
				return false, err
			}
		}
		if err := store.Remove(ctx, p.key); err != nil {
			return false, err
		}
	}
	return len(ours) > 0, nil
}

// settle removes the exports that others supersede, each once its successor has
// been read back; the one whose manifest has the key verified has been already.
// Those whose successor is damaged stay. The caller holds the lock.
func (l listing) settle(ctx context.Context, store Store, verified string) (settled bool, err error) {
	for _, m := range live(l.manifests) {
		var old []string
		for _, o := range l.manifests {
			if m.replaces(o) {
				// The parts first: without a manifest they would look like somebody else's.
				old = append(append(old, o.partKeys()...), o.Key)
			}
		}
		if len(old) == 0 {
			continue
		}
		if m.Key != verified {
			if err := Verify(ctx, store, m, nil); damaged(err) {
				continue
			} else if err != nil {
				return false, err
			}
		}
		if err := store.Remove(ctx, old...); err != nil {
			return false, err
		}
		settled = true
	}
	return settled, nil
}

// damaged tells whether Verify found that the archive is not what it should be.
func damaged(err error) bool {
	_, ok := errors.AsType[*DamagedError](err)
	return ok || errors.Is(err, fs.ErrNotExist)
}
