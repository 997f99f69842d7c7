package prove

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// panel is one thing over time, of several daemons.
type panel struct {
	title string
	// slack is by how much it may grow without anything being wrong; see grows.
	slack  float64
	curves [][]float64
}

// blocks draw a value by its height.
const blocks = "▁▂▃▄▅▆▇█"

// line draws a curve in so many characters, each the greatest value of its time.
func line(values []float64, width int) string {
	top := max(slices.Max(values), 1)
	width = min(width, len(values))
	var b strings.Builder
	for i := range width {
		value := slices.Max(values[i*len(values)/width : (i+1)*len(values)/width])
		runes := []rune(blocks)
		b.WriteRune(runes[int(value/top*float64(len(runes)-1))])
	}
	return b.String()
}

// median is that of values of which there is one at least.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// grows tells whether the last quarter of a curve lies above its second quarter by more
// than a tenth and the slack. The first one is left out, in which caches fill. Medians
// count: what leaks is there all the time, whereas peaks are as high as what is
// archived just then is large.
func grows(values []float64, slack float64) bool {
	quarter := len(values) / 4
	return quarter > 0 && median(values[len(values)-quarter:]) > 1.1*median(values[quarter:2*quarter])+slack
}

// report shows the samples, draws them where PARTITIOND_SOAK_PLOT says, and fails
// the test if something grows.
//
// The slack is more than what chance makes, and less than what a leak would make of a
// run of ten months from its second quarter to its last one, if it lost a connection, a
// goroutine or a MiB each month. A sample sees between no and three connections, by
// where a pass is just then, so their median may be one or the other of two. The
// goroutines are those of the schedule, the monitor, the listener and a few for each
// connection. The heap is as large as what was in use when the collector last ran,
// which may have been in the middle of an export. What is resident says less, for Go
// gives memory back as it likes: only much more of it is taken for a leak.
func report(t *testing.T, names []string, samples [][]sample, month time.Duration) {
	t.Helper()
	panels := []panel{{title: "resident memory [MiB]", slack: 24}, {title: "heap at which Go collects garbage [MiB]", slack: 4}, {title: "goroutines", slack: 3}, {title: "connections to the server", slack: 1}}
	for i, of := range samples {
		if len(of) == 0 {
			t.Fatal("nothing was seen of " + names[i])
		}
		curves := make([][]float64, len(panels))
		for _, s := range of {
			for j, value := range []float64{s.memory, s.heap, s.goroutines, s.connections} {
				curves[j] = append(curves[j], value)
			}
		}
		for j := range panels {
			p := &panels[j]
			p.curves = append(p.curves, curves[j])
			t.Logf("%-12s %-40s %s median %.0f, at most %.0f", names[i], p.title, line(curves[j], 60), median(curves[j]), slices.Max(curves[j]))
			if grows(curves[j], p.slack) {
				t.Errorf("%s: %s: it grows", names[i], p.title)
			}
		}
	}
	name := os.Getenv("PARTITIOND_SOAK_PLOT")
	if name == "" {
		return
	}
	if err := os.WriteFile(name, []byte(svg(panels, names, samples, month)), 0o600); err != nil {
		t.Error(err)
	}
}

// step is the least of 1, 2, 5, 10, 20, 50 and so on of which no more than so many
// are in top.
func step(top float64, most int) float64 {
	for unit := 1.0; ; unit *= 10 {
		for _, s := range []float64{unit, 2 * unit, 5 * unit} {
			if top/s <= float64(most) {
				return s
			}
		}
	}
}

// svg draws the panels below one another, with a curve for each name, over months.
func svg(panels []panel, names []string, samples [][]sample, month time.Duration) string {
	const width, height, left, right, top, gap = 800.0, 130.0, 60.0, 20.0, 60.0, 45.0
	colors := []string{"#1f5fa8", "#c4561c"}
	var last time.Duration
	for _, of := range samples {
		last = max(last, of[len(of)-1].at)
	}
	months := math.Ceil(last.Seconds() / month.Seconds())
	x := func(at time.Duration) float64 { return left + width*at.Seconds()/(months*month.Seconds()) }
	bottom := top + float64(len(panels))*(height+gap) - gap
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	text := func(x, y float64, anchor, text string) {
		say(`<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, x, y, anchor, text)
	}
	say(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%[1]g" height="%[2]g" font-family="sans-serif" font-size="12" fill="#222">`, left+width+right, bottom+50)
	say(`<rect width="100%%" height="100%%" fill="white"/>`)
	text(left, 22, "start", fmt.Sprintf("A daemon in %.0f months of %.0f s each, by way of partitioning", months, month.Seconds()))
	for i, name := range names {
		at := left + width - float64(len(names)-i)*110 + 10
		say(`<line x1="%.1f" y1="18" x2="%.1f" y2="18" stroke="%s" stroke-width="3"/>`, at, at+20, colors[i%len(colors)])
		text(at+26, 22, "start", name)
	}
	for i, p := range panels {
		most := 1.0
		for _, curve := range p.curves {
			most = max(most, slices.Max(curve))
		}
		tick, from := step(most, 5), top+float64(i)*(height+gap)
		full := math.Ceil(most*1.02/tick) * tick
		y := func(value float64) float64 { return from + height*(1-value/full) }
		say(`<text x="%.1f" y="%.1f" font-weight="bold">%s</text>`, left, from-8, p.title)
		for value := 0.0; value <= full; value += tick {
			say(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%[2]f" stroke="#ddd"/>`, left, y(value), left+width)
			text(left-6, y(value)+4, "end", fmt.Sprintf("%.0f", value))
		}
		each := step(months, 12)
		for m := 0.0; m <= months; m += each {
			at := left + width*m/months
			say(`<line x1="%.1f" y1="%.1f" x2="%.1[1]f" y2="%.1[3]f" stroke="#ddd"/>`, at, from, from+height)
			if i == len(panels)-1 {
				text(at, bottom+18, "middle", fmt.Sprintf("%.0f", m))
			}
		}
		for n, curve := range p.curves {
			var points strings.Builder
			for j, value := range curve {
				fmt.Fprintf(&points, "%.1f,%.1f ", x(samples[n][j].at), y(value))
			}
			say(`<polyline fill="none" stroke="%s" stroke-width="1.2" points="%s"/>`, colors[n%len(colors)], points.String())
		}
		say(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="none" stroke="#888"/>`, left, from, width, height)
	}
	text(left+width/2, bottom+38, "middle", fmt.Sprintf("months of the server's clock, %.0f s each", month.Seconds()))
	say("</svg>")
	return b.String()
}

// TestCurve tells what grows from what does not.
func TestCurve(t *testing.T) {
	t.Parallel()
	var flat, growing, peaks []float64
	for i := range 100 {
		flat, growing, peaks = append(flat, 50+float64(i%5)), append(growing, 50+float64(i)/2), append(peaks, 50)
		if i%10 == 0 {
			peaks[i] = float64(50 + 4*i)
		}
	}
	if grows(flat, 1) || !grows(growing, 1) || grows(peaks, 1) || grows(growing[:3], 1) {
		t.Errorf("flat grows: %t, growing grows: %t, peaks grow: %t", grows(flat, 1), grows(growing, 1), grows(peaks, 1))
	}
	if got := line([]float64{0, 1, 2, 4}, 4); got != "▁▂▄█" {
		t.Errorf("drawn as %q", got)
	}
	if a, b, c := step(3, 5), step(54, 5), step(480, 12); a != 1 || b != 20 || c != 50 {
		t.Errorf("steps of %g, %g and %g", a, b, c)
	}
}
