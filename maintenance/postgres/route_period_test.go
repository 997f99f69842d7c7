package postgres

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/pgtemp/pgtest"
)

// TestRoutePeriodsAreThePlannersPeriods has both count the same points in time:
// random ones, and those around each change of each zone's clocks.
func TestRoutePeriodsAreThePlannersPeriods(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	intervals := []struct {
		partition.Interval
		pattern string
	}{
		{partition.Interval{N: 1, Unit: partition.Hour}, "p%Y%m%d_%H"}, {partition.Interval{N: 6, Unit: partition.Hour}, "p%Y%m%d_%H"},
		{partition.Interval{N: 1, Unit: partition.Day}, `p%Y%j"\%%`}, {partition.Interval{N: 10, Unit: partition.Day}, "p%y%Y%m%d"},
		{partition.Interval{N: 1, Unit: partition.Week}, "p%G_%V"}, {partition.Interval{N: 2, Unit: partition.Week}, "p%Y%m%d"},
		{partition.Interval{N: 1, Unit: partition.Month}, "p%Y_%m"}, {partition.Interval{N: 4, Unit: partition.Month}, "p%Y_%m"},
		{partition.Interval{N: 1, Unit: partition.Quarter}, "p%Y_%q"}, {partition.Interval{N: 1, Unit: partition.Year}, "p%Y"},
		{partition.Interval{N: 7, Unit: partition.Year}, "p%Y"},
	}
	zones := []string{"UTC", "America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut", "Australia/Lord_Howe", "Asia/Kathmandu",
		"America/Havana", "Pacific/Apia", "Atlantic/Azores", "Asia/Tehran", "Asia/Amman", "America/Santiago", "Antarctica/Troll", "America/St_Johns", "Antarctica/Casey"}
	for _, key := range []partition.KeyType{partition.KeyDate, partition.KeyTimestamp, partition.KeyTimestampTZ} {
		for _, iv := range intervals {
			if key == partition.KeyDate && iv.Unit == partition.Hour {
				continue
			}
			for _, zone := range zones {
				if key != partition.KeyTimestampTZ && zone != "UTC" && zone != "Asia/Beirut" {
					continue // The zone is of no account.
				}
				t.Run(fmt.Sprintf("%s/%s/%s", key, iv.Interval, zone), func(t *testing.T) {
					t.Parallel()
					comparePeriods(t, db, key, iv.Interval, iv.pattern, zone)
				})
			}
		}
	}
}

// comparePeriods asks the very lines of the creating function, in a function
// that does nothing else.
func comparePeriods(t *testing.T, db *pgtest.Database, key partition.KeyType, iv partition.Interval, pattern, zone string) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	set := partition.Set{Interval: iv, Location: loc}
	if set.Pattern, err = partition.ParsePattern(pattern, iv); err != nil {
		t.Fatal(err)
	}
	route := eventRoute()
	route.Interval, route.Pattern, route.Zone, route.KeyType = iv, pattern, zone, key
	v := newRouteView(route)
	conn := db.Conn(t)
	body := "DECLARE" + v.render("period variables", v) + "BEGIN" + v.render("period", v) + "RETURN QUERY SELECT lower, upper, wanted; END"
	if _, err := conn.Exec(t.Context(), fmt.Sprintf(`SET TimeZone = 'UTC';
		CREATE FUNCTION pg_temp.period(moment %s) RETURNS TABLE (a %[1]s, b %[1]s, c text) LANGUAGE plpgsql SET TimeZone = %s AS %s`,
		key, quoteLiteral(zone), dollarQuote(body))); err != nil {
		t.Fatal(err)
	}
	moments := interesting(set.Calendar(key))
	texts := make([]string, len(moments))
	for i, m := range moments {
		texts[i] = edgeText(key, partition.At(m))
	}
	rows, err := conn.Query(t.Context(), fmt.Sprintf(`SELECT ARRAY[p.a::text, p.b::text, p.c]
		FROM unnest($1::text[]) WITH ORDINALITY AS m (text, n), LATERAL pg_temp.period(m.text::%s) AS p ORDER BY m.n`, key), texts)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil {
		t.Fatal(err)
	}
	strange := 0
	for i, m := range moments {
		if key == partition.KeyDate {
			m = m.Truncate(24 * time.Hour)
		}
		p := set.PeriodOf(m, key)
		want := []string{edgeText(key, p.Bounds().From), edgeText(key, p.Bounds().To), set.PartitionName(p, key).Local}
		switch {
		case slices.Equal(got[i], want):
		case key == partition.KeyTimestampTZ && !sameClock(t, conn, loc, m, p.From.Add(-time.Second), p.From, p.To.Add(-time.Second), p.To):
			strange++
		default:
			t.Errorf("%s: the server has %q, the planner %q", texts[i], got[i], want)
		}
	}
	if strange > len(moments)/20 {
		t.Errorf("the server's rules for %s differ from this program's at %d of %d points", zone, strange, len(moments))
	}
}

// sameClock tells whether the server's time zone rules agree with this
// program's at the given instants: they may come from different releases.
func sameClock(t *testing.T, conn *pgx.Conn, loc *time.Location, at ...time.Time) bool {
	for _, a := range at {
		var wall time.Time
		if err := conn.QueryRow(t.Context(), "SELECT $1::timestamptz AT TIME ZONE $2", a, loc.String()).Scan(&wall); err != nil {
			t.Fatal(err)
		}
		if layout := "2006-01-02 15:04:05"; wall.Format(layout) != a.In(loc).Format(layout) {
			return false
		}
	}
	return true
}

// interesting returns some hundred points of the years 1970 to 2036.
func interesting(loc *time.Location) []time.Time {
	random := rand.New(rand.NewPCG(1, 2)) // The same points each time.
	from, to := time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC)
	var out []time.Time
	for range 300 {
		out = append(out, from.Add(time.Duration(random.Int64N(int64(to.Sub(from)))).Truncate(time.Microsecond)))
	}
	for at := from; ; {
		_, end := at.In(loc).ZoneBounds()
		if end.IsZero() || end.After(to) {
			return out
		}
		for _, d := range []time.Duration{-36 * time.Hour, -time.Hour, -time.Microsecond, 0, time.Hour - time.Microsecond, time.Hour, 36 * time.Hour} {
			out = append(out, end.Add(d))
		}
		at = end
	}
}
