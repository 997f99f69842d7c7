package config

import (
	"log/slog"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// The structs below are the file as people write it: every key has a field with
// its name, and config.example.toml has to show each of them. A nil pointer is a
// key that was left out. The types say how a string is meant, for messages.
type (
	duration string
	interval string

	documentKeys struct {
		// There is one table of this name, or an array of them.
		Database  databaseKeys `toml:"database"`
		Databases []memberKeys `toml:"database"`

		Schedule scheduleKeys `toml:"schedule"`
		Log      logKeys      `toml:"log"`
		Limits   limitKeys    `toml:"limits"`
		Archive  archiveKeys  `toml:"archive"`
		History  historyKeys  `toml:"history"`
		Notify   []notifyKeys `toml:"notify"`
		Hooks    hookKeys     `toml:"hooks"`
		Monitor  monitorKeys  `toml:"monitor"`
		Sets     []setKeys    `toml:"set"`
	}

	memberKeys struct {
		Name           *string   `toml:"name"`
		URL            *string   `toml:"url"`
		PasswordFile   *string   `toml:"password_file"`
		ConnectTimeout *duration `toml:"connect_timeout"`
		SharedSets     *bool     `toml:"shared_sets"`
		Sets           []setKeys `toml:"set"`
	}

	databaseKeys struct {
		URL            *string   `toml:"url"`
		PasswordFile   *string   `toml:"password_file"`
		ConnectTimeout *duration `toml:"connect_timeout"`
	}

	scheduleKeys struct {
		Cron        *string   `toml:"cron"`
		TimeZone    *string   `toml:"time_zone"`
		RunAtStart  *bool     `toml:"run_at_start"`
		Databases   *int      `toml:"databases"`
		Parallel    *int      `toml:"parallel"`
		StopTimeout *duration `toml:"stop_timeout"`
	}

	logKeys struct {
		Level  *string `toml:"level"`
		Format *string `toml:"format"`
	}

	limitKeys struct {
		LockTimeout       *duration `toml:"lock_timeout"`
		ConcurrentTimeout *duration `toml:"concurrent_timeout"`
		StatementTimeout  *duration `toml:"statement_timeout"`
		Retries           *int      `toml:"retries"`
		RetryWait         *duration `toml:"retry_wait"`
		MaxRetryWait      *duration `toml:"max_retry_wait"`
	}

	archiveKeys struct {
		Format             *string `toml:"format"`
		PartMegabytes      *int    `toml:"part_megabytes"`
		MegabytesPerSecond *int    `toml:"megabytes_per_second"`
		S3                 s3Keys  `toml:"s3"`
	}

	historyKeys struct {
		Passes *interval `toml:"passes"`
		Events *interval `toml:"events"`
	}

	s3Keys struct {
		Endpoint  *string `toml:"endpoint"`
		Region    *string `toml:"region"`
		PathStyle *bool   `toml:"path_style"`
	}

	notifyKeys struct {
		URL     *string   `toml:"url"`
		URLFile *string   `toml:"url_file"`
		Command *[]string `toml:"command"`
		Format  *string   `toml:"format"`
		Events  *[]string `toml:"events"`
		Timeout *duration `toml:"timeout"`
		Retries *int      `toml:"retries"`
		Repeat  *duration `toml:"repeat"`
	}

	hookKeys struct {
		BeforeRemoval beforeRemovalKeys `toml:"before_removal"`
	}

	beforeRemovalKeys struct {
		URL     *string   `toml:"url"`
		URLFile *string   `toml:"url_file"`
		Command *[]string `toml:"command"`
		Timeout *duration `toml:"timeout"`
	}

	monitorKeys struct {
		Listen       *string `toml:"listen"`
		User         *string `toml:"user"`
		PasswordFile *string `toml:"password_file"`
	}

	setKeys struct {
		Parent           *string       `toml:"parent"`
		Key              *string       `toml:"key"`
		KeyUnit          *string       `toml:"key_unit"`
		Style            *string       `toml:"style"`
		DefaultPartition *bool         `toml:"default_partition"`
		Interval         *interval     `toml:"interval"`
		Name             *string       `toml:"name"`
		Ahead            *int          `toml:"ahead"`
		FillGaps         *bool         `toml:"fill_gaps"`
		TimeZone         *string       `toml:"time_zone"`
		Cron             *string       `toml:"cron"`
		Trigger          *string       `toml:"trigger"`
		Function         *string       `toml:"function"`
		Takeover         *bool         `toml:"takeover"`
		Window           windowKeys    `toml:"window"`
		Retention        retentionKeys `toml:"retention"`
		Indexes          *bool         `toml:"indexes"`
		Grants           *string       `toml:"grants"`
		AnalyzeEvery     *duration     `toml:"analyze_every"`
		SweepBatch       *int          `toml:"sweep_batch"`
		Limits           limitKeys     `toml:"limits"`
	}

	windowKeys struct {
		Past   *interval `toml:"past"`
		Future *interval `toml:"future"`
	}

	retentionKeys struct {
		Keep      *interval `toml:"keep"`
		Then      *string   `toml:"then"`
		Archive   *string   `toml:"archive"`
		Schema    *string   `toml:"schema"`
		MaxShare  *float64  `toml:"max_share"`
		LateGrace *duration `toml:"late_grace"`
	}
)

// The defaults of all keys that have a fixed one.
const (
	defaultConnectTimeout = 10 * time.Second

	defaultCron        = "17 3 * * *"
	defaultTimeZone    = "UTC"
	defaultRunAtStart  = true
	defaultDatabases   = 4
	defaultParallel    = 2
	defaultStopTimeout = 30 * time.Second

	defaultLevel  = slog.LevelInfo
	defaultFormat = FormatAuto

	defaultAhead            = 2
	defaultFillGaps         = false
	defaultTakeover         = false
	defaultDefaultPartition = true
	defaultIndexes          = true
	defaultGrants           = partition.GrantsAdd
	defaultAnalyzeEvery     = 24 * time.Hour
	defaultSweepBatch       = 5000
	defaultMaxShare         = 0.5
	defaultLateGrace        = 24 * time.Hour

	defaultArchiveFormat = "parquet"
	defaultPartMegabytes = 256

	defaultNotifyFormat  = "json"
	defaultNotifyTimeout = 10 * time.Second
	defaultNotifyRetries = 5
	defaultNotifyRepeat  = 24 * time.Hour
	defaultHookTimeout   = 30 * time.Second
)

// notifyEvents are all that can be told.
var notifyEvents = []string{"failure", "recovery", "removal", "pass"}

var (
	defaultNotifyEvents = []string{"failure", "recovery"}

	defaultInterval = partition.Interval{N: 1, Unit: partition.Month}
	defaultPast     = partition.Interval{N: 30, Unit: partition.Year}
	defaultFuture   = partition.Interval{N: 1, Unit: partition.Year}

	defaultHistoryPasses = partition.Interval{N: 90, Unit: partition.Day}

	// defaultLimits have no statement_timeout: what waits is bounded by the
	// other two, and an index that cannot be built within a bound would be
	// begun, dropped and begun again every night.
	defaultLimits = partition.Limits{
		// Below the server's deadlock_timeout of one second, so that in a deadlock
		// with a user's transaction it is always ours that gives up.
		LockTimeout:       500 * time.Millisecond,
		ConcurrentTimeout: 10 * time.Minute,
		StatementTimeout:  0,
		Retries:           10,
		RetryWait:         500 * time.Millisecond,
		MaxRetryWait:      15 * time.Second,
	}
)

// nameSuffixes are what the default name pattern adds to the parent's base name.
var nameSuffixes = map[partition.Unit]string{
	partition.Hour:    "_%Y_%m_%d_%H",
	partition.Day:     "_%Y_%m_%d",
	partition.Week:    "_%G_w%V",
	partition.Month:   "_%Y_%m",
	partition.Quarter: "_%Y_q%q",
	partition.Year:    "_%Y",
}

// helperSuffixes are what the names of a set's further functions add to that of
// its trigger function. They too have to fit into partition.MaxNameBytes.
var helperSuffixes = []string{"", "_create", "_fits"}
