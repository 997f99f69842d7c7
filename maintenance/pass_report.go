package maintenance

import (
	"errors"
	"log/slog"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// describe replaces what the report says of the set's state by what a plan says.
func (r *SetReport) describe(p partition.Plan) {
	r.Problems, r.Due, r.Withheld = Problems(p.Problems), []string{}, []string{}
	for _, a := range p.Actions {
		r.Due = append(r.Due, a.String())
	}
	for _, a := range p.Withheld {
		r.Withheld = append(r.Withheld, a.String())
	}
	r.Held = Held(p.Held)
}

func (r *SetReport) skip(a partition.Action, why string) {
	report := reportAction(a, postgres.Outcome{}, errors.New("skipped: "+why))
	report.Skipped = true
	r.Actions = append(r.Actions, report)
}

func logAction(log *slog.Logger, a partition.Action, out postgres.Outcome, err error) {
	args := []any{"partition", a.Table.String(), "took", out.Took.Round(time.Millisecond), "waited", out.Waited.Round(time.Millisecond)}
	if out.Retries > 0 {
		args = append(args, "retries", out.Retries)
	}
	if out.Rows > 0 {
		args = append(args, "rows", out.Rows)
	}
	if out.Archive != "" {
		args = append(args, "archive", out.Archive, "bytes", out.Bytes)
	}
	for _, b := range out.Blockers {
		args = append(args, "blocker", b.String())
	}
	args = append(args, "reason", a.Reason)
	switch {
	case errors.Is(err, postgres.ErrHeld):
		log.Warn("held", append(args, "action", a.Verb(), "hold", err)...)
		return
	case err != nil:
		log.Error(a.Verb(), append(args, "error", err)...)
		return
	case out.Unrecorded:
		log.Warn(a.Verb(), append(args, "history", "missing")...)
		return
	}
	log.Info(a.Verb(), args...)
}

func logProblems(log *slog.Logger, p partition.Plan) {
	for _, pr := range p.Problems {
		log.Warn("problem", "kind", string(pr.Kind), "partition", pr.Table.String(), "text", pr.Text, "hint", pr.Hint)
	}
	for _, a := range p.Withheld {
		log.Warn("withheld", "action", a.Verb(), "partition", a.Table.String(), "reason", a.Reason)
	}
	for _, h := range p.Held {
		log.Info("held", "action", h.Action.Verb(), "partition", h.Action.Table.String(), "hold", h.Hold.ID, "until", h.Hold.String())
	}
}
