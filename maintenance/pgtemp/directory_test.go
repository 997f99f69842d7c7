package pgtemp

import (
	"os"
	"sync"
	"testing"
)

// A directory is made while others look for abandoned ones. It was lost if they
// held its lock, and let go of it, before its maker did.
func TestDirectoryWhileOthersSweep(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	made := make(chan struct{})
	var sweepers sync.WaitGroup
	for range 4 {
		sweepers.Go(func() {
			for {
				select {
				case <-made:
					return
				default:
					removeAbandoned(base)
				}
			}
		})
	}
	for range 300 {
		d, err := newDirectory(base, nil)
		if err != nil {
			t.Errorf("making a directory: %v", err)
			break
		}
		if _, err := os.Stat(d.socket()); err != nil {
			t.Errorf("what was made is not there: %v", err)
		}
		if err := d.remove(); err != nil {
			t.Errorf("removing it: %v", err)
		}
	}
	close(made)
	sweepers.Wait()
}
