package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// way is something that is measured.
type way struct {
	name     string
	baseline *way                        // that it is a share of, and takes turns with
	before   func(context.Context) error // is not measured
	run      func(context.Context) (usage, error)

	runs []usage
	// beside has, for each way that takes turns with this one, the runs next to it.
	beside map[*way][]usage
}

// usage is what one run took.
type usage struct {
	seconds, cpu float64 // cpu is that of the client, in seconds
	size         int64   // of what is written or read, in bytes; 0 if nothing is
	peak         float64 // the client's resident memory in MiB, or 0 if not known
	apart        bool    // the client is a process of its own
}

// child notes what another process took. Linux tells its memory in kilobytes.
func (u *usage) child(s *os.ProcessState) {
	u.apart = true
	u.cpu = s.UserTime().Seconds() + s.SystemTime().Seconds()
	if r, ok := s.SysUsage().(*syscall.Rusage); ok && runtime.GOOS == "linux" {
		u.peak = float64(r.Maxrss) / 1024
	}
}

// measure runs the way once, if need be beside another.
func (w *way) measure(ctx context.Context, beside *way) error {
	if w.before != nil {
		if err := w.before(ctx); err != nil {
			return fmt.Errorf("before %s: %w", w.name, err)
		}
	}
	// Each begins with little memory, and the peak is its own.
	debug.FreeOSMemory()
	resetPeak()
	cpu, start := processorTime(), time.Now()
	u, err := w.run(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", w.name, err)
	}
	u.seconds = time.Since(start).Seconds()
	if !u.apart {
		u.cpu, u.peak = processorTime()-cpu, peak()
	}
	w.runs = append(w.runs, u)
	if beside != nil {
		if w.beside == nil {
			w.beside = map[*way][]usage{}
		}
		w.beside[beside] = append(w.beside[beside], u)
	}
	return nil
}

// share is the median of the runs beside this way, as part of the median of its
// own.
func (w *way) share() float64 {
	return median(w.baseline.beside[w], seconds) / median(w.runs, seconds)
}

func seconds(u usage) float64 { return u.seconds }

func median(runs []usage, of func(usage) float64) float64 {
	var all []float64
	for _, u := range runs {
		all = append(all, of(u))
	}
	slices.Sort(all)
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

// resetPeak lets the kernel begin anew with what peak tells (proc(5),
// /proc/pid/clear_refs). Where it cannot, the peak is that of the whole process.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// peak is the greatest resident size of this process, in MiB; 0 where that is not
// told.
func peak() float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}
