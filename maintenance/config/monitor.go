package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// Monitor says where metrics and the status page are served, and to whom.
type Monitor struct {
	// Network is "tcp" or "unix", and Address an address with its port, or the
	// path of a socket. Both are empty where nothing is served.
	Network, Address string
	// User is who may look, empty where everybody may who gets there.
	User string
	// PasswordFile holds the user's password; see [Config.MonitorPassword].
	PasswordFile string
}

// maxSocketBytes is what sun_path holds, less the zero at its end, where it is
// shortest (macOS; Linux has four more).
const maxSocketBytes = 103

// MonitorPassword reads the password of the monitor's user, which is empty without
// one. [Load] does not, for only the daemon needs it. The error is an [*Error] and
// holds none of it.
func (c *Config) MonitorPassword() (string, error) {
	if c.Monitor.PasswordFile == "" {
		return "", nil
	}
	password, err := readSecret(c.Monitor.PasswordFile, "password")
	if err != nil {
		return "", &Error{File: c.Path, Key: "monitor.password_file", Want: err.Error(), cause: err}
	}
	return password, nil
}

// Loopback tells whether only this machine can reach the address.
func (m Monitor) Loopback() bool {
	if m.Network != "tcp" {
		return true
	}
	address, err := netip.ParseAddrPort(m.Address)
	return err == nil && address.Addr().Unmap().IsLoopback()
}

// monitor reads the table of that name.
func (r *reader) monitor(keys monitorKeys) Monitor {
	m := Monitor{User: or(keys.User, ""), PasswordFile: or(keys.PasswordFile, "")}
	m.Network, m.Address = r.listen("monitor.listen", or(keys.Listen, ""))
	switch {
	case r.err != nil:
	case m.PasswordFile != "" && !filepath.IsAbs(m.PasswordFile):
		r.fail("monitor.password_file", "expected the absolute path of a file that holds the password")
	case m.User == "" && m.PasswordFile != "":
		r.fail("monitor.password_file", "is for a user: expected the key user beside it")
	case m.User != "" && m.PasswordFile == "":
		r.fail("monitor.user", "has no password: expected the key password_file beside it")
	case strings.ContainsFunc(m.User, func(c rune) bool { return c == ':' || c < ' ' || c == 0x7f }):
		r.fail("monitor.user", "expected a name without colons, which basic authentication cannot send")
	case m.Address != "" && m.User == "" && !m.Loopback():
		r.fail("monitor.listen", `would show everything to the whole network: expected user and password_file with it, or an address of this machine only, such as "127.0.0.1:9632"`)
	}
	return m
}

// listen reads an address to listen at.
func (r *reader) listen(path, text string) (network, address string) {
	const want = `expected an address and a port, such as "127.0.0.1:9632", "[::1]:9632" or ":9632" (this machine only), or a socket, such as "unix:/run/partitiond/monitor.sock"`
	if text == "" {
		return "", ""
	}
	if socket, ok := strings.CutPrefix(text, "unix:"); ok {
		switch {
		case !filepath.IsAbs(socket) || strings.ContainsRune(socket, 0):
			r.fail(path, "expected an absolute path after unix:")
		case len(socket) > maxSocketBytes:
			r.fail(path, "the socket's path is too long: expected at most "+strconv.Itoa(maxSocketBytes)+" bytes")
		}
		return "unix", socket
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		r.fail(path, want)
		return "", ""
	}
	if host == "" || host == "localhost" {
		host = "127.0.0.1"
	}
	parsed, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	if err != nil {
		r.fail(path, want)
		return "", ""
	}
	return "tcp", parsed.String()
}
