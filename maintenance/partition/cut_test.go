package partition

import (
	"fmt"
	"testing"
	"time"
)

// TestCut cuts bounds that begin nowhere, within a period and after the oldest row, and
// that end within a period: the parts are next to each other and make up the whole.
func TestCut(t *testing.T) {
	t.Parallel()
	day := func(s string) Edge {
		at, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return At(at)
	}
	set := Set{Parent: Name{Schema: "public", Local: "e"}, Key: "at", Interval: Interval{N: 1, Unit: Month}, Location: time.UTC}
	var err error
	if set.Pattern, err = ParsePattern("e_%Y_%m", set.Interval); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		b      Bounds
		oldest string
		want   string
	}{
		{Bounds{From: MinusInfinity, To: day("2024-04-01")}, "2024-02-11", "[-infinity, 2024-02-01) [2024-02-01, 2024-03-01) [2024-03-01, 2024-04-01)"},
		{Bounds{From: day("2023-01-01"), To: day("2024-03-01")}, "2024-02-11", "[2023-01-01, 2024-02-01) [2024-02-01, 2024-03-01)"},
		{Bounds{From: day("2024-01-10"), To: day("2024-02-20")}, "2023-01-01", "[2024-01-10, 2024-02-01) [2024-02-01, 2024-02-20)"},
		{Bounds{From: day("2024-01-01"), To: day("2024-02-01")}, "2024-01-01", "[2024-01-01, 2024-02-01)"},
		{Bounds{From: day("2024-01-01"), To: day("2024-02-01")}, "2024-03-01", "[2024-01-01, 2024-02-01)"},
	} {
		before, periods := Cut(set, KeyTimestamp, c.b, day(c.oldest).Time)
		got, at := "", c.b.From
		if !before.Empty() {
			got, at = before.String()+" ", before.To
		}
		for _, p := range periods {
			if p.Bounds.From.Compare(at) != 0 || p.Table != set.PartitionName(set.PeriodOf(p.Bounds.From.Time, KeyTimestamp), KeyTimestamp) {
				t.Errorf("%s begins after %s, as %s", p.Bounds, at, p.Table)
			}
			got, at = got+p.Bounds.String()+" ", p.Bounds.To
		}
		if got = fmt.Sprint(got); got != c.want+" " || at.Compare(c.b.To) != 0 {
			t.Errorf("%s from %s: %s, want %s", c.b, c.oldest, got, c.want)
		}
	}
}
