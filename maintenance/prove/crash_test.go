package prove

import (
	"slices"
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
	for _, s := range slices.Concat(inherited, declared, converted) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, s)
			count := l.count(t)
			there.Add(int64(count))
			points := choose(count, s.few)
			for _, at := range points {
				l.crash(t, at)
				tried.Add(1)
			}
			t.Logf("killed at %d of %d points", len(points), count)
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
