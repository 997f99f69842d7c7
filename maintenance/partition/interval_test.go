package partition

import (
	"strings"
	"testing"
	"time"
)

const wantInterval = `expected a number and a unit, such as "12 months" (units: hour, day, week, month, quarter, year)`

func TestParseInterval(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		want Interval
	}{
		{"1 hour", Interval{1, Hour}},
		{"12 hours", Interval{12, Hour}},
		{"day", Interval{1, Day}},
		{"days", Interval{1, Day}},
		{"2 weeks", Interval{2, Week}},
		{"2 week", Interval{2, Week}},
		{"1 months", Interval{1, Month}},
		{" 12\tmonths\n", Interval{12, Month}},
		{"007 quarters", Interval{7, Quarter}},
		{"100000 years", Interval{100_000, Year}},
	} {
		got, err := ParseInterval(test.text)
		if err != nil || got != test.want {
			t.Errorf("ParseInterval(%q) = %+v, %v; want %+v", test.text, got, err, test.want)
		}
	}
}

func TestParseIntervalErrors(t *testing.T) {
	t.Parallel()
	const outOfRange = "is out of range: the number must be from 1 to 100000"
	for _, test := range []struct{ text, want string }{
		{"", `"" is not an interval: ` + wantInterval},
		{"  ", `"  " is not an interval: ` + wantInterval},
		{"12", `"12" has no unit: ` + wantInterval},
		{"-12", `"-12" has no unit: ` + wantInterval},
		{"99999999999999999999", `"99999999999999999999" has no unit: ` + wantInterval},
		{"12months", `"12months" has an unknown unit "12months": ` + wantInterval},
		{"1.5 months", `"1.5 months" does not start with a whole number: ` + wantInterval},
		{"one month", `"one month" does not start with a whole number: ` + wantInterval},
		{"0x10 months", `"0x10 months" does not start with a whole number: ` + wantInterval},
		{"1_000 months", `"1_000 months" does not start with a whole number: ` + wantInterval},
		{"1 month 2 days", `"1 month 2 days" is not an interval: ` + wantInterval},
		{"0 months", `"0 months" ` + outOfRange},
		{"-1 month", `"-1 month" ` + outOfRange},
		{"100001 hours", `"100001 hours" ` + outOfRange},
		{"99999999999999999999 hours", `"99999999999999999999 hours" ` + outOfRange},
		{"3 Months", `"3 Months" has an unknown unit "Months": ` + wantInterval},
		{"3 mons", `"3 mons" has an unknown unit "mons": ` + wantInterval},
		{"3 minutes", `"3 minutes" has an unknown unit "minutes": ` + wantInterval},
		{"3 s", `"3 s" has an unknown unit "s": ` + wantInterval},
	} {
		got, err := ParseInterval(test.text)
		if err == nil || err.Error() != test.want || !got.IsZero() {
			t.Errorf("ParseInterval(%q) = %+v,\n     %v\nwant %s", test.text, got, err, test.want)
		}
	}
}

