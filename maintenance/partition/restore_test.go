package partition

import (
	"errors"
	"strings"
	"testing"
)

func TestGiveBack(t *testing.T) {
	t.Parallel()
	s := monthly(t)
	june := month(t, "2018-06").Bounds()
	archived := Name{"old", "events_june"}
	named := s.PartitionName(month(t, "2018-06"), KeyTimestamp)
	half := Bounds{From: june.From, To: At(june.From.Time.AddDate(0, 0, 15))}
	for name, c := range map[string]struct {
		snap     func(*Snapshot)
		bounds   Bounds
		want     Name
		refusal  string
		occupied bool
	}{
		"a period of the set": {bounds: june, want: named},
		"bounds of their own": {bounds: half, want: archived},
		"without a beginning": {bounds: Bounds{From: MinusInfinity, To: june.To}, want: archived},
		"nothing":             {bounds: Bounds{From: june.To, To: june.From}, refusal: "hold nothing"},
		"there already": {bounds: june, snap: func(snap *Snapshot) { snap.Partitions = append(snap.Partitions, by(s, "anew", june)) },
			refusal: "app.anew is there with the same bounds", occupied: true},
		"an overlap": {bounds: half, snap: func(snap *Snapshot) { snap.Partitions = append(snap.Partitions, by(s, "whole", june)) },
			refusal: "app.whole", occupied: true},
		"the name is a partition's": {bounds: june, snap: func(snap *Snapshot) {
			snap.Partitions = append(snap.Partitions, by(s, named.Local, month(t, "2018-02").Bounds()))
		}, refusal: "that of a partition with other bounds", occupied: true},
		"the name is something else's": {bounds: june, snap: func(snap *Snapshot) { snap.Taken = append(snap.Taken, named) },
			refusal: "something else has the name", occupied: true},
		"no parent":       {bounds: june, snap: func(snap *Snapshot) { snap.Parent = nil }, refusal: "there is no such table"},
		"a standby":       {bounds: june, snap: func(snap *Snapshot) { snap.Server.Standby = true }, refusal: "standby"},
		"a stranger":      {bounds: june, snap: func(snap *Snapshot) { snap.Parent.MayAct = false }, refusal: `role "keeper" may not act as the owner`},
		"a powerless one": {bounds: june, snap: func(snap *Snapshot) { snap.Parent.OwnerMayCreate = false }, refusal: "may not create tables"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			snap := settled(t, s, months(t, s, "2018-09", "2018-12")...)
			if c.snap != nil {
				c.snap(&snap)
			}
			a, err := GiveBack(s, snap, c.bounds, archived)
			if c.refusal != "" {
				if err == nil || !strings.Contains(err.Error(), c.refusal) || errors.Is(err, ErrOccupied) != c.occupied {
					t.Fatalf("got %v (%v), want a refusal with %q, ErrOccupied %t", a, err, c.refusal, c.occupied)
				}
				return
			}
			if err != nil || a.Kind != Create || a.Table != c.want || !a.Bounds.Equal(c.bounds) {
				t.Fatalf("got %v (%v), want to create %s", a, err, c.want)
			}
			// It is made as the partitions ahead are.
			ahead := only(Make(s, settled(t, s)), Create)
			if got, want := a.Route.Fingerprint(), ahead[0].Route.Fingerprint(); got != want {
				t.Errorf("it would be made unlike those of a pass: %+v and %+v", a.Route, ahead[0].Route)
			}
		})
	}
}
