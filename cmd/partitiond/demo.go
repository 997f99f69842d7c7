package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp"
)

// What --rows may be. With the default the demo takes about twenty seconds
// on two processors that are free.
const (
	demoRows      = 15_000
	demoLeastRows = 100
	demoMostRows  = 2_000_000
)

func (o *options) newDemo() *cobra.Command {
	var rows int
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch it work on a throw-away PostgreSQL server",
		Long: `Demo starts a throw-away PostgreSQL server from the installed programs, fills it
with 18 months of chat through the trigger that this pattern's users have in
production today, makes one pass, and shows what that changed: the partitions, one
query's plan and time, the speed of inserts, and where every single row is.

It touches no other server, and leaves no process and no file behind, also when it
is stopped. It exits with 0 only if all that it claims was found to be so.

` + exitHelp,
		Example: `  partitiond demo
  partitiond demo --rows 100000      more rows a month
  partitiond demo --keep             look around with psql afterwards`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.runDemo(cmd.Context(), rows, keep) },
	}
	cmd.Flags().IntVar(&rows, "rows", demoRows, "messages a month, about")
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the server running until Ctrl-C")
	return cmd
}

// runDemo is the world around the demonstration: whatever happens inside, the
// server and all files are gone when it returns.
func (o *options) runDemo(ctx context.Context, rows int, keep bool) (err error) {
	if rows < demoLeastRows || rows > demoMostRows {
		return exitError{exitUsage, fmt.Errorf("--rows %d: expected %d to %d", rows, demoLeastRows, demoMostRows)}
	}
	// A reader or a terminal that goes away must not end the process before it has
	// cleaned up. Ignored, SIGPIPE becomes an error of the write.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	ctx, unhook := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer unhook()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	show := newDemoPrinter(o.stdout, cancel)
	show.line("Starting a throw-away PostgreSQL server ...")
	server, err := pgtemp.Start(ctx, pgtemp.Options{
		// The demo comes by the socket, which is private. This closes the TCP port to
		// the machine's other users, who could connect as the superuser otherwise.
		Password: rand.Text(),
		// When autovacuum came would be luck; the demo vacuums where it would have.
		Settings: map[string]string{"autovacuum": "off"},
	})
	if err != nil {
		return demoError(ctx, err)
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	d := &demo{show: show, server: server, rows: rows, keep: keep}
	if err := d.run(ctx); err != nil {
		return demoError(ctx, err)
	}
	return nil
}

// demoError gives an error its exit code. After a signal, whatever failed did so
// because of that.
func demoError(ctx context.Context, err error) error {
	broken, isWrite := errors.AsType[*demoWriteError](context.Cause(ctx))
	switch {
	case isWrite:
		return exitError{exitFailed, broken}
	case ctx.Err() != nil:
		return exitError{exitStopped, errors.New("the demo was stopped; its server and its files are removed")}
	}
	return exitError{exitFailed, fmt.Errorf("demo: %w", err)}
}

// demo is one demonstration.
type demo struct {
	show   *demoPrinter
	server *pgtemp.Server
	rows   int
	keep   bool

	// store is the set's archive.
	store archive.Store
	// dir goes away with the server.
	dir string
	// conn is a superuser's.
	conn *pgx.Conn
	// now is the server's clock in UTC, when it began.
	now time.Time
	// loading says that notices are the old trigger's, and made how many it has made.
	loading bool
	made    int

	set      partition.Set
	maintain *maintenance.Maintainer
	log      *demoLog
}

func (d *demo) run(ctx context.Context) (err error) {
	began := time.Now()
	// The server's own directory: what is put there is removed with it, and by the
	// next server's start even if this process is killed.
	d.dir = filepath.Dir(d.server.DataDir())
	d.show.line("PostgreSQL %s on port %d of the socket in %s", d.server.Version(), d.server.Port(), d.server.SocketDir())
	if err := d.build(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDemo(ctx, d.conn)) }()

	text, err := d.configure()
	if err != nil {
		return err
	}
	d.show.heading("Before")
	plan, err := d.plan(ctx)
	if err != nil {
		return err
	}
	before, err := d.observe(ctx, plan)
	if err != nil {
		return err
	}
	d.showState(before)
	if err := d.measure(ctx, before); err != nil {
		return err
	}
	d.showMeasures(before)

	d.show.heading("The configuration, all of it")
	d.show.block(text)
	d.show.heading("What a pass would do (--run-now --dry-run)")
	d.showPlan(plan)
	d.show.heading("The pass, as role partitiond, who is no superuser")
	report, err := d.pass(ctx)
	if err != nil {
		return err
	}
	d.showReport(report)

	d.show.heading("After")
	again, err := d.plan(ctx)
	if err != nil {
		return err
	}
	after, err := d.observe(ctx, again)
	if err != nil {
		return err
	}
	d.showState(after)
	archived, err := d.archived(ctx, plan)
	if err != nil {
		return err
	}
	d.showArchived(archived)
	if err := d.measure(ctx, after); err != nil {
		return err
	}
	d.show.heading("Before and after")
	d.compare(before, after)

	d.show.heading("The accounts")
	failed, err := d.settle(ctx, before, after, report, archived)
	if err != nil {
		return err
	}
	d.show.line("")
	d.show.line("That took %.0f seconds.", time.Since(began).Seconds())
	if d.keep {
		d.wait(ctx)
	}
	if failed > 0 {
		return fmt.Errorf("%d of the accounts do not hold", failed)
	}
	return nil
}

