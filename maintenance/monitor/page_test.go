package monitor_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestContrast holds every colour of text to 4.5:1 on what is behind it (WCAG 2.2,
// 1.4.3 Contrast), by day and by night.
func TestContrast(t *testing.T) {
	t.Parallel()
	css, err := os.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, ok := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("there is no dark scheme")
	}
	variable := regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6})`)
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]string{}
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			colours[m[1]] = m[2]
		}
		pairs := [][2]string{{"ink", "page"}, {"dim", "page"}, {"link", "page"}, {"ink", "card"}, {"dim", "card"}, {"link", "card"},
			{"bad", "card"}, {"good", "card"}, {"none", "card"}}
		for name := range colours {
			if on, ok := strings.CutSuffix(name, "-bg"); ok {
				pairs = append(pairs, [2]string{on, name})
			}
		}
		if len(pairs) < 17 {
			t.Errorf("%s: only %d pairs", scheme, len(pairs))
		}
		for _, p := range pairs {
			a, b := luminance(t, colours[p[0]]), luminance(t, colours[p[1]])
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 {
				t.Errorf("%s: %s on %s has a contrast of %.2f", scheme, p[0], p[1], ratio)
			}
		}
	}
}

// luminance is relative luminance as WCAG defines it.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	var r, g, b uint8
	if _, err := fmt.Sscanf(colour, "#%02x%02x%02x", &r, &g, &b); err != nil {
		t.Fatalf("%q is no colour: %v", colour, err)
	}
	linear := func(c uint8) float64 {
		v := float64(c) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b)
}

// browse runs a headless Chromium on a page of the site.
func browse(t *testing.T, url string, args ...string) []byte {
	t.Helper()
	chromium := program(t, "PARTITIOND_CHROMIUM", "chromium", "chromium-browser", "google-chrome")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
		"--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking", "--run-all-compositor-stages-before-draw", "--user-data-dir=" + t.TempDir()}, append(args, url)...)...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v\n%s", err, complaint.String())
	}
	return out
}

// TestPageInChromium looks at the page as people do: at the widths of a phone, a
// tablet and a desk, by day and by night. With PARTITIOND_SCREENSHOTS the pictures
// are kept there.
func TestPageInChromium(t *testing.T) {
	t.Parallel()
	s := rich(t)
	dom := string(browse(t, s.url("/"), "--dump-dom"))
	for _, want := range []string{"<h1>partitiond</h1>", `<html lang="en">`, " things need somebody</h2>", "held for ever (case 4711)"} {
		if !strings.Contains(dom, want) {
			t.Errorf("the browser does not show %q", want)
		}
	}
	dir := os.Getenv("PARTITIOND_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	for _, scheme := range []struct {
		name string
		arg  string
		page color.RGBA
	}{
		{"light", "--blink-settings=preferredColorScheme=1", color.RGBA{0xf7, 0xf8, 0xf8, 0xff}},
		{"dark", "--blink-settings=preferredColorScheme=0", color.RGBA{0x12, 0x16, 0x1b, 0xff}},
	} {
		for width, height := range map[int]int{360: 5000, 768: 3400, 1440: 2400} {
			if scheme.name == "dark" && width != 360 && os.Getenv("PARTITIOND_SCREENSHOTS") == "" {
				continue // Colours do not depend on the width.
			}
			file := filepath.Join(dir, fmt.Sprintf("status-%s-%d.png", scheme.name, width))
			browse(t, s.url("/"), scheme.arg, fmt.Sprintf("--window-size=%d,%d", width, height), "--screenshot="+file)
			shot := readPNG(t, file)
			if got := shot.Bounds().Dx(); got != width {
				t.Errorf("%s is %d wide", file, got)
			}
			// What is too wide for the page would stand in its margins.
			for _, x := range []int{0, 4, width - 5, width - 1} {
				for y := range shot.Bounds().Dy() {
					if got := color.RGBAModel.Convert(shot.At(x, y)); got != scheme.page {
						t.Fatalf("%s has %v at %d,%d: expected the page's %v in the margin", file, got, x, y, scheme.page)
					}
				}
			}
		}
	}
}

func readPNG(t *testing.T, file string) image.Image {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	shot, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return shot
}
