package prove

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ledger is what clients were told is committed: the rows by what tells them apart.
type ledger map[string]row

// row is a row's columns as to_jsonb() shows them, without the one that it is known by.
type row map[string]any

// sighting is a row that was found.
type sighting struct {
	id string
	// where is a table, or an export's manifest.
	where string
	// archived tells that it is in the archive, whose columns are those of its day;
	// detached that the table is no part of the set any more, likewise.
	archived, detached bool
	row                row
}

// seen are all rows that were found, by what tells them apart.
type seen map[string][]sighting

// check tells how what was found differs from the ledger: rows that are lost, found
// more than once, changed, or that nobody has committed. mayLack spares a row that
// is meant to be gone.
func (l ledger) check(found seen, mayLack func(id string, r row) bool) error {
	var wrong []string
	tell := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%.500s", fmt.Sprintf(format, args...))) // Rows can be long.
	}
	for _, id := range slices.Sorted(maps.Keys(l)) {
		want, got := l[id], found[id]
		switch {
		case len(got) == 0 && (mayLack == nil || !mayLack(id, want)):
			tell("row %s is lost: %v", id, want)
		case len(got) > 1:
			tell("row %s is there %d times: %s", id, len(got), places(got))
		case len(got) == 1:
			if diff := got[0].differs(want); diff != "" {
				tell("row %s in %s: %s", id, got[0].where, diff)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		if _, ok := l[id]; !ok {
			tell("row %s was never committed, or was deleted: %s", id, places(found[id]))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	const most = 10
	if len(wrong) > most {
		wrong = append(wrong[:most], fmt.Sprintf("and %d more", len(wrong)-most))
	}
	return fmt.Errorf("of %d rows:\n%s", len(l), strings.Join(wrong, "\n"))
}

func places(found []sighting) string {
	var out []string
	for _, s := range found {
		out = append(out, s.where)
	}
	return strings.Join(out, ", ")
}

// differs compares a row with what it should be. What has left the set does not
// follow the parent's columns any more.
func (s sighting) differs(want row) string {
	for _, column := range slices.Sorted(maps.Keys(want)) {
		got, ok := s.row[column]
		if !ok && (s.archived || s.detached) {
			continue
		}
		if !ok {
			return fmt.Sprintf("it has no column %q, want %v", column, want[column])
		}
		if got != want[column] {
			return fmt.Sprintf("%s is %v, want %v", column, got, want[column])
		}
	}
	if s.archived || s.detached || len(want) == 0 {
		return "" // Of a row without columns nothing is known but that it is there.
	}
	for column := range s.row {
		if _, ok := want[column]; !ok {
			return fmt.Sprintf("it has a column %q", column)
		}
	}
	return ""
}
