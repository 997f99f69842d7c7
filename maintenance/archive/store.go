package archive

import (
	"context"
	"os"
)

// Store keeps objects under keys: paths with slashes, relative to the store's
// root. There are two, [Directory] and the S3 store. Every method may be called by several
// goroutines. Errors of the context are found by errors.Is.
type Store interface {
	// URL names the object of a key, or the store itself for "", without any secret.
	URL(key string) string
	// List returns the objects whose key begins with the prefix, in the order of
	// their keys. What is not complete is not among them. A prefix under which there
	// is nothing is no error.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Open returns the content of an object, read from the store and nowhere else, at
	// offset 0. Whoever closes the file is rid of it. An object that is not there is
	// [fs.ErrNotExist].
	Open(ctx context.Context, key string) (*os.File, error)
	// Temp returns an empty file for an object that will have the key's directory,
	// on a file system that has room for it. [Store.Put] or [Store.Discard] takes it back.
	Temp(ctx context.Context, dir string) (*os.File, error)
	// Put makes an object of a file that [Store.Temp] has made, closes the file and
	// removes it. When it returns nil the object is complete and on stable
	// storage; it becomes visible whole or not at all. A key that exists is
	// [fs.ErrExist], and its object is as before; see Conditional.
	Put(ctx context.Context, f *os.File, key string) error
	// Discard closes and removes a file that is not to become an object.
	Discard(f *os.File)
	// Remove removes objects for good, in order. One that is not there is not missed.
	Remove(ctx context.Context, keys ...string) error
	// Sweep removes what a killed Put of one of the keys has left in the directory,
	// other than objects. The caller holds the lock.
	Sweep(ctx context.Context, dir string, keys []string) error
	// Lock keeps other processes from writing beneath the directory until unlock,
	// if the store can do that, and is [ErrBusy] if one is there. The store of S3 cannot:
	// there the advisory lock of the pass keeps others of the same database away.
	Lock(ctx context.Context, dir string) (unlock func(), err error)
	// Conditional tells whether Put leaves an object that is there alone even if both
	// come at the same time. Where it is false, keys must not collide.
	Conditional(ctx context.Context) (bool, error)
}

// Object is an object of a [Store].
type Object struct {
	Key  string
	Size int64 // in bytes
}
