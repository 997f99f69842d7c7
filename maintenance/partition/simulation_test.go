package partition

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func randomly(seed uint64) chooser {
	random := rand.New(rand.NewPCG(seed, 0))
	return random.IntN
}

// TestRandomWorldsSettle: from whatever was found, three rounds lead to a state
// to which nothing is left to do, and nothing is removed that must not be.
func TestRandomWorldsSettle(t *testing.T) {
	t.Parallel()
	runs := 3000
	if testing.Short() {
		runs = 300
	}
	for part := range 4 {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			for i := range runs / 4 {
				seed := uint64(4*i + part)
				w := randomWorld(randomly(seed))
				if _, err := w.pass(); err != nil {
					t.Fatalf("world %d, %s of %s in %s, retention %+v, at %s:\n%v", seed, w.set.Interval, w.snap.Parent.Key, w.set.Location,
						w.set.Retention, w.snap.Server.Now, err)
				}
			}
		})
	}
}

// TestTimeGoesOn: over years, with passes at random times, a set that was empty
// at first always has its runway, keeps what retention keeps, and nothing else.
func TestTimeGoesOn(t *testing.T) {
	t.Parallel()
	runs := 60
	if testing.Short() {
		runs = 6
	}
	for seed := range runs {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			pick := randomly(uint64(seed) + 1e6)
			w := &world{oid: 100, snap: empty()}
			w.snap.Parent.Key = []KeyType{KeyTimestamp, KeyTimestampTZ, KeyDate}[pick(3)]
			w.set = randomSet(pick, w.snap.Parent.Key)
			w.set.Retention.MaxShare = 1
			w.snap.Server.Now = time.Date(1995+pick(40), time.Month(1+pick(12)), 1+pick(31), pick(24), pick(60), pick(60), 0, time.UTC)
			for range 100 {
				plan, err := w.pass()
				if err != nil {
					t.Fatalf("%s of %s in %s, retention %+v, at %s:\n%v", w.set.Interval, w.snap.Parent.Key, w.set.Location, w.set.Retention, w.snap.Server.Now, err)
				}
				if w.set.Retention.Then != Detach && len(plan.Problems) != 0 {
					t.Fatalf("at %s:\n%s", w.snap.Server.Now, full(plan))
				}
				step := w.set.Interval
				if pick.chance(70) {
					step.N = 1 + pick(step.N)
				}
				after := step.AddTo(w.snap.Server.Now, 1+pick(2))
				w.snap.Server.Now = w.snap.Server.Now.Add(after.Sub(w.snap.Server.Now) / 1000 * time.Duration(pick(1000)))
				if pick.chance(20) {
					w.addRow(pick)
				}
			}
		})
	}
}
