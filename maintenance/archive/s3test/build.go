package s3test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// The server is a program, not a dependency: its version stands here rather than in
// go.mod, whose readers it does not concern.
const (
	version = "v1.8.0"
	source  = "github.com/versity/versitygw/cmd/versitygw@" + version
)

// build returns the path of the server's program, which it builds if that was
// never done on this machine.
func build(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "partitiond-test", "versitygw-"+version)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making a directory for it: %w", err)
	}
	// The test binaries of several packages run at the same time.
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	program := filepath.Join(dir, "versitygw")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	temp, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", fmt.Errorf("making a directory for it: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }() // What is left there does no harm.
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "install", source)
	cmd.Dir = temp // outside of any module, which it would else be built for
	cmd.Env = append(os.Environ(), "GOBIN="+temp, "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s: %w\n%s", source, err, output)
	}
	// A build that is killed leaves half a program; this one has been finished.
	if err := os.Rename(filepath.Join(temp, "versitygw"), program); err != nil {
		return "", fmt.Errorf("keeping the program: %w", err)
	}
	return program, nil
}

// lock waits until no other process has the file locked. The kernel lets go of the
// lock when its process dies.
func lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening a lock: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err == nil {
			return func() { _ = f.Close() }, nil // Nothing was written; closing unlocks.
		}
		if !errors.Is(err, syscall.EINTR) {
			return nil, fmt.Errorf("locking %s: %w", name, errors.Join(err, f.Close()))
		}
	}
}
