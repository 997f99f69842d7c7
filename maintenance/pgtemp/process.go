package pgtemp

import (
	"os"
	"os/exec"
	"runtime"
)

// process is a child and the news of its end.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed once the child has been waited for
	err    error         // what Wait returned; read it after exited
}

// spawn starts the command and waits for it in the background.
//
// Linux sends the death signal (see attributes) when the *thread* that forked
// ends, not the process: prctl(2), PR_SET_PDEATHSIG. So one thread forks, and
// stays, until the child is gone.
func spawn(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// hasExited tells whether the child is known to be gone.
func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// environment is what the programs get: nothing of libpq's variables, of the
// user's language, or of a service manager's socket, any of which would change
// what they do.
func environment() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
