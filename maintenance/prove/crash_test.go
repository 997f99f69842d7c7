package prove

import (
	"sync/atomic"
	"testing"
)

// TestCrashAtEveryStep kills a process that works on a set, at points all over its
// work, while a client writes. Right after it is dead each row that a client was told
// is committed is found once, in the set or in the archive; one pass later that is
// still so, and nothing is left to do.
func TestCrashAtEveryStep(t *testing.T) {
	t.Parallel()
	var tried, there atomic.Int64
	t.Cleanup(func() { t.Logf("killed at %d of %d points", tried.Load(), there.Load()) })
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, s)
			count := l.count(t, true)
			there.Add(int64(count))
			killed := 0
			for _, at := range choose(count, s.few) {
				if l.crash(t, at) {
					killed++
				}
			}
			tried.Add(int64(killed))
			t.Logf("killed at %d of %d points", killed, count)
		})
	}
}

// choose spreads so many points over all that there are.
func choose(count, few int) []int64 {
	if all || few > count {
		few = count
	}
	var out []int64
	for i := range few {
		out = append(out, int64(1+i*count/few))
	}
	return out
}
