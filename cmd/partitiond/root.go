package main

import (
	"io"
	"sync"

	"github.com/spf13/cobra"
)

const defaultConfig = "/etc/partitiond/config.toml"

// options are the flags that several verbs share.
type options struct {
	config string
	// more is text that is read as if it stood at the end of the file.
	more      string
	databases []string
	set       string
	runNow    bool
	dryRun    bool
	json      bool
	maxShare  float64

	stdout, stderr io.Writer
	// printing is held by who prints plans: databases are worked on side by side.
	printing sync.Mutex
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
SIGHUP makes it read its file again. The file may name several databases; what goes
wrong in one of them stops no other, and --database chooses among them.

` + exitHelp,
		Example: `  partitiond --config /etc/partitiond/config.toml             the daemon
  partitiond --config config.toml --run-now                   one pass, then exit
  partitiond --config config.toml --run-now --dry-run         what it would do, and the SQL
  partitiond --config config.toml --run-now --set public.events --json
  partitiond --config config.toml --run-now --database shard_07,shard_08
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
	root.AddCommand(o.newCheck(), o.newStatus(), o.newInit(), o.newHold(), o.newHistory(), o.newDemo(), newVersion(stdout), o.newArchives())
	root.AddCommand(o.newConvert(), o.newPartition(), o.newDrain(), o.newImport())
	for _, verb := range extraVerbs {
		root.AddCommand(verb(root))
	}
	return root
}

// setFlag adds what chooses sets, and the databases that they are in.
func (o *options) setFlag(cmd *cobra.Command) {
	o.databaseFlag(cmd)
	cmd.Flags().StringVar(&o.set, "set", "", "only the set of this parent, such as public.events")
}

func (o *options) databaseFlag(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&o.databases, "database", nil, "of several databases only that of this name; repeatable, or with commas")
}

func (o *options) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.json, "json", false, "print the result as JSON on standard output")
}
