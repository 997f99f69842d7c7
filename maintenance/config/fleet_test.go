package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// shards is a file of two databases and a set that they share.
const shards = `[[database]]
name = "shard_01"
url = "postgres://keeper@db1/app"
[[database]]
name = "shard_02"
url = "postgres://keeper@db2/app"
password_file = "/run/secret"
connect_timeout = "3s"
[[set]]
parent = "events"
key = "at"
`

// describeFleet says which databases there are, with what sets, and how they differ.
func describeFleet(c *Config) string {
	var out []string
	for _, d := range c.Databases {
		text := d.Name + ":"
		for _, s := range d.Sets {
			text += fmt.Sprintf(" %s ahead %d %s", s.Parent, s.Ahead, s.Retention.Archive)
		}
		out = append(out, strings.TrimSpace(text))
	}
	return strings.Join(out, "\n")
}

func TestFleet(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, want string }{
		"shared": {shards, "shard_01: public.events ahead 2\nshard_02: public.events ahead 2"},
		"a set of one database's own": {shards + "ahead = 3\n[[database]]\nname = \"c\"\nurl = \"dbname=c\"\n[[database.set]]\nparent = \"metrics\"\nkey = \"at\"\nahead = 5",
			"shard_01: public.events ahead 3\nshard_02: public.events ahead 3\nc: public.events ahead 3  public.metrics ahead 5"},
		"its own in place of a shared one": {shards + "[[database]]\nname = \"c\"\nurl = \"dbname=c\"\n[[database.set]]\nparent = \"PUBLIC.Events\"\nkey = \"at\"\n[database.set.retention]\nkeep = \"1 year\"\nthen = \"drop\"\n[[database.set]]\nparent = \"metrics\"\nkey = \"at\"\nahead = 7",
			"shard_01: public.events ahead 2\nshard_02: public.events ahead 2\nc: public.events ahead 2  public.metrics ahead 7"},
		"none of the shared":  {strings.Replace(shards, "password_file", "shared_sets = false\nset = [{ parent = \"m\", key = \"at\" }]\npassword_file", 1), "shard_01: public.events ahead 2\nshard_02: public.m ahead 2"},
		"one that has a name": {"[[database]]\nname = \"a\"\nurl = \"dbname=a\"\n[[database.set]]\nparent = \"m\"\nkey = \"at\"", "a: public.m ahead 2"},
		"archives apart": {shards + `retention = { keep = "1 year", then = "archive", archive = "s3://bucket/p/{database}/x" }`,
			"shard_01: public.events ahead 2 s3://bucket/p/shard_01/x\nshard_02: public.events ahead 2 s3://bucket/p/shard_02/x"},
		"a bucket for each": {shards + `retention = { keep = "1 year", then = "archive", archive = "s3://{database}" }`,
			"shard_01: public.events ahead 2 s3://shard_01\nshard_02: public.events ahead 2 s3://shard_02"},
		"in one line": {"database = [{ name = \"a\", url = \"dbname=a\" }, { name = \"b\", url = \"dbname=b\" }]\n[[set]]\nparent = \"m\"\nkey = \"at\"", "a: public.m ahead 2\nb: public.m ahead 2"},
	} {
		c, err := Parse("config.toml", []byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.ReplaceAll(describeFleet(c), " \n", "\n"); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, test.want)
		}
		if !c.Fleet() {
			t.Errorf("%s: no fleet", name)
		}
	}
	c := mustParse(t, shards)
	second, err := c.Database("shard_02")
	if err != nil || second != &c.Databases[1] || second.PasswordFile != "/run/secret" || second.ConnectTimeout.String() != "3s" {
		t.Errorf("%v, %v", second, err)
	}
	if _, err := c.Database("shard_2"); err == nil || err.Error() != `config.toml has no database "shard_2": expected one of "shard_01", "shard_02"` {
		t.Error(err)
	}
	if _, err := second.Find("metrics"); err == nil || err.Error() != `database "shard_02" in config.toml has no set "metrics": expected one of "public.events"` {
		t.Error(err)
	}
	one := mustParse(t, oneSet)
	if _, err := one.Database("a"); one.Fleet() || err == nil || err.Error() != `config.toml has only the one [database], which has no name: expected [[database]] with name = "a"` {
		t.Error(err)
	}
}

