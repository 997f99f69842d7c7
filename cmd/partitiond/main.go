// Partitiond keeps time-partitioned PostgreSQL tables healthy: it makes
// partitions ahead of time, repairs what drifted from the parent, and retires
// what is older than it has to be. See partitiond --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program but for the process around it. The context ends when the
// program is asked to stop; the answer is one of the exit codes.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var code exitError
	if !errors.As(err, &code) {
		code = exitError{exitUsage, err}
	}
	if code.err != nil {
		fmt.Fprintln(stderr, "partitiond:", code.err)
	}
	return code.code
}
