package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// script is SQL for somebody to read, and to run as a role that may make roles.
type script struct {
	text strings.Builder
	open bool
}

// begin opens a transaction block, and commit ends it, where that is not so already.
func (s *script) begin() {
	if !s.open {
		s.text.WriteString("BEGIN;\n\n")
	}
	s.open = true
}

func (s *script) commit() {
	if s.open {
		s.text.WriteString("COMMIT;\n\n")
	}
	s.open = false
}

// firstPass adds what a first pass does, and does so at once: what a round of it
// makes may bring another one, as the default partition does its trigger.
func (s *script) firstPass(ctx context.Context, conn *pgx.Conn, m target, set partition.Set) error {
	written := map[string]bool{}
	for fresh := true; fresh; {
		fresh = false
		planned, err := m.Plan(ctx, []partition.Set{set})
		if err != nil {
			return err
		}
		if planned[0].Err != nil {
			return planned[0].Err
		}
		for _, a := range planned[0].Plan.Actions {
			if written[a.Identity()] {
				continue
			}
			written[a.Identity()], fresh = true, true
			if a.Destructive() {
				fmt.Fprintf(&s.text, "-- left to a pass: %s\n\n", a)
				continue
			}
			if err := s.action(ctx, conn, postgres.Render(set, planned[0].Snapshot, a), a.String()); err != nil {
				return fmt.Errorf("%s: %w", a, err)
			}
		}
	}
	return nil
}

// action adds the steps of one, and takes them.
func (s *script) action(ctx context.Context, conn *pgx.Conn, steps []postgres.Step, title string) error {
	for n, step := range steps {
		if step.Alone {
			s.commit()
		} else {
			s.begin()
		}
		if n == 0 {
			fmt.Fprintf(&s.text, "-- %s\n", title)
		}
		statements := stepSQL(step)
		for _, sql := range statements {
			fmt.Fprintf(&s.text, "%s;\n", sql)
		}
		if !step.Alone {
			statements = []string{"BEGIN;\n" + strings.Join(statements, ";\n") + ";\nCOMMIT"}
		}
		for _, sql := range statements {
			if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
				return err
			}
		}
	}
	s.text.WriteString("\n")
	return nil
}

// stepSQL are a step's statements with what makes each run as the right role.
func stepSQL(step postgres.Step) []string {
	local := "LOCAL "
	if step.Alone {
		local = ""
	}
	var out []string
	acting := false
	act := func(as bool) {
		switch {
		case as && !acting:
			out = append(out, "SET "+local+"ROLE "+pgx.Identifier{step.Role}.Sanitize())
		case !as && acting:
			out = append(out, "RESET ROLE")
		}
		acting = as
	}
	for _, st := range step.Statements {
		act(step.Role != "" && !st.AsSession)
		out = append(out, st.SQL)
	}
	act(false)
	return out
}
