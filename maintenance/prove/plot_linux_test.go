package prove

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// curve is one thing over time.
type curve struct {
	name string
	// slack is by how much it may grow without anything being wrong.
	slack  float64
	values []float64
}

// blocks draw a value by its height.
const blocks = "▁▂▃▄▅▆▇█"

// line draws the curve in so many characters, each the greatest value of its time.
func (c curve) line(width int) string {
	top := max(slices.Max(c.values), 1)
	var b strings.Builder
	for i := range min(width, len(c.values)) {
		from, to := i*len(c.values)/width, (i+1)*len(c.values)/width
		if len(c.values) < width {
			from, to = i, i+1
		}
		value := slices.Max(c.values[from:max(to, from+1)])
		runes := []rune(blocks)
		b.WriteRune(runes[int(value/top*float64(len(runes)-1))])
	}
	return b.String()
}

// grows tells whether the last quarter lies above the second one by more than a fifth
// and the slack.
func (c curve) grows() bool {
	quarter := len(c.values) / 4
	if quarter == 0 {
		return false
	}
	before, after := slices.Max(c.values[quarter:2*quarter]), slices.Max(c.values[3*quarter:])
	return after > before*1.2+c.slack
}

// svg draws curves below one another.
func svg(curves []curve, length time.Duration) string {
	const width, height, left = 800, 120, 10
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width+2*left, len(curves)*(height+40))
	for i, c := range curves {
		top, y := max(slices.Max(c.values), 1), float64(i*(height+40)+20)
		fmt.Fprintf(&b, `<text x="%d" y="%g">%s, at most %.0f, over %s</text>`+"\n", left, y, c.name, top, length)
		fmt.Fprintf(&b, `<rect x="%d" y="%g" width="%d" height="%d" fill="none" stroke="#ccc"/><polyline fill="none" stroke="#246" points="`, left, y+6, width, height)
		for n, value := range c.values {
			fmt.Fprintf(&b, "%.1f,%.1f ", left+float64(n*width)/float64(len(c.values)), y+6+height-value/top*(height-4))
		}
		b.WriteString(`"/>` + "\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// report shows the samples, draws them where PARTITIOND_SOAK_PLOT says, and fails
// the test if something grows.
func report(t *testing.T, samples []sample) {
	t.Helper()
	if len(samples) == 0 {
		t.Fatal("nothing was seen")
	}
	curves := []curve{{name: "resident memory in MiB", slack: 16}, {name: "goroutines", slack: 3}, {name: "connections", slack: 1}}
	for _, s := range samples {
		for i, value := range []float64{s.memory, s.goroutines, s.connections} {
			curves[i].values = append(curves[i].values, value)
		}
	}
	for _, c := range curves {
		t.Logf("%-24s %s at most %.0f", c.name, c.line(60), slices.Max(c.values))
		if c.grows() {
			t.Errorf("%s: it grows", c.name)
		}
	}
	if name := os.Getenv("PARTITIOND_SOAK_PLOT"); name != "" {
		if err := os.WriteFile(name, []byte(svg(curves, samples[len(samples)-1].at)), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// TestCurve tells what grows from what does not.
func TestCurve(t *testing.T) {
	t.Parallel()
	flat, growing := curve{slack: 1}, curve{slack: 1}
	for i := range 100 {
		flat.values, growing.values = append(flat.values, 50+float64(i%5)), append(growing.values, 50+float64(i))
	}
	if flat.grows() || !growing.grows() {
		t.Errorf("flat grows: %t, growing grows: %t", flat.grows(), growing.grows())
	}
	if got := (curve{values: []float64{0, 1, 2, 4}}).line(4); got != "▁▂▄█" {
		t.Errorf("drawn as %q", got)
	}
}
