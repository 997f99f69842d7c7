package prove

import (
	"context"
	"fmt"
	"net"
	"os"
	"path"
	"strings"
	"sync/atomic"

	"github.com/partitiond/partitiond/maintenance/archive"
)

// trap counts the points of a piece of work, and springs at one of them. Each
// message that is sent to the server is two, before and after: what goes in one
// message the server does without waiting for us, and a statement's answer is read
// before the next is sent. So is each thing that is asked of a store.
type trap struct {
	n      atomic.Int64
	at     int64
	spring func(label string)
	// manifest, if it is not nil, is called after the n-th manifest has come to be.
	manifest  func(n int) error
	manifests int
}

func (t *trap) point(label string) {
	if n := t.n.Add(1); n == t.at {
		t.spring(fmt.Sprintf("point %d, %s", n, label))
	}
}

// dial returns a pgx DialFunc whose connections count.
func (t *trap) dial(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &trappedConn{conn, t}, nil
	}
}

type trappedConn struct {
	net.Conn
	trap *trap
}

// Write implements [net.Conn].
func (c *trappedConn) Write(p []byte) (int, error) {
	label := describe(p)
	c.trap.point("before " + label)
	n, err := c.Conn.Write(p)
	c.trap.point("after " + label)
	return n, err
}

// describe says what is sent, as far as people can read it.
func describe(message []byte) string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, string(message[:min(len(message), 400)]))
	text = strings.Join(strings.Fields(text), " ")
	return text[:min(len(text), 90)]
}

// store puts the trap around a store.
func (t *trap) store(s archive.Store) archive.Store { return &trappedStore{s, t} }

// trappedStore counts what changes something, or could keep something.
type trappedStore struct {
	archive.Store
	trap *trap
}

// List implements [archive.Store].
func (s *trappedStore) List(ctx context.Context, prefix string) ([]archive.Object, error) {
	s.trap.point("before List " + prefix)
	return s.Store.List(ctx, prefix)
}

// Open implements [archive.Store].
func (s *trappedStore) Open(ctx context.Context, key string) (*os.File, error) {
	s.trap.point("before Open " + path.Base(key))
	return s.Store.Open(ctx, key)
}

// Temp implements [archive.Store].
func (s *trappedStore) Temp(ctx context.Context, dir string) (*os.File, error) {
	s.trap.point("before Temp")
	f, err := s.Store.Temp(ctx, dir)
	s.trap.point("after Temp")
	return f, err
}

// Put implements [archive.Store].
func (s *trappedStore) Put(ctx context.Context, f *os.File, key string) error {
	s.trap.point("before Put " + path.Base(key))
	err := s.Store.Put(ctx, f, key)
	if err == nil && s.trap.manifest != nil && strings.HasPrefix(path.Base(key), "manifest") {
		s.trap.manifests++
		err = s.trap.manifest(s.trap.manifests)
	}
	s.trap.point("after Put " + path.Base(key))
	return err
}

// Remove implements [archive.Store].
func (s *trappedStore) Remove(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		s.trap.point("before Remove " + path.Base(key))
		err := s.Store.Remove(ctx, key)
		s.trap.point("after Remove " + path.Base(key))
		if err != nil {
			return err
		}
	}
	return nil
}

// Sweep implements [archive.Store].
func (s *trappedStore) Sweep(ctx context.Context, dir string, keys []string) error {
	s.trap.point("before Sweep")
	err := s.Store.Sweep(ctx, dir, keys)
	s.trap.point("after Sweep")
	return err
}

// Lock implements [archive.Store].
func (s *trappedStore) Lock(ctx context.Context, dir string) (func(), error) {
	s.trap.point("before Lock")
	unlock, err := s.Store.Lock(ctx, dir)
	s.trap.point("after Lock")
	return unlock, err
}
