package measure

import "testing"

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
