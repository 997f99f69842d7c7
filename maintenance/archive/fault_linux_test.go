package archive

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// smallFileSystem mounts one of a megabyte.
func smallFileSystem(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system; TestFileTooLarge covers the same way out")
	}
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no file system can be mounted here (%v); TestFileTooLarge covers the same way out", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	})
	return root
}

// enlarge makes room in it.
func enlarge(t *testing.T, root string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", root, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
}

// TestStoreFull fills a small file system.
func TestStoreFull(t *testing.T) {
	t.Parallel()
	root := smallFileSystem(t)
	f, db := newNoise(t, root)
	victim := db.Conn(t)
	if _, err := Ensure(t.Context(), victim, f.spec); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	f.exec("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE pid = " + itoa(victim.PgConn().PID()))
	f.wantUntouched()
	enlarge(t, root)
	f.wantFound(f.ensure())
}
