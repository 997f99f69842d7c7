package config

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/robfig/cron/v3"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// compareOptions make cmp look into what partition and cron keep to themselves.
var compareOptions = cmp.Options{
	cmp.AllowUnexported(partition.Pattern{}, Receiver{}),
	cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() }),
}

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("config.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustPattern(t *testing.T, text string, iv partition.Interval) partition.Pattern {
	t.Helper()
	p, err := partition.ParsePattern(text, iv)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustCron(t *testing.T, text string, loc *time.Location) cron.Schedule {
	t.Helper()
	s, err := cron.ParseStandard(text)
	if err != nil {
		t.Fatal(err)
	}
	s.(*cron.SpecSchedule).Location = loc
	return s
}

func TestFiveLinesAreEnough(t *testing.T) {
	t.Parallel()
	got := mustParse(t, `[database]
url = "postgres://keeper@/app?host=/run/postgresql"
[[set]]
parent = "public.events_master"
key = "created_at"
`)
	url := "postgres://keeper@/app?host=/run/postgresql"
	month := partition.Interval{N: 1, Unit: partition.Month}
	want := &Config{
		Path:      "config.toml",
		Databases: []Database{{ConnectTimeout: 10 * time.Second, url: &url, file: "config.toml", urlLine: 2}},
		Schedule: Schedule{
			Cron: mustCron(t, "17 3 * * *", time.UTC), CronText: "17 3 * * *", Location: time.UTC,
			RunAtStart: true, Databases: 4, Parallel: 2, StopTimeout: 30 * time.Second,
		},
		Log:     Log{Level: slog.LevelInfo, Format: FormatAuto},
		Archive: Archive{Format: "parquet", PartBytes: 256 << 20},
		History: History{Passes: partition.Interval{N: 90, Unit: partition.Day}},
	}
	want.Databases[0].Sets = []Set{{
		Set: partition.Set{
			Parent: partition.Name{Schema: "public", Local: "events_master"}, Key: "created_at", DefaultPartition: true,
			Interval: month, Pattern: mustPattern(t, "events_%Y_%m", month), Location: time.UTC, Ahead: 2,
			Trigger:      "insert_events_trigger",
			Function:     partition.Name{Schema: "public", Local: "events_insert_function"},
			Window:       partition.Window{Past: partition.Interval{N: 30, Unit: partition.Year}, Future: partition.Interval{N: 1, Unit: partition.Year}},
			Retention:    partition.Retention{Then: partition.Keep, MaxShare: 0.5},
			Indexes:      true,
			Grants:       partition.GrantsAdd,
			AnalyzeEvery: 24 * time.Hour, SweepBatch: 5000,
			Limits: partition.Limits{
				LockTimeout: 500 * time.Millisecond, ConcurrentTimeout: 10 * time.Minute,
				Retries: 10, RetryWait: 500 * time.Millisecond, MaxRetryWait: 15 * time.Second,
			},
		},
		Cron: mustCron(t, "17 3 * * *", time.UTC), CronText: "17 3 * * *",
	}}
	if diff := cmp.Diff(want, got, compareOptions, cmp.AllowUnexported(Database{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	t.Parallel()
	got := mustParse(t, `
[database]
password_file = "/run/secret"
connect_timeout = "3s"
[schedule]
cron = "@daily"
time_zone = "Europe/Berlin"
run_at_start = false
databases = 9
parallel = 7
stop_timeout = "0s"
[log]
level = "warn"
format = "json"
[limits]
lock_timeout = "1s"
concurrent_timeout = "2m"
statement_timeout = "3h"
retries = 4
retry_wait = "5ms"
max_retry_wait = "6s"
[archive]
format = "csv"
part_megabytes = 3
megabytes_per_second = 20
[archive.s3]
endpoint = "http://127.0.0.1:7070/"
region = "eu-north-1"
path_style = true
[history]
passes = "3 weeks"
events = "10 years"
[[notify]]
url_file = "/run/slack"
format = "slack"
events = ["failure", "pass"]
timeout = "3s"
retries = 0
repeat = "0s"
[[notify]]
command = ["/bin/tell", "ops"]
[hooks.before_removal]
url = "http://127.0.0.1/ask"
command = ["/bin/ask"]
timeout = "1m"
[[set]]
parent = 'app."Metrics"'
key = '"At"'
interval = "2 weeks"
name = "m_%G_%V"
ahead = 3
fill_gaps = true
key_unit = "ms"
style = "declarative"
default_partition = false
time_zone = "Asia/Tokyo"
cron = "5 4 * * 1"
trigger = "route"
function = "tools.Route"
takeover = true
window = { past = "2 years", future = "6 weeks" }
retention = { keep = "1 year", then = "detach", schema = "old", max_share = 1 }
indexes = false
grants = "exact"
analyze_every = "0s"
sweep_batch = 1
limits = { retries = 0, statement_timeout = "0s" }
`)
	weeks := partition.Interval{N: 2, Unit: partition.Week}
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	ask := "http://127.0.0.1/ask"
	want := &Config{
		Path:      "config.toml",
		Databases: []Database{{PasswordFile: "/run/secret", ConnectTimeout: 3 * time.Second, timeoutGiven: true, file: "config.toml", passwordLine: 3}},
		Schedule:  Schedule{Cron: mustCron(t, "@daily", berlin), CronText: "@daily", Location: berlin, Databases: 9, Parallel: 7},
		Log:       Log{Level: slog.LevelWarn, Format: FormatJSON},
		Archive: Archive{
			Format: "csv", PartBytes: 3 << 20, BytesPerSecond: 20 << 20,
			S3: S3{Endpoint: "http://127.0.0.1:7070/", Region: "eu-north-1", PathStyle: true},
		},
		History: History{Passes: partition.Interval{N: 3, Unit: partition.Week}, Events: partition.Interval{N: 10, Unit: partition.Year}},
		Notify: []Notify{{
			Receiver: Receiver{URLFile: "/run/slack", file: "config.toml", key: "notify.url_file", line: 34},
			Format:   "slack", Events: []string{"failure", "pass"}, Timeout: 3 * time.Second,
		}, {
			Receiver: Receiver{Command: []string{"/bin/tell", "ops"}, file: "config.toml"},
			Format:   "json", Events: []string{"failure", "recovery"}, Timeout: 10 * time.Second, Retries: 5, Repeat: 24 * time.Hour,
		}},
		Hooks: Hooks{BeforeRemoval: &Hook{
			Receiver: Receiver{Command: []string{"/bin/ask"}, url: &ask, file: "config.toml"}, Timeout: time.Minute,
		}},
	}
	want.Databases[0].Sets = []Set{{
		Set: partition.Set{
			Parent: partition.Name{Schema: "app", Local: "Metrics"}, Key: "At",
			Interval: weeks, Pattern: mustPattern(t, "m_%G_%V", weeks), Location: tokyo, Ahead: 3, FillGaps: true, KeyUnit: partition.UnitMilliseconds, Style: partition.Declarative,
			Trigger: "route", Function: partition.Name{Schema: "tools", Local: "route"}, Takeover: true,
			Window:     partition.Window{Past: partition.Interval{N: 2, Unit: partition.Year}, Future: partition.Interval{N: 6, Unit: partition.Week}},
			Retention:  partition.Retention{Keep: partition.Interval{N: 1, Unit: partition.Year}, Then: partition.Detach, Schema: "old", MaxShare: 1},
			Grants:     partition.GrantsExact,
			SweepBatch: 1,
			Limits: partition.Limits{
				LockTimeout: time.Second, ConcurrentTimeout: 2 * time.Minute, RetryWait: 5 * time.Millisecond, MaxRetryWait: 6 * time.Second,
			},
		},
		Cron: mustCron(t, "5 4 * * 1", tokyo), CronText: "5 4 * * 1",
	}}
	if diff := cmp.Diff(want, got, compareOptions, cmp.AllowUnexported(Database{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The same set may be written in several ways that TOML offers.
func TestSpellings(t *testing.T) {
	t.Parallel()
	const head = "[[set]]\nparent = \"events\"\nkey = \"at\"\n"
	want := mustParse(t, head+`retention = { keep = "1 year", then = "drop" }`).Databases[0].Sets
	for _, text := range []string{
		head + "[set.retention]\nkeep = \"1 year\"\nthen = \"drop\"",
		head + "retention.keep = \"1 year\"\nretention.then = 'drop'",
		head + "retention = {\n  keep = \"1 year\", # of course\n  then = \"\"\"drop\"\"\",\n}",
		`set = [{ parent = "events", key = "at", retention = { keep = "year", then = "drop" } }]`,
		"\xef\xbb\xbf" + head + "[set.\"retention\"]\r\nke\u0065p = \"1 year\"\r\n\"th\\u0065n\" = \"drop\"",
	} {
		if diff := cmp.Diff(want, mustParse(t, text).Databases[0].Sets, compareOptions); diff != "" {
			t.Errorf("%s\n-want +got:\n%s", text, diff)
		}
	}
}

func TestNamesByInterval(t *testing.T) {
	t.Parallel()
	for interval, want := range map[string]string{
		"6 hours": "events_%Y_%m_%d_%H", "1 day": "events_%Y_%m_%d", "10 days": "events_%Y_%m_%d",
		"week": "events_%G_w%V", "3 months": "events_%Y_%m", "1 quarter": "events_%Y_q%q", "1 year": "events_%Y",
	} {
		got := mustParse(t, "[[set]]\nparent = \"events_parent\"\nkey = \"at\"\ninterval = \""+interval+"\"").Databases[0].Sets[0]
		if got.Pattern.String() != want {
			t.Errorf("interval %s: name %s, want %s", interval, got.Pattern, want)
		}
	}
	odd := mustParse(t, `[[set]]
parent = '"100%"'
key = "at"`).Databases[0].Sets[0]
	if name := odd.Pattern.Format(time.Date(2018, 11, 1, 0, 0, 0, 0, time.UTC)); name != "100%_2018_11" {
		t.Errorf("a percent sign in the parent's name: %s", name)
	}
}

func TestFunctionIsInTheParentsSchema(t *testing.T) {
	t.Parallel()
	for function, want := range map[string]partition.Name{
		``:               {Schema: `o"dd`, Local: "events_insert_function"},
		`Route`:          {Schema: `o"dd`, Local: "route"},
		`"a.b"`:          {Schema: `o"dd`, Local: "a.b"},
		`public.route`:   {Schema: "public", Local: "route"},
		`"Tools"."go.1"`: {Schema: "Tools", Local: "go.1"},
	} {
		text := "[[set]]\nparent = '\"o\"\"dd\".events'\nkey = \"at\"\n"
		if function != "" {
			text += "function = '" + function + "'"
		}
		if got := mustParse(t, text).Databases[0].Sets[0].Function; got != want {
			t.Errorf("function %s: %v, want %v", function, got, want)
		}
	}
}

func TestWindowReachesWhatIsMadeAhead(t *testing.T) {
	t.Parallel()
	for keys, want := range map[string]string{
		"":                                      "1 year",
		"interval = \"1 year\"\nahead = 1":      "1 year",
		"interval = \"1 year\"":                 "3 years",
		"interval = \"1 day\"\nahead = 400":     "401 days",
		"interval = \"1 day\"\nahead = 365":     "1 year",
		"ahead = 0\nwindow.future = \"1 hour\"": "1 hour",
		"interval = \"3 months\"\nwindow.future = \"2 quarters\"":      "2 quarters",
		"interval = \"1 month\"\nahead=1\nwindow.future = \"31 days\"": "31 days",
	} {
		got := mustParse(t, "[[set]]\nparent = \"events\"\nkey = \"at\"\n"+keys).Databases[0].Sets[0].Window.Future
		if got.String() != want {
			t.Errorf("%q: future %s, want %s", keys, got, want)
		}
	}
}

func TestCronCountsInItsTimeZone(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `
[schedule]
time_zone = "Asia/Tokyo"
[[set]]
parent = "events"
key = "at"
[[set]]
parent = "metrics"
key = "at"
time_zone = "America/New_York"
[[set]]
parent = "samples"
key = "at"
cron = "@every 90m"
`)
	now := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, want := range []time.Time{
		time.Date(2024, 1, 1, 18, 17, 0, 0, time.UTC),
		time.Date(2024, 1, 1, 8, 17, 0, 0, time.UTC),
		time.Date(2024, 1, 1, 1, 30, 0, 0, time.UTC),
	} {
		if got := c.Databases[0].Sets[i].Cron.Next(now); !got.Equal(want) {
			t.Errorf("%s: next run at %s, want %s", c.Databases[0].Sets[i].Parent, got, want)
		}
	}
	if got := c.Databases[0].Sets[2].CronText; got != "@every 90m" {
		t.Errorf("cron text %q", got)
	}
}

func TestSetsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	text := ""
	names := []string{"zebra", "apple", "mango", "kiwi", "banana"}
	for _, name := range names {
		text += "[[set]]\nkey = \"at\"\nparent = \"" + name + "\"\n"
	}
	for i, set := range mustParse(t, text).Databases[0].Sets {
		if set.Parent.Local != names[i] {
			t.Errorf("set %d is %s, want %s", i, set.Parent.Local, names[i])
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `
[[set]]
parent = "public.events"
key = "at"
[[set]]
parent = "app.events"
key = "at"
[[set]]
parent = "app.metrics"
key = "at"
[[set]]
parent = 'app."Odd.Name"'
key = "at"
`)
	for name, want := range map[string]int{
		"public.events": 0, "app.events": 1, "metrics": 2, "app.metrics": 2, "APP.Metrics": 2,
		"Odd.Name": 3, "app.Odd.Name": 3, `app."Odd.Name"`: 3, "Events": 0,
	} {
		got, err := c.Databases[0].Find(name)
		if err != nil || got != &c.Databases[0].Sets[want] {
			t.Errorf("%s: %v, %v, want set %d", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"events":  `config.toml has several sets "events": expected one of "public.events", "app.events"`,
		"nothing": `config.toml has no set "nothing": expected one of "public.events", "app.events", "app.metrics", "app.Odd.Name"`,
		"":        `config.toml has no set "": expected one of "public.events", "app.events", "app.metrics", "app.Odd.Name"`,
	} {
		if _, err := c.Databases[0].Find(name); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
}

func TestLoadReadsAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.toml")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	text := "[database]\nurl = \"postgres://keeper@db.example/app?sslmode=disable\"\n[[set]]\nparent = \"events\"\nkey = \"at\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Path != path || len(c.Databases[0].Sets) != 1 {
		t.Errorf("loaded %+v", c)
	}
	if err := os.Truncate(path, maxBytes+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || err.Error() != path+": expected a configuration of at most 1048576 bytes" {
		t.Errorf("a large file: %v", err)
	}
}
