package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/pgtemp"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// authority signs certificates: a CA that nobody else knows.
type authority struct {
	t      *testing.T
	dir    string
	as     *syscall.Credential
	key    *ecdsa.PrivateKey
	root   *x509.Certificate
	serial int64
}

func newAuthority(t *testing.T, dir, name string, as *syscall.Credential) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir, as: as}
	a.root = &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.key = a.sign(name, a.root, a.root, nil)
	return a
}

// issue writes NAME.crt and NAME.key, for the host 127.0.0.1 or for a role.
func (a *authority) issue(name string, until time.Time) {
	a.t.Helper()
	a.sign(name, &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, a.root, a.key)
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) sign(name string, c, parent *x509.Certificate, by *ecdsa.PrivateKey) *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	a.serial++
	c.SerialNumber, c.NotBefore = big.NewInt(a.serial), time.Now().Add(-48*time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(24 * time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".crt", "CERTIFICATE", der)
	a.write(name+".key", "EC PRIVATE KEY", private)
	return key
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	if a.as != nil {
		if err := os.Chown(a.path(name), int(a.as.Uid), int(a.as.Gid)); err != nil {
			a.t.Fatal(err)
		}
	}
}

// TestTLS connects to a server with a certificate of a made-up CA, which takes no
// connection without TLS: by each sslmode it is trusted as far as libpq would trust
// it, and no further (PostgreSQL documentation, 34.19 SSL Support).
func TestTLS(t *testing.T) {
	t.Parallel()
	as := account(t)
	dir := ownDirectory(t, as)
	ours, theirs := newAuthority(t, dir, "ours", as), newAuthority(t, dir, "theirs", as)
	ours.issue("server", time.Time{})
	ours.issue("expired", time.Now().Add(-24*time.Hour))
	ours.issue("keeper", time.Time{})
	theirs.issue("impostor", time.Time{})

	server := pgtest.Server(t, pgtemp.Options{Settings: map[string]string{
		"ssl": "on", "ssl_cert_file": ours.path("server.crt"), "ssl_key_file": ours.path("server.key"), "ssl_ca_file": ours.path("ours.crt")}})
	db := &pgtest.Database{URL: server.URL("postgres"), Name: "postgres", Server: server}
	conn := db.Conn(t)
	exec := func(statements ...string) {
		t.Helper()
		for _, sql := range statements {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
	}
	exec("CREATE ROLE keeper LOGIN", "CREATE TABLE events (id bigint, at timestamptz, what text)", "GRANT SELECT ON events TO keeper")
	// From here on nobody connects but by TLS, and keeper only with his certificate.
	const rules = "hostssl all keeper 127.0.0.1/32 cert\nhostssl all all 127.0.0.1/32 trust\n"
	if err := os.WriteFile(filepath.Join(server.DataDir(), "pg_hba.conf"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	exec("SELECT pg_reload_conf()")
	plain := newCLI(t, eventsSet) // On a server without TLS.

	for _, test := range []struct {
		name, host, role string
		port             int
		options          []string
		want             int
		message          string
	}{
		{"verify-full, the right CA", "127.0.0.1", "postgres", server.Port(), []string{"sslmode=verify-full", "sslrootcert=" + ours.path("ours.crt")}, exitFound, ""},
		{"verify-full, another CA", "127.0.0.1", "postgres", server.Port(), []string{"sslmode=verify-full", "sslrootcert=" + theirs.path("theirs.crt")}, exitConnect, "certificate signed by unknown authority"},
		{"verify-full, the machine's CAs", "127.0.0.1", "postgres", server.Port(), []string{"sslmode=verify-full"}, exitConnect, "certificate signed by unknown authority"},
		{"verify-full, another host", "localhost", "postgres", server.Port(), []string{"sslmode=verify-full", "sslrootcert=" + ours.path("ours.crt")}, exitConnect, "localhost"},
		{"verify-ca, another host", "localhost", "postgres", server.Port(), []string{"sslmode=verify-ca", "sslrootcert=" + ours.path("ours.crt")}, exitFound, ""},
		{"verify-ca, another CA", "127.0.0.1", "postgres", server.Port(), []string{"sslmode=verify-ca", "sslrootcert=" + theirs.path("theirs.crt")}, exitConnect, "certificate signed by unknown authority"},
		{"require", "127.0.0.1", "postgres", server.Port(), []string{"sslmode=require"}, exitFound, ""},
		{"require, another CA", "127.0.0.1", "postgres", server.Port(), []string{"sslmode=require", "sslrootcert=" + theirs.path("theirs.crt")}, exitConnect, "certificate signed by unknown authority"},
		{"prefer", "127.0.0.1", "postgres", server.Port(), []string{"sslmode=prefer"}, exitFound, ""},
		{"disable", "127.0.0.1", "postgres", server.Port(), []string{"sslmode=disable"}, exitConnect, "no encryption"},
		{"a client's certificate", "127.0.0.1", "keeper", server.Port(), []string{"sslmode=verify-full", "sslrootcert=" + ours.path("ours.crt"), "sslcert=" + ours.path("keeper.crt"), "sslkey=" + ours.path("keeper.key")}, exitFound, ""},
		{"another client's certificate", "127.0.0.1", "keeper", server.Port(), []string{"sslmode=verify-full", "sslrootcert=" + ours.path("ours.crt"), "sslcert=" + theirs.path("impostor.crt"), "sslkey=" + theirs.path("impostor.key")}, exitConnect, "certificate"},
		{"no client's certificate", "127.0.0.1", "keeper", server.Port(), []string{"sslmode=verify-full", "sslrootcert=" + ours.path("ours.crt")}, exitConnect, "certificate"},
		{"require of a server without TLS", "127.0.0.1", "postgres", plain.db.Server.Port(), []string{"sslmode=require"}, exitConnect, "refused TLS"},
		{"verify-full of a server without TLS", "127.0.0.1", "postgres", plain.db.Server.Port(), []string{"sslmode=verify-full", "sslrootcert=" + ours.path("ours.crt")}, exitConnect, "refused TLS"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &cli{t: t, file: filepath.Join(t.TempDir(), "config.toml")}
			u := url.URL{Scheme: "postgres", User: url.User(test.role), Host: net.JoinHostPort(test.host, strconv.Itoa(test.port)), Path: "/" + db.Name, RawQuery: strings.Join(test.options, "&")}
			c.write(u.String(), eventsSet)
			// A set without partitions is what check finds once it is connected.
			out, log := c.run(test.want, "check")
			if test.want == exitFound {
				expect(t, out, "public.events: NOT HEALTHY")
				return
			}
			expect(t, log, test.message)
		})
	}

	// A certificate that has run out.
	exec("ALTER SYSTEM SET ssl_cert_file = '"+ours.path("expired.crt")+"'", "ALTER SYSTEM SET ssl_key_file = '"+ours.path("expired.key")+"'", "SELECT pg_reload_conf()")
	c := &cli{t: t, file: filepath.Join(t.TempDir(), "config.toml")}
	c.write("postgres://postgres@127.0.0.1:"+strconv.Itoa(server.Port())+"/postgres?sslmode=verify-full&sslrootcert="+ours.path("ours.crt"), eventsSet)
	for { // The server reads its files when it gets to it.
		var out, log bytes.Buffer
		code := run(t.Context(), []string{"check", "--config", c.file}, &out, &log)
		if code == exitConnect && strings.Contains(log.String(), "expired") {
			break
		}
		if code != exitFound {
			t.Fatalf("with a certificate that has run out the program exits with %d: %s", code, &log)
		}
	}
}
