package measure

import (
	"os/exec"
	"testing"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for want, runs := range map[float64][]Usage{
		0: nil, 3: {{Seconds: 3}}, 2: {{Seconds: 3}, {Seconds: 1}}, 4: {{Seconds: 9}, {Seconds: 4}, {Seconds: 1}},
	} {
		if got := MedianOf(runs, Seconds); got != want {
			t.Errorf("the median of %v is %g, want %g", runs, got, want)
		}
	}
}

// A child is not charged for what this process has used.
func TestChildsPeak(t *testing.T) {
	t.Parallel()
	ballast := make([]byte, 200<<20)
	for i := range ballast {
		ballast[i] = 1
	}
	var u Usage
	if out, err := u.Child(exec.Command("sleep", "0.2")); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if Peak() == 0 {
		t.Skip("this system does not tell of a process's memory in /proc")
	}
	if u.Peak == 0 || u.Peak > 100 {
		t.Errorf("sleep's peak is %.1f MiB beside %d here", u.Peak, len(ballast)>>20)
	}
}
