package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// leftOpen is how long the output of a command may stay open after its end, when
// something that it started holds it.
const leftOpen = time.Second

// runCommand runs a command with the event on standard input and in the
// environment, and wants exit code 0. When the context ends it is killed, with
// all that it started. Errors have what it printed, but not its arguments.
func runCommand(ctx context.Context, command []string, body []byte, e Event) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = bytes.NewReader(body)
	cmd.Env = environment(e)
	cmd.Dir = "/"
	out := &head{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = leftOpen
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return finalError{fmt.Errorf("start it: %w", err)}
	}
	err := cmd.Wait()
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return nil // It ended well, whatever it has left running.
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if said := oneLine(out.text.String(), 300); said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// environment is all that a command gets: nothing of ours, which may hold the
// server's password.
func environment(e Event) []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	for _, v := range []struct{ name, value string }{
		{"EVENT", string(e.Event)}, {"TIME", e.Time.Format(time.RFC3339)}, {"HOST", e.Host}, {"TEXT", clip(e.Text, maxText)},
		{"DATABASE", e.Database}, {"SET", e.Set}, {"STATUS", string(e.Status)}, {"ACTION", e.Action}, {"TABLE", e.Table},
	} {
		// The system takes no NUL here.
		env = append(env, "PARTITIOND_"+v.name+"="+strings.ReplaceAll(v.value, "\x00", ""))
	}
	return env
}

// head keeps the beginning of what is written.
type head struct{ text strings.Builder }

func (h *head) Write(p []byte) (int, error) {
	if room := 4096 - h.text.Len(); room > 0 {
		h.text.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
