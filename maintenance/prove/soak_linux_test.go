package prove

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// TestSoak lets a daemon live through a month a minute, for as long as PARTITIOND_SOAK
// says: clients write, months go to S3, and every other month one of them is restored
// beside the set. Memory, goroutines and connections have to stay as they were.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("PARTITIOND_SOAK"))
	if err != nil {
		t.Skip("PARTITIOND_SOAK does not say how long, such as 10m; see make soak")
	}
	const month, clients = time.Minute, 4
	server := newShifted(t)
	l := newLabOn(t, scenario{id: "id", then: partition.Archive, s3: true, passes: []string{""},
		tables: events + rowsOf("events", "id, at", "-2", "0", 0),
		config: eventSet + `ahead = 2
retention = { keep = "2 months", then = "archive", archive = "{{archive}}", max_share = 1, late_grace = "0s" }`}, server.Server)
	w := l.world(t, l.template, l.directory)
	defer l.leave(w)
	w.m.Clock = server.clock
	daemon := startDaemon(t, l, server)

	ended := make(chan struct{})
	var writers errgroup.Group
	var written [clients]atomic.Int64
	for i := range clients {
		writers.Go(func() error { return l.client(t.Context(), i, &written[i], ended) })
	}
	var samples []sample
	restored := 0
	began := time.Now()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for last := 0; time.Since(began) < length; {
		<-second.C
		age := time.Since(began)
		if n := int(age / month); n > last {
			last = n
			server.shift(t, time.Duration(n)*31*24*time.Hour)
			if n%2 == 0 {
				restored += l.restoreOne(t, w)
			}
		}
		samples = append(samples, daemon.sample(t, w, age))
	}
	close(ended)
	if err := writers.Wait(); err != nil {
		t.Error(err)
	}
	daemon.stop(t)
	model := maps.Clone(l.model)
	rows := int64(0)
	for i := range written {
		for n := range written[i].Load() {
			model[strconv.FormatInt(number(i, n), 10)] = row{}
		}
		rows += written[i].Load()
	}
	l.settled(t, w, model, "after all")
	t.Logf("%d rows, %d passes (%v), %d restores in %s", rows, daemon.passes, daemon.statuses, restored, length)
	t.Logf("what passes told of:\n%s", strings.Join(daemon.output, "\n"))
	report(t, samples)
}

// number is a client's n-th row's.
func number(client int, n int64) int64 { return int64(client+1)*100_000_000 + n }

// client writes rows until it is told to stop, and counts those that are committed.
func (l *lab) client(ctx context.Context, i int, written *atomic.Int64, ended <-chan struct{}) error {
	conn, err := connect(ctx, l.server.URL(l.template))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for n := int64(0); ; n++ {
		select {
		case <-ended:
			return nil
		case <-pace.C:
		}
		ago := 0
		if n%50 == 0 {
			ago = 3 // It is late.
		}
		if _, err := conn.Exec(ctx, "INSERT INTO events (id, at) VALUES ($1, now() - make_interval(months => $2))", number(i, n), ago); err != nil {
			return fmt.Errorf("client %d: %w", i, err)
		}
		written.Add(1)
	}
}

// restoreOne brings the oldest archived month back beside the set, and tells how many
// it was.
func (l *lab) restoreOne(t *testing.T, w *world) int {
	t.Helper()
	exports := w.counting()
	if len(exports) == 0 {
		return 0
	}
	beside := partition.Name{Schema: "public", Local: "beside"}
	if _, err := w.looker.Restore(t.Context(), maintenance.RestoreRequest{Set: w.set, Manifests: []archive.Manifest{exports[0]}, Into: beside}); err != nil {
		t.Errorf("restore: %v", err)
		return 0
	}
	w.exec(w.super, "DROP TABLE "+quoted(beside))
	return 1
}

// sample is what was seen of the daemon at one time.
type sample struct {
	at                              time.Duration
	memory, goroutines, connections float64
}

// living is a daemon in a process of its own.
type living struct {
	cmd        *exec.Cmd
	stdin      interface{ Close() error }
	mu         sync.Mutex
	passes     int
	goroutines int
	statuses   map[string]int
	output     []string
	read       chan struct{}
}

func startDaemon(t *testing.T, l *lab, server *shifted) *living {
	t.Helper()
	k := l.task(l.template, l.directory, 0)
	k.Shift = server.file.Name()
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	d := &living{cmd: exec.CommandContext(t.Context(), os.Args[0]), statuses: map[string]int{}, read: make(chan struct{})}
	d.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	if d.stdin, err = d.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			d.note(lines.Text())
		}
	}()
	return d
}

func (d *living) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	status, n, _ := strings.Cut(line, " ")
	goroutines, err := strconv.Atoi(n)
	if err != nil {
		d.output = append(d.output, line)
		return
	}
	d.goroutines = goroutines
	d.passes++
	d.statuses[status]++
}

func (d *living) sample(t *testing.T, w *world, at time.Duration) sample {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	s := sample{at: at}
	for line := range strings.Lines(string(status)) {
		if kilobytes, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			_, _ = fmt.Sscan(kilobytes, &s.memory)
			s.memory /= 1024
		}
	}
	n := w.strings("SELECT count(*)::text FROM pg_stat_activity WHERE application_name = $1", application)
	_, _ = fmt.Sscan(n[0], &s.connections)
	d.mu.Lock()
	defer d.mu.Unlock()
	s.goroutines = float64(d.goroutines)
	return s
}

func (d *living) stop(t *testing.T) {
	t.Helper()
	_ = d.stdin.Close()
	<-d.read
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("the daemon ends with %v: %s", err, strings.Join(d.output, "\n"))
	}
}