// The connection of each is its own, and so are its errors.
func TestFleetConnections(t *testing.T) {
	quietEnvironment(t)
	secret := writeFile(t, "hunter2\n", 0o600)
	c := mustParse(t, strings.Replace(shards, "/run/secret", secret, 1))
	for i, want := range []struct{ host, password string }{{"db1", ""}, {"db2", "hunter2"}} {
		cc, err := c.Databases[i].ConnConfig()
		if err != nil {
			t.Fatal(err)
		}
		if cc.Host != want.host || cc.Password != want.password {
			t.Errorf("%s with %q, want %v", cc.Host, cc.Password, want)
		}
	}
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	_, err := c.Databases[1].ConnConfig()
	if e, ok := errors.AsType[*Error](err); !ok || e.Line != 7 || e.Database != "shard_02" || e.Key != "database.password_file" {
		t.Errorf("%#v", err)
	}
	bad := mustParse(t, strings.Replace(shards, "postgres://keeper@db2/app", "postgres://keeper:hunter2@db2:x/app", 1))
	_, err = bad.Databases[1].ConnConfig()
	if err == nil || !strings.HasPrefix(err.Error(), "config.toml:6: database.url: ") || !strings.HasSuffix(err.Error(), ` [database "shard_02"]`) || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", bad, bad.Databases, bad.Databases[1]); strings.Contains(text, "hunter2") {
		t.Errorf("shows the password: %s", text)
	}
}

// fleetErrors stand after two databases and a set of public.events, in lines 1 to 11.
var fleetErrors = []struct{ name, text, want string }{
	{"both forms", "[database]\nurl = \"postgres://u:hunter2@h\"", `:12: database: [database] stands beside [[database]]: expected either one [database], or [[database]] for each of several`},
	{"no name", "[[database]]\nurl = \"dbname=c\"", `:12: database.name: is missing: expected what to call the database, such as "shard_01"`},
	{"a name that is none", "[[database]]\nname = \"eu/1\"\nurl = \"dbname=c\"", `:13: database.name = "eu/1": expected up to 63 letters, digits, dots, hyphens and underscores, the first a letter or a digit`},
	{"a name with a comma", "[[database]]\nname = \"a,b\"\nurl = \"dbname=c\"", `:13: database.name = "a,b": expected up to 63 letters, digits, dots, hyphens and underscores, the first a letter or a digit`},
	{"a name twice", "[[database]]\nname = \"shard_01\"\nurl = \"dbname=c\"", `:13: database.name = "shard_01": is the name of the database in line 1, too: expected another one [database "shard_01"]`},
	{"no url", "[[database]]\nname = \"c\"", `:12: database.url: is missing: expected a connection string such as "postgres://user@host:5432/database" [database "c"]`},
	{"an empty url", "[[database]]\nname = \"c\"\nurl = \"\"", `:14: database.url: is empty: expected a connection string [database "c"]`},
	{"one database twice", "[[database]]\nname = \"c\"\nurl = \"postgres://keeper@db1/app\"", `:14: database.url: is that of the database "shard_01" in line 1, too: expected another database's [database "c"]`},
	{"a password instead of its file", "[[database]]\nname = \"c\"\nurl = \"dbname=c\"\npassword_file = \"hunter2\"", `:15: database.password_file: expected the absolute path of a file that holds the password [database "c"]`},
	{"no time to connect", "[[database]]\nname = \"c\"\nurl = \"dbname=c\"\nconnect_timeout = \"0s\"", `:15: database.connect_timeout = "0s": expected a duration from 1ms to 1h [database "c"]`},
	{"an unknown key", "[[database]]\nname = \"c\"\npassword = \"hunter2\"", `:14: database.password: unknown key: expected one of name, url, password_file, connect_timeout, shared_sets, set [database "c"]`},
	{"a type", "[[database]]\nname = \"c\"\nshared_sets = \"no\"", `:14: database.shared_sets = "no": expected true or false, without quotes [database "c"]`},
	{"a key of a set", "[[database]]\nname = \"c\"\nkeep = \"1 year\"", `:14: database.keep: unknown key: it belongs in [set.retention] [database "c"]`},
	{"a key of its set", "[[database]]\nname = \"c\"\nurl = \"dbname=c\"\n[[database.set]]\nparent = \"m\"\nkey = \"at\"\nmax_share = 1", `:18: database.set.max_share: unknown key: it belongs in [database.set.retention] [database "c", set "public.m"]`},
	{"its set", "[[database]]\nname = \"c\"\nurl = \"dbname=c\"\n[[database.set]]\nparent = \"m\"\nkey = \"at\"\nahead = -1", `:18: database.set.ahead = -1: expected a whole number from 0 to 1000 [database "c", set "public.m"]`},
	{"a table of its set", "[[database]]\nname = \"c\"\nurl = \"dbname=c\"\n[[database.set]]\nparent = \"m\"\nkey = \"at\"\n[database.set.retention]\nkeep = \"1 year\"\nthen = \"burn\"", `:20: database.set.retention.then = "burn": expected one of "keep", "detach", "archive", "drop" [database "c", set "public.m"]`},
	{"no sets", "[[database]]\nname = \"c\"\nurl = \"dbname=c\"\nshared_sets = false", `:12: database.set: no set: expected [[database.set]] below it, or [[set]] for all databases, with the keys parent and key [database "c"]`},
	{"its own and a shared one get into each other's way", "[[database]]\nname = \"c\"\nurl = \"dbname=c\"\n[[database.set]]\nparent = \"events_master\"\nkey = \"at\"",
		`:15: database.set.name: names partitions "events_%Y_%m" in schema public, as does set "public.events" in line 9: expected another name [database "c", set "public.events_master"]`},
	{"one archive", `retention = { keep = "1 year", then = "archive", archive = "s3://bucket/p" }`,
		`:12: set.retention.archive = "s3://bucket/p": is where the database "shard_01" archives to, too: expected {database} in it, which stands for the name of each [database "shard_02", set "public.events"]`},
	{"one archive, written in two ways", "retention = { keep = \"1 year\", then = \"archive\", archive = \"file:///srv/{database}\" }\n[[database]]\nname = \"c\"\nurl = \"dbname=c\"\nshared_sets = false\n" +
		"[[database.set]]\nparent = \"m\"\nkey = \"at\"\nretention = { keep = \"1 year\", then = \"archive\", archive = \"file://localhost/srv//shard_02/\" }",
		`:20: database.set.retention.archive = "file://localhost/srv//shard_02/": is where the database "shard_02" archives to, too: expected {database} in it, which stands for the name of each [database "c", set "public.m"]`},
	{"none at once", "[schedule]\ndatabases = 0", `:13: schedule.databases = 0: expected a whole number from 1 to 1000`},
}

