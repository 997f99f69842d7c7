package prove

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/partitiond/partitiond/maintenance/pgtemp"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestDiskFull fills the server's disk at points of the work, and makes room again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	root := smallFileSystem(t)
	server := pgtest.Server(t, pgtemp.Options{Dir: root, Durable: true, Settings: map[string]string{"wal_recycle": "off", "min_wal_size": "32MB", "max_wal_size": "48MB"}})
	hindered := 0
	ballast := filepath.Join(root, "ballast")
	for _, s := range []scenario{named(t, "adopt and archive", 4), named(t, "declarative: many rows wait", 3), named(t, "drain", 2)} {
		l := newLabOn(t, s, server)
		count := l.count(t, false)
		points := choose(count, s.few)
		for _, at := range points {
			name, directory := l.copy(t)
			label, failed := l.disturb(t, name, directory, at, nil, func() { fill(t, ballast) })
			if failed != nil {
				hindered++
				t.Logf("%s: %.200v", label, failed)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			// Without room for its log the server may have given up.
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			l.reconnect(t)
			w := l.world(t, name, directory)
			l.awaitAlone(w)
			l.settled(t, w, l.model, "disk full at "+label)
			l.leave(w)
			l.drop(t, name, directory)
		}
		t.Logf("%s: the disk was full at %d of %d points, and so far %d of them failed of it", s.name, len(points), count, hindered)
	}
	if hindered == 0 {
		t.Error("nothing noticed that the disk was full")
	}
}

// smallFileSystem mounts one that a server just fits in.
func smallFileSystem(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system")
	}
	root, err := os.MkdirTemp("", "prove")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(root) })
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=400m,mode=0777"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return root
}

// fill writes until there is no room.
func fill(t *testing.T, name string) {
	f, err := os.Create(name)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
	for one := []byte{0}; ; {
		if _, err := f.Write(one); err != nil {
			return
		}
	}
}
