package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/partitiond/partitiond/maintenance/pgtemp"
)

// warmUp is how long a load runs before anything is measured.
const warmUp = 2 * time.Second

// noticed is the shortest wait for a lock that the server logs of the load (PostgreSQL
// documentation, 20.12 Lock Management). It tells such waits from those for a processor.
const noticed = 10 * time.Millisecond

// stream is one pgbench, which runs one script at a steady rate. Inserts and reads
// have each their own: in one, an insert would wait for a client that reads.
type stream struct {
	name          string
	rate, clients int
	script        string

	cmd    *exec.Cmd
	prefix string
	stderr bytes.Buffer
}

// transaction is one line of pgbench's log, by this machine's clock.
type transaction struct {
	began, ended time.Time
	failed       bool
}

func (t transaction) took() time.Duration { return t.ended.Sub(t.began) }

// start begins the stream; it runs until it is waited for.
func (s *stream) start(ctx context.Context, server *pgtemp.Server, dir, db string) error {
	dir, err := os.MkdirTemp(dir, s.name+"-*")
	if err != nil {
		return err
	}
	script := filepath.Join(dir, "script.sql")
	if err := os.WriteFile(script, []byte(s.script), 0o600); err != nil {
		return err
	}
	s.prefix = filepath.Join(dir, "log")
	s.cmd = exec.CommandContext(ctx, server.Binaries().Path("pgbench"), "--no-vacuum", "--protocol=prepared", "--file="+script,
		fmt.Sprint("--client=", s.clients), fmt.Sprint("--rate=", s.rate), "--time=86400",
		"--random-seed=1", "--log", "--log-prefix="+s.prefix, "--failures-detailed", server.URL(db))
	s.cmd.Env = append(os.Environ(), "PGAPPNAME="+s.name, "PGOPTIONS=-c log_lock_waits=on -c deadlock_timeout="+noticed.String())
	s.cmd.Stderr = &s.stderr
	return s.cmd.Start()
}

// wait ends the stream and reads its log. Lost are the clients that ended
// before: pgbench gives a client up whose statement failed by anything but a deadlock
// or a serialization failure.
func (s *stream) wait() (all []transaction, lost int, err error) {
	// It is what the clock of --time sends: the transactions at work are finished and logged.
	if err := s.cmd.Process.Signal(syscall.SIGALRM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return nil, 0, err
	}
	err = s.cmd.Wait()
	lost = strings.Count(s.stderr.String(), " aborted")
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || lost == 0) {
		return nil, 0, fmt.Errorf("pgbench: %w: %s", err, s.stderr.String())
	}
	logs, err := filepath.Glob(s.prefix + ".*")
	if err != nil {
		return nil, 0, err
	}
	for _, name := range logs {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, 0, err
		}
		for line := range strings.Lines(string(text)) {
			t, err := readTransaction(line)
			if err != nil {
				return nil, 0, err
			}
			all = append(all, t)
		}
	}
	if len(all) == 0 {
		return nil, 0, fmt.Errorf("pgbench has logged nothing: %s", s.stderr.String())
	}
	return all, lost, nil
}

// readTransaction reads a line of the log (PostgreSQL documentation, pgbench,
// Per-Transaction Logging). With a rate, its time begins when the transaction was due,
// and the lag after that is the client's, who was not free yet.
func readTransaction(line string) (t transaction, err error) {
	var client, number, script, seconds, microseconds, lag int64
	var took string
	if _, err := fmt.Sscan(line, &client, &number, &took, &script, &seconds, &microseconds, &lag); err != nil {
		return t, fmt.Errorf("read pgbench's log line %q: %w", line, err)
	}
	t.ended = time.Unix(seconds, microseconds*1000)
	var n int64
	if _, err := fmt.Sscan(took, &n); err != nil {
		t.failed = true // It has a word instead of the time.
		n = lag
	}
	t.began = t.ended.Add(-time.Duration(n-lag) * time.Microsecond)
	return t, nil
}

// lockWait is the server's word on a wait of the stream of inserts that is over.
var lockWait = regexp.MustCompile(`(?m)^inserts\|.* acquired \w+Lock on relation .* after ([0-9.]+) ms`)

// lockWaits are the inserts' waits for tables' locks that the server has logged so far.
func (l *locks) lockWaits() (waits []time.Duration) {
	for _, m := range lockWait.FindAllStringSubmatch(l.server.LogTail(1<<20), -1) {
		if ms, err := strconv.ParseFloat(m[1], 64); err == nil {
			waits = append(waits, time.Duration(ms*float64(time.Millisecond)))
		}
	}
	return waits
}

// stalls are the times of the transactions of one window, sorted.
type stalls struct {
	times  []time.Duration
	failed int
}

// within are those that were at work between two moments.
func within(all []transaction, from, to time.Time) (s stalls) {
	for _, t := range all {
		if t.ended.Before(from) || t.began.After(to) {
			continue
		}
		if t.failed {
			s.failed++
		}
		s.times = append(s.times, t.took())
	}
	slices.Sort(s.times)
	return s
}

// quantile is the time that the share q of them does not pass.
func (s stalls) quantile(q float64) time.Duration {
	if len(s.times) == 0 {
		return 0
	}
	return s.times[min(len(s.times)-1, int(q*float64(len(s.times))))]
}

func (s stalls) worst() time.Duration { return s.quantile(1) }

// join adds up the windows of several rounds.
func (s *stalls) join(other stalls) {
	s.times = append(s.times, other.times...)
	slices.Sort(s.times)
	s.failed += other.failed
}