// plan looks at the set as a pass would.
func (d *demo) plan(ctx context.Context) (maintenance.Planned, error) {
	planned, err := d.maintain.Plan(ctx, []partition.Set{d.set})
	if err != nil {
		return maintenance.Planned{}, err
	}
	return planned[0], planned[0].Err
}

// pass makes one pass, as --run-now does.
func (d *demo) pass(ctx context.Context) (maintenance.Report, error) {
	report, err := d.maintain.Pass(ctx, ctx.Done(), []partition.Set{d.set})
	d.log.flush()
	if err != nil {
		return report, err
	}
	return report, ctx.Err()
}

// configure makes the configuration, and all that comes of it.
func (d *demo) configure() (string, error) {
	root := filepath.Join(d.dir, "archive")
	if err := os.Mkdir(root, 0o700); err != nil {
		return "", fmt.Errorf("make the archive's directory: %w", err)
	}
	text := fmt.Sprintf(`[database]
url = %q

[[set]]
parent = "public.chat_master"
key = "created_at"

[set.retention]
keep = "12 months"
then = "archive"
archive = %q
`, d.url("partitiond"), "file://"+escapePath(root))
	if err := os.WriteFile(d.configPath(), []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write the configuration: %w", err)
	}
	c, err := config.Parse("demo.toml", []byte(text))
	if err != nil {
		return "", err
	}
	d.log = newDemoLog(d.show)
	d.maintain = newMaintainer(c, &c.Databases[0], d.log.logger())
	d.set = c.Databases[0].Sets[0].Set
	if d.store, err = d.maintain.OpenStore(d.set); err != nil {
		return "", err
	}
	return text, nil
}

func (d *demo) configPath() string { return filepath.Join(d.dir, "demo.toml") }

// wait keeps the server until the program is stopped, which is success here.
func (d *demo) wait(ctx context.Context) {
	d.show.heading("The server stays until Ctrl-C")
	d.show.line("  %s -h %s -p %d -U postgres chat", d.server.Binaries().Path("psql"), d.server.SocketDir(), d.server.Port())
	d.show.line("  partitiond check --config %s", d.configPath())
	<-ctx.Done()
	d.show.line("")
	d.show.line("Removed: the server and all its files.")
}
