package pgtemp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// initdb makes the cluster in the data directory, which is empty, and appends
// the configuration.
func (s *Server) initdb(ctx context.Context, configuration string) (err error) {
	args := []string{
		"--pgdata=" + s.dir.data(),
		"--username=" + s.superuser,
		"--encoding=UTF8",
		"--auth-local=trust",
		"--no-sync", // a crash of the machine loses nothing of worth
	}
	if s.password == "" {
		args = append(args, "--auth-host=trust")
	} else {
		name := filepath.Join(s.dir.path, "password")
		if err := s.dir.writeFile(name, s.password+"\n"); err != nil {
			return fmt.Errorf("writing the password for initdb: %w", err)
		}
		defer func() { err = errors.Join(err, os.Remove(name)) }()
		args = append(args, "--auth-host=scram-sha-256", "--pwfile="+name)
	}
	// One locale everywhere, so that no test depends on the machine's collation
	// order. C.UTF-8 knows letters beyond ASCII, C is what every system has;
	// initdb leaves the directory empty when it fails.
	failed := s.runInitdb(ctx, append(args, "--locale=C.UTF-8"))
	if failed != nil && strings.Contains(failed.Error(), "invalid locale name") {
		failed = s.runInitdb(ctx, append(args, "--locale=C"))
	}
	if failed != nil {
		return failed
	}
	file, err := os.OpenFile(filepath.Join(s.dir.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configuring the server: %w", err)
	}
	if _, err := file.WriteString(configuration); err != nil {
		return errors.Join(fmt.Errorf("configuring the server: %w", err), file.Close())
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("configuring the server: %w", err)
	}
	return nil
}

func (s *Server) runInitdb(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, s.binaries.Path("initdb"), args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Env = environment()
	cmd.Dir = s.dir.path // the present one may be closed to the server's user
	cmd.SysProcAttr = attributes(s.dir.as)
	p, err := spawn(cmd)
	if err == nil {
		<-p.exited // soon after ctx ends, at the latest
		err = p.err
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("running %s: %w", cmd.Path, context.Cause(ctx))
	default:
		return fmt.Errorf("running %s: %w\n%s", cmd.Path, err, output.Bytes())
	}
}
