package partition

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEmptySet(t *testing.T) {
	t.Parallel()
	p := Make(monthly(t), empty())
	expect(t, p, `
		create e_2018_11 [2018-11-01, 2018-12-01)
		create e_2018_12 [2018-12-01, 2019-01-01)
		create e_2019_01 [2019-01-01, 2019-02-01)
		route events
		analyze events`)
	for i, want := range []string{"the current period", "1 of 2 ahead", "2 of 2 ahead"} {
		if got := p.Actions[i].Reason; got != want {
			t.Errorf("reason %q, want %q", got, want)
		}
	}
}

func TestSteadyStateIsEmpty(t *testing.T) {
	t.Parallel()
	for _, s := range []Set{
		monthly(t),
		monthly(t, keep("3 months", Drop)),
		monthly(t, func(s *Set) { s.FillGaps = true }),
		monthly(t, func(s *Set) { s.Grants, s.Indexes, s.AnalyzeEvery = GrantsExact, false, 0 }),
	} {
		snap := settled(t, s, months(t, s, "2018-08", "2019-01")...)
		if p := Make(s, snap); !p.Empty() || len(p.Withheld) != 0 {
			t.Errorf("something is to be done:\n%s", full(p))
		}
	}
}

// TestNewPartitionIsWhole: the action has all that a new table needs.
func TestNewPartitionIsWhole(t *testing.T) {
	t.Parallel()
	s := monthly(t, func(s *Set) { s.Grants = GrantsExact })
	snap := empty()
	snap.Parent.DefaultGrantees = []string{"intern"}
	snap.Parent.Properties = append(snap.Parent.Properties,
		Property{Kind: PropReplicaIdentity, Value: "default"}, Property{Kind: PropNotNull, Name: "at"},
		Property{Kind: PropComment, Value: "Events"})
	got := only(Make(s, snap), Create)[0].Route
	want := &Route{
		Version: RouteVersion, Parent: parentName, Key: "at", KeyType: KeyTimestamp, Trigger: s.Trigger, Function: s.Function,
		Interval: s.Interval, Pattern: "e_%Y_%m", Zone: "UTC", Window: s.Window, Columns: snap.Parent.Columns, Owner: "owner",
		Properties: []Property{ // Neither what INHERITS brings, nor what every table has.
			{Kind: PropGrant, Name: "readonly\tSELECT"}, {Kind: PropIndex, Name: "USING btree (at)"}, {Kind: PropComment, Value: "Events"},
		},
		Revoke: []string{"intern"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	s.Grants = GrantsAdd
	if got := only(Make(s, snap), Create)[0].Route.Revoke; got != nil {
		t.Errorf("privileges are only added, but %v are revoked", got)
	}
}

func TestCreateAhead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		first, last string // the months that exist
		drop        string // but this one
		ahead       int
		at          string
		want        string
	}{
		{"one is due", "2018-08", "2018-12", "", 2, "2018-11-15", "2019-01"},
		{"at the last microsecond of a period", "2018-08", "2018-12", "", 1, "2018-11-30 23:59:59.999999", ""},
		{"at the first instant of the next", "2018-08", "2018-12", "", 1, "2018-12-01", "2019-01"},
		{"the current one is missing", "2018-08", "2019-01", "2018-11", 2, "2018-11-15", "2018-11"},
		{"one between is missing", "2018-08", "2019-01", "2018-12", 2, "2018-11-15", "2018-12"},
		{"none ahead", "2018-08", "2018-10", "", 0, "2018-11-15", "2018-11"},
		{"asleep for months", "2018-01", "2018-02", "", 1, "2018-11-15", "2018-11 2018-12"},
		{"an old gap is left", "2018-01", "2018-12", "2018-06", 1, "2018-11-15", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := monthly(t, func(s *Set) { s.Ahead = test.ahead })
			snap := empty()
			for _, c := range months(t, s, test.first, test.last) {
				if c.Bounds.From.Time.Format("2006-01") != test.drop {
					snap.Partitions = append(snap.Partitions, c)
				}
			}
			snap.Server.Now = utc(t, test.at)
			if got := createdMonths(Make(s, snap)); got != test.want {
				t.Errorf("creates %q, want %q", got, test.want)
			}
		})
	}
}

// createdMonths names the months that a plan creates.
func createdMonths(p Plan) string {
	var out []string
	for _, a := range only(p, Create) {
		out = append(out, a.Bounds.From.Time.UTC().Format("2006-01"))
	}
	return strings.Join(out, " ")
}

