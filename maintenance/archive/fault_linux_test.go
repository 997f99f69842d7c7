package archive

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/partitiond/partitiond/maintenance/archive/s3test"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
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
func enlarge(t testing.TB, root string) {
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
	f.fill(db, func(err error) bool { return errors.Is(err, syscall.ENOSPC) }, root)
}

// TestS3Full fills the small file system of an S3 server.
func TestS3Full(t *testing.T) {
	t.Parallel()
	root := smallFileSystem(t)
	server := s3test.StartIn(t, root)
	f, db := newNoise(t, t.TempDir())
	f.moveToS3(t, server, t.TempDir())
	// What the server answers is its own affair.
	f.fill(db, func(err error) bool { return err != nil }, root)
}

// TestSpoolFull fills the small file system that holds the files on their way to S3.
func TestSpoolFull(t *testing.T) {
	t.Parallel()
	small := smallFileSystem(t)
	f, db := newNoise(t, t.TempDir())
	f.moveToS3(t, s3test.Start(t), small)
	f.fill(db, func(err error) bool { return errors.Is(err, syscall.ENOSPC) }, small)
}

// fill exports until there is no room, looks at what is left, makes room and
// exports again.
func (f *fixture) fill(db *pgtest.Database, full func(error) bool, root string) {
	f.t.Helper()
	victim := db.Conn(f.t)
	if _, err := Ensure(f.t.Context(), victim, f.spec); !full(err) {
		f.t.Errorf("got %v", err)
	} else {
		f.t.Log(err)
	}
	f.exec("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE pid = " + itoa(victim.PgConn().PID()))
	f.wantUntouched()
	enlarge(f.t, root)
	f.wantFound(f.ensure())
}
