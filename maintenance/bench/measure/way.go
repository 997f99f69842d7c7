// Package measure times what a benchmark compares, and says on which machine.
package measure

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Way is something that is measured.
type Way struct {
	Name     string
	Baseline *Way                        // that it is a share of, and takes turns with
	Before   func(context.Context) error // is not measured
	Run      func(context.Context) (Usage, error)

	Runs []Usage
	// Beside has, for each way that takes turns with this one, the runs next to it.
	Beside map[*Way][]Usage
}

// Usage is what one run took.
type Usage struct {
	Seconds, CPU float64 // CPU is that of the client, in seconds
	Size         int64   // of what is written or read, in bytes; 0 if nothing is
	Peak         float64 // the client's resident memory in MiB, or 0 if not known
	Apart        bool    // the client is a process of its own
}

// Child runs another process and notes what it took; what it printed comes back. Its
// peak is read while it runs, since the one that wait4 tells of begins with that of
// this process, which the new one is a copy of before it becomes its own program.
func (u *Usage) Child(cmd *exec.Cmd) (out []byte, err error) {
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	u.Apart = true
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			u.CPU = cmd.ProcessState.UserTime().Seconds() + cmd.ProcessState.SystemTime().Seconds()
			return b.Bytes(), err
		case <-look.C:
			u.Peak = max(u.Peak, peakOf(strconv.Itoa(cmd.Process.Pid)))
		}
	}
}

// Measure runs the way once, if need be beside another.
func (w *Way) Measure(ctx context.Context, beside *Way) error {
	if w.Before != nil {
		if err := w.Before(ctx); err != nil {
			return fmt.Errorf("before %s: %w", w.Name, err)
		}
	}
	// Each begins with little memory, and the peak is its own.
	debug.FreeOSMemory()
	resetPeak()
	cpu, start := processorTime(), time.Now()
	u, err := w.Run(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", w.Name, err)
	}
	u.Seconds = time.Since(start).Seconds()
	if !u.Apart {
		u.CPU, u.Peak = processorTime()-cpu, Peak()
	}
	w.Runs = append(w.Runs, u)
	if beside != nil {
		if w.Beside == nil {
			w.Beside = map[*Way][]Usage{}
		}
		w.Beside[beside] = append(w.Beside[beside], u)
	}
	return nil
}

// Share is the median of the runs beside this way, as part of the median of its
// own.
func (w *Way) Share() float64 {
	return MedianOf(w.Baseline.Beside[w], Seconds) / MedianOf(w.Runs, Seconds)
}

// Seconds is the time that a run took.
func Seconds(u Usage) float64 { return u.Seconds }

// MedianOf is the median of what runs have, and 0 without any.
func MedianOf(runs []Usage, of func(Usage) float64) float64 {
	var all []float64
	for _, u := range runs {
		all = append(all, of(u))
	}
	return Median(all)
}

// Median is the middle one of the values, the mean of both if there are two, and 0
// without any.
func Median(values []float64) float64 {
	all := slices.Sorted(slices.Values(values))
	n := len(all)
	if n == 0 {
		return 0
	}
	return (all[(n-1)/2] + all[n/2]) / 2
}

// processorTime is that of this process so far, in seconds.
func processorTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// resetPeak lets the kernel begin anew with what Peak tells (proc(5),
// /proc/pid/clear_refs). Where it cannot, the peak is that of the whole process.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// Peak is the greatest resident size of this process, in MiB; 0 where that is not
// told.
func Peak() float64 { return peakOf("self") }

func peakOf(process string) float64 {
	var kib float64
	if n, _ := fmt.Sscanf(fieldOf("/proc/"+process+"/status", "VmHWM"), "%f kB", &kib); n == 1 {
		return kib / 1024
	}
	return 0
}
