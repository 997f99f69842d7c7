package partition

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// RouteVersion changes whenever the routing functions that are rendered from a
// Route change, so that a new release replaces what an old one installed.
const RouteVersion = 4

// MaxBranches is how many partitions have a branch of their own in the routing
// function. Rows of others take the dynamic path.
const MaxBranches = 64

// Route is what the routing functions are made from. Two equal routes make
// equal functions.
type Route struct {
	Version  int
	Parent   Name
	Key      string
	KeyType  KeyType
	Trigger  string
	Function Name
	Interval Interval
	Pattern  string
	Zone     string
	Window   Window
	// Near are the branches to try first, in the order to try them: the current
	// period, the next, the one before. Rest are the others in the order of time.
	Near, Rest []Branch
	// Columns are the parent's, for the dynamic path.
	Columns []Column
	// Owner is the parent's owner and becomes that of each new partition.
	Owner string
	// Properties are what a new partition gets beyond what it inherits.
	Properties []Property
	// Declarative says that partitions are attached; nothing is routed then.
	Declarative bool `json:",omitempty"`
	// Revoke are the roles to whom default privileges would grant something
	// that the parent does not.
	Revoke []string
}

// Branch sends the rows of Bounds to Table.
type Branch struct {
	Bounds Bounds
	Table  Name
	// OID is the table's; 0 where it is still to be made. It is no part of the
	// route's fingerprint.
	OID uint32
}

// Direct returns the branches that write their rows at once, without making sure
// of the table first: those of Near, whose tables are not about to leave. Where a
// role may insert into some columns alone there are none, since what may be written
// is then decided row by row.
func (r Route) Direct() []Branch {
	for _, p := range r.Properties {
		if p.Kind == PropColumnGrant {
			if _, _, privilege := SplitGrant(p); privilege == "INSERT" {
				return nil
			}
		}
	}
	return r.Near
}

// DirectOIDs returns the OIDs of the direct branches' tables, in their order.
func (r Route) DirectOIDs() []uint32 {
	var out []uint32
	for _, b := range r.Direct() {
		out = append(out, b.OID)
	}
	return out
}

// Searched returns all branches in the order of time, for a binary search. It
// leaves out those that overlap their predecessor.
func (r Route) Searched() []Branch {
	all := slices.Concat(r.Near, r.Rest)
	slices.SortStableFunc(all, func(a, b Branch) int { return a.Bounds.From.Compare(b.Bounds.From) })
	return disjoint(all)
}

