package config

import (
	"strings"
	"testing"
)

func TestMonitorListen(t *testing.T) {
	t.Parallel()
	const auth = "\nuser = \"ops\"\npassword_file = \"/etc/partitiond/monitor\""
	for _, test := range []struct {
		text             string
		network, address string
		loopback         bool
	}{
		{`listen = ""`, "", "", true},
		{`listen = ":9632"`, "tcp", "127.0.0.1:9632", true},
		{`listen = "localhost:9632"`, "tcp", "127.0.0.1:9632", true},
		{`listen = "127.0.0.2:9632"`, "tcp", "127.0.0.2:9632", true},
		{`listen = "[::1]:9632"`, "tcp", "[::1]:9632", true},
		{`listen = "[::ffff:127.0.0.1]:9632"`, "tcp", "[::ffff:127.0.0.1]:9632", true},
		{`listen = "127.0.0.1:0"`, "tcp", "127.0.0.1:0", true},
		{`listen = "0.0.0.0:9632"` + auth, "tcp", "0.0.0.0:9632", false},
		{`listen = "[::]:9632"` + auth, "tcp", "[::]:9632", false},
		{`listen = "unix:/run/partitiond/monitor.sock"`, "unix", "/run/partitiond/monitor.sock", true},
	} {
		got := mustParse(t, oneSet+"\n[monitor]\n"+test.text).Monitor
		if got.Network != test.network || got.Address != test.address || got.Loopback() != test.loopback {
			t.Errorf("%s: %+v, loopback %t", test.text, got, got.Loopback())
		}
	}
}

func TestMonitorRefused(t *testing.T) {
	t.Parallel()
	const open = `would show everything to the whole network: expected user and password_file with it`
	for _, test := range []struct{ text, want string }{
		{`listen = "0.0.0.0:9632"`, `:2: monitor.listen = "0.0.0.0:9632": ` + open},
		{`listen = "[::]:9632"`, `:2: monitor.listen = "[::]:9632": ` + open},
		{`listen = "192.0.2.1:9632"`, `:2: monitor.listen = "192.0.2.1:9632": ` + open},
		{`listen = "9632"`, `:2: monitor.listen = "9632": expected an address and a port`},
		{`listen = "example.org:9632"`, `:2: monitor.listen = "example.org:9632": expected an address and a port`},
		{`listen = "127.0.0.1:http"`, `:2: monitor.listen = "127.0.0.1:http": expected an address and a port`},
		{`listen = "127.0.0.1:70000"`, `:2: monitor.listen = "127.0.0.1:70000": expected an address and a port`},
		{`listen = "unix:monitor.sock"`, `:2: monitor.listen = "unix:monitor.sock": expected an absolute path after unix:`},
		{`listen = "unix:/` + strings.Repeat("x", 103) + `"`, `: the socket's path is too long: expected at most 103 bytes`},
		{`user = "ops"`, `:2: monitor.user = "ops": has no password: expected the key password_file beside it`},
		{`password_file = "/secret"`, `:2: monitor.password_file: is for a user: expected the key user beside it`},
		{`password_file = "hunter2"`, `:2: monitor.password_file: expected the absolute path of a file that holds the password`},
		{"user = \"a:b\"\npassword_file = \"/secret\"", `:2: monitor.user = "a:b": expected a name without colons`},
	} {
		_, err := Parse("config.toml", []byte("[monitor]\n"+test.text+"\n"+oneSet))
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s:\ngot  %v\nwant %s", test.text, err, test.want)
		}
	}
}

func TestMonitorPassword(t *testing.T) {
	quietEnvironment(t)
	parse := func(file string) *Config {
		return mustParse(t, oneSet+"\n[monitor]\nlisten = \":9632\"\nuser = \"ops\"\npassword_file = \""+file+"\"")
	}
	if got, err := parse(writeFile(t, "hunter2\n", 0o600)).MonitorPassword(); got != "hunter2" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := mustParse(t, oneSet).MonitorPassword(); got != "" || err != nil {
		t.Errorf("without one: %q, %v", got, err)
	}
	_, err := parse(writeFile(t, "hunter2\n", 0o604)).MonitorPassword()
	if err == nil || !strings.Contains(err.Error(), "monitor.password_file: the file has mode 0604") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("that others may read: %v", err)
	}
}
