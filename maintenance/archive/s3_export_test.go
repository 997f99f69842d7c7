package archive

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/partitiond/partitiond/maintenance/archive/s3test"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// moveToS3 gives the fixture's archive a bucket of its own.
func (f *fixture) moveToS3(t *testing.T, server *s3test.Server, tempDir string) {
	t.Helper()
	o := S3Options{Endpoint: server.Endpoint, Region: s3test.Region, TempDir: tempDir, PartSize: s3MinPart}
	f.s3, f.env = o, server.Env()
	o.creds = credentials.NewStaticV4(server.AccessKey, server.SecretKey, "")
	store, err := NewS3(server.Bucket(t), "some/where", o)
	if err != nil {
		t.Fatal(err)
	}
	f.spec.Store, f.root, f.dir = store, "", filepath.Join(t.TempDir(), "nothing is here")
}

// TestKilledOnS3 is [TestKilled] with the other store.
func TestKilledOnS3(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	testKilled(t, func(t *testing.T, f *fixture) { f.moveToS3(t, server, t.TempDir()) })
}

// TestExportToS3 takes a table in both formats to S3 and back, twice, so that late
// rows are in parts of their own.
func TestExportToS3(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			f := newEvents(t)
			f.moveToS3(t, server, t.TempDir())
			f.spec.Format = format
			first := f.ensure()
			if again := f.ensure(); again.Key != first.Key {
				t.Errorf("archived again as %s", again.Key)
			}
			f.exec("CREATE TABLE old (LIKE " + f.sql() + ")")
			f.exec("INSERT INTO old TABLE " + f.sql())
			if err := f.drop(first); err != nil {
				t.Fatal(err)
			}
			f.exec("CREATE TABLE " + f.sql() + " (LIKE old)")
			f.exec("INSERT INTO " + f.sql() + insertLate)
			f.exec("INSERT INTO old" + insertLate)
			f.identify()
			late := f.ensure()
			if first.Late || !late.Late || late.name() != "manifest-0002.json" {
				t.Errorf("late are %t and %t, in %s", first.Late, late.Late, late.name())
			}
			f.wantFound(first, late)
			back := partition.Name{Schema: "public", Local: "back"}
			f.restore("old", back, first, late)
			if got, want := f.digest(back), f.digest(partition.Name{Schema: "public", Local: "old"}); got != want {
				t.Errorf("loaded %s, the tables had %s", got, want)
			}
		})
	}
}

// TestS3GoneWhileExporting has the server go away in the middle, and come back.
func TestS3GoneWhileExporting(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"row", "before Put note", "after Put note", "after Put part", "before Put manifest", "after Put manifest", "manifest named"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			server := s3test.Start(t)
			f, db := newNoise(t, t.TempDir())
			f.moveToS3(t, server, t.TempDir())
			victim := *f
			victim.conn = db.Conn(t)
			stopped := false
			hook := func(step string) {
				if step == at && !stopped {
					stopped = true
					server.Stop(t)
				}
			}
			j := job{Spec: f.spec, reuse: true, hook: hook}
			j.Store = hooked(f.spec.Store, hook)
			if _, err := j.run(t.Context(), victim.conn); err == nil || !stopped {
				t.Errorf("got %v; stopped is %t", err, stopped)
			}
			f.exec("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE pid = " + itoa(victim.conn.PgConn().PID()))
			f.wantUntouched()
			server.Restart(t)
			f.wantFound(f.ensure())
		})
	}
}

// TestTwoDatabasesInOneBucket has an export of one database find the traces of
// another's, which may be at work, and leave them alone.
func TestTwoDatabasesInOneBucket(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	f, g := newEvents(t), newEvents(t)
	f.moveToS3(t, server, t.TempDir())
	g.spec.Store, g.root, g.dir, g.s3, g.env = f.spec.Store, f.root, f.dir, f.s3, f.env
	g.kill(point{"before Put manifest", 1})
	before := fmt.Sprint(f.keys())
	if !strings.Contains(before, "part-0001") || !strings.Contains(before, ".pending-part-0001") {
		t.Fatalf("the killed export left %s", before)
	}
	m := f.ensure()
	if after := fmt.Sprint(f.keys()); !strings.Contains(after, ".pending-part-0001") || m.first() != 2 {
		t.Errorf("the export began with %d and left %s", m.first(), after)
	}
	second := g.ensure()
	f.wantFound(m, second)
}
