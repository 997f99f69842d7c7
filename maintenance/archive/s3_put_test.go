package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/partitiond/partitiond/maintenance/archive/s3test"
)

func s3PutExisting(t *testing.T, server *s3test.Server, bucket string) {
	s3Refuse(t, s3Store(t, server, bucket, S3Options{}))
}

// All eight have found the key free when the first of them completes its upload.
func s3Race(t *testing.T, server *s3test.Server, bucket string) {
	const writers = 8
	var waiting atomic.Int32
	all := make(chan struct{})
	endpoint := s3Proxy(t, server, func(_ http.ResponseWriter, r *http.Request) bool {
		if isComplete(r, "/d/k") {
			if waiting.Add(1) == writers {
				close(all)
			}
			<-all
		}
		return false
	}, nil)
	s := s3Store(t, server, bucket, S3Options{Endpoint: endpoint})
	var group sync.WaitGroup
	errs := make([]error, writers)
	for i := range errs {
		group.Go(func() { errs[i] = s.Put(t.Context(), s3Spool(t, s, fmt.Sprint("from ", i)), "d/k") })
	}
	group.Wait()
	winner := ""
	for i, err := range errs {
		switch {
		case err == nil && winner == "":
			winner = fmt.Sprint("from ", i)
		case err == nil:
			t.Errorf("writer %d has won as well", i)
		case !errors.Is(err, fs.ErrExist):
			t.Errorf("writer %d: %v", i, err)
		}
	}
	s3Is(t, s, "d/k", winner)
	if got := s3Uploads(t, server, bucket); got != "" {
		t.Errorf("uploads are left: %s", got)
	}
}

// The signature is made anew for the damaged content, so that only the checksum tells.
func s3DamagedPart(t *testing.T, server *s3test.Server, bucket string) {
	endpoint := s3Proxy(t, server, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/d/k") {
			r.Body = io.NopCloser(strings.NewReader("damaged"))
			r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
			r.Header.Set("Partitiond-Test-Sign", "yes")
		}
		return false
	}, nil)
	s := s3Store(t, server, bucket, S3Options{Endpoint: endpoint})
	if err := s.Put(t.Context(), s3Spool(t, s, "content"), "d/k"); err == nil || !strings.Contains(err.Error(), "BadDigest") {
		t.Errorf("the store says of a part that does not fit its checksum: %v", err)
	}
	if got := s3Keys(t, s, "") + s3Uploads(t, server, bucket); got != "" {
		t.Errorf("%s is there", got)
	}
}

// The upload is completed, but the client never hears of it and tries again, and is
// told what Amazon or others say then.
func s3LostAnswer(t *testing.T, server *s3test.Server, bucket string) {
	for key, again := range map[string]struct {
		status int
		code   string
	}{
		"exists":    {http.StatusPreconditionFailed, "PreconditionFailed"},
		"conflict":  {http.StatusConflict, "ConditionalRequestConflict"},
		"no upload": {http.StatusNotFound, "NoSuchUpload"},
	} {
		var lost atomic.Bool
		endpoint := s3Proxy(t, server, func(w http.ResponseWriter, r *http.Request) bool {
			if !isComplete(r, key) || !lost.Load() {
				return false
			}
			s3Answer(w, again.status, again.code)
			return true
		}, func(answer *http.Response) error {
			if !isComplete(answer.Request, key) || answer.StatusCode != http.StatusOK {
				return nil
			}
			lost.Store(true)
			return errors.Join(answer.Body.Close(), errors.New("lost")) // The proxy answers 502.
		})
		s := s3Store(t, server, bucket, S3Options{Endpoint: endpoint})
		s3Put(t, s, "d/"+key, "content")
		s3Is(t, s, "d/"+key, "content")
		if !lost.Load() {
			t.Error("no answer was lost")
		}
	}
}

func s3Conflict(t *testing.T, server *s3test.Server, bucket string) {
	direct := s3Store(t, server, bucket, S3Options{})
	endpoint := s3Proxy(t, server, func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case isComplete(r, "/d/taken"): // Another has been faster, or is about to be.
			if err := direct.Put(r.Context(), s3Spool(t, direct, "other"), "d/taken"); err != nil {
				t.Error(err)
			}
		case !isComplete(r, "/d/free"):
			return false
		}
		s3Answer(w, http.StatusConflict, "ConditionalRequestConflict")
		return true
	}, nil)
	s := s3Store(t, server, bucket, S3Options{Endpoint: endpoint})
	if err := s.Put(t.Context(), s3Spool(t, s, "mine"), "d/taken"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Put of a key that another has: %v", err)
	}
	if err := s.Put(t.Context(), s3Spool(t, s, "mine"), "d/free"); err == nil || errors.Is(err, fs.ErrExist) {
		t.Errorf("Put of a key that nobody has: %v", err)
	}
	s3Is(t, s, "d/taken", "other")
	if got := s3Uploads(t, server, bucket); got != "" {
		t.Errorf("uploads are left: %s", got)
	}
}

