package partition

import (
	"fmt"
	"time"
)

// Hold keeps partitions of one set from being removed, until a date or for ever.
// It is kept in the database, apart from the configuration, since whoever has to
// keep data for a court is rarely who configures the daemon.
type Hold struct {
	// ID tells holds apart; 0 is one that is not kept yet.
	ID int64
	// Bounds are in the set's terms, see [Set.Calendar].
	Bounds Bounds
	// Until is an instant; the zero time is for ever.
	Until time.Time
	Kind  HoldKind
	// OID is the one table that is held, 0 for all within Bounds.
	OID uint32
	// Reason is in words for people, and never empty.
	Reason string
	// MadeBy is a role, MadeAt the server's time.
	MadeBy string
	MadeAt time.Time
}

// HoldKind is where a hold comes from.
type HoldKind string

// The kinds. Who restores a period from an archive holds it, or the next pass
// would archive it again; late rows hold the table that they made for themselves.
const (
	HoldManual  HoldKind = "manual"
	HoldRestore HoldKind = "restore"
	HoldLate    HoldKind = "late"
)

// Active tells whether the hold still counts at an instant: not any more at
// Until itself.
func (h Hold) Active(now time.Time) bool { return h.Until.IsZero() || now.Before(h.Until) }

// Covers tells whether the hold is about the partition: a part of what the
// partition may hold is enough, for it can only go as a whole.
func (h Hold) Covers(c Partition) bool {
	return h.Bounds.Overlaps(c.Bounds) && (h.OID == 0 || h.OID == c.OID)
}

// In returns the hold with Until in a location.
func (h Hold) In(loc *time.Location) Hold {
	if !h.Until.IsZero() {
		h.Until = h.Until.In(loc)
	}
	return h
}

// String says until when and why, as in "until 2027-01-01 00:00 UTC (lawsuit)",
// in the location that Until has.
func (h Hold) String() string {
	if h.Until.IsZero() {
		return fmt.Sprintf("for ever (%s)", h.Reason)
	}
	layout := "2006-01-02 15:04 MST"
	if h.Until.Second() != 0 || h.Until.Nanosecond() != 0 {
		layout = "2006-01-02 15:04:05.999999 MST"
	}
	return fmt.Sprintf("until %s (%s)", h.Until.Format(layout), h.Reason)
}

// Held is a removal that is due and that a hold keeps from happening. That is
// as it should be: it is no problem, and nothing is left to do.
type Held struct {
	Action Action
	Hold   Hold
}

// String returns one line for people.
func (h Held) String() string {
	return fmt.Sprintf("%s %s: %s", h.Action.Verb(), h.Action.Table, h.Hold)
}

// HeldBy returns the hold that covers a partition at an instant, nil if there is
// none; of several, the one that lasts longest. Its Until is in the location loc.
func HeldBy(holds []Hold, c Partition, now time.Time, loc *time.Location) *Hold {
	var longest *Hold
	for i, h := range holds {
		if !h.Active(now) || !h.Covers(c) {
			continue
		}
		if longest == nil || !longest.Until.IsZero() && (h.Until.IsZero() || h.Until.After(longest.Until)) {
			longest = &holds[i]
		}
	}
	if longest == nil {
		return nil
	}
	h := longest.In(loc)
	return &h
}

// inspectHolds reports holds that could not be read: with them unknown, nothing
// may be removed. A set of which nothing is ever due needs none.
func (p *planner) inspectHolds() {
	_, removes := p.set.Cutoff(p.snap.Server.Now, p.key)
	if p.snap.HoldsUnseen == "" || !removes {
		return
	}
	p.problem(Problem{Kind: ProblemHolds, Table: p.set.Parent, Stops: StopsSet,
		Text: "the holds in partitiond.hold are out of reach: " + p.snap.HoldsUnseen,
		Hint: "GRANT USAGE ON SCHEMA partitiond, and SELECT, INSERT, DELETE ON partitiond.hold, to role " + p.snap.Server.Role +
			", or see what that table should be in sql/tables.sql; nothing is removed until then"})
}
