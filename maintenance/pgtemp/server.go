package pgtemp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
)

// portAttempts bounds how often Start asks the kernel for another port because
// some other program took the last one before the server did.
const portAttempts = 5

// Server is a throw-away PostgreSQL server. Its methods may be called at the
// same time.
type Server struct {
	binaries    Binaries
	dir         *directory
	superuser   string
	password    string
	environment []string
	port        int

	mu     sync.Mutex // guards what follows
	run    *run       // the last one; nil before the first
	closed bool
}

// Start makes a new cluster, starts its server and returns once that accepts
// connections. The context bounds the start, not the server's life: that ends
// with [Server.Close], or with this process.
//
// As root it runs the programs as the user postgres, or nobody if there is no
// such user, since they refuse to run as root.
func Start(ctx context.Context, options Options) (*Server, error) {
	s := &Server{binaries: options.Binaries, superuser: options.Superuser, password: options.Password, environment: options.Environment}
	if s.superuser == "" {
		s.superuser = "postgres"
	}
	if s.binaries == (Binaries{}) {
		found, err := Find()
		if err != nil {
			return nil, err
		}
		s.binaries = found
	}
	configuration, err := options.configuration()
	if err != nil {
		return nil, fmt.Errorf("pgtemp: %w", err)
	}
	as, err := unprivileged()
	if err != nil {
		return nil, fmt.Errorf("pgtemp: %w", err)
	}
	if s.dir, err = makeDirectory(options.Dir, as); err != nil {
		return nil, fmt.Errorf("pgtemp: %w", err)
	}
	err = s.initdb(ctx, configuration)
	if err == nil {
		err = s.serveSomewhere(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pgtemp: %w", err), s.Close())
	}
	return s, nil
}

// serveSomewhere serves on a free port. Between the kernel naming one and the
// server binding it, another program can take it.
func (s *Server) serveSomewhere(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for attempt := 1; ; attempt++ {
		port, err := freePort(ctx)
		if err != nil {
			return err
		}
		s.port = port
		err = s.serve(ctx)
		if !errors.Is(err, errPortTaken) || attempt == portAttempts {
			return err
		}
	}
}

func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	return port, nil
}

// Version is what the server program calls itself, such as "15.18".
func (s *Server) Version() string { return s.binaries.Version }

// Binaries are the programs that the server was started from; psql and pg_dump
// beside them fit its version.
func (s *Server) Binaries() Binaries { return s.binaries }

// Port is the port on 127.0.0.1, the same for the whole life of the server.
func (s *Server) Port() int { return s.port }

// SocketDir is the directory of the server's Unix socket, good for libpq's
// "host". Only the user that the server runs as, and root, can connect there.
func (s *Server) SocketDir() string { return s.dir.socket() }

// DataDir is the data directory of the cluster. It is gone after Close.
func (s *Server) DataDir() string { return s.dir.data() }

// URL is the connection URI of the database, as the superuser, over TCP. It
// holds the password, if there is one.
func (s *Server) URL(db string) string {
	if s.password == "" {
		return s.url(url.User(s.superuser), db)
	}
	return s.url(url.UserPassword(s.superuser, s.password), db)
}

// URLAs is the connection URI of the database for another role. It holds no
// password.
func (s *Server) URLAs(role, db string) string { return s.url(url.User(role), db) }

func (s *Server) url(user *url.Userinfo, db string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     user,
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/" + db,
		RawPath:  "/" + url.PathEscape(db), // a slash may be part of the name
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// LogTail is the end of the server's log, n lines of it at most.
func (s *Server) LogTail(n int) string {
	log, err := os.ReadFile(s.dir.log())
	if err != nil {
		return fmt.Sprintf("(the server's log cannot be read: %v)", err)
	}
	return lastLines(log, n)
}

func lastLines(text []byte, n int) string {
	lines := strings.Split(string(bytes.TrimRight(text, "\n")), "\n")
	return strings.Join(lines[max(0, len(lines)-max(0, n)):], "\n")
}
