package pgtemp

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// attributes gives a child its own process group, so that Ctrl-C in a terminal
// reaches this process alone and it can stop the child in order, and the user
// to run as.
//
// When this process dies the child gets SIGQUIT, with which the postmaster
// stops every other server process and lets go of its shared memory
// (PostgreSQL documentation, 19.5 Shutting Down the Server). SIGKILL would
// leave busy backends behind. A change of user clears the death signal, so it
// matters that package syscall sets it after that change.
func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: as, Pdeathsig: syscall.SIGQUIT}
}

// childrenOf lists the processes whose parent is pid.
func childrenOf(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var children []int
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended since
		}
		// "pid (name) state ppid ...", where the name may hold any character.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 2 || string(fields[1]) != strconv.Itoa(pid) {
			continue
		}
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			return nil, fmt.Errorf("listing processes: %w", err)
		}
		children = append(children, child)
	}
	return children, nil
}
