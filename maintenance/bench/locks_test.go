package main

import (
	"testing"
	"time"
)

// TestReadTransaction reads lines as pgbench writes them with a rate: the first time
// counts from when the transaction was due, and the lag is not the server's.
func TestReadTransaction(t *testing.T) {
	t.Parallel()
	got, err := readTransaction("3 17 51500 0 1700000000 250000 1500\n")
	if err != nil {
		t.Fatal(err)
	}
	ended := time.Unix(1700000000, 250_000_000)
	if got.failed || !got.ended.Equal(ended) || got.took() != 50*time.Millisecond {
		t.Errorf("read %+v, which took %s", got, got.took())
	}
	if got, err = readTransaction("3 18 deadlock 0 1700000000 250000 1500\n"); err != nil || !got.failed {
		t.Errorf("read %+v, %v; want one that failed", got, err)
	}
	if _, err := readTransaction("nothing of the kind\n"); err == nil {
		t.Error("a line that is none was read")
	}
}

// TestWithin counts what was at work at any moment of a window, wholly or in part.
func TestWithin(t *testing.T) {
	t.Parallel()
	at := func(s float64) time.Time { return time.Unix(0, int64(s*1e9)) }
	s := within([]transaction{
		{began: at(0), ended: at(1)}, {began: at(1), ended: at(2.5)}, {began: at(3), ended: at(3.25), failed: true}, {began: at(3.5), ended: at(9)}, {began: at(5), ended: at(6)},
	}, at(2), at(4))
	if len(s.times) != 3 || s.worst() != 5500*time.Millisecond || s.failed != 1 {
		t.Errorf("got %v, %d failed", s.times, s.failed)
	}
}