func TestFillGaps(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		existing []string // months, or "from/to" bounds
		keep     string
		past     Interval
		want     string
	}{
		{name: "none", want: "2018-11"},
		{name: "from the oldest on", existing: []string{"2018-06", "2018-09", "2018-11"}, want: "2018-07 2018-08 2018-10"},
		{name: "not what is older than retention keeps", existing: []string{"2018-01", "2018-11"}, keep: "2 months", want: "2018-09 2018-10"},
		{name: "not what would be due on the day", existing: []string{"2018-01", "2018-11"}, keep: "45 days", want: "2018-10"},
		{name: "only a future one", existing: []string{"2019-03"}, want: "2018-11"},
		{name: "after one without a beginning", existing: []string{"/2018-08-01", "2018-11"}, want: "2018-08 2018-09 2018-10"},
		{name: "after one that begins off the grid", existing: []string{"2018-06-10/2018-09-01", "2018-11"}, want: "2018-09 2018-10"},
		{name: "after bounds that hold nothing", existing: []string{"2018-06-10/2018-06-01", "2018-09", "2018-11"}, want: "2018-10"},
		{name: "after a wide one", existing: []string{"2017-01-01/2018-08-01", "2018-11"}, want: "2018-08 2018-09 2018-10"},
		{name: "not what lies outside of the window", existing: []string{"1900-01", "2018-11"}, past: Interval{2, Month}, want: "2018-09 2018-10"},
		{name: "one is everything before", existing: []string{"/2018-11-01"}, want: "2018-11"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := monthly(t, func(s *Set) { s.FillGaps, s.Ahead = true, 0 })
			if test.keep != "" {
				keep(test.keep, Drop)(&s)
			}
			if !test.past.IsZero() {
				s.Window.Past = test.past
			}
			snap := empty()
			for i, text := range test.existing {
				if from, to, ok := strings.Cut(text, "/"); ok {
					snap.Partitions = append(snap.Partitions, by(s, fmt.Sprint("hand_", i), span(t, from, to)))
				} else {
					snap.Partitions = append(snap.Partitions, whole(s, month(t, text)))
				}
			}
			p := Make(s, snap)
			if got := createdMonths(p); got != test.want {
				t.Errorf("creates %q, want %q", got, test.want)
			}
			if len(p.Problems) != 0 {
				t.Errorf("problems:\n%s", full(p))
			}
		})
	}
}

func TestExistingBoundsDecide(t *testing.T) {
	t.Parallel()
	s := monthly(t, func(s *Set) { s.Ahead = 0 })
	november := month(t, "2018-11").Bounds()
	for _, test := range []struct {
		name       string
		partitions []Partition
		taken      []Name
		want       string // of the plan, but for route and analyze
	}{
		{"another name", []Partition{by(s, "zzz", november)}, nil, ""},
		{"two halves", []Partition{by(s, "h1", span(t, "2018-11-01", "2018-11-16")), by(s, "h2", span(t, "2018-11-16", "2018-12-01"))}, nil, ""},
		{"a wide one", []Partition{by(s, "y", span(t, "2018-01-01", "2019-01-01"))}, nil, ""},
		{"one without end", []Partition{by(s, "y", span(t, "2018-01-01", ""))}, nil, ""},
		{"three quarters of it", []Partition{by(s, "h1", span(t, "2018-11-01", "2018-11-16")), by(s, "h2", span(t, "2018-11-20", "2018-12-01"))}, nil,
			"overlap: h1 (stops set)"},
		{"the end of it", []Partition{by(s, "h2", span(t, "2018-11-20", "2018-12-10"))}, nil, "overlap: h2 (stops set)"},
		{"bounds that hold nothing", []Partition{by(s, "none", span(t, "2018-11-20", "2018-11-10"))}, nil, "create e_2018_11 [2018-11-01, 2018-12-01)"},
		{"the name is a partition's of other bounds", []Partition{by(s, "e_2018_11", span(t, "2017-11-01", "2017-12-01"))}, nil,
			"name taken: e_2018_11 (stops none)"},
		{"the name is a stranger's", nil, []Name{{"app", "e_2018_11"}}, "name taken: e_2018_11 (stops none)"},
		{"the name is one of another schema", nil, []Name{{"public", "e_2018_11"}}, "create e_2018_11 [2018-11-01, 2018-12-01)"},
		{"the name is one that cannot be read", []Partition{unknown(by(s, "e_2018_11", Bounds{}))}, nil,
			"unreadable bounds: e_2018_11 (stops set)\nname taken: e_2018_11 (stops none)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			snap := empty()
			snap.Partitions, snap.Taken = test.partitions, test.taken
			p := Make(s, snap)
			p.Actions = only(p, Create)
			expect(t, p, test.want)
		})
	}
}