func TestIntervalStringIsReadBack(t *testing.T) {
	t.Parallel()
	for unit := Hour; unit <= Year; unit++ {
		for _, n := range []int{1, 2, 11, maxIntervalN} {
			iv := Interval{n, unit}
			got, err := ParseInterval(iv.String())
			if err != nil || got != iv {
				t.Errorf("ParseInterval(%q) = %+v, %v; want %+v", iv.String(), got, err, iv)
			}
		}
	}
	for got, want := range map[string]string{
		Interval{}.String():         "",
		Interval{1, Month}.String(): "1 month", Interval{12, Month}.String(): "12 months",
		Unit(0).String(): "unit(0)", Unit(7).String(): "unit(7)", Quarter.String(): "quarter",
	} {
		if got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}

func TestAddTo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		iv       Interval
		from     string
		n        int
		zone     string
		want     string
		utcHours int // how many hours really pass, where that is the point
	}{
		{iv: Interval{1, Month}, from: "2019-03-31 10:00", n: -1, want: "2019-02-28 10:00"},
		{iv: Interval{1, Month}, from: "2020-03-31 10:00", n: -1, want: "2020-02-29 10:00"},
		{iv: Interval{1, Month}, from: "2019-01-31 00:00", n: 1, want: "2019-02-28 00:00"},
		{iv: Interval{1, Month}, from: "2019-12-31 00:00", n: 2, want: "2020-02-29 00:00"},
		{iv: Interval{12, Month}, from: "2020-02-29 00:00", n: -1, want: "2019-02-28 00:00"},
		{iv: Interval{1, Year}, from: "2020-02-29 00:00", n: 1, want: "2021-02-28 00:00"},
		{iv: Interval{1, Year}, from: "2020-02-29 00:00", n: 4, want: "2024-02-29 00:00"},
		{iv: Interval{1, Year}, from: "2104-02-29 00:00", n: -4, want: "2100-02-28 00:00"},
		{iv: Interval{1, Quarter}, from: "2018-11-30 00:00", n: 1, want: "2019-02-28 00:00"},
		{iv: Interval{2, Quarter}, from: "2018-08-31 00:00", n: -1, want: "2018-02-28 00:00"},
		{iv: Interval{1, Month}, from: "2018-11-15 00:00", n: 0, want: "2018-11-15 00:00"},
		{iv: Interval{1, Month}, from: "0001-01-15 00:00", n: -1, want: "0000-12-15 00:00"},
		{iv: Interval{13, Month}, from: "0000-02-15 00:00", n: 12, want: "0013-02-15 00:00"},
		{iv: Interval{1, Day}, from: "2020-03-01 00:00", n: -1, want: "2020-02-29 00:00"},
		{iv: Interval{2, Week}, from: "2018-11-15 00:00", n: -1, want: "2018-11-01 00:00"},
		{iv: Interval{36, Hour}, from: "2018-11-15 00:00", n: -1, want: "2018-11-13 12:00"},
		// A day is what the calendar calls one, an hour is an hour.
		{iv: Interval{1, Day}, from: "2024-03-30 12:00", n: 1, zone: "Europe/Berlin", want: "2024-03-31 12:00", utcHours: 23},
		{iv: Interval{1, Month}, from: "2024-10-01 00:00", n: 1, zone: "Europe/Berlin", want: "2024-11-01 00:00", utcHours: 31*24 + 1},
		{iv: Interval{24, Hour}, from: "2024-03-30 12:00", n: 1, zone: "Europe/Berlin", want: "2024-03-31 13:00", utcHours: 24},
	} {
		loc := time.UTC
		if test.zone != "" {
			loc = zone(t, test.zone)
		}
		from, want := at(t, test.from, loc), at(t, test.want, loc)
		got := test.iv.AddTo(from, test.n)
		if !got.Equal(want) || got.Location() != loc {
			t.Errorf("%s: %d x %s = %s, want %s", test.from, test.n, test.iv, got, want)
		}
		if h := got.Sub(from).Hours(); test.utcHours != 0 && h != float64(test.utcHours) {
			t.Errorf("%s: %d x %s passes %g hours, want %d", test.from, test.n, test.iv, h, test.utcHours)
		}
	}
}

// TestAddToKeepsOrder: a later row must never be older by retention's reckoning.
func TestAddToKeepsOrder(t *testing.T) {
	t.Parallel()
	for unit := Hour; unit <= Year; unit++ {
		for _, n := range []int{1, 5, 13} {
			iv := Interval{n, unit}
			for _, sign := range []int{-1, 1} {
				before := iv.AddTo(at(t, "1999-12-01 00:00", time.UTC), sign)
				for hours := 1; hours < 3*366*24; hours += 7 {
					from := at(t, "1999-12-01 00:00", time.UTC).Add(time.Duration(hours) * time.Hour)
					got := iv.AddTo(from, sign)
					// Clamped days may share a date, but never go back by a day or more.
					if got.Before(before) && !got.Truncate(24*time.Hour).Equal(before.Truncate(24*time.Hour)) {
						t.Fatalf("%s of %s is %s, before %s of an earlier time", iv, from, got, before)
					}
					before = got
				}
			}
		}
	}
}

func TestAsPeriod(t *testing.T) {
	t.Parallel()
	const day, year = "does not divide a day: use 1, 2, 3, 4, 6, 8 or 12 hours, or days", "does not divide a year: use 1, 2, 3, 4 or 6 months, or years"
	for _, test := range []struct {
		text, want string
	}{
		{"1 hour", ""}, {"8 hours", ""}, {"12 hours", ""},
		{"5 hours", `"5 hours" ` + day},
		{"48 hours", `"48 hours" ` + day},
		{"1 day", ""}, {"10 days", ""}, {"3 weeks", ""},
		{"1 month", ""}, {"2 months", ""}, {"6 months", ""}, {"12 months", ""}, {"24 months", ""},
		{"5 months", `"5 months" ` + year},
		{"9 months", `"9 months" ` + year},
		{"18 months", `"18 months" ` + year},
		{"1 quarter", ""}, {"2 quarters", ""}, {"4 quarters", ""},
		{"3 quarters", `"3 quarters" ` + year},
		{"5 quarters", `"5 quarters" ` + year},
		{"1 year", ""}, {"7 years", ""},
	} {
		iv, err := ParseInterval(test.text)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := iv.AsPeriod(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.text, got, test.want)
		}
	}
}

// zone loads a time zone.
func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// at reads "2018-11-15", with or without a time of day, in loc.
func at(t testing.TB, text string, loc *time.Location) time.Time {
	t.Helper()
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05.999999"} {
		if parsed, err := time.ParseInLocation(layout, text, loc); err == nil {
			return parsed
		}
	}
	t.Fatalf("%q is no time", text)
	return time.Time{}
}

// utc reads a time in UTC.
func utc(t testing.TB, text string) time.Time { return at(t, strings.TrimSuffix(text, "Z"), time.UTC) }
