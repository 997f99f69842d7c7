package partition

import (
	"fmt"
	"slices"
	"time"
)

// chooser returns a number from 0 to n-1; whatever is behind it makes the world.
type chooser func(n int) int

func (pick chooser) chance(percent int) bool { return pick(100) < percent }

// fromBytes is a chooser that a fuzzer drives. Once they are used up, it always
// returns the first choice.
func fromBytes(data []byte) chooser {
	return func(n int) int {
		if len(data) == 0 {
			return 0
		}
		v := int(data[0])
		data = data[1:]
		if n > 256 && len(data) > 0 {
			v = v<<8 | int(data[0])
			data = data[1:]
		}
		return v % n
	}
}

var loaded = func() (out []*time.Location) {
	for _, name := range zones {
		loc, err := time.LoadLocation(name)
		if err != nil {
			panic(err)
		}
		out = append(out, loc)
	}
	return out
}()

// randomSet is a set as the configuration could have it.
func randomSet(pick chooser, key KeyType) Set {
	s := Set{
		Parent: parentName, Key: "at", Location: loaded[pick(len(loaded))], Ahead: pick(6), FillGaps: pick.chance(50),
		Trigger: "t", Function: Name{"app", "f"}, Takeover: pick.chance(50),
		Window:  Window{Past: Interval{30, Year}, Future: Interval{1, Year}},
		Indexes: !pick.chance(20), Grants: []GrantMode{GrantsAdd, GrantsExact, GrantsOff}[pick(3)],
		AnalyzeEvery: time.Duration(pick(3)) * 24 * time.Hour, SweepBatch: 100,
		Retention: Retention{Then: []Then{Keep, Detach, Archive, Drop}[pick(4)], MaxShare: float64(1+pick(100)) / 100},
	}
	for s.Interval.Unit == 0 || key == KeyDate && s.Interval.Unit == Hour {
		s.Interval = tiles[len(tiles)-1-pick(len(tiles))]
	}
	if s.Retention.Then != Keep {
		s.Retention.Keep = Interval{N: s.Interval.N * (1 + pick(12)), Unit: s.Interval.Unit}
	}
	p, err := ParsePattern(units[s.Interval.Unit], s.Interval)
	if err != nil {
		panic(err)
	}
	s.Pattern = p
	return s
}

var pool = []Property{
	{PropGrant, "a\tSELECT", ""}, {PropGrant, "b\tSELECT", "with grant option"}, {PropColumnGrant, "id\ta\tUPDATE", ""},
	{PropIndex, "USING btree (at)", ""}, {PropIndex, "UNIQUE USING btree (id, at)", "primary key"}, {PropIndex, "UNIQUE USING btree (id, at)", ""},
	{PropReplicaIdentity, "", "index UNIQUE USING btree (id, at)"}, {PropOption, "fillfactor", "70"}, {PropDefault, "id", "1"},
	{PropNotNull, "at", ""}, {PropPolicy, "p", "AS PERMISSIVE"}, {PropRowSecurity, "", "on"}, {PropComment, "", "c"},
	{PropColumnComment, "id", "c"}, {PropColumnStorage, "id", "PLAIN"}, {PropPublication, "pub", ""}, {PropTablespace, "", "slow"},
}

// randomWorld is a set with partitions of every sort around the present.
func randomWorld(pick chooser) *world {
	key := []KeyType{KeyTimestamp, KeyTimestampTZ, KeyDate}[pick(3)]
	w := &world{set: randomSet(pick, key), oid: 100}
	w.snap = empty()
	w.snap.Server.Now = time.Date(1995+pick(40), time.Month(1+pick(12)), 1+pick(31), pick(24), pick(60), pick(60), 0, time.UTC)
	parent := w.snap.Parent
	parent.Key = key
	parent.Properties = []Property{{Kind: PropOwner, Value: "owner"}}
	for _, p := range pool {
		if pick.chance(40) {
			parent.Properties = append(parent.Properties, p)
		}
	}
	parent.Routing = Routing{
		Trigger: pick.chance(50), Disabled: pick.chance(10),
		Function: []FunctionState{FunctionMissing, FunctionSeed, FunctionOurs, FunctionAltered, FunctionUnknown}[pick(5)],
	}
	if !parent.Routing.Trigger && pick.chance(20) {
		parent.Routing.TriggerOther = "AFTER INSERT"
	}
	if pick.chance(10) {
		parent.Routing.Others = []string{"audit"}
	}
	if pick.chance(5) {
		w.snap.Server.Skew = 2 * MaxSkew
	}
	odd := pick(40) // How odd this world's partitions are, in percent.
	p := w.set.Current(w.snap.Server.Now, key)
	back := pick(25)
	for range back {
		p = w.set.PeriodOf(p.From.Add(-time.Microsecond), key)
	}
	for range back + pick(8) {
		wide := w.addRandom(pick, p, odd)
		p = w.set.Interval.Next(p, w.set.Calendar(key))
		if wide && pick.chance(80) {
			p = w.set.Interval.Next(p, w.set.Calendar(key))
		}
	}
	for range pick(4) {
		w.addRow(pick)
	}
	if pick.chance(10) {
		w.snap.Strays = append(w.snap.Strays, Stray{Outside: true, Rows: 1})
	}
	for pick.chance(30) && len(w.snap.Holds) < 3 {
		h := Hold{ID: int64(len(w.snap.Holds) + 1), Bounds: Everywhere, Reason: "case"}
		if n := len(w.snap.Partitions); n > 0 {
			h.Bounds = w.snap.Partitions[pick(n)].Bounds
			if pick.chance(20) {
				h.OID = w.snap.Partitions[pick(n)].OID
			}
		}
		if pick.chance(50) {
			h.Until = w.snap.Server.Now.AddDate(0, 0, 20-pick(40))
		}
		w.snap.Holds = append(w.snap.Holds, h)
	}
	if pick.chance(5) {
		w.snap.HoldsUnseen = "no permission"
	}
	slices.SortFunc(w.snap.Partitions, func(a, b Partition) int { return cmpNames(a.Name, b.Name) })
	return w
}

