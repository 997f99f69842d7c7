package prove

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// childEnv holds, in JSON, the task of a process that a test starts.
const childEnv = "PARTITIOND_PROVE_CHILD"

// application is what the child's sessions are called.
const application = "doomed"

// task is what a child does until it is killed.
type task struct {
	// URL is the database's, and Config the set's configuration.
	URL, Config string
	// Restore has it restore all that is archived, instead of making a pass.
	Restore bool
	// Endpoint is the S3 server's.
	Endpoint string
	// Shift is the file that the server's clock goes by. With it the child makes passes
	// until its standard input ends; see live.
	Shift string
	// At is the point at which it sends itself SIGKILL; at 0 it lives to tell how many
	// there are.
	At int64
}

// child does the task and returns the exit code.
func child(text string) int {
	if err := childTask(text); err != nil {
		fmt.Println(err)
		return 3
	}
	return 0
}

func childTask(text string) error {
	var k task
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		return err
	}
	if k.Shift != "" {
		return k.live()
	}
	t := &trap{at: k.At, spring: func(label string) {
		fmt.Println(label)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // Until the signal is there.
	}}
	m, set, err := t.maintainer(k, nil)
	if err != nil {
		return err
	}
	if err := k.work(context.Background(), m, set); err != nil {
		return err
	}
	if k.At == 0 {
		fmt.Printf("points %d\n", t.n.Load())
	}
	return nil
}

// maintainer returns one that walks into the trap. It connects by dial, if that is
// not nil.
func (t *trap) maintainer(k task, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*maintenance.Maintainer, partition.Set, error) {
	m, set, err := maintainer(k.Config, k.URL, slog.New(slog.NewTextHandler(os.Stdout, nil)))
	if err != nil {
		return nil, set, err
	}
	options, err := pgx.ParseConfig(k.URL)
	if err != nil {
		return nil, set, err
	}
	options.RuntimeParams["application_name"] = application
	if dial == nil {
		dial = options.DialFunc
	}
	options.DialFunc = t.dial(dial)
	m.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, options.Copy()) }
	m.Archiving.Wrap = t.store
	m.Archiving.S3.Endpoint, m.Archiving.S3.PathStyle = k.Endpoint, true
	return m, set, nil
}

// work does what is to be interrupted. Undisturbed it succeeds.
func (k task) work(ctx context.Context, m *maintenance.Maintainer, set partition.Set) error {
	if !k.Restore {
		report, err := m.Pass(ctx, nil, []partition.Set{set})
		if err == nil && report.Status() != maintenance.Done {
			err = fmt.Errorf("the pass is %s: %+v", report.Status(), report)
		}
		return err
	}
	store, err := m.OpenStore(set)
	if err != nil {
		return err
	}
	all, err := archive.List(ctx, store, set.Parent)
	if err != nil {
		return err
	}
	request := maintenance.RestoreRequest{Set: set, HoldUntil: time.Now().Add(24 * time.Hour)}
	for _, m := range all {
		if !m.Superseded {
			request.Manifests = append(request.Manifests, m.Manifest)
		}
	}
	_, err = m.Restore(ctx, request)
	return err
}

// run runs a child with the task. It tells what the child said, and whether it was
// killed by a signal.
func (k task) run(t *testing.T) (output string, killed bool, err error) {
	t.Helper()
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return out.String(), ok && status.Signal() == syscall.SIGKILL, err
}
