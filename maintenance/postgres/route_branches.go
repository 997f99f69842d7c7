package postgres

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// branchView is one branch of the decision.
type branchView struct {
	Condition, Table, Held string
	// Fits is the call that tells whether a row may be written by position.
	Fits string
	// ByName writes a row column by column, which takes less time; nil leaves it at the position.
	ByName *byNameView
	// OnlyByName says that rows cannot be written by position: there are generated columns.
	OnlyByName bool
	// OID is the table's, and Schema and Local its name, as literals.
	OID           uint32
	Schema, Local string
}

// byNameView is a row column by column. Fits tells whether that is all of it.
type byNameView struct{ Columns, Values, Fits string }

// treeView is a node of the binary search over the branches: a Branch, or the
// two halves on each side of Middle.
type treeView struct {
	Branch      *branchView
	Middle      string
	Left, Right *treeView
}

func (v *routeView) branches() {
	r := v.route
	var all, columns, values, written []string
	for _, c := range r.Columns {
		all = append(all, quoteLiteral(c.Name))
		if !c.Generated {
			columns = append(columns, quoteIdent(c.Name))
			values = append(values, "NEW."+quoteIdent(c.Name))
			written = append(written, quoteLiteral(c.Name))
		}
	}
	generated := len(written) < len(all)
	array := func(texts []string) string { return "ARRAY[" + strings.Join(texts, ", ") + "]::pg_catalog.text[]" }
	view := func(b partition.Branch, direct bool) branchView {
		table := quoteName(b.Table)
		if direct && b.OID != 0 {
			// Of a table that is gone its name would be an error, and its OID is not.
			table = strconv.FormatUint(uint64(b.OID), 10)
		}
		fits := func(columns, written string) string {
			return fmt.Sprintf("%s(%s::pg_catalog.regclass, %s::pg_catalog.regclass, %s, %s)", v.Fits,
				quoteLiteral(table), quoteLiteral(quoteName(r.Parent)), columns, written)
		}
		out := branchView{
			Condition: v.condition(b.Bounds), Table: quoteName(b.Table), Fits: fits("NULL", "NULL"), OnlyByName: generated,
			Held: quoteLiteral("partitiond.held_" + shortDigest(r.Parent.Schema, r.Parent.Local, b.Table.Schema, b.Table.Local)),
			OID:  b.OID, Schema: quoteLiteral(b.Table.Schema), Local: quoteLiteral(b.Table.Local),
		}
		if generated || direct {
			out.ByName = &byNameView{Columns: strings.Join(columns, ", "), Values: strings.Join(values, ", "), Fits: fits(array(all), "NULL")}
			if generated {
				out.ByName.Fits = fits(array(all), array(written))
			}
		}
		return out
	}
	for _, b := range r.Direct() {
		v.Direct = append(v.Direct, view(b, true))
		if b.OID != 0 {
			v.Known = append(v.Known, v.Direct[len(v.Direct)-1])
		}
	}
	var grow func(rest []partition.Branch) *treeView
	grow = func(rest []partition.Branch) *treeView {
		switch len(rest) {
		case 0:
			return nil
		case 1:
			leaf := view(rest[0], false)
			return &treeView{Branch: &leaf}
		}
		half := len(rest) / 2
		return &treeView{Middle: edgeLiteral(r.KeyType, rest[half].Bounds.From), Left: grow(rest[:half]), Right: grow(rest[half:])}
	}
	v.Tree = grow(r.Searched())
}

// condition returns the test for the bounds, in which an open end needs none
// but against NULL.
func (v *routeView) condition(b partition.Bounds) string {
	var tests []string
	if b.From.Inf == 0 {
		tests = append(tests, v.Key+" >= "+edgeLiteral(v.route.KeyType, b.From))
	}
	if b.To.Inf == 0 {
		tests = append(tests, v.Key+" < "+edgeLiteral(v.route.KeyType, b.To))
	}
	if len(tests) == 0 {
		return v.Key + " IS NOT NULL"
	}
	return strings.Join(tests, " AND ")
}
