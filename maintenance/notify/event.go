// Package notify tells people and programs what passes come to, and asks them
// before a partition is removed: by webhooks and by commands. Telling never
// keeps a pass waiting; asking does, for a bounded time.
package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/partitiond/partitiond/maintenance"
)

// Kind is what an event is about.
type Kind string

// The kinds. All but BeforeRemoval are told; that is what hooks are asked.
const (
	// Failure is a pass that left something wrong in a set, or could not be made.
	Failure Kind = "failure"
	// Recovery is the first good pass after a failure that was told.
	Recovery Kind = "recovery"
	// Removal is a partition that was archived, detached or dropped.
	Removal Kind = "removal"
	// Pass is a pass that was made, whatever it came to.
	Pass Kind = "pass"
	// BeforeRemoval is a partition that is about to be archived, detached or dropped.
	BeforeRemoval Kind = "before_removal"
)

// Event is what receivers get, as JSON. What does not apply is left out.
type Event struct {
	Event Kind `json:"event"`
	// Time is by this machine's clock.
	Time time.Time `json:"time"`
	// Host is this machine's name.
	Host string `json:"host"`
	// Text says it all in words, in several lines where there is more to say.
	Text string `json:"text"`
	// Database is what it is called where there are several.
	Database string `json:"database,omitempty"`
	// Set is the set's parent; a failure without one is that of a whole pass.
	Set string `json:"set,omitempty"`
	// Status is that of the set, or of the pass.
	Status maintenance.Status `json:"status,omitempty"`
	// Action and Table are of a removal: drop, archive or detach, and of what.
	Action string `json:"action,omitempty"`
	Table  string `json:"table,omitempty"`
	// Reason says why a removal is due.
	Reason string `json:"reason,omitempty"`
	// Since is when a failure, or what is over by a recovery, was first seen.
	Since time.Time `json:"since,omitzero"`
	// Repeated tells that the failure was told before.
	Repeated bool `json:"repeated,omitempty"`
	// Result is of a removal, Report of a failure or recovery of a set.
	Result *maintenance.ActionReport `json:"result,omitempty"`
	Report *maintenance.SetReport    `json:"report,omitempty"`
	// Pass is of a pass.
	Pass *maintenance.Report `json:"pass,omitempty"`
}

// maxLines and maxText bound what people are told in words; the JSON has all of it.
const (
	maxLines = 6
	maxText  = 2500
)

// describe says what is wrong with a set.
func describe(r maintenance.SetReport) string {
	var why []string
	if r.Error != "" {
		why = append(why, r.Error)
	}
	for _, a := range r.Actions {
		if a.Failed() {
			why = append(why, fmt.Sprintf("%s %s: %s", a.Action, a.Table, a.Error))
		}
	}
	for _, p := range r.Problems {
		why = append(why, fmt.Sprintf("%s: %s: %s", p.Kind, p.Table, p.Text))
	}
	for _, d := range r.Due {
		why = append(why, "still due: "+d)
	}
	if more := len(why) - maxLines; more > 0 {
		why = append(why[:maxLines], fmt.Sprintf("and %d more", more))
	}
	text := fmt.Sprintf("%s: %s", r.Label(), r.Status)
	for _, line := range why {
		text += "\n- " + oneLine(line, maxText/maxLines)
	}
	return text
}

// describePass says what a pass came to.
func describePass(r maintenance.Report) string {
	var sets []string
	for _, s := range r.Sets {
		sets = append(sets, fmt.Sprintf("%s: %s", s.Set, s.Status))
	}
	if more := len(sets) - maxLines; more > 0 {
		sets = append(sets[:maxLines], fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("pass: %s\n- %s", r.Status(), strings.Join(sets, "\n- "))
}

func describeRemoval(r maintenance.ActionReport) string {
	text := fmt.Sprintf("%s %s: %s", r.Action, r.Table, r.Reason)
	if r.Archive != "" {
		text += fmt.Sprintf("\n- %d rows in %s", r.Rows, r.Archive)
	}
	return text
}

// oneLine makes one line of a text and bounds it.
func oneLine(text string, most int) string {
	return clip(strings.Join(strings.Fields(text), " "), most)
}

// clip bounds a text without cutting a letter in two.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + " ..."
}
