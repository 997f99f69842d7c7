package monitor

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Listen says where to serve, and to whom.
type Listen struct {
	// Network is "tcp" or "unix"; where Address is empty nothing is served.
	Network, Address string
	// User and Password are for HTTP's basic authentication; without a user
	// everybody may look who gets there.
	User, Password string
}

// access is who may look. What is kept of the password is compared in a time that
// does not depend on it.
type access struct {
	open bool
	// local says that it is open to a port, which browsers reach.
	local          bool
	user, password [sha256.Size]byte
}

// serving is the listener that is open, if any.
type serving struct {
	mu               sync.Mutex
	network, address string
	listener         net.Listener
	server           *http.Server
	done             chan struct{}
}

// Listen serves at another place from now on, or to somebody else, or nowhere. With
// an error all is as it was. The old place is closed only when the new one is
// open; requests that are under way there are finished.
func (m *Monitor) Listen(ctx context.Context, l Listen) error {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	a := &access{open: l.User == "", local: l.Network == "tcp", user: sha256.Sum256([]byte(l.User)), password: sha256.Sum256([]byte(l.Password))}
	if l.Network == m.server.network && l.Address == m.server.address {
		m.access.Store(a)
		return nil
	}
	var listener net.Listener
	if l.Address != "" {
		var err error
		if listener, err = listen(ctx, l.Network, l.Address); err != nil {
			return fmt.Errorf("listen for the monitor at %s: %w", l.Address, err)
		}
	}
	err := m.server.stop(ctx)
	if err != nil {
		m.log.Warn("requests to the monitor were broken off", "address", m.server.address, "error", err)
	}
	m.access.Store(a)
	m.server.network, m.server.address, m.server.listener, m.server.server = l.Network, l.Address, listener, nil
	if listener == nil {
		return nil
	}
	server, done := m.newServer(), make(chan struct{})
	m.server.server, m.server.done = server, done
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			m.log.Error("the monitor has ceased to serve", "error", err)
		}
	}()
	m.log.Info("the monitor listens", "address", listener.Addr().String(), "password", l.User != "")
	return nil
}

// Addr returns where the monitor listens, nil if it does not.
func (m *Monitor) Addr() net.Addr {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	if m.server.listener == nil {
		return nil
	}
	return m.server.listener.Addr()
}

func (s *serving) close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop(ctx)
}

// stopTimeout bounds how long requests may finish. Whoever has connected by then
// and asked nothing, or reads slowly, is cut off, which is no failure: everything
// here can be asked for again.
const stopTimeout = 3 * time.Second

func (s *serving) stop(ctx context.Context) error {
	if s.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.server.Close()
	}
	<-s.done
	s.server, s.listener = nil, nil
	return err
}

func listen(ctx context.Context, network, address string) (net.Listener, error) {
	var lc net.ListenConfig
	if network != "unix" {
		return lc.Listen(ctx, network, address)
	}
	if err := removeStale(ctx, address); err != nil {
		return nil, err
	}
	listener, err := lc.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	// To connect takes the right to write. Until now the umask gave it to nobody else.
	if err := os.Chmod(address, 0o660); err != nil { // #nosec G302 -- its group may look, too
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// removeStale removes a socket that a process left behind which was killed.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is something else of that name that is no socket")
	}
	d := net.Dialer{Timeout: time.Second}
	if conn, err := d.DialContext(ctx, "unix", path); err == nil {
		return errors.Join(errors.New("another process listens there"), conn.Close())
	}
	return os.Remove(path)
}

// The limits of a request: nobody has a body to send, or much to say.
func (m *Monitor) newServer() *http.Server {
	return &http.Server{
		Handler:           m.guard(m.mux),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
	}
}

func (m *Monitor) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("/readyz", m.ready)
	metrics := promhttp.HandlerFor(prometheus.GathererFunc(m.metrics.gather), promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelError), MaxRequestsInFlight: 8})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		m.look(r.Context()) // Collectors are asked side by side, and a look moves a counter.
		metrics.ServeHTTP(w, r)
	})
	mux.HandleFunc("/{$}", m.page)
	mux.HandleFunc("/status.json", m.statusJSON)
	mux.HandleFunc("/style.css", static("text/css; charset=utf-8", styleSheet))
	mux.HandleFunc("/icon.svg", static("image/svg+xml", icon))
	return mux
}

func plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text)
}

// ready tells whether the daemon can do its work. It says no more, for it is told
// to everybody.
func (m *Monitor) ready(w http.ResponseWriter, r *http.Request) {
	v := m.view(r.Context())
	not, why := 0, ""
	for _, d := range v.databases {
		switch {
		case d.seen == nil:
			not, why = not+1, "the sets have not been looked at yet"
		case d.err != nil:
			not, why = not+1, "the database cannot be looked at"
		}
	}
	switch all := len(v.databases); {
	case all == 0:
		plain(w, http.StatusServiceUnavailable, "not ready: the sets have not been looked at yet\n")
	case not == 0:
		plain(w, http.StatusOK, "ready\n")
	case v.databases[0].name == "":
		plain(w, http.StatusServiceUnavailable, "not ready: "+why+"\n")
	default:
		plain(w, http.StatusServiceUnavailable, fmt.Sprintf("not ready: %d of %d databases cannot be looked at\n", not, all))
	}
}

func static(kind, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, text)
	}
}

// headers are sent with every answer. The page loads nothing but its own style
// sheet, runs no script, has no form and stands in nobody's frame.
var headers = map[string]string{
	"Content-Security-Policy":      "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

// guard lets through who may look, and nothing but looking.
func (m *Monitor) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			plain(w, http.StatusMethodNotAllowed, "there is nothing here but to look at\n")
			return
		}
		public := r.URL.Path == "/healthz" || r.URL.Path == "/readyz"
		a := m.access.Load()
		switch {
		case public:
		case a.open && a.local && !plainHost(r.Host):
			plain(w, http.StatusForbidden, "without a password this is served by the names localhost and IP addresses only\n")
			return
		case !a.open && !a.admits(r):
			w.Header().Set("WWW-Authenticate", `Basic realm="partitiond", charset="UTF-8"`)
			plain(w, http.StatusUnauthorized, "user and password, please\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *access) admits(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	u, p := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(u[:], a.user[:])&subtle.ConstantTimeCompare(p[:], a.password[:]) == 1 && ok
}

// plainHost tells whether a host's name says where it is by itself. By another one
// a page from elsewhere could have its own name mean this machine, and read what is
// served here with its visitor's browser (DNS rebinding).
func plainHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	_, err := netip.ParseAddr(name)
	return err == nil || name == "localhost" || name == ""
}
