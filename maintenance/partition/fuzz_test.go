package partition

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func FuzzParseInterval(f *testing.F) {
	for _, seed := range []string{"12 months", "month", "12", "", "-1 day", "+3 weeks", "1 quarter", "99999999999999999999 years", "1\u00a0hour", "0 years"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		iv, err := ParseInterval(text)
		if err != nil {
			if !iv.IsZero() {
				t.Fatalf("%q gives %s beside the error %v", text, iv, err)
			}
			return
		}
		if iv.N < 1 || iv.N > maxIntervalN || iv.Unit < Hour || iv.Unit > Year || (iv.months() > 0) == (iv.days() > 0) != (iv.Unit == Hour) {
			t.Fatalf("%q gives %+v", text, iv)
		}
		if again, err := ParseInterval(iv.String()); err != nil || again != iv {
			t.Fatalf("%q is read as %+v, but %q as %+v, %v", text, iv, iv, again, err)
		}
		from := time.Date(2000, 2, 29, 12, 0, 0, 0, time.UTC)
		if !iv.AddTo(from, 1).After(from) || !iv.AddTo(from, -1).Before(from) || !iv.AddTo(from, 0).Equal(from) {
			t.Fatalf("%s leads from %s to %s and %s", iv, from, iv.AddTo(from, 1), iv.AddTo(from, -1))
		}
		if iv.AsPeriod() == nil {
			if p := iv.PeriodOf(from, time.UTC); !p.Contains(from) {
				t.Fatalf("%s is not in %s", from, p)
			}
		}
	})
}

func FuzzPeriodOf(f *testing.F) {
	for i, text := range []string{"2018-11-15", "2011-12-30 10:00", "2024-04-25 22:00", "2026-11-01 04:30", "2009-11-01 03:00", "1600-02-29", "2399-12-31"} {
		f.Add(utc(f, text).Unix(), uint32(0), uint8(i), uint16(1), uint8(i+3))
		f.Add(utc(f, text).Unix(), uint32(999_999_999), uint8(i), uint16(6), uint8(i+6))
	}
	first, last := time.Date(-4712, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(294276, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	f.Fuzz(func(t *testing.T, seconds int64, nanos uint32, unit uint8, n uint16, zoneIndex uint8) {
		iv := Interval{N: int(n)%1000 + 1, Unit: Hour + Unit(unit)%6}
		if iv.AsPeriod() != nil || seconds < first || seconds > last {
			return
		}
		loc := loaded[int(zoneIndex)%len(loaded)]
		at := time.Unix(seconds, int64(nanos%1e9))
		p := iv.PeriodOf(at, loc)
		if !p.Contains(at) {
			t.Fatalf("%s is not in its %s %s", at.In(loc), iv, detail(p, loc))
		}
		for _, in := range []time.Time{p.From, p.To.Add(-1)} {
			if got := iv.PeriodOf(in, loc); !same(got, p) {
				t.Fatalf("%s is in %s, and %s in %s", at.In(loc), detail(p, loc), in.In(loc), detail(got, loc))
			}
		}
		if next := iv.Next(p, loc); !next.From.Equal(p.To) {
			t.Fatalf("%s is followed by %s", detail(p, loc), detail(next, loc))
		}
		if before := iv.PeriodOf(p.From.Add(-1), loc); !before.To.Equal(p.From) {
			t.Fatalf("%s comes after %s", detail(p, loc), detail(before, loc))
		}
	})
}

// FuzzMake makes a world of the bytes, plans, and applies the plans.
func FuzzMake(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("\x00\x01\x02\x03"))
	f.Add([]byte(strings.Repeat("\xff\x07\x31\x02\x63\x10", 80)))
	random := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		data := make([]byte, 1+random.IntN(1500))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := randomWorld(fromBytes(data))
		snap := w.observe()
		plan := Make(w.set, snap)
		if diff := cmp.Diff(normal(plan), normal(Make(w.set, snap))); diff != "" {
			t.Fatalf("a second call gives another plan:\n%s", diff)
		}
		shuffle(rand.New(rand.NewPCG(uint64(len(data)), 0)), snap.Partitions)
		if diff := cmp.Diff(normal(plan), normal(Make(w.set, snap))); diff != "" {
			t.Fatalf("another order gives another plan:\n%s", diff)
		}
		if _, err := w.pass(); err != nil {
			t.Fatalf("%s of %s in %s, retention %+v, at %s:\n%v", w.set.Interval, w.snap.Parent.Key, w.set.Location, w.set.Retention, w.snap.Server.Now, err)
		}
	})
}
