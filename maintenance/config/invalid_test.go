package config

import (
	"errors"
	"strings"
	"testing"
)

// invalid are texts with the one error that each has to give, without the
// leading "config.toml". Those that begin with a plus stand after the three
// lines of a set of public.events.
var invalid = []struct{ name, text, want string }{
	// TOML itself.
	{"syntax", "[[set]]\nparent = events", `:2: set.parent: not valid TOML: expected value but found "events" instead`},
	{"syntax near a password", "[database]\nurl = hunter2", `:2: database.url: not valid TOML: expected a string in double quotes`},
	{"escape near a password", "[database]\nurl = \"postgres://u:hunter2\\uzz@h\"", `:2: database.url: not valid TOML: expected a string in double quotes`},
	{"twice", "+key = \"b\"", `:4: set.key: not valid TOML: Key 'set.key' has already been defined.`},
	{"no sets", "[log]\n", `: no [[set]]: expected at least one, with the keys parent and key`},
	{"empty", "", `: no [[set]]: expected at least one, with the keys parent and key`},

	// Keys.
	{"unknown key", "+aheadd = 2", `:4: set.aheadd: unknown key: did you mean "ahead"? [set "public.events"]`},
	{"wrong case", "+Ahead = 2", `:4: set.Ahead: unknown key: did you mean "ahead"? [set "public.events"]`},
	{"hyphen", "+sweep-batch = 2", `:4: set.sweep-batch: unknown key: did you mean "sweep_batch"? [set "public.events"]`},
	{"key of another table", "+parallel = 2", `:4: set.parallel: unknown key: it belongs in [schedule] [set "public.events"]`},
	{"key of other tables", "time_zone = \"UTC\"", `:1: time_zone: unknown key: it belongs in [schedule] or [[set]]`},
	{"key of nothing", "[log]\ncolour = true", `:2: log.colour: unknown key: expected one of level, format`},
	{"unknown table", "[databse]\nurl = \"postgres://u:hunter2@h\"", `:1: databse: unknown key: did you mean "database"?`},
	{"sub-table", "+[set.retenton]\nkeep = 1", `:4: set.retenton: unknown key: did you mean "retention"? [set "public.events"]`},
	{"in the second set", "+[[set]]\nparent = \"metrics\"\nkey = \"at\"\n\n[set.window]\npasst = \"1 year\"", `:9: set.window.passt: unknown key: did you mean "past"? [set "public.metrics"]`},
	{"the first in the file", "+zz = 1\nyy = 1\nxx = 1\nww = 1\nvv = 1\nuu = 1\ntt = 1\nss = 1", `:4: set.zz: unknown key: expected one of parent, key, key_unit, style, default_partition, interval, name, ahead, fill_gaps, time_zone, cron, trigger, function, takeover, window, retention, indexes, grants, analyze_every, sweep_batch, limits [set "public.events"]`},
	{"password as a key", "[database]\npassword = \"hunter2\"", `:2: database.password: unknown key: expected one of url, password_file, connect_timeout`},
	{"single brackets", "[set]\nparent = \"events\"", `:1: set: expected [[set]] in double brackets, once for each`},
	{"set in an array", "set = [1]", `:1: set: expected [[set]] in double brackets, once for each`},

	// Types.
	{"string for a number", "+ahead = \"2\"", `:4: set.ahead = "2": expected a whole number, without quotes [set "public.events"]`},
	{"fraction", "+ahead = 2.0", `:4: set.ahead = 2.0: expected a whole number, without quotes [set "public.events"]`},
	{"number for a string", "+name = 5", `:4: set.name = 5: expected a string, in quotes [set "public.events"]`},
	{"string for a bool", "+takeover = \"yes\"", `:4: set.takeover = "yes": expected true or false, without quotes [set "public.events"]`},
	{"string for a fraction", "+retention.max_share = \"50%\"", `:4: set.retention.max_share = "50%": expected a number, without quotes [set "public.events"]`},
	{"number for an interval", "+interval = 1", `:4: set.interval = 1: expected a number and a unit in quotes, such as "12 months" [set "public.events"]`},
	{"number for a duration", "+limits = { lock_timeout = 2 }", `:4: set.limits.lock_timeout = 2: expected a duration with its unit in quotes, such as "500ms", "10s" or "1h30m" (units: ms, s, m, h) [set "public.events"]`},
	{"string for a table", "+window = \"1 year\"", `:4: set.window = "1 year": expected a table with some of the keys past, future [set "public.events"]`},
	{"string for the database", "database = \"postgres://u:hunter2@h\"", `:1: database: expected a table with some of the keys url, password_file, connect_timeout`},
	{"array for the url", "[database]\nurl = [\"postgres://u:hunter2@h\"]", `:2: database.url: expected a string, in quotes`},
	{"array over lines", "+ahead = [\n1,\n2]", `:4: set.ahead = [ ...: expected a whole number, without quotes [set "public.events"]`},
	{"long value", "+ahead = \"" + strings.Repeat("é", 50) + "\"", `:4: set.ahead = "` + strings.Repeat("é", 39) + ` ...: expected a whole number, without quotes [set "public.events"]`},

	// [database]: more in database_test.go.
	{"empty url", "[database]\nurl = \" \"", `:2: database.url: is empty: expected a connection string, or no such key where the PG* variables of the environment say it all`},
	{"password instead of its file", "[database]\npassword_file = \"hunter2\"", `:2: database.password_file: expected the absolute path of a file that holds the password`},
	{"no time to connect", "[database]\nconnect_timeout = \"0s\"", `:2: database.connect_timeout = "0s": expected a duration from 1ms to 1h`},

	// Durations.
	{"bare number", "[schedule]\nstop_timeout = \"30\"", `:2: schedule.stop_timeout = "30": has no unit: expected a duration with its unit in quotes, such as "500ms", "10s" or "1h30m" (units: ms, s, m, h)`},
	{"bare zero", "[limits]\nstatement_timeout = \"0\"", `:2: limits.statement_timeout = "0": has no unit: expected a duration with its unit in quotes, such as "500ms", "10s" or "1h30m" (units: ms, s, m, h)`},
	{"bad unit", "+analyze_every = \"1 day\"", `:4: set.analyze_every = "1 day": expected a duration with its unit in quotes, such as "500ms", "10s" or "1h30m" (units: ms, s, m, h) [set "public.events"]`},
	{"negative", "[limits]\nlock_timeout = \"-2s\"", `:2: limits.lock_timeout = "-2s": is negative: expected a duration with its unit in quotes, such as "500ms", "10s" or "1h30m" (units: ms, s, m, h)`},
	{"not whole milliseconds", "[limits]\nlock_timeout = \"500us\"", `:2: limits.lock_timeout = "500us": expected whole milliseconds`},
	{"switched off", "[limits]\nlock_timeout = \"0s\"", `:2: limits.lock_timeout = "0s": expected a duration from 1ms to 576h`},
	{"too long for PostgreSQL", "[limits]\nstatement_timeout = \"600h\"", `:2: limits.statement_timeout = "600h": expected a duration from 0s to 576h`},
	{"too large", "[limits]\nstatement_timeout = \"9999999999h\"", `:2: limits.statement_timeout = "9999999999h": expected a duration with its unit in quotes, such as "500ms", "10s" or "1h30m" (units: ms, s, m, h)`},

	// [schedule], [log], [limits].
	{"six fields", "[schedule]\ncron = \"0 17 3 * * *\"", `:2: schedule.cron = "0 17 3 * * *": is not a schedule (expected exactly 5 fields, found 6: [0 17 3 * * *]): ` + cronMeaning},
	{"no cron", "[schedule]\ncron = \"\"", `:2: schedule.cron = "": is not a schedule (empty spec string): ` + cronMeaning},
	{"zone in cron", "[schedule]\ncron = \"TZ=UTC\"", `:2: schedule.cron = "TZ=UTC": has a time zone in it: expected it in the key time_zone`},
	{"never", "+cron = \"0 0 31 2 *\"", `:4: set.cron = "0 0 31 2 *": never runs: ` + cronMeaning + ` [set "public.events"]`},
	{"every nothing", "+cron = \"@every -1h\"", `:4: set.cron = "@every -1h": expected at least a second after @every [set "public.events"]`},
	{"unknown zone", "[schedule]\ntime_zone = \"Europe/Berln\"", `:2: schedule.time_zone = "Europe/Berln": expected the name of a time zone, such as "UTC" or "Europe/Berlin"`},
	{"local zone", "+time_zone = \"Local\"", `:4: set.time_zone = "Local": expected the name of a time zone, such as "UTC" or "Europe/Berlin" [set "public.events"]`},
	{"empty zone", "+time_zone = \"\"", `:4: set.time_zone = "": expected the name of a time zone, such as "UTC" or "Europe/Berlin" [set "public.events"]`},
	{"parallel", "[schedule]\nparallel = 0", `:2: schedule.parallel = 0: expected a whole number from 1 to 64`},
	{"level", "[log]\nlevel = \"INFO\"", `:2: log.level = "INFO": expected one of "debug", "info", "warn", "error"`},
	{"format", "[log]\nformat = \"xml\"", `:2: log.format = "xml": expected one of "auto", "text", "json"`},
	{"retries", "[limits]\nretries = -1", `:2: limits.retries = -1: expected a whole number from 0 to 100`},
	{"waits", "[limits]\nretry_wait = \"20s\"", `:2: limits.retry_wait = "20s": expected at most max_retry_wait, which is 15s`},
	{"waits of a set", "+limits.retry_wait = \"1s\"\nlimits.max_retry_wait = \"900ms\"", `:5: set.limits.max_retry_wait = "900ms": expected at least retry_wait, which is 1s [set "public.events"]`},

	// Names.
	{"no parent", "[[set]]\nkey = \"at\"", `:1: set.parent: is missing: expected the parent table, such as "public.events"`},
	{"no key", "[log]\n[[set]]\nparent = \"events\"", `:2: set.key: is missing: expected the column that decides a row's partition, such as "created_at" [set "public.events"]`},
	{"parent", "[[set]]\nparent = \"my events\"\nkey = \"at\"", `:2: set.parent = "my events": is not a table name: "my events" must be written in double quotes`},
	{"parent of three parts", "[[set]]\nparent = \"a.b.c\"\nkey = \"at\"", `:2: set.parent = "a.b.c": has 3 parts: expected schema.table`},
	{"key", "[[set]]\nparent = \"events\"\nkey = \"created at\"", `:3: set.key = "created at": is not a name: "created at" must be written in double quotes [set "public.events"]`},
	{"key of a table", "[[set]]\nparent = \"events\"\nkey = \"events.at\"", `:3: set.key = "events.at": expected a name without a schema [set "public.events"]`},
	{"long key", "[[set]]\nparent = \"events\"\nkey = \"" + strings.Repeat("k", 64) + "\"", `:3: set.key = "` + strings.Repeat("k", 64) + `": has 64 bytes: PostgreSQL keeps 63 of a name [set "public.events"]`},
	{"long name", "+name = \"" + strings.Repeat("n", 56) + "_%Y_%m\"", `:4: set.name = "` + strings.Repeat("n", 56) + `_%Y_%m": makes names of 64 bytes: PostgreSQL keeps 63 of a name [set "public.events"]`},
	{"long name by default", "[[set]]\nkey = \"at\"\nparent = \"" + strings.Repeat("n", 56) + "\"", `:3: set.name: "` + strings.Repeat("n", 56) + `_%Y_%m" by default, makes names of 64 bytes: PostgreSQL keeps 63 of a name: expected the key name in the set [set "public.` + strings.Repeat("n", 56) + `"]`},
	{"long trigger by default", "[[set]]\nkey = \"at\"\nname = \"n_%Y_%m\"\nparent = \"" + strings.Repeat("n", 49) + "\"", `:4: set.trigger: "insert_` + strings.Repeat("n", 49) + `_trigger" by default, has 64 bytes: PostgreSQL keeps 63 of a name, so expected at most 63: expected the key trigger in the set [set "public.` + strings.Repeat("n", 49) + `"]`},
	{"long function by default", "[[set]]\nkey = \"at\"\nparent = \"" + strings.Repeat("n", 41) + "\"", `:3: set.function: "` + strings.Repeat("n", 41) + `_insert_function" by default, has 57 bytes: PostgreSQL keeps 63 of a name and helpers' names add to it, so expected at most 56: expected the key function in the set [set "public.` + strings.Repeat("n", 41) + `"]`},
	{"long function", "+function = \"" + strings.Repeat("f", 57) + "\"", `:4: set.function = "` + strings.Repeat("f", 57) + `": has 57 bytes: PostgreSQL keeps 63 of a name and helpers' names add to it, so expected at most 56 [set "public.events"]`},
	{"function", "+function = \"f()\"", `:4: set.function = "f()": is not a table name: "f()" must be written in double quotes [set "public.events"]`},
	{"trigger", "+trigger = \"public.route\"", `:4: set.trigger = "public.route": expected a name without a schema [set "public.events"]`},
	{"pattern", "+name = \"events_%Y\"", `:4: set.name = "events_%Y": gives several periods of 1 month one name: expected %Y and %m in it [set "public.events"]`},
	{"conversion", "+name = \"events_%Y_%M\"", `:4: set.name = "events_%Y_%M": unknown conversion %M: expected one of %Y %y %m %d %H %q %j %G %V %% [set "public.events"]`},
	{"pattern with a schema", "+name = \"app.events_%Y_%m\"", `:4: set.name = "app.events_%Y_%m": has a dot in it: expected a name without a schema, for partitions live in the parent's [set "public.events"]`},
	{"pattern of another interval", "+interval = \"1 day\"\nname = \"events_%Y_%m\"", `:5: set.name = "events_%Y_%m": gives several periods of 1 day one name: expected %Y, %m and %d (or %Y and %j) in it [set "public.events"]`},

	// Numbers and intervals of sets.
	{"interval without a unit", "+interval = \"1\"", `:4: set.interval = "1": has no unit: expected a number and a unit, such as "12 months" (units: hour, day, week, month, quarter, year) [set "public.events"]`},
	{"odd interval", "+interval = \"5 months\"", `:4: set.interval = "5 months": does not divide a year: use 1, 2, 3, 4 or 6 months, or years [set "public.events"]`},
	{"endless interval", "+interval = \"1001 years\"", `:4: set.interval = "1001 years": expected at most 1000 years [set "public.events"]`},
	{"ahead", "+ahead = 1001", `:4: set.ahead = 1001: expected a whole number from 0 to 1000 [set "public.events"]`},
	{"too far ahead", "+interval = \"10 years\"\nahead = 1000", `:5: set.ahead = 1000: 1000 periods of 10 years are too far ahead: expected at most 1000 years [set "public.events"]`},
	{"window", "+[set.window]\nfuture = \"1 month\"", `:5: set.window.future = "1 month": does not reach the 2 periods of 1 month that are made ahead: expected a longer one, or fewer ahead [set "public.events"]`},
	{"window of 30 days", "+ahead = 1\nwindow.future = \"30 days\"", `:5: set.window.future = "30 days": does not reach the 1 periods of 1 month that are made ahead: expected a longer one, or fewer ahead [set "public.events"]`},
	{"past", "+window.past = \"ever\"", `:4: set.window.past = "ever": has an unknown unit "ever": expected a number and a unit, such as "12 months" (units: hour, day, week, month, quarter, year) [set "public.events"]`},
	{"grants", "+grants = \"none\"", `:4: set.grants = "none": expected one of "add", "exact", "off" [set "public.events"]`},
	{"sweep_batch", "+sweep_batch = 0", `:4: set.sweep_batch = 0: expected a whole number from 1 to 1000000 [set "public.events"]`},

	// Retention.
	{"keep without a unit", "+[set.retention]\nthen = \"drop\"\nkeep = \"12\"", `:6: set.retention.keep = "12": has no unit: expected a number and a unit, such as "12 months" (units: hour, day, week, month, quarter, year) [set "public.events"]`},
	{"keep alone", "+retention = { keep = \"12 months\" }", `:4: set.retention.keep = "12 months": says nothing of what becomes of older partitions: expected then beside it, one of "keep", "detach", "archive", "drop" [set "public.events"]`},
	{"keep too short", "+interval = \"1 year\"\nretention = { keep = \"11 months\", then = \"drop\" }", `:5: set.retention.keep = "11 months": is shorter than the set's interval of 1 year: expected at least that [set "public.events"]`},
	{"then alone", "+retention.then = \"drop\"", `:4: set.retention.then = "drop": expected keep beside it, such as keep = "12 months" [set "public.events"]`},
	{"then", "+retention = { keep = \"1 year\", then = \"delete\" }", `:4: set.retention.then = "delete": expected one of "keep", "detach", "archive", "drop" [set "public.events"]`},
	{"no archive", "+retention = { keep = \"1 year\", then = \"archive\" }", `:4: set.retention.then = "archive": expected archive beside it: expected file:///absolute/path or s3://bucket/prefix [set "public.events"]`},
	{"archive for nothing", "+retention = { keep = \"1 year\", then = \"drop\", archive = \"file:///a\" }", `:4: set.retention.archive = "file:///a": expected then = "archive" beside it [set "public.events"]`},
	{"archive by default", "+retention = { archive = \"file:///a\" }", `:4: set.retention.archive = "file:///a": expected then = "archive" beside it [set "public.events"]`},
	{"schema for nothing", "+retention = { keep = \"1 year\", then = \"drop\", schema = \"old\" }", `:4: set.retention.schema = "old": expected then = "detach" beside it [set "public.events"]`},
	{"schema", "+retention = { keep = \"1 year\", then = \"detach\", schema = \"a.b\" }", `:4: set.retention.schema = "a.b": expected a name without a schema [set "public.events"]`},
	{"no share", "+retention.max_share = 0", `:4: set.retention.max_share = 0: expected a number above 0 and up to 1 [set "public.events"]`},
	{"all and more", "+retention.max_share = 50", `:4: set.retention.max_share = 50: expected a number above 0 and up to 1 [set "public.events"]`},
	{"not a share", "+retention.max_share = nan", `:4: set.retention.max_share = nan: expected a number above 0 and up to 1 [set "public.events"]`},
	{"archive path", archiveTo("/var/lib/archive"), `:4: set.retention.archive = "/var/lib/archive": is not a URL: expected file:///absolute/path or s3://bucket/prefix [set "public.events"]`},
	{"archive host", archiveTo("file://var/lib/archive"), `:4: set.retention.archive = "file://var/lib/archive": names the host "var": expected file:///absolute/path or s3://bucket/prefix, with three slashes [set "public.events"]`},
	{"archive scheme", archiveTo("s3://id:hunter2@bucket/a"), `:4: set.retention.archive = "s3://***@bucket/a": has credentials in it: expected file:///absolute/path or s3://bucket/prefix, and credentials where the AWS programs look for them [set "public.events"]`},
	{"archive root", archiveTo("file:///"), `:4: set.retention.archive = "file:///": expected file:///absolute/path or s3://bucket/prefix [set "public.events"]`},
	{"archive bucket", archiveTo("s3:///a"), `:4: set.retention.archive = "s3:///a": names no bucket: expected file:///absolute/path or s3://bucket/prefix [set "public.events"]`},
	{"archive of another cloud", archiveTo("gs://bucket/a"), `:4: set.retention.archive = "gs://bucket/a": the scheme "gs" is not supported: expected file:///absolute/path or s3://bucket/prefix [set "public.events"]`},
	{"archive format", "[archive]\nformat = \"orc\"", `:2: archive.format = "orc": expected one of "parquet", "csv"`},
	{"archive part", "[archive]\npart_megabytes = 0", `:2: archive.part_megabytes = 0: expected a whole number from 1 to 5000`},
	{"archive rate", "[archive]\nmegabytes_per_second = -1", `:2: archive.megabytes_per_second = -1: expected a whole number from 0 to 100000`},
	{"S3 endpoint", "[archive.s3]\nendpoint = \"s3.example.org\"", `:2: archive.s3.endpoint = "s3.example.org": expected a URL without a path, such as "https://s3.example.org" or "http://127.0.0.1:9000"`},
	{"S3 endpoint with a password", "[archive.s3]\nendpoint = \"https://id:hunter2@s3.example.org\"", `:2: archive.s3.endpoint = "https://***@s3.example.org": expected a URL without a path, such as "https://s3.example.org" or "http://127.0.0.1:9000"`},
	{"late grace", "+retention = { keep = \"1 year\", then = \"drop\", late_grace = \"1h\" }", `:4: set.retention.late_grace = "1h": expected then = "archive" beside it [set "public.events"]`},
	{"archive relative", archiveTo("file:archive"), `:4: set.retention.archive = "file:archive": has more than a path: expected file:///absolute/path or s3://bucket/prefix; ? and # are written %3F and %23 [set "public.events"]`},
	{"archive query", archiveTo("file:///a?b=c"), `:4: set.retention.archive = "file:///a?b=c": has more than a path: expected file:///absolute/path or s3://bucket/prefix; ? and # are written %3F and %23 [set "public.events"]`},

	// Receivers. What is a secret is not shown.
	{"nobody to notify", "[[notify]]\nretries = 1", `:1: notify: is for nobody: expected one of the keys url, url_file, command`},
	{"webhook", "[[notify]]\nurl = \"hooks.example.org/hunter2\"", `:2: notify.url: expected a URL such as "https://hooks.example.org/path"`},
	{"two URLs", "[[notify]]\nurl = \"https://h/hunter2\"\nurl_file = \"/f\"", `:3: notify.url_file: stands beside url: expected one of them`},
	{"URL file", "[[notify]]\nurl_file = \"https://h/hunter2\"", `:2: notify.url_file: expected the absolute path of a file that holds the URL`},
	{"URL and command", "[[notify]]\nurl = \"https://h/hunter2\"\ncommand = [\"/bin/tell\"]", `:3: notify.command: stands beside a URL: expected one [[notify]] for each`},
	{"command by its name", "[[notify]]\n[[notify]]\ncommand = [\"tell\", \"hunter2\"]", `:1: notify: is for nobody: expected one of the keys url, url_file, command`},
	{"relative command", "[[notify]]\ncommand = [\"tell\", \"hunter2\"]", `:2: notify.command: expected the absolute path of a program and its arguments, such as ["/usr/local/bin/tell", "ops"]`},
	{"command as a string", "[[notify]]\ncommand = \"/bin/tell hunter2\"", `:2: notify.command: expected strings in brackets, such as ["a", "b"]`},
	{"format of a command", "[[notify]]\ncommand = [\"/bin/tell\"]\nformat = \"slack\"", `:3: notify.format = "slack": expected a URL beside it: a command gets JSON`},
	{"event", "[[notify]]\ncommand = [\"/bin/tell\"]\nevents = [\"failure\", \"succes\"]", `:3: notify.events = "succes": expected one of "failure", "recovery", "removal", "pass"`},
	{"no events", "[[notify]]\ncommand = [\"/bin/tell\"]\nevents = []", `:3: notify.events = []: expected some of "failure", "recovery", "removal", "pass"`},
	{"a number among events", "[[notify]]\nevents = [\"pass\", 1]", `:2: notify.events = ["pass", 1]: expected strings in brackets, such as ["a", "b"]`},
	{"unit of repeat", "[[notify]]\ncommand = [\"/bin/tell\"]\nrepeat = \"1 day\"", `:3: notify.repeat = "1 day": expected a duration with its unit in quotes, such as "500ms", "10s" or "1h30m" (units: ms, s, m, h)`},
	{"single brackets of notify", "[notify]\nurl = \"https://h/hunter2\"", `:1: notify: expected [[notify]] in double brackets, once for each`},
	{"a hook that asks nobody", "[hooks.before_removal]", `:1: hooks.before_removal: is for nobody: expected one of the keys url, url_file, command`},
	{"a hook of nothing", "[hooks.after_removal]\nurl = \"https://h/hunter2\"", `:1: hooks.after_removal: unknown key: expected one of before_removal`},
	{"a hook's patience", "[hooks.before_removal]\ncommand = [\"/bin/ask\"]\ntimeout = \"0s\"", `:3: hooks.before_removal.timeout = "0s": expected a duration from 1ms to 24h`},

	// Sets against each other.
	{"one parent", "+[[set]]\nkey = \"at\"\nparent = \"PUBLIC.Events\"", `:6: set.parent = "PUBLIC.Events": is the parent of set "public.events" in line 1, too: expected one set for a table [set "public.events"]`},
	{"one name", "+[[set]]\nkey = \"at\"\nparent = \"events_master\"", `:4: set.name: names partitions "events_%Y_%m" in schema public, as does set "public.events" in line 1: expected another name [set "public.events_master"]`},
	{"one function", "+[[set]]\nkey = \"at\"\nparent = \"metrics\"\nfunction = \"events_insert_function\"", `:7: set.function = "events_insert_function": makes the function public.events_insert_function, as does set "public.events" in line 1: expected another name [set "public.metrics"]`},
	{"one helper", "+function = \"f_fits\"\n[[set]]\nkey = \"at\"\nparent = \"app.metrics\"\nfunction = \"public.f\"", `:8: set.function = "public.f": makes the function public.f_fits, as does set "public.events" in line 1: expected another name [set "app.metrics"]`},
}

