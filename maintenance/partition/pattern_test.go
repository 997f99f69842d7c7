package partition

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

var units = map[Unit]string{
	Hour: "e_%Y_%m_%d_%H", Day: "e_%Y_%m_%d", Week: "e_%G_%V", Month: "e_%Y_%m", Quarter: "e_%Y_%q", Year: "e_%Y",
}

func TestParsePatternAccepts(t *testing.T) {
	t.Parallel()
	november := time.Date(2018, 11, 5, 13, 0, 0, 0, time.UTC) // A Monday.
	for _, test := range []struct {
		text   string
		iv     Interval
		name   string
		toChar string
	}{
		{"chat_%Y_%m", Interval{1, Month}, "chat_2018_11", `"chat_"YYYY"_"MM`},
		{"chat_%Y_%m", Interval{2, Month}, "chat_2018_11", `"chat_"YYYY"_"MM`},
		{"%Y%m%d%H", Interval{1, Hour}, "2018110513", `YYYY""MM""DD""HH24`},
		{"e_%Y%j_%H", Interval{6, Hour}, "e_2018309_13", `"e_"YYYY""DDD"_"HH24`},
		{"e%Y_%j", Interval{1, Day}, "e2018_309", `"e"YYYY"_"DDD`},
		{"e_%G_%V", Interval{1, Week}, "e_2018_45", `"e_"IYYY"_"IW`},
		{"e_%Y_%m_%d", Interval{2, Week}, "e_2018_11_05", `"e_"YYYY"_"MM"_"DD`},
		{"e_%Y_q%q", Interval{1, Quarter}, "e_2018_q4", `"e_"YYYY"_q"Q`},
		{"e_%Y_%m", Interval{1, Quarter}, "e_2018_11", `"e_"YYYY"_"MM`},
		{"e_%y_%Y", Interval{1, Year}, "e_18_2018", `"e_"YY"_"YYYY`},
		{"100%%_%Y", Interval{1, Year}, "100%_2018", `"100""%""_"YYYY`},
		{`a"b\c_%Y`, Interval{1, Year}, `a"b\c_2018`, `"a\"b\\c_"YYYY`},
		{"Größe TH %Y", Interval{1, Year}, "Größe TH 2018", `"Größe TH "YYYY`},
		// to_char takes the longest template it knows: what stands side by side must not run together.
		{"%y%Y", Interval{1, Year}, "182018", `YY""YYYY`},
		{"%Y%m%d%j", Interval{1, Day}, "20181105309", `YYYY""MM""DD""DDD`},
	} {
		p, err := ParsePattern(test.text, test.iv)
		if err != nil {
			t.Errorf("%s of %s: %v", test.text, test.iv, err)
			continue
		}
		if got := p.Format(november); got != test.name {
			t.Errorf("%s: Format() = %q, want %q", test.text, got, test.name)
		}
		if got := p.ToChar(); got != test.toChar {
			t.Errorf("%s: ToChar() = %s, want %s", test.text, got, test.toChar)
		}
		if got := p.String(); got != test.text {
			t.Errorf("%s: String() = %q", test.text, got)
		}
	}
}

func TestParsePatternRefuses(t *testing.T) {
	t.Parallel()
	const known = "expected one of %Y %y %m %d %H %q %j %G %V %%"
	several := func(text, iv, need string) string {
		return fmt.Sprintf("%q gives several periods of %s one name: expected %s in it", text, iv, need)
	}
	for _, test := range []struct {
		text string
		iv   Interval
		want string
	}{
		{"", Interval{1, Year}, `"" cannot name a table`},
		{"e\x00%Y", Interval{1, Year}, `"e\x00%Y" cannot name a table`},
		{"e\xff%Y", Interval{1, Year}, `"e\xff%Y" cannot name a table`},
		{"e%", Interval{1, Year}, `"e%": a lone % at the end: expected %% or a conversion`},
		{"%M", Interval{1, Year}, `"%M": unknown conversion %M: ` + known},
		{"%é", Interval{1, Year}, `"%é": unknown conversion %é: ` + known},
		{"e_%%Y", Interval{1, Year}, several("e_%%Y", "1 year", "%Y")},
		{"e_%y", Interval{1, Year}, several("e_%y", "1 year", "%Y")},
		{"e_%G", Interval{1, Year}, several("e_%G", "1 year", "%Y")},
		{"e_%Y", Interval{1, Quarter}, several("e_%Y", "1 quarter", "%Y and %q (or %Y and %m)")},
		{"e_%q", Interval{1, Quarter}, several("e_%q", "1 quarter", "%Y and %q (or %Y and %m)")},
		{"e_%Y_%q", Interval{2, Month}, several("e_%Y_%q", "2 months", "%Y and %m")},
		{"e_%Y", Interval{12, Month}, several("e_%Y", "12 months", "%Y and %m")},
		{"e_%G_%m", Interval{1, Month}, several("e_%G_%m", "1 month", "%Y and %m")},
		{"e_%Y_%V", Interval{1, Week}, several("e_%Y_%V", "1 week", "%G and %V (or %Y, %m and %d)")},
		{"e_%G_%V", Interval{1, Day}, several("e_%G_%V", "1 day", "%Y, %m and %d (or %Y and %j)")},
		{"e_%Y_%m", Interval{1, Day}, several("e_%Y_%m", "1 day", "%Y, %m and %d (or %Y and %j)")},
		{"e_%Y_%m_%d", Interval{1, Hour}, several("e_%Y_%m_%d", "1 hour", "%Y, %m, %d and %H")},
		{"e_%Y_%H", Interval{1, Hour}, several("e_%Y_%H", "1 hour", "%Y, %m, %d and %H")},
	} {
		got, err := ParsePattern(test.text, test.iv)
		if err == nil || err.Error() != test.want || got != (Pattern{}) {
			t.Errorf("ParsePattern(%q, %s) = %+v,\n     %v\nwant %s", test.text, test.iv, got, err, test.want)
		}
	}
}

