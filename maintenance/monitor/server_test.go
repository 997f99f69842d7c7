package monitor_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/monitor"
	"github.com/partitiond/partitiond/maintenance/partition"
)

var paths = []string{"/", "/metrics", "/status.json", "/healthz", "/readyz", "/style.css", "/icon.svg"}

func eventsSite(t *testing.T) *site {
	t.Helper()
	return newSite(t, newSet(t, "events", partition.Interval{N: 1, Unit: partition.Month}, "events_%Y_%m", 2))
}

// TestNothingButLooking tries to change something, and to have the page loaded
// where it should not be.
func TestNothingButLooking(t *testing.T) {
	t.Parallel()
	s := eventsSite(t)
	s.pass()
	for _, path := range append(paths, "/nothing", "/metrics/", "/debug/pprof/") {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, http.MethodTrace, "BREW", "get"} {
			res, _ := s.get(path, func(r *http.Request) { r.Method = method })
			if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %s", method, path, res.Status)
			}
		}
	}
	for _, path := range paths {
		res, _ := s.get(path)
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, res.Status)
		}
		if csp := res.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none';") || !strings.Contains(csp, "form-action 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: %q", path, csp)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" || len(res.Cookies()) > 0 {
			t.Errorf("%s: %v", path, res.Header)
		}
		head, body := s.get(path, func(r *http.Request) { r.Method = http.MethodHead })
		if head.StatusCode != http.StatusOK || body != "" {
			t.Errorf("HEAD %s: %s", path, head.Status)
		}
	}
	_, page := s.get("/")
	for _, tag := range []string{"<form", "<script", "<button", "<input", "style=", "onclick", "http:", "https:"} {
		if strings.Contains(page, tag) {
			t.Errorf("the page has %q", tag)
		}
	}
	if !strings.Contains(page, "All is well") {
		t.Errorf("the page of a healthy set:\n%s", page)
	}
	if res, _ := s.get("/nothing"); res.StatusCode != http.StatusNotFound {
		t.Error(res.Status)
	}
	// A name from elsewhere that was made to mean this machine is refused.
	if res, _ := s.get("/", func(r *http.Request) { r.Host = "evil.example" }); res.StatusCode != http.StatusForbidden {
		t.Errorf("by another name: %s", res.Status)
	}
	for _, host := range []string{"localhost:9632", "127.0.0.1", "[::1]:9632"} {
		if res, _ := s.get("/", func(r *http.Request) { r.Host = host }); res.StatusCode != http.StatusOK {
			t.Errorf("by %s: %s", host, res.Status)
		}
	}
}

// A name in the database is text, whatever it looks like.
func TestPageEscapes(t *testing.T) {
	t.Parallel()
	s := eventsSite(t)
	s.pass()
	s.exec(`CREATE TABLE "<script>alert(1)</script>" () INHERITS (events)`)
	s.exec(`INSERT INTO "<script>alert(1)</script>" (id, at) VALUES (1, '2001-01-01'), (2, '2002-02-02')`)
	_, page := s.get("/")
	if strings.Contains(page, "<script") || !strings.Contains(page, "&lt;script&gt;") {
		t.Errorf("the page is not escaped:\n%s", page)
	}
}

func TestBasicAuthentication(t *testing.T) {
	t.Parallel()
	s := eventsSite(t)
	as := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	check := func(what string, want int, change ...func(*http.Request)) {
		t.Helper()
		for _, path := range paths {
			want := want
			if path == "/healthz" || path == "/readyz" {
				want = http.StatusOK
			}
			res, _ := s.get(path, change...)
			if res.StatusCode != want || want == http.StatusUnauthorized && !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Basic ") {
				t.Errorf("%s gets %s from %s", what, res.Status, path)
			}
		}
	}
	address := s.mon.Addr().String()
	s.listen(monitor.Listen{Network: "tcp", Address: "127.0.0.1:0", User: "ops", Password: "hunter2"})
	if s.mon.Addr().String() != address {
		t.Error("to set a password the listener was moved")
	}
	check("nobody", http.StatusUnauthorized)
	check("a wrong user", http.StatusUnauthorized, as("op", "hunter2"))
	check("a wrong password", http.StatusUnauthorized, as("ops", "hunter"))
	check("no password", http.StatusUnauthorized, as("ops", ""))
	check("another scheme", http.StatusUnauthorized, func(r *http.Request) { r.Header.Set("Authorization", "Bearer hunter2") })
	check("ops", http.StatusOK, as("ops", "hunter2"))
	check("ops by a name", http.StatusOK, as("ops", "hunter2"), func(r *http.Request) { r.Host = "monitor.example" })
	s.listen(monitor.Listen{Network: "tcp", Address: "127.0.0.1:0", User: "ops", Password: "hunter3"})
	check("an old password", http.StatusUnauthorized, as("ops", "hunter2"))
}

// TestListen moves the listener about, and sees it stay where it cannot move.
func TestListen(t *testing.T) {
	t.Parallel()
	s := eventsSite(t)
	old := s.mon.Addr().String()
	var lc net.ListenConfig
	taken, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	err = s.mon.Listen(t.Context(), monitor.Listen{Network: "tcp", Address: taken.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("at a taken port: %v", err)
	}
	if res, _ := s.get("/healthz"); res.StatusCode != http.StatusOK || s.mon.Addr().String() != old {
		t.Error("a listener that could not move does not serve any more")
	}
	next := freePort(t)
	s.listen(monitor.Listen{Network: "tcp", Address: next})
	if s.mon.Addr().String() != next {
		t.Errorf("listens at %s, not at %s", s.mon.Addr(), next)
	}
	s.get("/healthz")
	if _, err := net.DialTimeout("tcp", old, patience); err == nil {
		t.Error("still listens at the old port")
	}
	s.listen(monitor.Listen{})
	if s.mon.Addr() != nil {
		t.Error("listens though it should not")
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	s := eventsSite(t)
	// t.TempDir's paths may be too long for a socket.
	dir, err := os.MkdirTemp("", "m")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "monitor.sock")
	here := monitor.Listen{Network: "unix", Address: socket}
	// One that a process has left behind, which was killed.
	var lc net.ListenConfig
	stale, err := lc.Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	// While it listens, it is another's.
	if err := s.mon.Listen(t.Context(), here); err == nil || !strings.Contains(err.Error(), "another process listens there") {
		t.Errorf("where another process listens: %v", err)
	}
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	s.listen(here)
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket has mode %v (%v)", info.Mode(), err)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	if res, text := fetch(t, client, "http://monitor/metrics"); res.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", res.Status, text)
	}
	s.listen(monitor.Listen{})
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	if err := os.WriteFile(socket, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.mon.Listen(t.Context(), here); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("where a file is: %v", err)
	}
	if text, err := os.ReadFile(socket); err != nil || string(text) != "precious" {
		t.Errorf("the file is %q (%v)", text, err)
	}
}

// Who never ends the request is not waited for.
func TestSlowRequest(t *testing.T) {
	t.Parallel()
	s := eventsSite(t)
	conn, err := net.Dial("tcp", s.mon.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the connection is not closed: %v", err)
	}
}

// TestCloseBesideAConnection that asks nothing, as a browser opens them in
// advance: Close cuts it off, and that is no failure.
func TestCloseBesideAConnection(t *testing.T) {
	t.Parallel()
	s := eventsSite(t)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.mon.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The server has accepted the first connection before it answers on the second.
	if res, _ := s.get("/healthz"); res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	if err := s.mon.Close(t.Context()); err != nil {
		t.Errorf("closing: %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still there")
	}
}
