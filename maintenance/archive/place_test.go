package archive

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

func TestPlaceDirectory(t *testing.T) {
	t.Parallel()
	zone := func(name string) *time.Location {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return loc
	}
	berlin, kolkata := zone("Europe/Berlin"), zone("Asia/Kolkata")
	bounds := func(from, to string, loc *time.Location) partition.Bounds {
		at := func(text string) partition.Edge {
			if text == "" {
				return partition.PlusInfinity
			}
			v, err := time.ParseInLocation("2006-01-02 15:04", text, loc)
			if err != nil {
				t.Fatal(err)
			}
			return partition.At(v.UTC()) // The directory must not depend on how it is held.
		}
		return partition.Bounds{From: at(from), To: at(to)}
	}
	for _, c := range []struct {
		from, to string
		loc      *time.Location
		want     string
	}{
		{"2018-01-01 00:00", "2019-01-01 00:00", time.UTC, "p.t/year=2018"},
		{"2018-10-01 00:00", "2019-01-01 00:00", time.UTC, "p.t/year=2018"},
		{"2018-11-01 00:00", "2018-12-01 00:00", time.UTC, "p.t/year=2018/month=11"},
		{"2018-11-05 00:00", "2018-11-12 00:00", time.UTC, "p.t/year=2018/month=11"},
		{"2018-11-26 00:00", "2018-12-03 00:00", time.UTC, "p.t/year=2018"},
		{"2018-12-31 00:00", "2019-01-07 00:00", time.UTC, "p.t"},
		{"2018-11-05 00:00", "2018-11-06 00:00", time.UTC, "p.t/year=2018/month=11/day=05"},
		{"2018-11-05 23:00", "2018-11-06 00:00", time.UTC, "p.t/year=2018/month=11/day=05/hour=23"},
		{"2018-11-05 06:00", "2018-11-05 12:00", time.UTC, "p.t/year=2018/month=11/day=05"},
		{"2018-11-01 00:00", "", time.UTC, "p.t"},
		// Boundaries are those of the set's calendar, also where the clocks change.
		{"2018-11-01 00:00", "2018-12-01 00:00", berlin, "p.t/year=2018/month=11"},
		{"2018-10-01 00:00", "2018-11-01 00:00", berlin, "p.t/year=2018/month=10"},
		{"2018-10-28 00:00", "2018-10-29 00:00", berlin, "p.t/year=2018/month=10/day=28"},
		// An hour of UTC is in two hours of Kolkata.
		{"2018-11-05 05:30", "2018-11-05 06:30", kolkata, "p.t/year=2018/month=11/day=05"},
	} {
		p := Place{Parent: partition.Name{Schema: "p", Local: "t"}, Bounds: bounds(c.from, c.to, c.loc), Location: c.loc}
		got, err := p.dir()
		if err != nil {
			t.Errorf("[%s, %s): %v", c.from, c.to, err)
		}
		if filepath.ToSlash(got) != c.want {
			t.Errorf("[%s, %s) in %s is in %s, want %s", c.from, c.to, c.loc, got, c.want)
		}
	}
	for _, year := range []int{-1, 10000} {
		from := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		if dir, err := (Place{Bounds: partition.Bounds{From: partition.At(from), To: partition.At(from.AddDate(0, 1, 0))}}).dir(); err == nil {
			t.Errorf("the year %d is in %s", year, dir)
		}
	}
}

func TestSafeNames(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, c := range []struct{ schema, local, want string }{
		{"public", "chat_master", "public.chat_master"},
		{"a.b", "c", "a%2Eb.c"},
		{"a", "b.c", "a.b%2Ec"},
		{"..", "..", "%2E%2E.%2E%2E"},
		{"a/b", "c", "a%2Fb.c"},
		{"a%2Fb", "c", "a%252Fb.c"},
		{"year=1", "x y\n", "year%3D1.x%20y%0A"},
		{"Ärger", "日本", "Ärger.日本"},
		{".tmp-", ".lock", "%2Etmp-.%2Elock"},
	} {
		got := parentDir(partition.Name{Schema: c.schema, Local: c.local})
		if got != c.want {
			t.Errorf("%q.%q is in %q, want %q", c.schema, c.local, got, c.want)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%q.%q and %s share %q", c.schema, c.local, other, got)
		}
		seen[got] = c.schema + "." + c.local
	}
}

func TestStoreURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, want, problem string }{
		{"file:///var/lib/archive", "file:///var/lib/archive", ""},
		{"file:///var/lib/archive/", "file:///var/lib/archive", ""},
		{"file://localhost/a%20b%3Fc", "file:///a%20b%3Fc", ""},
		{"s3://bucket/some/where/", "s3://bucket/some/where", ""},
		{"s3://bucket", "s3://bucket", ""},
		{"/var/lib/archive", "", "not a URL"},
		{"gs://bucket/x", "", "scheme"},
		{"file://var/lib/archive", "", "host"},
		{"file:var/lib", "", "path"},
		{"file:///", "", "absolute"},
		{"file:///a?b", "", "%3F"},
		{"file:///a%zz", "", "not a URL"},
		{"s3:///prefix", "", "bucket"},
		{"s3://key:secret@bucket/x", "", "credentials"},
		{"s3://bucket/a/../b", "", ".."},
	} {
		store, err := OpenStore(c.url, S3Options{})
		switch {
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%s: got %v; want an error about %q", c.url, err, c.problem)
		case c.problem == "" && err != nil:
			t.Errorf("%s: %v", c.url, err)
		case c.problem == "" && store.URL("") != c.want:
			t.Errorf("%s is %q; want %q", c.url, store.URL(""), c.want)
		}
	}
}
