package prove

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/convert"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// childEnv holds, in JSON, the task of a process that a test starts.
const childEnv = pgtest.ChildEnv

// application is what the child's sessions are called.
const application = "doomed"

// work is what a child does.
type work string

// Kinds of work. Three are those of the verb convert.
const (
	passing   work = ""
	restoring work = "restore" // all that is archived
	forward   work = "convert"
	back      work = "convert --rollback"
	finish    work = "convert --finish"
	drain     work = "drain"
)

// task is what a child does until it is killed.
type task struct {
	// URL is the database's, and Config the set's configuration.
	URL, Config string
	Work        work
	// Late is SQL that is run, by somebody else, each time that one of the first manifests
	// has come to be, with a number for {{n}}; then the child says "late" and the number.
	Late string
	// Endpoint is the S3 server's.
	Endpoint string
	// Shift is the file that the server's clock goes by. With it the child makes passes
	// until its standard input ends; see live.
	Shift string
	// At is the point at which it sends itself SIGKILL; at 0 it lives to tell how many
	// there are.
	At int64
}

// child does a task in a process of its own.
func child(k task) error {
	if k.Shift != "" {
		return k.live()
	}
	t := &trap{at: k.At, spring: func(label string) {
		fmt.Println(label)
		pgtest.Die()
	}}
	if k.Late != "" {
		t.manifest = k.comeLate
	}
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

// comeLate runs the SQL for late rows.
func (k task) comeLate(n int) error {
	if n > 2 {
		return nil // A month that is never still is not archived.
	}
	conn, err := pgx.Connect(context.Background(), k.URL)
	if err != nil {
		return err
	}
	if _, err := conn.Exec(context.Background(), strings.ReplaceAll(k.Late, "{{n}}", fmt.Sprint(n))); err != nil {
		return err
	}
	fmt.Printf("late %d\n", n)
	return conn.Close(context.Background())
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
	switch k.Work {
	case passing:
		report, err := m.Pass(ctx, nil, []partition.Set{set})
		if err == nil && report.Status() != maintenance.Done {
			err = fmt.Errorf("the pass is %s: %+v", report.Status(), report)
		}
		return err
	case restoring:
		return restoreAll(ctx, m, set)
	}
	result, err := k.Work.convert(ctx, m, set)
	if err == nil && result.Tasks == 0 && !result.Swapped {
		err = fmt.Errorf("there was nothing to do: %s", result.Plan.Done)
	}
	return err
}

// restoreAll restores all that counts of an archive.
func restoreAll(ctx context.Context, m *maintenance.Maintainer, set partition.Set) error {
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

// convert converts a set, or ends that, or drains it.
func (w work) convert(ctx context.Context, m *maintenance.Maintainer, set partition.Set) (convert.Result, error) {
	options := convert.Options{Rollback: w == back, WidenKeys: true, Bound: eternity}
	if w == drain {
		return convert.RunDrain(ctx, nil, m.Connect, set, convert.DrainOptions{Options: options}, m.Log)
	}
	return convert.Run(ctx, nil, m.Connect, set, func(ctx context.Context, conn *pgx.Conn) (convert.Plan, error) {
		switch w {
		case back:
			return convert.Back(ctx, conn, set, options)
		case finish:
			return convert.Finish(ctx, conn, set, options)
		}
		return convert.Forward(ctx, conn, set, options)
	}, m.Log)
}