// TestPatternWidth: names are counted in bytes, and those of 63 are good.
func TestPatternWidth(t *testing.T) {
	t.Parallel()
	year := Interval{1, Year}
	for _, test := range []struct {
		text string
		fits bool
	}{
		{strings.Repeat("n", 59) + "%Y", true},
		{strings.Repeat("n", 60) + "%Y", false},
		{strings.Repeat("é", 29) + "n%Y", true},
		{strings.Repeat("é", 30) + "%Y", false},
		{strings.Repeat("%%", 59) + "%Y", true},
		{strings.Repeat("%%", 60) + "%Y", false},
		{strings.Repeat("%j", 19) + "nn%Y", true},
		{strings.Repeat("%j", 20) + "%Y", false},
	} {
		p, err := ParsePattern(test.text, year)
		if fits := err == nil; fits != test.fits {
			t.Errorf("%s: fits %t, %v", test.text, fits, err)
		} else if test.fits && len(p.Format(utc(t, "2018-11-05"))) != MaxNameBytes {
			t.Errorf("%s makes %q", test.text, p.Format(utc(t, "2018-11-05")))
		} else if !test.fits && err.Error() != fmt.Sprintf("%q makes names of 64 bytes: PostgreSQL keeps 63 of a name", test.text) {
			t.Errorf("%s: %v", test.text, err)
		}
	}
}

// checkNames walks over 3,000 periods and finds no name twice, too long, or
// not matched by the pattern's own regular expression.
func checkNames(t *testing.T, p Pattern, iv Interval, loc *time.Location) {
	t.Helper()
	if iv.Unit == Hour {
		loc = time.UTC
	}
	matches := regexp.MustCompile(p.Regexp())
	seen := make(map[string]Period, 3000)
	period := iv.PeriodOf(utc(t, "1969-11-15"), loc)
	for i := range 3000 {
		if period.From.Year() > 9999 {
			return
		}
		name := p.Format(period.From.In(loc))
		if other, ok := seen[name]; ok {
			t.Fatalf("%q of %s names both %s and %s %q", p, iv, detail(other, loc), detail(period, loc), name)
		}
		if seen[name] = period; len(name) > MaxNameBytes || i%50 == 0 && !matches.MatchString(name) {
			t.Fatalf("%q of %s makes %q, which is too long or not matched by %s", p, iv, name, p.Regexp())
		}
		period = iv.Next(period, loc)
	}
}

func TestNamesAreDistinct(t *testing.T) {
	t.Parallel()
	for _, iv := range tiles {
		t.Run(iv.String(), func(t *testing.T) {
			t.Parallel()
			for text, names := range map[string][]string{
				units[iv.Unit]:           {"UTC", "America/Havana", "Pacific/Apia"},
				"%y%Y%q%m%d%j%G%V%H%Y%%": {"America/St_Johns"},
			} {
				p, err := ParsePattern(text, iv)
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range names {
					checkNames(t, p, iv, zone(t, name))
				}
			}
		})
	}
}

func TestRegexp(t *testing.T) {
	t.Parallel()
	p, err := ParsePattern(`a.b*(c)[d]{e}^$|\?+%%_%Y_%m`, Interval{1, Month})
	if err != nil {
		t.Fatal(err)
	}
	const want = `^a\.b\*\(c\)\[d\]\{e\}\^\$\|\\\?\+%_[0-9]{4,}_[0-9]{2,}$`
	if got := p.Regexp(); got != want {
		t.Fatalf("Regexp() = %s, want %s", got, want)
	}
	matches := regexp.MustCompile(want)
	for text, ok := range map[string]bool{
		`a.b*(c)[d]{e}^$|\?+%_2018_11`: true, `a.b*(c)[d]{e}^$|\?+%_12018_11`: true,
		`xa.b*(c)[d]{e}^$|\?+%_2018_11`: false, `a.b*(c)[d]{e}^$|\?+%_2018_11_old`: false,
		`aab*(c)[d]{e}^$|\?+%_2018_11`: false, "a.b*(c)[d]{e}^$|\\?+%_2018_11\n": false,
	} {
		if matches.MatchString(text) != ok {
			t.Errorf("%q matches: %t", text, !ok)
		}
	}
}

func FuzzParsePattern(f *testing.F) {
	for unit, text := range units {
		f.Add(text, uint8(unit), uint8(1), uint8(0))
		f.Add(text+"%q%y%%", uint8(unit), uint8(2), uint8(3))
	}
	f.Add("%d%j%Y%m", uint8(Week), uint8(2), uint8(9))
	f.Add("a\"\\.é%%%Y", uint8(Year), uint8(1), uint8(1))
	f.Add("%", uint8(Year), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, text string, unit, n, zoneIndex uint8) {
		iv := Interval{N: int(n%12) + 1, Unit: Hour + Unit(unit)%6}
		if iv.AsPeriod() != nil {
			return
		}
		p, err := ParsePattern(text, iv)
		if err != nil {
			return
		}
		checkNames(t, p, iv, zone(t, zones[int(zoneIndex)%len(zones)]))
		if template := p.ToChar(); strings.Count(template, `"`)-strings.Count(template, `\"`) == 1 {
			t.Fatalf("%q is a broken template: %s", text, template)
		}
	})
}
