package archive

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/partitiond/partitiond/maintenance/archive/s3test"
)

var s3Everything = minio.ListObjectsOptions{Recursive: true}

func s3Static(key, secret string) *credentials.Credentials {
	return credentials.NewStaticV4(key, secret, "")
}

// s3CutAfter returns what cuts the answer with an object after so many bytes.
func s3CutAfter(bytes int64, when func() bool) func(*http.Response) error {
	return func(answer *http.Response) error {
		if answer.StatusCode < 300 && answer.Request.Method == http.MethodGet && strings.HasSuffix(answer.Request.URL.Path, "/d/k") && when() {
			answer.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(io.LimitReader(answer.Body, bytes), failingReader{}), answer.Body}
		}
		return nil
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("cut") }

func s3Cut(t *testing.T, server *s3test.Server, bucket string) {
	endpoint := s3Proxy(t, server, nil, s3CutAfter(400_000, func() bool { return true }))
	s := s3Store(t, server, bucket, S3Options{Endpoint: endpoint})
	s3Put(t, s, "d/k", s3Content(3<<20, 1)) // more than what all attempts get
	if f, err := s.Open(t.Context(), "d/k"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Open of what is cut: %v", err)
		if err == nil {
			s.Discard(f)
		}
	}
}

func s3CutOnce(t *testing.T, server *s3test.Server, bucket string) {
	var cut atomic.Int32
	var resumed atomic.Bool
	endpoint := s3Proxy(t, server, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Range") != "" {
			resumed.Store(true)
		}
		return false
	}, s3CutAfter(400_000, func() bool { return cut.Add(1) == 1 }))
	s := s3Store(t, server, bucket, S3Options{Endpoint: endpoint})
	content := s3Content(1<<20, 1)
	s3Put(t, s, "d/k", content)
	s3Is(t, s, "d/k", content)
	if n := cut.Load(); n != 2 || !resumed.Load() {
		t.Errorf("it has asked %d times, want 2, the second time for the rest: %t", n, resumed.Load())
	}
}

func s3Changes(t *testing.T, server *s3test.Server, bucket string) {
	direct := s3Store(t, server, bucket, S3Options{})
	change := sync.OnceFunc(func() {
		if err := direct.Remove(t.Context(), "d/k"); err != nil {
			t.Error(err)
		}
		if err := direct.Put(t.Context(), s3Spool(t, direct, s3Content(1<<20, 2)), "d/k"); err != nil {
			t.Error(err)
		}
	})
	endpoint := s3Proxy(t, server, nil, s3CutAfter(400_000, func() bool { change(); return true }))
	s := s3Store(t, server, bucket, S3Options{Endpoint: endpoint})
	s3Put(t, s, "d/k", s3Content(1<<20, 1))
	if f, err := s.Open(t.Context(), "d/k"); !errors.Is(err, errChanged) || errors.Is(err, fs.ErrExist) {
		t.Errorf("Open of what changes: %v", err)
		if err == nil {
			s.Discard(f)
		}
	}
}

// The server dies in the middle of an upload and comes back.
func TestS3Gone(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	bucket := server.Bucket(t)
	s3Begin(t, server, bucket, "some/prefix/d/other")
	stop := sync.OnceFunc(func() { server.Stop(t) })
	endpoint := s3Proxy(t, server, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("partNumber") == "3" {
			stop()
		}
		return false
	}, nil)
	proxied := s3Store(t, server, bucket, S3Options{Endpoint: endpoint})
	s := s3Store(t, server, bucket, S3Options{})
	content := s3Content(5*s3MinPart, 1)
	if err := proxied.Put(t.Context(), s3Spool(t, proxied, content), "d/k"); err == nil {
		t.Fatal("Put has succeeded at a server that is gone")
	}

	// Now nobody listens at its port.
	var group sync.WaitGroup
	for name, do := range map[string]func() error{
		"Put":         func() error { return s.Put(t.Context(), s3Spool(t, s, "x"), "d/k2") },
		"List":        func() error { _, err := s.List(t.Context(), ""); return err },
		"Open":        func() error { _, err := s.Open(t.Context(), "d/k"); return err },
		"Remove":      func() error { return s.Remove(t.Context(), "d/k") },
		"Sweep":       func() error { return s.Sweep(t.Context(), "d", []string{"d/k"}) },
		"Conditional": func() error { _, err := s.Conditional(t.Context()); return err },
	} {
		group.Go(func() {
			if err := do(); err == nil || strings.Contains(err.Error(), server.SecretKey) ||
				errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s at a server that is gone: %v", name, err)
			}
		})
	}
	group.Wait()

	server.Restart(t)
	if got := s3Keys(t, s, ""); got != "" {
		t.Errorf("%s is there", got)
	}
	if got := s3Uploads(t, server, bucket); got != "some/prefix/d/k some/prefix/d/other" {
		t.Errorf("the uploads are %s", got)
	}
	if err := s.Sweep(t.Context(), "d", []string{"d/k"}); err != nil {
		t.Error(err)
	}
	if got := s3Uploads(t, server, bucket); got != "some/prefix/d/other" {
		t.Errorf("after Sweep the uploads are %s", got)
	}
	s3Put(t, s, "d/k", content)
	s3Is(t, s, "d/k", content)
}

