package partition

import (
	"testing"
	"time"
)

// edges are in their order.
func edges() []Edge {
	return []Edge{MinusInfinity, At(time.Date(-4712, 1, 1, 0, 0, 0, 0, time.UTC)), At(time.Unix(-1, 0)), At(time.Unix(0, 0)),
		At(time.Unix(0, 1000)), At(time.Date(294276, 1, 1, 0, 0, 0, 0, time.UTC)), PlusInfinity}
}

func TestEdgeCompare(t *testing.T) {
	t.Parallel()
	all := edges()
	for i, a := range all {
		for j, b := range all {
			want := min(1, max(-1, i-j))
			if got := a.Compare(b); got != want {
				t.Errorf("%s.Compare(%s) = %d, want %d", a, b, got, want)
			}
		}
	}
	// An instant is the same in every zone, and an infinity whatever Time says.
	berlin := zone(t, "Europe/Berlin")
	if At(time.Unix(0, 0)).Compare(At(time.Unix(0, 0).In(berlin))) != 0 {
		t.Error("an instant differs from itself in another zone")
	}
	if PlusInfinity.Compare(Edge{Time: time.Unix(5, 0), Inf: 1}) != 0 {
		t.Error("infinities differ by their Time")
	}
}

func TestEdgeString(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		edge Edge
		want string
	}{
		{MinusInfinity, "-infinity"},
		{PlusInfinity, "infinity"},
		{At(utc(t, "2018-11-01")), "2018-11-01"},
		{At(utc(t, "2018-11-01 00:30")), "2018-11-01 00:30:00"},
		{At(utc(t, "2018-11-01 00:00:00.000001")), "2018-11-01 00:00:00.000001"},
		{At(utc(t, "2018-11-01 12:00:01.5")), "2018-11-01 12:00:01.5"},
		{At(at(t, "2018-11-01", zone(t, "Europe/Berlin"))), "2018-11-01"},
		{At(at(t, "2018-11-01", zone(t, "Europe/Berlin")).UTC()), "2018-10-31 23:00:00"},
		{At(time.Date(12018, 11, 1, 0, 0, 0, 0, time.UTC)), "12018-11-01"},
	} {
		if got := test.edge.String(); got != test.want {
			t.Errorf("String() = %q, want %q", got, test.want)
		}
	}
}

// TestBoundsAlgebra holds every pair of bounds to what it says of single points.
func TestBoundsAlgebra(t *testing.T) {
	t.Parallel()
	all := edges()
	var bounds []Bounds
	for _, from := range all {
		for _, to := range all {
			bounds = append(bounds, Bounds{from, to})
		}
	}
	// Points on and beside each finite edge tell all of these bounds apart.
	var points []time.Time
	for _, e := range all[1 : len(all)-1] {
		points = append(points, e.Time.Add(-1), e.Time, e.Time.Add(1))
	}
	holds := func(b Bounds) (in []bool) {
		for _, at := range points {
			in = append(in, b.Contains(at))
		}
		return in
	}
	for _, a := range bounds {
		inA := holds(a)
		if a.Empty() == some(inA) && a != (Bounds{MinusInfinity, MinusInfinity}) {
			t.Errorf("%s: Empty() = %t", a, a.Empty())
		}
		if a.Finite() != (a.From.Inf == 0 && a.To.Inf == 0) {
			t.Errorf("%s: Finite() = %t", a, a.Finite())
		}
		for _, b := range bounds {
			inB := holds(b)
			both, inside := make([]bool, len(points)), true
			for i := range points {
				both[i] = inA[i] && inB[i]
				inside = inside && (inA[i] || !inB[i])
			}
			for i, in := range holds(a.Intersect(b)) {
				if in != both[i] {
					t.Fatalf("%s.Intersect(%s) = %s, which is wrong at %s", a, b, a.Intersect(b), points[i])
				}
			}
			if got := a.Overlaps(b); got != some(both) || got != b.Overlaps(a) {
				t.Errorf("%s.Overlaps(%s) = %t", a, b, got)
			}
			if got := a.Covers(b); got && !inside || !got && inside && !b.Empty() {
				t.Errorf("%s.Covers(%s) = %t", a, b, got)
			}
			if got, want := a.Equal(b), a == b; got != want {
				t.Errorf("%s.Equal(%s) = %t", a, b, got)
			}
		}
		if !Everywhere.Covers(a) || !Everywhere.Intersect(a).Equal(a) || !a.Intersect(Everywhere).Equal(a) {
			t.Errorf("%s is not what it has in common with everywhere", a)
		}
	}
}

func some(all []bool) bool {
	for _, b := range all {
		if b {
			return true
		}
	}
	return false
}

func TestPeriod(t *testing.T) {
	t.Parallel()
	p := month(t, "2018-11")
	if got := p.String(); got != "[2018-11-01, 2018-12-01)" {
		t.Errorf("String() = %q", got)
	}
	if b := p.Bounds(); !b.Finite() || !b.From.Time.Equal(p.From) || !b.To.Time.Equal(p.To) || b.Empty() {
		t.Errorf("Bounds() = %s", b)
	}
	for text, want := range map[string]bool{
		"2018-10-31 23:59:59.999999": false, "2018-11-01": true, "2018-11-30 23:59:59.999999": true, "2018-12-01": false,
	} {
		if got := p.Contains(utc(t, text)); got != want || p.Bounds().Contains(utc(t, text)) != want {
			t.Errorf("Contains(%s) = %t", text, got)
		}
	}
}
