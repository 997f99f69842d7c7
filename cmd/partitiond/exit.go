package main

import (
	"errors"

	"github.com/partitiond/partitiond/maintenance"
)

// The exit codes, as the README and --help document them.
const (
	exitOK      = 0 // nothing to do, or all done
	exitFailed  = 1 // nothing of what was due could be done
	exitUsage   = 2 // bad arguments or a bad configuration; nothing ran
	exitPartly  = 3 // some actions failed, or something needs a person
	exitConnect = 4 // no connection to PostgreSQL, or none that will do
	exitBusy    = 5 // another instance holds the lock of a set
	exitFound   = 6 // check found something
	exitStopped = 7 // stopped by a signal before it was done
)

const exitHelp = `Exit codes:
  0  nothing to do, or all done
  1  failed: nothing of what was due could be done
  2  bad arguments or a bad configuration; nothing ran
  3  partly: some actions failed, or a problem needs a person
  4  could not connect to PostgreSQL, or only to a standby or through a pooler that
     shares sessions; of several databases to none
  5  another instance holds the lock of a set, which was skipped
  6  check found something
  7  stopped by a signal before it was done`

// exitError is an error that knows the exit code. Without err it is silent: the
// output has said it all.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// exitWith gives the outcome of a pass or a plan its code; nil for success.
func exitWith(status maintenance.Status, err error) error {
	if err != nil {
		if errors.Is(err, maintenance.ErrConnect) {
			return exitError{exitConnect, err}
		}
		return exitError{exitFailed, err}
	}
	codes := map[maintenance.Status]int{
		maintenance.Idle: exitOK, maintenance.Done: exitOK, maintenance.Partly: exitPartly,
		maintenance.Failed: exitFailed, maintenance.Skipped: exitBusy, maintenance.Stopped: exitStopped,
	}
	if code := codes[status]; code != exitOK {
		return exitError{code: code}
	}
	return nil
}
