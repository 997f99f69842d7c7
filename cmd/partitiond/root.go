package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/config"
	"github.com/partitiond/partitiond/maintenance/partition"
)

const defaultConfig = "/etc/partitiond/config.toml"

// options are the flags that several verbs share.
type options struct {
	config   string
	set      string
	runNow   bool
	dryRun   bool
	json     bool
	maxShare float64

	stdout, stderr io.Writer
}

// extraVerbs make verbs that only some builds have.
var extraVerbs []func(root *cobra.Command) *cobra.Command

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	o := &options{stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:   "partitiond",
		Short: "Keeps time-partitioned PostgreSQL tables healthy",
		Long: `Partitiond keeps time-partitioned PostgreSQL tables healthy, on plain PostgreSQL.

Without a verb it is the daemon: it makes a pass over its sets when it starts and
then on schedule. SIGTERM and SIGINT stop it after the current transaction,
SIGHUP makes it read its file again.

` + exitHelp,
		Example: `  partitiond --config /etc/partitiond/config.toml             the daemon
  partitiond --config config.toml --run-now                   one pass, then exit
  partitiond --config config.toml --run-now --dry-run         what it would do, and the SQL
  partitiond --config config.toml --run-now --set public.events --json
  partitiond check --config config.toml                       for monitoring and CI
  partitiond demo                                             watch it work on a throw-away server`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.runNow {
				return o.runOnce(cmd.Context())
			}
			return o.runDaemon(cmd.Context())
		},
	}
	root.PersistentFlags().StringVarP(&o.config, "config", "c", defaultConfig, "configuration file")
	flags := root.Flags()
	flags.BoolVar(&o.runNow, "run-now", false, "make one pass and exit")
	flags.BoolVar(&o.dryRun, "dry-run", false, "print what a pass would do, with the SQL and its locks, and change nothing")
	o.setFlag(root)
	o.jsonFlag(root)
	flags.Float64Var(&o.maxShare, "max-share", 0, "with --run-now: the share of a set that may be removed at once, instead of retention.max_share")
	root.AddCommand(o.newCheck(), o.newInit(), o.newHold(), o.newHistory(), o.newDemo(), newVersion(stdout), o.newArchives())
	root.AddCommand(o.newConvert(), o.newPartition())
	for _, verb := range extraVerbs {
		root.AddCommand(verb(root))
	}
	root.AddCommand(o.newCheck(), o.newStatus(), o.newInit(), o.newHold(), o.newDemo(), newVersion(stdout), o.newArchives())
	return root
}

func (o *options) setFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.set, "set", "", "only the set of this parent, such as public.events")
}

func (o *options) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.json, "json", false, "print the result as JSON on standard output")
}

// load reads the configuration. All its errors are of the user's making.
func (o *options) load() (*config.Config, error) {
	c, err := config.Load(o.config)
	if err != nil {
		return nil, exitError{exitUsage, err}
	}
	return c, nil
}

// ready reads the configuration and wires it to its server, with the sets that the
// flags ask for; the log goes to w.
func (o *options) ready(w *console) (*config.Config, []partition.Set, *maintenance.Maintainer, error) {
	c, err := o.load()
	if err != nil {
		return nil, nil, nil, err
	}
	sets, err := o.sets(c)
	if err != nil {
		return nil, nil, nil, err
	}
	m, err := newMaintainer(c, newLogger(c.Log, w))
	return c, sets, m, err
}

// sets returns the sets that the flags ask for, with what the flags change.
func (o *options) sets(c *config.Config) ([]partition.Set, error) {
	if o.maxShare < 0 || o.maxShare > 1 {
		return nil, exitError{exitUsage, fmt.Errorf("--max-share %g: expected a share from 0 to 1", o.maxShare)}
	}
	if o.maxShare > 0 && !o.runNow {
		return nil, exitError{exitUsage, errors.New("--max-share is for one pass: expected --run-now with it")}
	}
	chosen := c.Sets
	if o.set != "" {
		s, err := c.Find(o.set)
		if err != nil {
			return nil, exitError{exitUsage, fmt.Errorf("--set: %w", err)}
		}
		chosen = []config.Set{*s}
	}
	sets := make([]partition.Set, len(chosen))
	for i, s := range chosen {
		sets[i] = s.Set
		if o.maxShare > 0 {
			sets[i].Retention.MaxShare = o.maxShare
		}
	}
	return sets, nil
}
