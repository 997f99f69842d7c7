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
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"github.com/partitiond/partitiond/maintenance/archive/s3test"
)

func TestS3(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	for name, test := range map[string]func(*testing.T, *s3test.Server, string){
		"what is put is opened":                     s3RoundTrip,
		"put leaves an object that is there":        s3PutExisting,
		"one of eight puts of a key wins":           s3Race,
		"a part that is damaged on the way":         s3DamagedPart,
		"an answer that is lost":                    s3LostAnswer,
		"a conflict":                                s3Conflict,
		"a put whose context is cancelled":          s3Cancelled,
		"sweep aborts the uploads of its keys":      s3Sweep,
		"a download that is cut is an error":        s3Cut,
		"a download that is cut once is resumed":    s3CutOnce,
		"an object that changes during a download":  s3Changes,
		"list has many pages and an order":          s3List,
		"remove":                                    s3Remove,
		"lock":                                      s3Lock,
		"a server with conditional writes":          s3Conditional,
		"a server that ignores conditions":          s3Ignores,
		"a server that refuses conditions":          s3Refuses,
		"a server that cannot be asked":             s3NoAnswer,
		"a wrong secret, of which errors are quiet": s3WrongSecret,
		"a bucket that is not there":                s3NoBucket,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, server, server.Bucket(t))
		})
	}
}

func s3RoundTrip(t *testing.T, server *s3test.Server, bucket string) {
	s := s3Store(t, server, bucket, S3Options{})
	for key, size := range map[string]int{
		"dir/empty": 0, "dir/small": 7, "dir/one part": s3MinPart, "dir/three parts + a%bit": 3*s3MinPart + 1, "top": 1,
	} {
		content := s3Content(size, 1)
		s3Put(t, s, key, content)
		s3Is(t, s, key, content)
	}
	want := []Object{
		{"dir/empty", 0}, {"dir/one part", s3MinPart}, {"dir/small", 7}, {"dir/three parts + a%bit", 3*s3MinPart + 1},
	}
	got, err := s.List(t.Context(), "dir/")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("List: %v %s", err, diff)
	}
	// It is several parts that were uploaded: their number is at the end of the ETag.
	info, err := server.Client(t).StatObject(t.Context(), bucket, "some/prefix/dir/three parts + a%bit", minio.StatObjectOptions{})
	if err != nil || !strings.HasSuffix(info.ETag, "-4") {
		t.Errorf("the ETag is %q (%v)", info.ETag, err)
	}
	if _, err := s.Open(t.Context(), "dir/other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of what is not there: %v", err)
	}
	if got := s3Uploads(t, server, bucket); got != "" {
		t.Errorf("uploads are left: %s", got)
	}
}

func s3List(t *testing.T, server *s3test.Server, bucket string) {
	// What gateways do with names such as these differs in order: - . / 0.
	var want []string
	for i := range 1100 {
		want = append(want, fmt.Sprintf("a/%04d", i))
	}
	want = append(want, "a-b/x", "a.b/x", "a/0500-/y", "a0/x", "b")
	for _, key := range want { // Through the directory, for the time that Put would take.
		name := filepath.Join(server.Root, bucket, "some", "prefix", filepath.FromSlash(key))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(key), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	if got, all := s3Keys(t, s3Store(t, server, bucket, S3Options{}), ""), strings.Join(want, " "); got != all {
		t.Errorf("List in pages of the server: %s", cmp.Diff(all, got))
	}
	s := s3Store(t, server, bucket, S3Options{pageSize: 7})
	if got, all := s3Keys(t, s, ""), strings.Join(want, " "); got != all {
		t.Errorf("List in small pages: %s", cmp.Diff(all, got))
	}
	if got := s3Keys(t, s, "a/000"); got != strings.Join(want[slices.Index(want, "a/0000"):][:10], " ") {
		t.Errorf("List of a prefix: %s", got)
	}
	if got := s3Keys(t, s, "nothing/"); got != "" {
		t.Errorf("List of nothing: %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if list, err := s.List(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("List after the end: %d objects, %v", len(list), err)
	}
}

func s3Remove(t *testing.T, server *s3test.Server, bucket string) {
	s := s3Store(t, server, bucket, S3Options{})
	for _, key := range []string{"d/a", "d/b", "d/c"} {
		s3Put(t, s, key, key)
	}
	if err := s.Remove(t.Context(), "d/a", "d/missing", "other/missing", "d/c"); err != nil {
		t.Error(err)
	}
	if got := s3Keys(t, s, ""); got != "d/b" {
		t.Errorf("%q is left", got)
	}
}

func s3Lock(t *testing.T, server *s3test.Server, bucket string) {
	s := s3Store(t, server, bucket, S3Options{})
	unlock, err := s.Lock(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func s3WrongSecret(t *testing.T, server *s3test.Server, bucket string) {
	const secret = "another-secret"
	s := s3Store(t, server, bucket, S3Options{creds: s3Static(server.AccessKey, secret)})
	_, err := s.List(t.Context(), "")
	if err == nil || !strings.Contains(err.Error(), "SignatureDoesNotMatch") {
		t.Errorf("List: %v", err)
	}
	putErr := s.Put(t.Context(), s3Spool(t, s, "x"), "k")
	_, openErr := s.Open(t.Context(), "k")
	for _, err := range []error{err, putErr, openErr, s.Remove(t.Context(), "k"), s.Sweep(t.Context(), "", []string{"k"})} {
		if err == nil || strings.Contains(err.Error(), secret) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
			t.Errorf("the error is %v", err)
		}
	}
}

func s3NoBucket(t *testing.T, server *s3test.Server, _ string) {
	s := s3Store(t, server, "no-such-bucket", S3Options{})
	if _, err := s.List(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "NoSuchBucket") {
		t.Errorf("List: %v", err)
	}
	if _, err := s.Open(t.Context(), "k"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open: %v", err)
	}
	if err := s.Put(t.Context(), s3Spool(t, s, "x"), "k"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Put: %v", err)
	}
}

func TestS3URL(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ prefix, key, want string }{
		{"", "", "s3://my.bucket"},
		{"", "a/b", "s3://my.bucket/a/b"},
		{"/x/y/", "", "s3://my.bucket/x/y"},
		{"x/y", "a/b", "s3://my.bucket/x/y/a/b"},
	} {
		s, err := NewS3("my.bucket", test.prefix, S3Options{Endpoint: "https://s3.example.org"})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.URL(test.key); got != test.want {
			t.Errorf("URL(%q) beneath %q is %s, want %s", test.key, test.prefix, got, test.want)
		}
	}
}

func TestNewS3Refuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		bucket, prefix string
		o              S3Options
	}{
		{"B", "", S3Options{}},
		{"", "", S3Options{}},
		{"bucket/x", "", S3Options{}},
		{"bucket", "a/../b", S3Options{}},
		{"bucket", "a//b", S3Options{}},
		{"bucket", "", S3Options{PartSize: -1}},
		{"bucket", "", S3Options{Endpoint: "s3.example.org"}},
		{"bucket", "", S3Options{Endpoint: "ftp://s3.example.org"}},
		{"bucket", "", S3Options{Endpoint: "https://s3.example.org/path"}},
		{"bucket", "", S3Options{Endpoint: "https://key:hush@s3.example.org"}},
		{"bucket", "", S3Options{Endpoint: "https://key:hush@s3.example.org:port"}},
	} {
		if _, err := NewS3(test.bucket, test.prefix, test.o); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("NewS3(%q, %q, %+v): %v", test.bucket, test.prefix, test.o, err)
		}
	}
}
