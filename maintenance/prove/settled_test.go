package prove

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// settled accounts for all rows now and after the next pass, which leaves nothing to
// do. A conversion is found whole or not at all, and comes to its end when it is
// called again, as a drain does.
func (l *lab) settled(t *testing.T, w *world, model ledger, label string) {
	t.Helper()
	l.account(t, w, model, label)
	switch l.work {
	case forward, back, finish:
		l.isWhole(t, w, label)
		if l.serial.Load()%2 == 0 { // The daemon may come first, or a person.
			l.pass(t, w, model, label+", a pass")
			l.isWhole(t, w, label+", a pass")
		}
		if _, err := l.work.convert(t.Context(), w.m, w.set); err != nil {
			t.Fatalf("%s: %s again: %v", label, l.work, err)
		}
		label += ", " + string(l.work) + " again"
		l.account(t, w, model, label)
		l.isWhole(t, w, label)
		if got := w.kind(); (got == "p") == (l.work == back) {
			t.Fatalf("%s: the parent is of kind %q", label, got)
		}
	case drain:
		model = l.redrain(t, w, model, label)
	}
	l.pass(t, w, model, label)
	if left := w.litter(); len(left) > 0 {
		t.Fatalf("%s: after the next pass there are %s", label, strings.Join(left, ", "))
	}
}

// pass makes one and looks at what is there after it. Where rows have come late for a
// partition that the pass has removed, it has made that once more, and leaves it to the
// next one: a pass does nothing twice.
func (l *lab) pass(t *testing.T, w *world, model ledger, label string) {
	t.Helper()
	report, err := w.m.Pass(t.Context(), nil, []partition.Set{w.set})
	if err == nil && remade(report) {
		l.account(t, w, model, label+": between two passes")
		report, err = w.m.Pass(t.Context(), nil, []partition.Set{w.set})
	}
	if err != nil || report.Status() != maintenance.Done && report.Status() != maintenance.Idle {
		t.Fatalf("%s: the next pass is %s, %v: %+v", label, report.Status(), err, report)
	}
	l.account(t, w, model, label+": after the next pass")
	if p := w.plan(); !p.Empty() {
		t.Fatalf("%s: after the next pass is left:\n%s", label, words(p))
	}
}

// remade tells whether all that a pass has left is about a table that it first removed and
// then made again.
func remade(r maintenance.Report) bool {
	set := r.Sets[0]
	did := func(what func(maintenance.ActionReport) bool) bool { return slices.ContainsFunc(set.Actions, what) }
	if r.Status() != maintenance.Partly || len(set.Problems) > 0 || did(func(a maintenance.ActionReport) bool { return a.Error != "" || a.Skipped }) {
		return false
	}
	return did(func(made maintenance.ActionReport) bool {
		return made.Action == "create" && did(func(a maintenance.ActionReport) bool { return a.Action == "archive" && a.Table == made.Table })
	})
}

// account finds each row where it belongs, and each removal in the history.
func (l *lab) account(t *testing.T, w *world, model ledger, label string) {
	t.Helper()
	found := w.look()
	err := model.check(found, l.mayLack(w))
	if err == nil {
		err = l.recorded(w, found)
	}
	if err != nil {
		t.Fatalf("%s: %v", label, err)
	}
}

// recorded holds the history against what is there: it has each partition that is gone,
// and no other; and of the rows that it says were archived and not restored, each is
// in the archive.
func (l *lab) recorded(w *world, found seen) error {
	var removed []string
	archived := "0"
	if len(w.strings("SELECT 'yes' FROM pg_class WHERE oid = to_regclass('partitiond.history')")) > 0 {
		removed = w.strings("SELECT partition_oid::text FROM partitiond.history WHERE event IN ('drop', 'detach', 'archive', 'drain') AND partition_oid::text = ANY ($1) ORDER BY partition_oid", l.partitions)
		archived = w.strings("SELECT coalesce(sum(CASE event WHEN 'archive' THEN rows WHEN 'restore' THEN -rows END), 0)::text FROM partitiond.history")[0]
	}
	// What was detached is in a schema for that.
	gone := w.strings("SELECT o FROM unnest($1::text[]) AS o WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid::text = o AND relnamespace <> coalesce(to_regnamespace('old'), 0)) ORDER BY o::oid", l.partitions)
	if !slices.Equal(removed, gone) {
		return fmt.Errorf("the tables %v are gone, and the history has %v", gone, removed)
	}
	if l.work == restoring {
		// The table, the note of where it is from and its hold are one transaction.
		query := "SELECT 'yes' WHERE (SELECT count(*) FROM partitiond.hold) <> (SELECT count(DISTINCT partition_oid) FROM partitiond.restored JOIN pg_class c ON c.oid = partition_oid)"
		if len(w.strings("SELECT 'yes' FROM pg_class WHERE oid = to_regclass('partitiond.restored')")) > 0 && len(w.strings(query)) > 0 {
			return fmt.Errorf("there are holds without restored tables, or the other way round")
		}
	}
	there := 0
	for _, all := range found {
		for _, s := range all {
			if s.archived {
				there++
			}
		}
	}
	if got := fmt.Sprint(there); got != archived {
		return fmt.Errorf("%s rows are in the archive, and by the history %s", got, archived)
	}
	return nil
}

// kind is what kind of table the parent is: r is by inheritance, p is declarative.
func (w *world) kind() string {
	return strings.Join(w.strings("SELECT relkind::text FROM pg_class WHERE oid = $1::text::regclass", quoted(w.set.Parent)), "")
}

// isWhole sees that a conversion has happened as a whole or not at all.
func (l *lab) isWhole(t *testing.T, w *world, label string) {
	t.Helper()
	kind := w.kind()
	if kind == "" {
		t.Fatalf("%s: the set has no parent", label)
	}
	if left := w.strings("SELECT relname::text FROM pg_class WHERE relname LIKE '%\\_partitioned'"); len(left) > 0 {
		t.Fatalf("%s: there is %v", label, left)
	}
	kept := len(w.strings("SELECT 'yes' FROM pg_class WHERE oid = to_regclass($1)", quoted(partition.Name{Schema: w.set.Parent.Schema, Local: w.set.Parent.Local + "_inherited"}))) > 0
	if kept != (kind == "p") && l.work != finish {
		t.Fatalf("%s: the parent is of kind %q, and that there is an old one besides is %t", label, kind, kept)
	}
}

// litter lists what is made for a while only. What is left of a temporary table when the
// server dies PostgreSQL itself removes, sooner or later.
func (w *world) litter() []string {
	return w.strings(`SELECT relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE n.nspname NOT IN ('partitiond', 'pg_toast') AND relpersistence <> 't' AND relname LIKE 'partitiond\_%'
		UNION ALL SELECT proname::text FROM pg_proc WHERE proname LIKE 'partitiond\_%'
		UNION ALL SELECT conname::text FROM pg_constraint WHERE conname LIKE 'partitiond\_retire%'
		UNION ALL SELECT tgname::text FROM pg_trigger WHERE tgname LIKE 'partitiond\_%'`)
}
