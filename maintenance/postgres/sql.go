package postgres

import "github.com/partitiond/partitiond/maintenance/partition"

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

// BoundsSQL returns bounds as the expression of a CHECK on the bare key.
func BoundsSQL(keyColumn string, key partition.KeyType, b partition.Bounds) string {
	return boundsExpression(keyColumn, key, b)
}

// ForValuesSQL returns bounds as ATTACH PARTITION takes them.
func ForValuesSQL(key partition.KeyType, b partition.Bounds) string {
	edge := func(e partition.Edge) string {
		switch {
		case e.Inf < 0:
			return "MINVALUE"
		case e.Inf > 0:
			return "MAXVALUE"
		}
		return quoteLiteral(edgeText(key, e))
	}
	return "FOR VALUES FROM (" + edge(b.From) + ") TO (" + edge(b.To) + ")"
}
