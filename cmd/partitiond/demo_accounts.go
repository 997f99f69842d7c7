package main

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// demoArchive is an archived partition and what stands for it in the archive.
type demoArchive struct {
	table string
	parts []archive.Manifest
}

// archived finds the archives of the partitions that the plan was to retire.
func (d *demo) archived(ctx context.Context, plan maintenance.Planned) ([]demoArchive, error) {
	var out []demoArchive
	for _, a := range plan.Plan.Actions {
		if a.Kind != partition.Retire {
			continue
		}
		parts, err := archive.Find(ctx, d.store, archive.Place{Parent: d.set.Parent, Bounds: a.Bounds})
		if err != nil {
			return nil, fmt.Errorf("look into the archive: %w", err)
		}
		for _, m := range parts {
			if err := archive.Verify(ctx, d.store, m, nil); err != nil {
				return nil, fmt.Errorf("verify the archive: %w", err)
			}
		}
		out = append(out, demoArchive{table: a.Table.Local, parts: parts})
	}
	return out, nil
}

func (d *demo) showArchived(archived []demoArchive) {
	d.show.line("")
	d.show.line("  In %s:", d.set.Retention.Archive)
	rows := [][]string{{"file", "rows", "size", "sha256"}}
	for _, a := range archived {
		for _, m := range a.parts {
			for _, p := range m.Parts {
				file := strings.TrimPrefix(path.Join(path.Dir(m.Key), p.File), d.set.Parent.String()+"/")
				rows = append(rows, []string{file, counted(p.Digest.Rows), sized(p.Bytes), p.SHA256[:16] + "..."})
			}
		}
	}
	d.show.table("lrrl", rows)
}

// restore loads all archives into one new table.
func (d *demo) restore(ctx context.Context, archived []demoArchive) error {
	return pgx.BeginFunc(ctx, d.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "CREATE TABLE public.restored (LIKE public.chat_master)"); err != nil {
			return err
		}
		target := partition.Name{Schema: "public", Local: "restored"}
		var all []archive.Manifest
		for _, a := range archived {
			for _, m := range a.parts {
				if err := archive.Restore(ctx, tx, d.store, m, target, nil); err != nil {
					return err
				}
				all = append(all, m)
			}
		}
		return archive.EqualRows(ctx, tx, all, target)
	})
}

// settle checks everything that the demo claims, and returns how much of it is
// not so.
func (d *demo) settle(ctx context.Context, b, a *demoState, report maintenance.Report, archived []demoArchive) (failed int, err error) {
	if err := d.restore(ctx, archived); err != nil {
		return 0, fmt.Errorf("load the archive: %w", err)
	}
	both, err := d.sum(ctx, "public.chat_master", "public.restored")
	if err != nil {
		return 0, fmt.Errorf("count the rows: %w", err)
	}
	if err := d.exec(ctx, "DROP TABLE public.restored"); err != nil {
		return 0, fmt.Errorf("drop the loaded archive: %w", err)
	}
	var away int64
	months := true
	for _, x := range archived {
		var rows int64
		for _, m := range x.parts {
			rows += m.Content.Rows
		}
		away += rows
		i := slices.IndexFunc(b.tables, func(t demoTable) bool { return t.name == x.table })
		gone := !slices.ContainsFunc(a.tables, func(t demoTable) bool { return t.name == x.table })
		months = months && i >= 0 && b.tables[i].rows == rows && gone
	}
	check := func(holds bool, format string, args ...any) {
		word := d.show.paint("32", "ok    ")
		if !holds {
			word = d.show.paint("31", "FAILED")
			failed++
		}
		d.show.line("  %s  %s", word, fmt.Sprintf(format, args...))
	}
	check(report.Status() == maintenance.Done, "the pass: %s", report.Status())
	check(b.total.rows == a.total.rows+away, "%s rows before = %s in the database + %s in the archive",
		counted(b.total.rows), counted(a.total.rows), counted(away))
	check(len(archived) > 0 && months, "each of the %d archived months has in the archive the rows that it had in its table", len(archived))
	check(both == b.total, "with the archive loaded again, all rows are the same (hash sum %s)", both.hash)
	check(a.stray == 0, "the %d rows that sat in the parent are in their partition", b.stray)
	check(b.query.answer == a.query.answer, "the query has the same answer: %s messages", counted(a.query.answer))
	check(len(a.query.scans) == 2, "it scans one month's partition and the parent, which is empty")
	check(a.ahead >= d.set.Ahead, "%d partitions are ahead", a.ahead)
	check(!slices.ContainsFunc(a.tables, func(t demoTable) bool { return !t.readable }), "readonly reads every partition")
	check(a.refused == [2]string{}, "app inserts with nothing but INSERT on the parent")
	second, err := d.pass(ctx)
	if err != nil {
		return failed, err
	}
	check(second.Status() == maintenance.Idle, "a second pass: %s", second.Status())
	return failed, nil
}
