package pgtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// ChildEnv is the environment variable that holds, in JSON, the task of a process that
// a test has started from its own binary.
const ChildEnv = "PARTITIOND_TEST_CHILD"

// IfChild has a process that [Spawn] started do its task, and ends it; an error is
// printed. In any other process it does nothing. TestMain calls it first.
func IfChild[T any](do func(task T) error) {
	text := os.Getenv(ChildEnv)
	if text == "" {
		return
	}
	var task T
	err := json.Unmarshal([]byte(text), &task)
	if err == nil {
		err = do(task)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	os.Exit(0)
}

// Child is a process that has ended.
type Child struct {
	// Output is all that it has printed.
	Output string
	// Killed tells that SIGKILL ended it; then, and if it failed, Err is not nil.
	Killed bool
	Err    error
	State  *os.ProcessState
}

// Spawn runs the test's binary again, in a process of its own that does the task; its
// environment is this one's and what is given.
func Spawn(t testing.TB, task any, env ...string) Child {
	t.Helper()
	text, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(append(os.Environ(), env...), ChildEnv+"="+string(text))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatalf("a child could not be started: %v", err)
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return Child{Output: out.String(), Killed: ok && status.Signal() == syscall.SIGKILL, Err: err, State: cmd.ProcessState}
}

// Die ends this process as kill -9 does, and does not return.
func Die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // Until the signal is there.
}
