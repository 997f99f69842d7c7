package measure

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
)

// Markdown returns a table. Rows may be shorter than the head.
func Markdown(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) {
		for i := range head {
			cell := ""
			if i < len(cells) {
				cell = strings.ReplaceAll(cells[i], "|", `\|`)
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
	}
	line(head)
	b.WriteString(strings.Repeat("| --- ", len(head)) + "|\n")
	for _, cells := range rows {
		line(cells)
	}
	return b.String()
}

// Machine says what this process runs on, without names that lead to it.
func Machine() string {
	model := fieldOf("/proc/cpuinfo", "model name")
	if model == "" {
		model = "unknown CPU"
	}
	memory := ""
	var kib float64
	if n, _ := fmt.Sscanf(fieldOf("/proc/meminfo", "MemTotal"), "%f kB", &kib); n == 1 {
		memory = fmt.Sprintf(", %.0f GiB of memory", kib/(1<<20))
	}
	return fmt.Sprintf("%s, %d CPUs for client and server%s, %s/%s, %s", model, runtime.NumCPU(), memory, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// fieldOf is the value of the first line of a file of /proc that has the name; ""
// where there is none.
func fieldOf(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Profile begins a CPU profile of this process, and returns what ends it and writes
// a heap profile beside it: cpu.pprof and heap.pprof in the directory.
func Profile(dir string) (finish func() error, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	cpu, err := os.Create(filepath.Join(dir, "cpu.pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		_ = cpu.Close() // Nothing was written to it.
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		if err := cpu.Close(); err != nil {
			return err
		}
		heap, err := os.Create(filepath.Join(dir, "heap.pprof"))
		if err != nil {
			return err
		}
		if err := pprof.Lookup("allocs").WriteTo(heap, 0); err != nil {
			_ = heap.Close() // The first error counts.
			return err
		}
		return heap.Close()
	}, nil
}

// Thousands writes a number without decimals, its digits in groups of three.
func Thousands(v float64) string {
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
