package archive

import (
	"context"
	"os"
	"path"
	"strings"
)

// hookedStore tells of each thing that a store is asked for, before and after, and
// of what a directory does in between.
type hookedStore struct {
	Store
	hook func(step string)
}

func hooked(s Store, hook func(string)) Store {
	if d, ok := s.(*Directory); ok {
		copied := *d
		copied.hook = hook
		s = &copied
	}
	return hookedStore{s, hook}
}

// kind describes a key without what differs from run to run.
func kind(key string) string {
	switch name := path.Base(key); {
	case isManifest(name):
		return "manifest"
	case strings.HasPrefix(name, ".pending-"):
		return "note"
	}
	return "part"
}

// Temp implements [Store].
func (h hookedStore) Temp(ctx context.Context, dir string) (*os.File, error) {
	h.hook("before Temp")
	return h.Store.Temp(ctx, dir)
}

// Put implements [Store].
func (h hookedStore) Put(ctx context.Context, f *os.File, key string) error {
	h.hook("before Put " + kind(key))
	err := h.Store.Put(ctx, f, key)
	h.hook("after Put " + kind(key))
	return err
}

// Remove implements [Store].
func (h hookedStore) Remove(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		h.hook("before Remove " + kind(key))
		err := h.Store.Remove(ctx, key)
		h.hook("after Remove " + kind(key))
		if err != nil {
			return err
		}
	}
	return nil
}
