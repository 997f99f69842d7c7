// Package s3test runs throw-away S3 servers for tests: versitygw, a gateway to a
// directory. It knows conditional writes and checks checksums, which the
// servers that live inside a test's process do not, so that they prove nothing.
package s3test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The credentials and the region of every server.
const (
	AccessKey = "partitiond-test"
	SecretKey = "the-secret-of-the-test"
	Region    = "us-east-1"
)

// Server is a server on the loopback interface, for the time of one test.
type Server struct {
	// Endpoint is its URL, which stays the same over Stop and Restart. Buckets are part of
	// the path, not of the host.
	Endpoint string
	// AccessKey and SecretKey are the credentials of its owner.
	AccessKey, SecretKey string
	// Root is the directory with its buckets, which are directories of their names.
	Root string

	program, address string
	cmd              *exec.Cmd
	ended            chan struct{}
	output           bytes.Buffer // of the program; to be read when it has ended
}

// Start runs a server until the end of the test. The first one on a machine
// builds the program, which takes a minute or two. A test that cannot have one fails.
func Start(t testing.TB) *Server {
	t.Helper()
	return StartIn(t, t.TempDir())
}

// StartIn is Start with a directory for all that the server keeps.
func StartIn(t testing.TB, dir string) *Server {
	t.Helper()
	program, err := build(t.Context())
	if err != nil {
		t.Fatalf("This test needs the S3 server versitygw, which could not be built: %v", err)
	}
	s := &Server{AccessKey: AccessKey, SecretKey: SecretKey, Root: filepath.Join(dir, "buckets"), program: program}
	if err := os.Mkdir(s.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(t) })
	for range 5 { // Another process may take the port between the two.
		if s.address, err = freeAddress(); err != nil {
			t.Fatal(err)
		}
		s.Endpoint = "http://" + s.address
		if err = s.run(); err == nil {
			return s
		}
	}
	t.Fatalf("This test needs the S3 server versitygw, which does not run: %v", err)
	return nil
}

// Env returns the environment variables with which a process reaches the server,
// and from which it learns of no other credentials.
func (s *Server) Env() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + s.AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + s.SecretKey,
		"AWS_SESSION_TOKEN=",
		"AWS_REGION=" + Region,
		"AWS_PROFILE=",
		"AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
		"AWS_CONFIG_FILE=" + os.DevNull,
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

// Setenv sets the variables of Env for the time of the test, which must not be parallel.
func (s *Server) Setenv(t testing.TB) {
	t.Helper()
	for _, v := range s.Env() {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
}

// Client returns a client of the library, to look at what a store has done.
func (s *Server) Client(t testing.TB) *minio.Core {
	t.Helper()
	core, err := minio.NewCore(s.address, &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Region: Region, BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		t.Fatal(err)
	}
	return core
}

// Bucket makes a bucket that no other test has, and returns its name.
func (s *Server) Bucket(t testing.TB) string {
	t.Helper()
	name := "bucket-" + strings.ToLower(rand.Text())
	if err := s.Client(t).MakeBucket(t.Context(), name, minio.MakeBucketOptions{Region: Region}); err != nil {
		t.Fatalf("making a bucket: %v", err)
	}
	return name
}

// Stop kills the server, as a crash would. One that does not run is left alone.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Logf("killing the S3 server: %v", err)
	}
	<-s.ended
	s.cmd = nil
	if t.Failed() {
		t.Logf("The S3 server said:\n%s", s.output.String())
	}
	s.output.Reset()
}

// Restart runs the server again after Stop, with what its buckets had.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	if err := s.run(); err != nil {
		t.Fatalf("running the S3 server again: %v", err)
	}
}

// run starts the program and waits until it answers.
func (s *Server) run() error {
	const limit = 30 * time.Second
	cmd := exec.Command(s.program, "--port", s.address, "--region", Region, "--health", "/health", "--quiet", "posix", s.Root)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+s.AccessKey, "ROOT_SECRET_ACCESS_KEY="+s.SecretKey)
	cmd.Stdout, cmd.Stderr = &s.output, &s.output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the S3 server: %w", err)
	}
	s.cmd, s.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait() // It is killed in any case.
		close(ended)
	}(s.ended)

	client := &http.Client{Timeout: time.Second}
	tick, deadline := time.NewTicker(20*time.Millisecond), time.After(limit)
	defer tick.Stop()
	for {
		if answer, err := client.Get(s.Endpoint + "/health"); err == nil {
			_ = answer.Body.Close() // Its status is enough.
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-s.ended:
			s.cmd = nil
			said := s.output.String()
			s.output.Reset()
			return fmt.Errorf("the S3 server ended at once and said: %s", said)
		case <-deadline:
			_ = cmd.Process.Kill() // The error is that it does not answer.
			<-s.ended
			s.cmd = nil
			return fmt.Errorf("the S3 server has not answered within %v", limit)
		}
	}
}

// freeAddress returns a loopback address at which nobody listened a moment ago.
func freeAddress() (string, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer func() { _ = l.Close() }() // Nobody has used it.
	return l.Addr().String(), nil
}
