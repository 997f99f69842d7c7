package archive

import (
	"context"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/partitiond/partitiond/maintenance/archive/s3test"
)

const s3MinPart = 5 << 20 // No server takes smaller parts, but for the last.

// s3Store returns a store with a prefix in a bucket of a server, whose temporary files
// must be gone when the test ends.
func s3Store(t *testing.T, server *s3test.Server, bucket string, o S3Options) *S3 {
	t.Helper()
	if o.Endpoint == "" {
		o.Endpoint = server.Endpoint
	}
	o.Region, o.TempDir, o.PartSize = s3test.Region, t.TempDir(), s3MinPart
	if o.creds == nil {
		o.creds = credentials.NewStaticV4(server.AccessKey, server.SecretKey, "")
	}
	s, err := NewS3(bucket, "some/prefix", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, err := os.ReadDir(o.TempDir); err != nil || len(left) != 0 {
			t.Errorf("%d temporary files are left (%v)", len(left), err)
		}
	})
	return s
}

func s3Content(size int, seed byte) string {
	b := make([]byte, size)
	source := rand.NewChaCha8([32]byte{seed})
	_, _ = source.Read(b) // It never fails.
	return string(b)
}

// s3Spool returns a file for Put. The caller's goroutine need not be the test's.
func s3Spool(t *testing.T, s *S3, content string) *os.File {
	f, err := s.Temp(context.WithoutCancel(t.Context()), "dir")
	if err != nil {
		t.Error(err)
		return nil
	}
	if _, err := f.WriteString(content); err != nil {
		t.Error(err)
	}
	return f
}

func s3Put(t *testing.T, s *S3, key, content string) {
	t.Helper()
	if err := s.Put(t.Context(), s3Spool(t, s, content), key); err != nil {
		t.Fatalf("Put %s: %v", key, err)
	}
}

func s3Get(t *testing.T, s *S3, key string) string {
	t.Helper()
	f, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("Open %s: %v", key, err)
	}
	defer s.Discard(f)
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// s3Is fails the test if the object does not have the content; contents are too large to show.
func s3Is(t *testing.T, s *S3, key, want string) {
	t.Helper()
	if got := s3Get(t, s, key); got != want {
		t.Errorf("%s has %d bytes that are not the %d that were put", key, len(got), len(want))
	}
}

// s3Keys returns the keys of a listing, separated by spaces.
func s3Keys(t *testing.T, s *S3, prefix string) string {
	t.Helper()
	list, err := s.List(t.Context(), prefix)
	if err != nil {
		t.Fatalf("List %s: %v", prefix, err)
	}
	var keys []string
	for _, o := range list {
		keys = append(keys, o.Key)
	}
	return strings.Join(keys, " ")
}

// s3Uploads returns the keys of the bucket's incomplete uploads, separated by spaces.
func s3Uploads(t *testing.T, server *s3test.Server, bucket string) string {
	t.Helper()
	list, err := server.Client(t).ListMultipartUploads(t.Context(), bucket, "", "", "", "", 0)
	if err != nil {
		t.Fatalf("listing uploads: %v", err)
	}
	var keys []string
	for _, u := range list.Uploads {
		keys = append(keys, u.Key)
	}
	return strings.Join(keys, " ")
}

// s3Begin begins an upload with one part, as a Put that was killed leaves it.
func s3Begin(t *testing.T, server *s3test.Server, bucket, name string) {
	t.Helper()
	c := server.Client(t)
	id, err := c.NewMultipartUpload(t.Context(), bucket, name, minio.PutObjectOptions{})
	if err != nil {
		t.Fatalf("beginning an upload: %v", err)
	}
	if _, err := c.PutObjectPart(t.Context(), bucket, name, id, 1, strings.NewReader("part"), 4, minio.PutObjectPartOptions{}); err != nil {
		t.Fatalf("uploading a part: %v", err)
	}
}

// isComplete tells the request that completes an upload of a key that ends so.
func isComplete(r *http.Request, key string) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") && strings.HasSuffix(r.URL.Path, key)
}

// s3Proxy stands between a store and the server. It hands a request to the hook, if
// there is one, which answers it and returns true, or leaves it to the server; answer may change
// what the server says.
func s3Proxy(t *testing.T, server *s3test.Server, hook func(http.ResponseWriter, *http.Request) bool,
	answer func(*http.Response) error,
) (endpoint string) {
	t.Helper()
	to, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			if r.Out.Header.Get("Partitiond-Test-Sign") != "" { // The hook has changed what was signed.
				r.Out.Host = to.Host
				r.Out.Header.Del("Partitiond-Test-Sign")
				r.Out.Header.Del("Authorization")
				r.Out.URL.Host = to.Host
				*r.Out = *signer.SignV4(*r.Out, server.AccessKey, server.SecretKey, "", s3test.Region)
				return
			}
			r.Out.Host = r.In.Host
		},
		ModifyResponse: answer,
		ErrorLog:       log.New(io.Discard, "", 0), // What it does not like is what the test wants.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hook == nil || !hook(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p.URL
}

// s3Answer answers as S3 does for an error.
func s3Answer(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>so says the proxy</Message></Error>") // The client may be gone.
}

// ignoresConditions is a hook that makes the server one which takes no notice of conditions.
func ignoresConditions(_ http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("If-None-Match") != "" {
		r.Header.Del("If-None-Match")
		r.Header.Set("Partitiond-Test-Sign", "yes")
	}
	return false
}
