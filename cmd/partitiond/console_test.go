package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/archive"
)

// TestConsole shows progress in place on a terminal, where a line of the log
// takes its place, and nothing of it elsewhere.
func TestConsole(t *testing.T) {
	t.Parallel()
	half := archive.Progress{Rows: 10, TotalRows: 40, Bytes: 5_000_000}
	for _, live := range []bool{true, false} {
		var b bytes.Buffer
		c := &console{w: &b, live: live}
		c.meter("restoring 2018-11")(half)
		if _, err := c.Write([]byte("log\n")); err != nil {
			t.Error(err)
		}
		c.end()
		text := b.String()
		if !live {
			if text != "log\n" {
				t.Errorf("a file gets %q", text)
			}
			continue
		}
		shown, rest, _ := strings.Cut(text, clearLine+"log\n")
		if !strings.HasPrefix(shown, clearLine+"restoring 2018-11: 10 of 40 rows") || strings.Contains(shown, "\n") || rest != "" {
			t.Errorf("a terminal gets %q", text)
		}
		c.tell("x", half)
		c.end()
		if !strings.HasSuffix(b.String(), clearLine) {
			t.Errorf("the end leaves %q", b.String())
		}
	}
	if got := progressLine("x", half, 2*time.Second); got != "x: 10 of 40 rows, 2.5 MB/s, 6s left" {
		t.Errorf("got %q", got)
	}
}