func TestInvalidFleet(t *testing.T) {
	t.Parallel()
	for _, test := range fleetErrors {
		c, err := Parse("config.toml", []byte(shards+test.text))
		if err == nil {
			t.Errorf("%s: accepted: %v", test.name, c)
			continue
		}
		if got := err.Error(); got != "config.toml"+test.want {
			t.Errorf("%s\ngot  %s\nwant config.toml%s", test.name, got, test.want)
		}
	}
	for text, want := range map[string]string{
		"[database]\nurl = \"dbname=a\"\n[[database]]\nname = \"b\"":                                   `config.toml:3: database: [database] stands beside [[database]]: expected either one [database], or [[database]] for each of several`,
		"[database]\nurl = \"dbname=a\"\n[database]\nurl = \"dbname=hunter2\"":                         `config.toml:3: database: [database] is there twice: expected it once, or [[database]] in double brackets for each of several`,
		"[database]\nname = \"a\"" + oneSet:                                                            `config.toml:2: database.name: unknown key: it belongs in [[database]] or [[set]]`,
		"[database]\n[[database.set]]\nparent = \"m\"":                                                 `config.toml:2: database.set: unknown key: it belongs in [[database]]`,
		"database = []" + oneSet:                                                                       `config.toml:1: database: expected [[database]] for each of several, or one [database]`,
		oneSet + `retention = { keep = "1 year", then = "archive", archive = "file:///a/{database}" }`: `config.toml:5: set.retention.archive = "file:///a/{database}": has {database} in it: expected that with [[database]] only, whose name it stands for [set "public.events"]`,
	} {
		if _, err := Parse("config.toml", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

// Whatever the sets of a database are, they have been read as those of one are.
func TestFleetSetsAreWhole(t *testing.T) {
	t.Parallel()
	c := mustParse(t, shards+"[[database]]\nname = \"c\"\nurl = \"dbname=c\"\n[[database.set]]\nparent = \"m\"\nkey = \"at\"\nlimits = { retries = 3 }")
	for _, d := range c.Databases {
		for _, s := range d.Sets {
			checkSet(t, s)
		}
	}
	if got := c.Databases[2].Sets[1]; got.Limits.Retries != 3 || got.Parent != (partition.Name{Schema: "public", Local: "m"}) {
		t.Errorf("%+v", got)
	}
}
