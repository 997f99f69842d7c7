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

// ForValuesSQL returns bounds as ATTACH PARTITION takes them.
func ForValuesSQL(key partition.KeyType, b partition.Bounds) string { return forValues(key, b) }