// A server that takes connections and says nothing, as when its host hangs.
func TestS3Silent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := s3Store(t, &s3test.Server{}, "bucket", S3Options{
		Endpoint: "http://" + l.Addr().String(), stall: 50 * time.Millisecond, creds: s3Static("key", "secret"),
	})
	// It would wait for ever. Its own patience must not be taken for the caller's.
	if _, err := s.List(t.Context(), ""); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("List: %v", err)
	}
}

// The timeout of a single request is none of the caller's context.
func TestS3Timeout(t *testing.T) {
	t.Parallel()
	s := s3Store(t, &s3test.Server{}, "bucket", S3Options{Endpoint: "http://127.0.0.1:1", creds: s3Static("key", "secret")})
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.fail(ctx, "doing", "k", context.DeadlineExceeded); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a context that is not over: %v", err)
	}
	cancel()
	if err := s.fail(ctx, "doing", "k", errors.New("closed")); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
}

func TestS3Credentials(t *testing.T) {
	server := s3test.Start(t)
	bucket := server.Bucket(t)
	list := func() error {
		s, err := NewS3(bucket, "", S3Options{Endpoint: server.Endpoint, Region: s3test.Region})
		if err != nil {
			return err
		}
		_, err = s.List(t.Context(), "")
		return err
	}
	none := func(t *testing.T) {
		server.Setenv(t)
		for _, name := range []string{
			"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE",
			"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
			"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		} {
			t.Setenv(name, "")
		}
	}
	t.Run("environment", func(t *testing.T) {
		none(t)
		server.Setenv(t)
		if err := list(); err != nil {
			t.Error(err)
		}
	})
	t.Run("profile of a shared credentials file", func(t *testing.T) {
		none(t)
		file := filepath.Join(t.TempDir(), "credentials")
		text := "[default]\naws_access_key_id = other\naws_secret_access_key = other\n" +
			"[archive]\naws_access_key_id = " + server.AccessKey + "\naws_secret_access_key = " + server.SecretKey + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
		t.Setenv("AWS_PROFILE", "archive")
		if err := list(); err != nil {
			t.Error(err)
		}
	})
	t.Run("role of a container", func(t *testing.T) {
		none(t)
		role := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{ // The client may be gone.
				"AccessKeyId": server.AccessKey, "SecretAccessKey": server.SecretKey, "Expiration": time.Now().Add(time.Hour),
			})
		}))
		defer role.Close()
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", role.URL)
		if err := list(); err != nil {
			t.Error(err)
		}
	})
	t.Run("none", func(t *testing.T) {
		none(t)
		if err := list(); err == nil || !strings.Contains(err.Error(), "no S3 credentials") {
			t.Errorf("List without credentials: %v", err)
		}
	})
}

// A store whose certificate nobody vouches for gets neither rows nor signatures.
func TestS3UnknownAuthority(t *testing.T) {
	t.Parallel()
	var called atomic.Bool
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Store(true) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	s, err := NewS3("bucket", "", S3Options{Endpoint: server.URL, Region: s3test.Region, creds: s3Static("key", "secret")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "unknown authority") || called.Load() {
		t.Errorf("it is called: %t, %v", called.Load(), err)
	}
}
