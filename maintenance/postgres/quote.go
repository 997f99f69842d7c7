package postgres

import (
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// quoteIdent quotes one identifier, whatever it holds.
func quoteIdent(name string) string { return pgx.Identifier{name}.Sanitize() }

// quoteName quotes a qualified name.
func quoteName(n partition.Name) string { return pgx.Identifier{n.Schema, n.Local}.Sanitize() }

// quoteLiteral quotes a string constant. A backslash makes it an escape string,
// which reads the same whatever standard_conforming_strings says (PostgreSQL
// documentation, 4.1.2 Constants).
func quoteLiteral(s string) string {
	s = strings.ReplaceAll(s, "'", "''")
	if strings.Contains(s, `\`) {
		return "E'" + strings.ReplaceAll(s, `\`, `\\`) + "'"
	}
	return "'" + s + "'"
}

// dollarQuote quotes a text that is SQL itself, with a tag that it does not contain.
func dollarQuote(s string) string {
	tag := "$partitiond$"
	for strings.Contains(s, tag) {
		tag = strings.TrimSuffix(tag, "$") + "_$"
	}
	return tag + s + tag
}

// quoteRole quotes a role of a grant, where the empty role is PUBLIC.
func quoteRole(role string) string {
	if role == "" {
		return "PUBLIC"
	}
	return quoteIdent(role)
}

// edgeText returns an edge as PostgreSQL reads a value of the key's type under
// any DateStyle and TimeZone: ISO 8601, with an offset where it is an instant.
func edgeText(key partition.KeyType, e partition.Edge) string {
	switch {
	case key.Coded():
		return key.Encode(e)
	case e.Inf < 0:
		return "-infinity"
	case e.Inf > 0:
		return "infinity"
	case key == partition.KeyDate:
		return e.Time.UTC().Format("2006-01-02")
	case key == partition.KeyTimestampTZ:
		return e.Time.UTC().Format("2006-01-02 15:04:05.999999") + "+00"
	}
	return e.Time.UTC().Format("2006-01-02 15:04:05.999999")
}

// edgeLiteral returns an edge as a constant of the key's type, the only kind by
// which a CHECK can exclude a partition.
func edgeLiteral(key partition.KeyType, e partition.Edge) string {
	return quoteLiteral(edgeText(key, e)) + "::" + key.SQL()
}

// boundsExpression returns the range on the bare key that a partition's CHECK is.
func boundsExpression(keyColumn string, key partition.KeyType, b partition.Bounds) string {
	var parts []string
	if b.From.Inf == 0 {
		parts = append(parts, quoteIdent(keyColumn)+" >= "+edgeLiteral(key, b.From))
	}
	if b.To.Inf == 0 {
		parts = append(parts, quoteIdent(keyColumn)+" < "+edgeLiteral(key, b.To))
	}
	if len(parts) == 0 {
		return "true"
	}
	return strings.Join(parts, " AND ")
}

// A template is SQL for PostgreSQL's format() (PostgreSQL documentation, 9.4.1
// format): %1$s is the quoted name of a partition, %2$L and %3$L its bounds.
// The routing function expands templates when a row needs a table, and expand
// does when the daemon makes one, so that both make the same.

// escapeTemplate makes a text stand for itself in a template.
func escapeTemplate(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// expand does what format(template, table, from, to) does.
func expand(template string, table partition.Name, key partition.KeyType, b partition.Bounds) string {
	name := quoteName(table)
	return strings.NewReplacer(
		"%%", "%",
		"%1$s", name,
		"%1$L", quoteLiteral(name),
		"%2$L", quoteLiteral(edgeText(key, b.From)),
		"%3$L", quoteLiteral(edgeText(key, b.To)),
	).Replace(template)
}
