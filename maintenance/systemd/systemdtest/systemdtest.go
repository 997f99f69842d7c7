// Package systemdtest is the socket where systemd would listen, for tests.
package systemdtest

import (
	"net"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// patience is how long a message is waited for; it is far longer than it takes.
const patience = 2 * time.Minute

// Socket receives what a program tells systemd.
type Socket struct {
	t    testing.TB
	conn *net.UnixConn
}

// Listen opens the socket and names it in NOTIFY_SOCKET until the end of the test,
// which therefore cannot be parallel.
func Listen(t testing.TB) *Socket {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &Socket{t, conn}
}

// Next returns the next message.
func (s *Socket) Next() string {
	s.t.Helper()
	buf := make([]byte, 64<<10)
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	n, err := s.conn.Read(buf)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(buf[:n])
}

// Await returns the next message that matches.
func (s *Socket) Await(pattern string) string {
	s.t.Helper()
	want := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(patience); ; {
		message := s.Next()
		if want.MatchString(message) {
			return message
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("waiting for %q: the last message is %q", pattern, message)
		}
	}
}