// No part is on its way to the server when the context ends, or it might arrive last.
func s3Cancelled(t *testing.T, server *s3test.Server, bucket string) {
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan struct{})
	endpoint := s3Proxy(t, server, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("partNumber") != "2" {
			return false
		}
		<-first
		cancel()
		s3Answer(w, http.StatusServiceUnavailable, "SlowDown")
		return true
	}, func(answer *http.Response) error {
		if q := answer.Request.URL.Query(); q.Get("partNumber") == "1" && strings.HasSuffix(answer.Request.URL.Path, "/d/k") {
			close(first)
		}
		return nil
	})
	s := s3Store(t, server, bucket, S3Options{Endpoint: endpoint})
	err := s.Put(ctx, s3Spool(t, s, s3Content(2*s3MinPart, 1)), "d/k")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v", err)
	}
	if got := s3Keys(t, s, ""); got != "" {
		t.Errorf("%s is there", got)
	}
	if got := s3Uploads(t, server, bucket); got != "" {
		t.Errorf("uploads are left: %s", got)
	}
}

func s3Sweep(t *testing.T, server *s3test.Server, bucket string) {
	s := s3Store(t, server, bucket, S3Options{})
	for _, name := range []string{
		"some/prefix/d/a", "some/prefix/d/a", "some/prefix/d/ab", "some/prefix/d/b", "some/prefix/e/a", "other/d/a",
	} {
		s3Begin(t, server, bucket, name)
	}
	s3Put(t, s, "d/done", "content")
	if err := s.Sweep(t.Context(), "d", []string{"d/a", "d/done", "d/nothing", "e/a"}); err != nil {
		t.Fatal(err)
	}
	const want = "other/d/a some/prefix/d/ab some/prefix/d/b some/prefix/e/a"
	if got := s3Uploads(t, server, bucket); got != want {
		t.Errorf("the uploads of %s are left, want %s", got, want)
	}
	s3Is(t, s, "d/done", "content")
}

func s3Conditional(t *testing.T, server *s3test.Server, bucket string) {
	var completed atomic.Int32
	endpoint := s3Proxy(t, server, func(_ http.ResponseWriter, r *http.Request) bool {
		if isComplete(r, "") {
			completed.Add(1)
		}
		return false
	}, nil)
	s := s3Store(t, server, bucket, S3Options{Endpoint: endpoint})
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			if yes, err := s.Conditional(t.Context()); err != nil || !yes {
				t.Errorf("Conditional: %t, %v", yes, err)
			}
		})
	}
	group.Wait()
	if n := completed.Load(); n != 2 {
		t.Errorf("it has put %d objects to find out, want 2", n)
	}
	for info := range server.Client(t).ListObjectsIter(t.Context(), bucket, s3Everything) {
		t.Errorf("%s is left (%v)", info.Key, info.Err)
	}
	if got := s3Uploads(t, server, bucket); got != "" {
		t.Errorf("uploads are left: %s", got)
	}
}

func s3Ignores(t *testing.T, server *s3test.Server, bucket string) {
	s3Unconditional(t, server, bucket, ignoresConditions)
}

func s3Refuses(t *testing.T, server *s3test.Server, bucket string) {
	s3Unconditional(t, server, bucket, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("If-None-Match") == "" {
			return false
		}
		s3Answer(w, http.StatusNotImplemented, "NotImplemented")
		return true
	})
}

func s3Unconditional(t *testing.T, server *s3test.Server, bucket string, hook func(http.ResponseWriter, *http.Request) bool) {
	t.Helper()
	s := s3Store(t, server, bucket, S3Options{Endpoint: s3Proxy(t, server, hook, nil)})
	if yes, err := s.Conditional(t.Context()); err != nil || yes {
		t.Fatalf("Conditional: %t, %v", yes, err)
	}
	s3Refuse(t, s)
	for info := range server.Client(t).ListObjectsIter(t.Context(), bucket, s3Everything) {
		if !strings.HasSuffix(info.Key, "/d/k") {
			t.Errorf("%s is left (%v)", info.Key, info.Err)
		}
	}
	if got := s3Uploads(t, server, bucket); got != "" {
		t.Errorf("uploads are left: %s", got)
	}
}

// s3Refuse puts an object of a key twice.
func s3Refuse(t *testing.T, s *S3) {
	t.Helper()
	s3Put(t, s, "d/k", "first")
	if err := s.Put(t.Context(), s3Spool(t, s, "second"), "d/k"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Put of a key that exists: %v", err)
	}
	s3Is(t, s, "d/k", "first")
}

// What is no answer to the question is not remembered as one.
func s3NoAnswer(t *testing.T, server *s3test.Server, bucket string) {
	var broken atomic.Bool
	broken.Store(true)
	endpoint := s3Proxy(t, server, func(w http.ResponseWriter, r *http.Request) bool {
		if broken.Load() && isComplete(r, "") {
			s3Answer(w, http.StatusForbidden, "AccessDenied")
			return true
		}
		return false
	}, nil)
	s := s3Store(t, server, bucket, S3Options{Endpoint: endpoint})
	if yes, err := s.Conditional(t.Context()); err == nil {
		t.Errorf("Conditional without an answer: %t", yes)
	}
	broken.Store(false)
	if yes, err := s.Conditional(t.Context()); err != nil || !yes {
		t.Errorf("Conditional, asked again: %t, %v", yes, err)
	}
}