func cmpNames(a, b Name) int {
	switch as, bs := a.String(), b.String(); {
	case as < bs:
		return -1
	case as > bs:
		return 1
	}
	return 0
}

// addRow puts a row into the parent, not far from the present.
func (w *world) addRow(pick chooser) {
	key := w.snap.Parent.Key
	p := w.set.Current(w.snap.Server.Now, key)
	for range pick(20) {
		p = w.set.PeriodOf(p.From.Add(-time.Microsecond), key)
	}
	at := p.From
	if pick.chance(50) && key != KeyDate {
		at = p.To.Add(-time.Microsecond)
	}
	w.rows = append(w.rows, at)
}

// addRandom adds what there is for one period: nothing, one partition, or two
// halves. It tells whether that is for the next period, too.
func (w *world) addRandom(pick chooser, p Period, odd int) (wide bool) {
	b := p.Bounds()
	if !pick.chance(odd) {
		w.add(pick, b, w.set.PartitionName(p, w.snap.Parent.Key), odd)
		return false
	}
	hand := func(b Bounds) { w.add(pick, b, Name{"app", fmt.Sprintf("hand_%d", w.oid)}, odd) }
	middle := At(p.From.Add(p.To.Sub(p.From) / 2).Truncate(24 * time.Hour))
	if w.snap.Parent.Key == KeyTimestampTZ || w.set.Interval.Unit == Hour {
		middle = At(p.From.Add(p.To.Sub(p.From) / 2))
	}
	if middle.Compare(b.From) <= 0 || middle.Compare(b.To) >= 0 {
		middle = b.To
	}
	switch pick(7) {
	case 0: // a gap
	case 1: // two halves
		hand(Bounds{b.From, middle})
		if !b.To.Time.Equal(middle.Time) {
			hand(Bounds{middle, b.To})
		}
	case 2: // one half
		hand(Bounds{b.From, middle})
	case 3: // a wide one, which may overlap the next
		hand(Bounds{b.From, w.set.Interval.Next(p, w.set.Calendar(w.snap.Parent.Key)).Bounds().To})
		return true
	case 4: // an open end, mostly where it overlaps nothing
		if len(w.snap.Partitions) == 0 {
			hand(Bounds{MinusInfinity, b.To})
		} else if pick.chance(10) {
			hand(Bounds{b.From, PlusInfinity})
		}
	case 5: // bounds that hold nothing
		hand(Bounds{b.To, b.From})
	case 6: // somebody else's table
		w.snap.Taken = append(w.snap.Taken, w.set.PartitionName(p, w.snap.Parent.Key))
	}
	return false
}

// add adds one partition, with whatever may be odd about it.
func (w *world) add(pick chooser, b Bounds, name Name, odd int) {
	w.oid++
	c := made(w.set, w.snap.Parent, b, name)
	c.OID = w.oid
	if pick.chance(odd) {
		c.Checks = []BoundsCheck{seedCheck(b, true)}
		if pick.chance(30) {
			c.Checks[0].Name = BoundsConstraint
		}
		if pick.chance(30) {
			c.Checks = append(c.Checks, plainCheck(BoundsConstraint+"_range", b, pick.chance(50)))
		}
	}
	if pick.chance(odd / 2) {
		c.Known, c.Checks = BoundsClaimed, []BoundsCheck{plainCheck("theirs", b, false)}
	}
	if pick.chance(odd/2) && b.Finite() {
		c.Known, c.Checks = BoundsFromRows, nil
	}
	if pick.chance(odd / 6) {
		c = unknown(c)
	}
	if pick.chance(odd / 6) {
		c.Violation = &Violation{Rows: 1}
	}
	if pick.chance(odd / 6) {
		c.Dependents = []string{"view app.v"}
	}
	if pick.chance(odd / 6) {
		c.Foreign = true
	}
	c.SameShape, c.OwnTriggers = !pick.chance(odd/6), pick.chance(odd/6)
	if pick.chance(odd) {
		c.Properties = slices.DeleteFunc(c.Properties, func(Property) bool { return pick.chance(30) })
		for _, p := range pool {
			if pick.chance(10) {
				c.Properties = append(c.Properties, p)
			}
		}
		c.InvalidIndexes = map[string][]string{"USING btree (at)": {"broken"}}
	}
	w.snap.Partitions = append(w.snap.Partitions, c)
}