func archiveTo(url string) string {
	return "+retention = { keep = \"1 year\", then = \"archive\", archive = \"" + url + "\" }"
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	for _, test := range invalid {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			text := test.text
			if keys, ok := strings.CutPrefix(text, "+"); ok {
				text = "[[set]]\nparent = \"events\"\nkey = \"at\"\n" + keys
			}
			_, err := Parse("config.toml", []byte(text))
			if err == nil {
				t.Fatalf("accepted:\n%s", text)
			}
			if got := err.Error(); got != "config.toml"+test.want {
				t.Errorf("%s\ngot  %s\nwant config.toml%s", text, got, test.want)
			}
			var typed *Error
			if !errors.As(err, &typed) {
				t.Errorf("not an *Error: %T", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("shows the password: %s", err)
			}
		})
	}
}

func TestErrorFields(t *testing.T) {
	t.Parallel()
	_, err := Parse("/etc/c.toml", []byte("\n[[set]]\nparent = \"events\"\nkey = \"at\"\nahead = -1"))
	var got *Error
	if !errors.As(err, &got) {
		t.Fatal(err)
	}
	want := Error{File: "/etc/c.toml", Line: 5, Key: "set.ahead", Value: "-1", Want: "expected a whole number from 0 to 1000", Set: "public.events"}
	if *got != want {
		t.Errorf("%+v, want %+v", *got, want)
	}
}
