package pgtemp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// errPortTaken says that another program listens on the port.
var errPortTaken = errors.New("the port is taken")

// run is one run of the postmaster.
type run struct {
	*process
	// empty is closed once neither the postmaster nor any of its descendants is
	// left.
	empty chan struct{}
}

// serve starts the postmaster, as a direct child, and returns once it accepts
// connections. The caller holds the mutex.
func (s *Server) serve(ctx context.Context) error {
	log, err := os.OpenFile(s.dir.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	defer log.Close() // this process writes nothing to it
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	// Every server process inherits the pipe's write end and never touches it,
	// so its read end tells when the last of them is gone, orphans included.
	alive, held, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	cmd := exec.Command(s.binaries.Path("postgres"),
		"-D", s.dir.data(),
		"-c", "listen_addresses=127.0.0.1",
		"-c", "port="+strconv.Itoa(s.port),
		"-c", "unix_socket_directories="+s.dir.socket(),
		"-c", "unix_socket_permissions=0700",
	)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{held}
	cmd.Env = append(environment(), s.environment...)
	cmd.Dir = s.dir.data() // the present one may be closed to the server's user
	cmd.SysProcAttr = attributes(s.dir.as)
	child, err := spawn(cmd)
	err = errors.Join(err, held.Close())
	if child == nil {
		return errors.Join(fmt.Errorf("starting the server: %w", err), alive.Close())
	}
	s.run = &run{process: child, empty: make(chan struct{})}
	go func(empty chan struct{}) {
		defer alive.Close()
		_, _ = io.Copy(io.Discard, alive) // nothing is written; it ends when all hold it no more
		close(empty)
	}(s.run.empty)

	if err = errors.Join(err, s.awaitReady(ctx)); err == nil {
		return nil
	}
	err = errors.Join(err, s.run.kill())
	messages := logSince(s.dir.log(), before)
	if bytes.Contains(messages, []byte("Address already in use")) {
		err = errors.Join(err, fmt.Errorf("port %d: %w", s.port, errPortTaken))
	}
	return fmt.Errorf("starting the server: %w; the end of its log:\n%s", err, lastLines(messages, 20))
}

// awaitReady returns once the postmaster says that it accepts connections: the
// eighth line of postmaster.pid, which is what pg_ctl --wait goes by. There is
// nothing to wait on, so it looks again, ever less often.
func (s *Server) awaitReady(ctx context.Context) error {
	const longest = 50 * time.Millisecond
	for pause := time.Millisecond; ; pause = min(2*pause, longest) {
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-s.run.exited:
			again.Stop()
			return fmt.Errorf("it ended at once: %w", exitError(s.run.err))
		case <-ctx.Done():
			again.Stop()
			return context.Cause(ctx)
		}
		lines := s.postmasterFile()
		if len(lines) >= 8 && lines[0] == strconv.Itoa(s.run.pid()) && lines[7] == "ready" {
			return nil
		}
	}
}

// postmasterFile is the lines of postmaster.pid; none if there is no such file
// (PostgreSQL documentation, Database File Layout).
func (s *Server) postmasterFile() []string {
	content, err := os.ReadFile(filepath.Join(s.dir.data(), "postmaster.pid"))
	if err != nil {
		return nil
	}
	var lines []string
	for line := range bytes.Lines(content) {
		lines = append(lines, string(bytes.TrimSpace(line)))
	}
	return lines
}

// exitError turns the absence of an error into one.
func exitError(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// logSince is the log from the offset on.
func logSince(name string, offset int64) []byte {
	log, err := os.ReadFile(name)
	if err != nil {
		return fmt.Appendf(nil, "(cannot be read: %v)", err)
	}
	return log[min(offset, int64(len(log))):]
}
