package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// creationTemplates returns the statements that make one complete partition:
// the table with its CHECK, inherited from the start, and all that INHERITS
// does not bring. They run in one transaction, so that no session ever sees the
// table without one of them.
func creationTemplates(r partition.Route) []string {
	key := escapeTemplate(quoteIdent(r.Key))
	with := ""
	for _, p := range r.Properties {
		if p.Kind == partition.PropOption {
			if with != "" {
				with += ", "
			}
			with += fmt.Sprintf("%s = %s", p.Name, quoteLiteral(p.Value))
		}
	}
	if with != "" {
		with = " WITH (" + escapeTemplate(with) + ")"
	}
	out := []string{fmt.Sprintf(
		"CREATE TABLE %%1$s (CONSTRAINT %s CHECK (%s >= %%2$L::%s AND %s < %%3$L::%s)) INHERITS (%s)%s",
		partition.BoundsConstraint, key, r.KeyType, key, r.KeyType, escapeTemplate(quoteName(r.Parent)), with)}
	for _, role := range r.Revoke {
		out = append(out, "REVOKE ALL ON TABLE %1$s FROM "+escapeTemplate(quoteRole(role)))
	}
	for _, p := range r.Properties {
		if p.Kind != partition.PropOption && !slices.Contains(optionalKinds, p.Kind) {
			out = append(out, propertyTemplates(partition.Change{Want: p, Missing: true})...)
		}
	}
	return out
}

// optionalTemplates returns the statements of a new partition whose failure must
// not keep it from being made: joining a publication needs the publication's
// owner, and a policy may speak of the parent by name. A partition without its
// policy is not open: row security without a policy refuses.
func optionalTemplates(r partition.Route, kind partition.PropertyKind) []string {
	var out []string
	for _, p := range r.Properties {
		if p.Kind == kind {
			out = append(out, propertyTemplates(partition.Change{Want: p, Missing: true})...)
		}
	}
	return out
}

// optionalKinds are the kinds that optionalTemplates is for.
var optionalKinds = []partition.PropertyKind{partition.PropPolicy, partition.PropPublication}

// propertyTemplates returns the statements that repair one difference. This is
// the other half of the table of drift in the partition package.
func propertyTemplates(c partition.Change) []string {
	p := c.Want
	alter := func(format string, args ...any) []string {
		return []string{"ALTER TABLE %1$s " + escapeTemplate(fmt.Sprintf(format, args...))}
	}
	switch p.Kind {
	case partition.PropOwner:
		return alter("OWNER TO %s", quoteIdent(p.Value))
	case partition.PropGrant, partition.PropColumnGrant:
		return []string{grantTemplate(c)}
	case partition.PropOption:
		return alter("SET (%s = %s)", p.Name, quoteLiteral(p.Value))
	case partition.PropTablespace:
		return alter("SET TABLESPACE %s", quoteIdent(p.Value))
	case partition.PropDefault:
		return alter("ALTER COLUMN %s SET DEFAULT %s", quoteIdent(p.Name), p.Value)
	case partition.PropColumnStorage:
		return alter("ALTER COLUMN %s SET STORAGE %s", quoteIdent(p.Name), p.Value)
	case partition.PropIndex:
		return []string{indexTemplate(p)}
	case partition.PropReplicaIdentity:
		return replicaIdentityTemplates(p.Value)
	case partition.PropRowSecurity:
		switch p.Value {
		case "forced":
			return append(alter("ENABLE ROW LEVEL SECURITY"), alter("FORCE ROW LEVEL SECURITY")...)
		case "on":
			return append(alter("ENABLE ROW LEVEL SECURITY"), alter("NO FORCE ROW LEVEL SECURITY")...)
		}
		return alter("DISABLE ROW LEVEL SECURITY")
	case partition.PropPolicy:
		create := "CREATE POLICY " + escapeTemplate(quoteIdent(p.Name)) + " ON %1$s " + escapeTemplate(p.Value)
		if c.Missing {
			return []string{create}
		}
		return []string{"DROP POLICY " + escapeTemplate(quoteIdent(p.Name)) + " ON %1$s", create}
	case partition.PropComment:
		return []string{"COMMENT ON TABLE %1$s IS " + escapeTemplate(quoteLiteral(p.Value))}
	case partition.PropColumnComment:
		return []string{"COMMENT ON COLUMN %1$s." + escapeTemplate(quoteIdent(p.Name)+" IS "+quoteLiteral(p.Value))}
	case partition.PropPublication:
		publication := "ALTER PUBLICATION " + escapeTemplate(quoteIdent(p.Name))
		add := publication + " ADD TABLE ONLY %1$s " + escapeTemplate(p.Value)
		if c.Missing {
			return []string{strings.TrimSpace(add)}
		}
		return []string{publication + " DROP TABLE ONLY %1$s", strings.TrimSpace(add)}
	}
	panic("no renderer for property " + string(p.Kind)) // A test walks all kinds.
}

