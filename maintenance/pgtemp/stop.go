package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Mode is a way for the server to shut down (PostgreSQL documentation, 19.5
// Shutting Down the Server).
type Mode int

const (
	// Fast ends every session, rolls back what they were doing and writes a
	// checkpoint.
	Fast Mode = iota
	// Smart lets every session end by itself first, for as long as that takes.
	Smart
	// Immediate ends at once without a checkpoint, so that the next start has to
	// recover from the WAL.
	Immediate
)

func (m Mode) signal() os.Signal {
	switch m {
	case Smart:
		return syscall.SIGTERM
	case Immediate:
		return syscall.SIGQUIT
	default:
		return syscall.SIGINT
	}
}

// String is the mode's name as pg_ctl spells it.
func (m Mode) String() string {
	switch m {
	case Smart:
		return "smart"
	case Immediate:
		return "immediate"
	default:
		return "fast"
	}
}

const (
	// patience is how long Close gives an immediate shutdown before it kills. The
	// postmaster itself kills after five seconds those that do not listen.
	patience = 15 * time.Second

	// lastGasp is how long the processes that the postmaster has left behind may
	// take to notice that it is gone.
	lastGasp = 10 * time.Second
)

var errClosed = errors.New("pgtemp: the server is closed")

// Stop shuts the server down and returns once no process of it is left. The
// cluster stays, for [Server.Restart]. To stop a server that does not run is no
// error.
func (s *Server) Stop(mode Mode) error {
	current := s.current()
	if current == nil || current.hasExited() {
		return nil
	}
	if err := current.stop(mode); err != nil {
		return fmt.Errorf("pgtemp: stopping the server (%s): %w; the end of its log:\n%s", mode, err, s.LogTail(20))
	}
	return nil
}

// Restart starts the server again on the same port, after a fast shutdown if it
// runs, and returns once it accepts connections. The context bounds the start.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(Fast); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if !s.run.hasExited() {
		return errors.New("pgtemp: something else has started the server again meanwhile")
	}
	if err := s.serve(ctx); err != nil {
		return fmt.Errorf("pgtemp: %w", err)
	}
	return nil
}

// Kill ends every server process with SIGKILL, as the kernel does when it runs
// out of memory, and returns once none is left. Restart then recovers; what was
// committed is sure to be there only with [Options.Durable].
func (s *Server) Kill() error {
	current := s.current()
	if current == nil {
		return nil
	}
	if err := current.kill(); err != nil {
		return fmt.Errorf("pgtemp: killing the server: %w", err)
	}
	return nil
}

// Close stops the server without ceremony and removes its directory. Later
// calls do nothing and return nil.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var err error
	if s.run != nil && !s.run.hasExited() {
		err = s.run.signal(Immediate.signal())
		select {
		case <-s.run.exited:
		case <-time.After(patience):
		}
	}
	if s.run != nil {
		err = errors.Join(err, s.run.kill())
	}
	s.releaseSharedMemory()
	if err = errors.Join(err, s.dir.remove()); err != nil {
		return fmt.Errorf("pgtemp: closing the server: %w", err)
	}
	return nil
}

func (s *Server) current() *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

// releaseSharedMemory removes the few bytes of System V shared memory that a
// killed postmaster leaves for its next start to find, when there will be none.
// The seventh line of postmaster.pid has its key and id; an orderly shutdown
// removes both. Without ipcrm those bytes stay until the machine restarts.
func (s *Server) releaseSharedMemory() {
	lines := s.postmasterFile()
	if len(lines) < 7 {
		return
	}
	if ids := strings.Fields(lines[6]); len(ids) == 2 {
		_ = exec.Command("ipcrm", "-m", ids[1]).Run()
	}
}

// signal sends the postmaster a signal; none to one that has ended.
func (r *run) signal(signal os.Signal) error {
	err := r.cmd.Process.Signal(signal)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func (r *run) stop(mode Mode) error {
	if err := r.signal(mode.signal()); err != nil {
		return err
	}
	<-r.exited
	if mode != Immediate && r.err != nil {
		return r.err
	}
	return r.awaitEmpty()
}

// kill kills the postmaster and its children. The stopped postmaster can
// neither start new ones nor reap those that end, so none of their process ids
// can name another process yet.
func (r *run) kill() error {
	if r.hasExited() {
		return r.awaitEmpty()
	}
	if err := r.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	children, err := childrenOf(r.pid())
	for _, child := range children {
		if killed := syscall.Kill(child, syscall.SIGKILL); !errors.Is(killed, syscall.ESRCH) {
			err = errors.Join(err, killed)
		}
	}
	err = errors.Join(err, r.signal(syscall.SIGKILL))
	<-r.exited
	return errors.Join(err, r.awaitEmpty())
}

func (r *run) awaitEmpty() error {
	select {
	case <-r.empty:
		return nil
	case <-time.After(lastGasp):
		return errors.New("some process that the server has started is still there")
	}
}