// Fingerprint returns a short digest of the route. The functions carry it, so
// that a later pass can tell whether they are still what is wanted.
func (r Route) Fingerprint() string {
	// Times are written out, since as JSON they end with the year 9999.
	text, err := json.Marshal(struct {
		Route
		Near, Rest []string
	}{r, written(r.Near), written(r.Rest)})
	if err != nil {
		panic(err) // Plain values always marshal.
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}

func written(branches []Branch) []string {
	var out []string
	for _, b := range branches {
		out = append(out, fmt.Sprintf("%s %s %q %q", b.Bounds.From.utc(), b.Bounds.To.utc(), b.Table.Schema, b.Table.Local))
	}
	return out
}

// template returns the part of the route that shapes new partitions.
func (p *planner) template() *Route {
	parent := p.snap.Parent
	r := &Route{
		Version: RouteVersion, Parent: p.set.Parent, Key: p.set.Key, KeyType: p.key,
		Trigger: p.set.Trigger, Function: p.set.Function,
		Interval: p.set.Interval, Pattern: p.set.Pattern.String(), Zone: p.set.Location.String(), Window: p.set.Window,
		Columns: parent.Columns, Owner: parent.Owner, Properties: forNew(p.wanted()), Declarative: parent.Declarative,
	}
	if parent.Declarative {
		// The table is made like the parent, with its indexes.
		r.Properties = slices.DeleteFunc(r.Properties, func(p Property) bool { return p.Kind == PropIndex })
	}
	if p.set.Grants == GrantsExact {
		r.Revoke = parent.DefaultGrantees
	}
	return r
}

// inspectRouting reports routing that is somebody else's and that nothing here
// may replace.
func (p *planner) inspectRouting() {
	state := p.snap.Parent.Routing
	trouble := func(text, hint string) {
		p.handsOff = true
		p.problem(Problem{Kind: ProblemTrigger, Table: p.set.Parent, Text: text, Hint: hint, Stops: StopsSet})
	}
	switch {
	case p.set.Takeover:
	case state.Function == FunctionUnknown:
		trouble(fmt.Sprintf("function %s exists and is not one that is known here", p.set.Function),
			"compare it with the one that --dry-run shows with takeover = true, then set that, or give function another name")
	case !state.Trigger && state.TriggerOther == "" && len(state.Others) > 0:
		trouble(fmt.Sprintf("the trigger %q is missing, and other BEFORE INSERT triggers (%s) may route rows already", p.set.Trigger, strings.Join(state.Others, ", ")),
			"name the one that routes as trigger, with its function, or set takeover = true to have both")
	case state.TriggerOther != "":
		trouble(fmt.Sprintf("the trigger %q is something else: %s", p.set.Trigger, state.TriggerOther), "name it and its function rightly, or set takeover = true")
	}
}

// route plans the routing trigger and its functions: their branches follow the
// calendar and the partitions that stay.
func (p *planner) route(due []Action) {
	if p.handsOff {
		return
	}
	state := p.snap.Parent.Routing
	r := p.template()
	r.Near, r.Rest = p.branches(p.leaving(due))
	a := Action{Kind: RouteRows, Table: p.set.Parent, OID: p.snap.Parent.OID, Bounds: Everywhere, Route: r}
	switch {
	case state.Function == FunctionMissing:
		a.Reason = "the routing function is missing"
	case state.Function == FunctionSeed:
		a.Reason = "the routing function makes tables by itself from any row"
	case state.Function == FunctionUnknown:
		a.Reason = "the routing function is taken over"
	case state.Function == FunctionAltered:
		a.Reason = "the routing function was altered"
	case !state.Trigger:
		a.Reason = "the trigger is missing"
	case state.Disabled:
		a.Reason = "the trigger is disabled"
	case state.Fingerprint != r.Fingerprint():
		a.Reason = "the routing function does not match the present partitions"
	case !slices.Equal(state.Direct, r.DirectOIDs()):
		a.Reason = "the routing function knows another table of a present partition's name"
	default:
		return
	}
	p.act(a)
}

// branches returns the partitions that get a branch of their own: the nearest
// to the present, and none that leaves, since a branch needs its table.
func (p *planner) branches(leaves func(*Partition) bool) (near, rest []Branch) {
	all := slices.Clone(p.made)
	for i := range p.known {
		if c := &p.known[i]; c.SameShape && !c.OwnTriggers && !c.Foreign && !leaves(c) && !c.Bounds.Empty() {
			all = append(all, Branch{Bounds: c.Bounds, Table: c.Name, OID: c.OID})
		}
	}
	for i := range all {
		all[i].Bounds = Bounds{From: all[i].Bounds.From.utc(), To: all[i].Bounds.To.utc()}
	}
	loc := p.set.Calendar(p.key)
	for _, at := range []time.Time{p.current.From, p.set.Interval.Next(p.current, loc).From, p.current.From.Add(-1)} {
		if i := slices.IndexFunc(all, func(b Branch) bool { return b.Bounds.Contains(at) }); i >= 0 {
			near = append(near, all[i])
			all = slices.Delete(all, i, i+1)
		}
	}
	// Latest first to choose, in the order of time to search.
	slices.SortStableFunc(all, func(a, b Branch) int { return b.Bounds.From.Compare(a.Bounds.From) })
	rest = all[:min(len(all), MaxBranches-len(near))]
	slices.Reverse(rest)
	return near, disjoint(rest)
}

// disjoint drops branches that overlap their predecessor: a binary search needs
// an order, and rows of both find their way by the dynamic path.
func disjoint(branches []Branch) []Branch {
	var out []Branch
	for _, b := range branches {
		if len(out) == 0 || out[len(out)-1].Bounds.To.Compare(b.Bounds.From) <= 0 {
			out = append(out, b)
		}
	}
	return out
}

func (e Edge) utc() Edge {
	e.Time = e.Time.UTC()
	return e
}

// sweep plans the moves of rows out of the parent, one for each table, and
// reports those that belong nowhere.
func (p *planner) sweep() {
	if why := p.snap.StraysUnseen; why != "" {
		p.problem(Problem{Kind: ProblemStray, Table: p.set.Parent, Stops: StopsNone, Text: "it could not be looked for rows in " + p.net() + ": " + why})
	}
	var sweeps []Action
	into := map[Name]int{}
	for _, s := range p.snap.Strays {
		if s.Outside {
			p.problem(Problem{Kind: ProblemStray, Table: p.set.Parent, Stops: StopsNone,
				Text: fmt.Sprintf("%d rows%s have a %s that is NULL, infinite or outside the accepted window%s", s.Rows, p.inDefault(), p.set.Key, examplesText(s.Examples)),
				Hint: "correct or delete them, or widen window"})
			continue
		}
		if p.snap.Parent.Declarative {
			continue // They are moved when their partition is made.
		}
		for _, home := range p.homes(s) {
			i, ok := into[home.Table]
			if !ok {
				into[home.Table] = len(sweeps)
				sweeps = append(sweeps, home)
				continue
			}
			sweeps[i].Bounds = sweeps[i].Bounds.hull(home.Bounds)
			sweeps[i].Rows += home.Rows
		}
	}
	for _, a := range sweeps {
		if a.Rows > 0 {
			a.Reason = fmt.Sprintf("%d of its rows sit in the parent", a.Rows)
		}
		p.act(a)
	}
}

// homes returns the sweeps into the partitions that together hold the rows'
// period. How many rows each gets is only known where it is one partition.
func (p *planner) homes(s Stray) []Action {
	b := s.Period.Bounds()
	// What is made is in the order of time and does not overlap.
	after, _ := slices.BinarySearchFunc(p.made, b.From, func(m Branch, from Edge) int {
		if m.Bounds.From.Compare(from) <= 0 {
			return -1
		}
		return 1
	})
	if after > 0 && p.made[after-1].Bounds.Covers(b) {
		return []Action{{Kind: Sweep, Table: p.made[after-1].Table, Bounds: b, Rows: s.Rows}}
	}
	var parts []Action
	at := b.From
	for i := p.from(at); i < len(p.known) && p.known[i].Bounds.From.Compare(at) <= 0 && at.Compare(b.To) < 0; i++ {
		c := &p.known[i]
		if c.Foreign {
			continue
		}
		if c.Bounds.Covers(b) {
			return []Action{{Kind: Sweep, Table: c.Name, OID: c.OID, Bounds: b, Rows: s.Rows}}
		}
		if c.Bounds.From.Compare(at) <= 0 && c.Bounds.To.Compare(at) > 0 {
			parts = append(parts, Action{Kind: Sweep, Table: c.Name, OID: c.OID, Bounds: Bounds{From: at, To: c.Bounds.To}.Intersect(b),
				Reason: fmt.Sprintf("rows of %s sit in the parent", b)})
			at = c.Bounds.To
		}
	}
	if at.Compare(b.To) >= 0 {
		return parts
	}
	if i := slices.IndexFunc(p.known, func(c Partition) bool { return c.Foreign && c.Bounds.Overlaps(b) }); i >= 0 && p.covered(b) {
		p.problem(Problem{Kind: ProblemStray, Table: p.set.Parent, Stops: StopsNone,
			Text: fmt.Sprintf("%d rows of %s belong to %s, which is a foreign table", s.Rows, b, p.known[i].Name), Hint: "move them by hand"})
	}
	return nil // Otherwise createOne has said why.
}
