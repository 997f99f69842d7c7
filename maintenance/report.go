package maintenance

import (
	"errors"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// Status is what a pass over a set came to.
type Status string

// The statuses. Skipped is never success: nothing is known of such a set.
const (
	// Idle means that nothing was due and nothing is wrong.
	Idle Status = "nothing to do"
	// Done means that all that was due is done, and a fresh look found nothing more.
	Done Status = "done"
	// Partly means that something is wrong that a pass cannot mend, or that some actions failed.
	Partly Status = "partly"
	// Failed means that nothing of what was due could be done.
	Failed Status = "failed"
	// Skipped means that another instance is at work on the set.
	Skipped Status = "skipped"
	// Stopped means that the pass was asked to stop before the set was finished.
	Stopped Status = "stopped"
)

// Report is what one pass did.
type Report struct {
	// Began is by this machine's clock; Seconds is how long the pass took.
	Began   time.Time   `json:"began"`
	Seconds float64     `json:"seconds"`
	Sets    []SetReport `json:"sets"`
}

// SetReport is what one pass did to one set.
type SetReport struct {
	// Database is what the set's database is called where there are several.
	Database string         `json:"database,omitempty"`
	Set      string         `json:"set"`
	Status   Status         `json:"status"`
	Error    string         `json:"error,omitempty"`
	Actions  []ActionReport `json:"actions"`
	// Problems are what a person has to look at, as seen when the pass ended.
	Problems []ProblemReport `json:"problems"`
	// Due is what is still to be done when the pass ended, in words.
	Due []string `json:"due"`
	// Withheld are removals that are due and that a problem stops.
	Withheld []string `json:"withheld"`
	// Held are removals that would be due but for a hold; nothing is wrong with them.
	Held []string `json:"held"`

	// lost tells that the connection or the lock was lost on the way.
	lost bool
}

// Label names the set, with its database where there are several.
func (r SetReport) Label() string { return Label(r.Database, r.Set) }

// Label names a set, or what else belongs to a database, for people: by its name
// alone where there is but one database, which has none.
func Label(database, name string) string {
	if database == "" || name == "" {
		return database + name
	}
	return database + " " + name
}

// newReport returns the report of a set to which nothing has happened yet.
func (m *Maintainer) newReport(s partition.Set) SetReport {
	return SetReport{Database: m.Database, Set: s.Parent.String(), Actions: []ActionReport{}, Problems: []ProblemReport{}, Due: []string{}, Withheld: []string{}, Held: []string{}}
}

// ActionReport is what became of one action.
type ActionReport struct {
	Action string `json:"action"`
	Table  string `json:"table"`
	Reason string `json:"reason"`
	// Error is empty where all of it is committed.
	Error   string `json:"error,omitempty"`
	Skipped bool   `json:"skipped,omitempty"`
	// Held tells that nothing was done because a hold was added after the pass had
	// looked, as Error says: no failure.
	Held bool `json:"held,omitempty"`
	// Unrecorded tells that the removal is not in the history, since there is none.
	Unrecorded bool    `json:"unrecorded,omitempty"`
	Seconds    float64 `json:"seconds"`
	// WaitedSeconds is the part of Seconds spent on locks that were not to be had and on pauses between tries.
	WaitedSeconds float64         `json:"waited_seconds"`
	Retries       int             `json:"retries"`
	Rows          int64           `json:"rows,omitempty"`
	Bytes         int64           `json:"bytes,omitempty"`
	Archive       string          `json:"archive,omitempty"`
	Blockers      []BlockerReport `json:"blockers,omitempty"`
}

// Failed tells whether the action was to be done and is not: neither is so of one
// that a hold keeps from being done.
func (r ActionReport) Failed() bool { return r.Error != "" && !r.Held }

// BlockerReport names a session, or a prepared transaction, that an action waited for. Times are by the server's
// clock; they are left out, and State is empty, where the daemon's role may not see them.
type BlockerReport struct {
	// PID is 0 for a prepared transaction, which Prepared names; Since is then when it was prepared.
	PID         int32  `json:"pid"`
	Prepared    string `json:"prepared,omitempty"`
	Application string `json:"application"`
	User        string `json:"user"`
	State       string `json:"state"`
	// Since is when its transaction began, AgeSeconds how long that had been open, and
	// QueryBegan when the query that it runs or ran last began.
	Since      time.Time `json:"transaction_began,omitzero"`
	AgeSeconds float64   `json:"age_seconds"`
	QueryBegan time.Time `json:"query_began,omitzero"`
	// Mode is the lock that it held, or "snapshot", and Table what the lock was on.
	Mode  string `json:"mode"`
	Table string `json:"table,omitempty"`
}

func reportBlocker(b postgres.Blocker) BlockerReport {
	return BlockerReport{PID: b.PID, Prepared: b.Prepared, Application: b.Application, User: b.User, State: b.State,
		Since: b.Since.UTC(), AgeSeconds: b.Age.Seconds(), QueryBegan: b.QueryBegan.UTC(), Mode: b.Mode, Table: b.Table}
}

// ProblemReport is a problem in words.
type ProblemReport struct {
	Kind  string `json:"kind"`
	Table string `json:"table"`
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"`
	Stops string `json:"stops_removals_of"`
}

// Problems turns a plan's problems into words.
func Problems(problems []partition.Problem) []ProblemReport {
	out := make([]ProblemReport, 0, len(problems))
	for _, p := range problems {
		out = append(out, ProblemReport{Kind: string(p.Kind), Table: p.Table.String(), Text: p.Text, Hint: p.Hint, Stops: string(p.Stops)})
	}
	return out
}

func reportAction(a partition.Action, out postgres.Outcome, err error) ActionReport {
	r := ActionReport{
		Action: a.Verb(), Table: a.Table.String(), Reason: a.Reason,
		Seconds: out.Took.Seconds(), WaitedSeconds: out.Waited.Seconds(), Retries: out.Retries,
		Rows: out.Rows, Bytes: out.Bytes, Archive: out.Archive, Unrecorded: out.Unrecorded,
	}
	for _, b := range out.Blockers {
		r.Blockers = append(r.Blockers, reportBlocker(b))
	}
	if err != nil {
		r.Error = err.Error()
		r.Held = errors.Is(err, postgres.ErrHeld)
	}
	return r
}

// Held turns a plan's held removals into words.
func Held(held []partition.Held) []string {
	out := make([]string, 0, len(held))
	for _, h := range held {
		out = append(out, h.String())
	}
	return out
}

// settle works out the status from what happened.
func (r *SetReport) settle() {
	done, failed := 0, 0
	for _, a := range r.Actions {
		switch {
		case a.Held:
		case a.Error == "" && !a.Skipped:
			done++
		default:
			failed++
		}
	}
	switch {
	case r.Status == Skipped || r.Status == Stopped:
	case r.Error != "" || failed > 0 && done == 0:
		r.Status = Failed
	case failed > 0 || len(r.Problems) > 0 || len(r.Due) > 0:
		r.Status = Partly
	case done > 0:
		r.Status = Done
	default:
		r.Status = Idle
	}
}

// Status sums the sets up: the best and the worst of them make Partly.
func (r Report) Status() Status {
	count := map[Status]int{}
	for _, s := range r.Sets {
		count[s.Status]++
	}
	n := len(r.Sets)
	switch {
	case count[Stopped] > 0:
		return Stopped
	case n > 0 && count[Failed] == n:
		return Failed
	case count[Failed]+count[Partly] > 0:
		return Partly
	case count[Skipped] > 0:
		return Skipped
	case count[Done] > 0:
		return Done
	}
	return Idle
}