// unknown is a partition without any CHECK that could be read.
func unknown(c Partition) Partition {
	c.Known, c.Bounds, c.Checks = BoundsUnknown, Bounds{}, nil
	return c
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	s := monthly(t, keep("1 month", Drop), func(s *Set) { s.Ahead = 0 })
	wide := by(s, "wide", span(t, "2018-01-01", "2018-04-01"))
	snap := settled(t, s, append(months(t, s, "2018-02", "2018-11"), wide)...)
	snap.Parent.Routing.Fingerprint = ""
	p := Make(s, snap)
	p.Actions = only(p, Create)
	p.Withheld = p.Withheld[:1]
	expect(t, p, `
		withheld: drop wide
		overlap: wide (stops set)
		overlap: wide (stops set)
		too much to remove: events (stops set)`)
	if want := "[2018-01-01, 2018-04-01) overlaps [2018-02-01, 2018-03-01) of app.e_2018_02"; p.Problems[0].Text != want {
		t.Errorf("%q, want %q", p.Problems[0].Text, want)
	}
	// Bounds that hold nothing overlap nothing.
	snap = settled(t, s, append(months(t, s, "2018-10", "2018-11"), by(s, "none", span(t, "2018-11-20", "2018-11-10")))...)
	if p := Make(s, snap); len(p.Problems) != 0 {
		t.Errorf("problems:\n%s", full(p))
	}
}

// TestOneProblemForOnePeriod: a period that is wanted for several reasons is
// not reported several times.
func TestOneProblemForOnePeriod(t *testing.T) {
	t.Parallel()
	s := monthly(t, func(s *Set) { s.Ahead, s.FillGaps = 0, true })
	stray := Stray{Period: month(t, "2018-11"), Rows: 3}
	for _, snap := range []Snapshot{
		{Taken: []Name{{"app", "e_2018_11"}}},
		{Partitions: []Partition{by(s, "half", span(t, "2018-11-16", "2018-12-01"))}},
	} {
		full := empty()
		full.Partitions, full.Taken, full.Strays = snap.Partitions, snap.Taken, []Stray{stray}
		if p := Make(s, full); len(p.Problems) != 1 {
			t.Errorf("problems:\n%v", p.Problems)
		}
	}
}

func TestCalendarOfKeyTypes(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	for _, test := range []struct {
		key  KeyType
		now  time.Time
		want string
	}{
		// In Berlin it is December already.
		{KeyTimestampTZ, utc(t, "2018-11-30 23:30"), "create e_2018_12 [2018-12-01, 2019-01-01)"},
		{KeyTimestamp, utc(t, "2018-11-30 23:30"), "create e_2018_12 [2018-12-01, 2019-01-01)"},
		{KeyDate, utc(t, "2018-11-30 22:30"), "create e_2018_11 [2018-11-01, 2018-12-01)"},
	} {
		s := monthly(t, func(s *Set) { s.Ahead, s.Location = 0, berlin })
		snap := empty()
		snap.Parent.Key, snap.Server.Now = test.key, test.now
		p := Make(s, snap)
		p.Actions = only(p, Create)
		expect(t, p, test.want)
		wantUTC := test.key != KeyTimestampTZ
		if got := p.Actions[0].Bounds.From.Time; got.Location() == time.UTC != wantUTC {
			t.Errorf("%s: the bounds are in %s", test.key, got.Location())
		}
	}
	// An hour's table has its UTC name, in any zone.
	s := monthly(t, func(s *Set) { s.Ahead, s.Location, s.Interval = 0, berlin, Interval{6, Hour} })
	snap := empty()
	snap.Parent.Key, snap.Server.Now = KeyTimestampTZ, utc(t, "2018-11-30 23:30")
	p := Make(s, snap)
	p.Actions = only(p, Create)
	expect(t, p, "create e_2018_11_30_18 [2018-11-30 18:00:00, 2018-12-01)")
}
