package postgres

import (
	"fmt"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// QuoteIdent quotes one identifier, whatever it holds.
func QuoteIdent(name string) string { return quoteIdent(name) }

// QuoteName quotes a qualified name.
func QuoteName(n partition.Name) string { return quoteName(n) }

// QuoteLiteral quotes a string constant.
func QuoteLiteral(s string) string { return quoteLiteral(s) }

// PropertySQL returns the statements that give a table a property, or take it away.
func PropertySQL(table partition.Name, c partition.Change) []string {
	var out []string
	for _, t := range propertyTemplates(c) {
		out = append(out, expand(t, table, "", partition.Bounds{}))
	}
	return out
}

// ForValuesSQL returns bounds as ATTACH PARTITION takes them.
func ForValuesSQL(key partition.KeyType, b partition.Bounds) string { return forValues(key, b) }

// KeyMomentSQL returns an expression for the seconds since 1970 that a key stands for, in
// the set's terms; NULL for what is no date. The key is an expression.
func KeyMomentSQL(key string, kind partition.KeyType) string {
	finite, moment := keyMoment(key, kind)
	return fmt.Sprintf("CASE WHEN %s THEN pg_catalog.date_part('epoch', %s) END", finite, moment)
}

// KeyLiteral returns an edge as a constant that the key can be compared with.
func KeyLiteral(kind partition.KeyType, e partition.Edge) string { return edgeLiteral(kind, e) }

// BuildAside returns what makes a table like the parent of a declarative set, with a
// CHECK by which ATTACH PARTITION knows that it need not read the table. The action has
// its name, its bounds and the template (see [partition.Template]).
func BuildAside(set partition.Set, a partition.Action) (out []Statement) {
	for _, st := range buildAside(set, a, boundsCheck(set, a))[1:] {
		if !st.Optional {
			out = append(out, st)
		}
	}
	return out
}