func grantTemplate(c partition.Change) string {
	column, grantee, privilege := partition.SplitGrant(c.Want)
	role := quoteRole(grantee)
	if c.Want.Kind == partition.PropColumnGrant {
		privilege += " (" + quoteIdent(column) + ")"
	}
	// Without CASCADE it would fail where the holder has granted it to others. What
	// the parent grants them, too, is granted once more after it.
	if c.Remove {
		return fmt.Sprintf("REVOKE %s ON TABLE %%1$s FROM %s CASCADE", escapeTemplate(privilege), escapeTemplate(role))
	}
	if c.Want.Value == "" && c.Have != "" {
		return fmt.Sprintf("REVOKE GRANT OPTION FOR %s ON TABLE %%1$s FROM %s CASCADE", escapeTemplate(privilege), escapeTemplate(role))
	}
	option := ""
	if c.Want.Value != "" {
		option = " WITH GRANT OPTION"
	}
	return fmt.Sprintf("GRANT %s ON TABLE %%1$s TO %s%s", escapeTemplate(privilege), escapeTemplate(role), option)
}

// indexTemplate builds an index, or the constraint that owns one, on a table
// that nobody else sees yet.
func indexTemplate(p partition.Property) string {
	if p.Value == "exclude" {
		return "ALTER TABLE %1$s ADD " + escapeTemplate(p.Name)
	}
	if p.Value != "" {
		return "ALTER TABLE %1$s ADD " + escapeTemplate(constraintClause(p))
	}
	unique, definition := splitIndex(p.Name)
	return "CREATE " + unique + "INDEX ON %1$s " + escapeTemplate(definition)
}

// splitIndex parts an index property's name into UNIQUE and the rest.
func splitIndex(name string) (unique, definition string) {
	if rest, ok := strings.CutPrefix(name, "UNIQUE "); ok {
		return "UNIQUE ", rest
	}
	return "", name
}

// constraintClause turns an index's definition into the table constraint that
// makes it: such indexes are always btree over bare columns.
func constraintClause(p partition.Property) string {
	_, definition := splitIndex(p.Name)
	definition = strings.TrimPrefix(definition, "USING btree ")
	word, deferrable := constraintWords(p.Value)
	const distinct = " NULLS NOT DISTINCT"
	if strings.Contains(definition, distinct) {
		definition = strings.Replace(definition, distinct, "", 1)
		word += distinct
	}
	return strings.TrimSpace(word + " " + definition + " " + deferrable)
}

// constraintWords parts "primary key deferrable initially deferred".
func constraintWords(value string) (word, deferrable string) {
	for prefix, word := range map[string]string{"primary key": "PRIMARY KEY", "unique constraint": "UNIQUE"} {
		if rest, ok := strings.CutPrefix(value, prefix); ok {
			return word, strings.ToUpper(strings.TrimSpace(rest))
		}
	}
	return strings.ToUpper(value), ""
}

// replicaIdentityTemplates sets what logical replication sends as the old row.
// The partition's own index has a name that only the server knows.
func replicaIdentityTemplates(value string) []string {
	definition, ok := strings.CutPrefix(value, "index ")
	if !ok {
		return []string{"ALTER TABLE %1$s REPLICA IDENTITY " + strings.ToUpper(value)}
	}
	_, definition = splitIndex(definition)
	// The inner format() gets its own conversions, so they are escaped in this template.
	body := "BEGIN EXECUTE (SELECT format('ALTER TABLE %%s REPLICA IDENTITY USING INDEX %%I', %1$L, c.relname)" +
		" FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid" +
		" WHERE i.indrelid = %1$L::pg_catalog.regclass AND i.indisunique AND i.indimmediate AND i.indisvalid" +
		" AND right(pg_catalog.pg_get_indexdef(i.indexrelid), " + fmt.Sprint(len([]rune(definition))) + ") = " +
		escapeTemplate(quoteLiteral(definition)) + " LIMIT 1); END"
	return []string{"DO " + dollarQuote(body)}
}
