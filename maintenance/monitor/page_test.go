package monitor_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

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
