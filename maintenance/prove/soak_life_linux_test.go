package prove

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// life is a set with its daemon and those who write to it.
type life struct {
	*lab
	name        string
	declarative bool
	w           *world
	daemon      *living
	// written is how many rows each client has committed.
	written  [4]atomic.Int64
	restored int
	samples  []sample
	// used is the processor time of the daemon.
	used float64
}

// number is a client's n-th row's.
func number(client int, n int64) int64 { return int64(client+1)*100_000_000 + n }

// client writes rows until it is told to stop, and counts those that are committed.
func (l *life) client(ctx context.Context, s *soak, i int, ended <-chan struct{}) error {
	conn, err := connect(ctx, l.server.URL(l.template))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	insert := func(n int64) error {
		ago := 0
		if n%50 == 0 {
			s.late.RLock()
			defer s.late.RUnlock()
			if s.raining {
				ago = lateBy
			}
		}
		_, err := conn.Exec(ctx, "INSERT INTO events (id, at) VALUES ($1, now() - make_interval(months => $2))", number(i, n), ago)
		return err
	}
	for n := int64(0); ; n++ {
		select {
		case <-ended:
			return nil
		case <-pace.C:
		}
		if err := insert(n); err != nil {
			return fmt.Errorf("%s: client %d: %w", l.name, i, err)
		}
		l.written[i].Add(1)
	}
}

// restoreOne brings the oldest archived month back beside the set.
func (l *life) restoreOne(t *testing.T) {
	t.Helper()
	exports := l.w.counting()
	if len(exports) == 0 {
		return
	}
	beside := partition.Name{Schema: "public", Local: "beside"}
	if _, err := l.w.looker.Restore(t.Context(), maintenance.RestoreRequest{Set: l.w.set, Manifests: []archive.Manifest{exports[0]}, Into: beside}); err != nil {
		t.Errorf("%s: restore: %v", l.name, err)
		return
	}
	l.w.exec(l.w.super, "DROP TABLE "+quoted(beside))
	l.restored++
}

// account finds each row once, before and after a last pass that leaves nothing to do.
func (l *life) account(t *testing.T) {
	t.Helper()
	defer l.leave(l.w)
	model := maps.Clone(l.model)
	for i := range l.written {
		for n := range l.written[i].Load() {
			model[strconv.FormatInt(number(i, n), 10)] = row{}
		}
	}
	l.settled(t, l.w, model, l.name)
	d := l.daemon
	t.Logf("%s: %d rows; %d passes (%v), of %d something is left to do that was expected; %d restores; %.0f s of processor time of the daemon",
		l.name, len(model), d.passes, d.statuses, d.expected, l.restored, l.used)
}

// sample is what was seen of the daemon at one time.
type sample struct {
	at time.Duration
	// memory, what is resident, and the heap are in MiB. The heap is the size at which
	// Go's garbage collector runs next, twice of what it last found in use.
	memory, heap, goroutines, connections float64
}

// watch looks at the daemon each second, as Prometheus would.
func (l *life) watch(ctx context.Context, began time.Time, ended <-chan struct{}) error {
	conn, err := connect(ctx, l.server.URL(l.template))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-ended:
			return nil
		case <-second.C:
		}
		metrics, err := l.daemon.metrics(ctx)
		if err != nil {
			return fmt.Errorf("%s: look at the daemon: %w", l.name, err)
		}
		s := sample{at: time.Since(began), memory: metrics["process_resident_memory_bytes"] / (1 << 20),
			heap: metrics["go_memstats_next_gc_bytes"] / (1 << 20), goroutines: metrics["go_goroutines"]}
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()", application).Scan(&s.connections); err != nil {
			return err
		}
		l.samples, l.used = append(l.samples, s), metrics["process_cpu_seconds_total"]
	}
}

// living is a daemon in a process of its own.
type living struct {
	*life
	soak    *soak
	t       *testing.T
	cmd     *exec.Cmd
	stdin   io.Closer
	address string
	// read closes when all that it said was read; until then one goroutine has the rest.
	read     chan struct{}
	passes   int
	expected int
	statuses map[maintenance.Status]int
}

func startDaemon(t *testing.T, s *soak, l *life) *living {
	t.Helper()
	k := l.task(l.template, l.directory, 0)
	k.Shift = s.server.file.Name()
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	d := &living{t: t, soak: s, life: l, cmd: exec.CommandContext(t.Context(), os.Args[0]), statuses: map[maintenance.Status]int{}, read: make(chan struct{})}
	d.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	if d.stdin, err = d.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stderr = os.Stderr
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		t.Fatalf("the daemon does not say where its monitor listens: %v", d.cmd.Wait())
	}
	d.address = lines.Text()
	t.Cleanup(func() { <-d.read }) // It is killed by now if it was not stopped.
	go func() {
		defer close(d.read)
		for lines.Scan() {
			d.note(lines.Text())
		}
	}()
	return d
}

// note takes what the daemon says of a pass.
func (d *living) note(line string) {
	var t told
	if err := json.Unmarshal([]byte(line), &t); err != nil {
		d.t.Errorf("%s: the daemon says %q: %v", d.name, line, err)
		return
	}
	status := t.Report.Status()
	d.passes++
	d.statuses[status]++
	wrong := d.soak.unexplained(t, d.declarative)
	switch {
	case len(wrong) > 0:
		d.t.Errorf("%s: a pass that began at %s and took %.1f s is %s: %s", d.name, t.Report.Began.Format(time.TimeOnly), t.Report.Seconds, status, strings.Join(wrong, "; "))
	case status == maintenance.Partly || status == maintenance.Failed:
		d.expected++
	}
}

// metrics are those without labels that the monitor has.
func (d *living) metrics(ctx context.Context) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	found := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			found[name] = n
		}
	}
	return found, nil
}

// stop has the daemon end in order.
func (d *living) stop(t *testing.T) {
	t.Helper()
	_ = d.stdin.Close()
	<-d.read
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("%s: the daemon ends with %v", d.name, err)
	}
}
