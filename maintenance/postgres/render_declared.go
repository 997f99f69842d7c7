package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// likeDeclared is what a table that becomes a partition takes over from its parent.
// An identity is the parent's alone: from PostgreSQL 17 on a table that has one of
// its own cannot be attached.
const likeDeclared = "INCLUDING ALL EXCLUDING IDENTITY EXCLUDING COMMENTS EXCLUDING STATISTICS"

// How large a default partition's heap may be for a partition to be attached beside it
// at once: ATTACH reads all of it under ACCESS EXCLUSIVE. The first takes less time than
// what ATTACH writes to the catalogs. The other, some hundredths of a second, is for
// where it cannot be exchanged for another one.
const fewBytes, maxDefaultBytes = 64 << 10, 8 << 20

// creation is the making of a declarative partition, in the order of its parts: it is
// built aside, rows that wait for it leave the default partition, and it is attached.
// All of it is one transaction.
type creation struct{ build, lock, move, attach []Statement }

// all returns the statements of all parts.
func (c creation) all() []Statement { return slices.Concat(c.build, c.lock, c.move, c.attach) }

func renderDeclared(set partition.Set, snap partition.Snapshot, a partition.Action) (c creation) {
	c.build = buildAside(set, a, boundsCheck(set, a))
	return c.attached(set, snap, a, partition.BoundsConstraint)
}

// boundsCheck is what a table aside has so that ATTACH need not read it.
func boundsCheck(set partition.Set, a partition.Action) string {
	return fmt.Sprintf(", CONSTRAINT %s CHECK (%s)", partition.BoundsConstraint, declaredExpression(set.Key, a.Route.KeyType, a.Bounds))
}

// ours is said of a table that the transaction has made.
const ours = "the new table is nobody else's yet"

// renderCreateDefault makes a default partition. It is empty, and partitions that
// are there are not looked at.
func renderCreateDefault(set partition.Set, snap partition.Snapshot, a partition.Action) []Statement {
	out := buildAside(set, a, "")
	for _, sql := range dropRebuilt(snap, a.Table) {
		out = append(out, Statement{SQL: sql, Lock: ours})
	}
	return append(out, Statement{
		SQL:  fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s DEFAULT", quoteName(set.Parent), quoteName(a.Table)),
		Lock: shareUpdate + set.Parent.String() + "; " + ours})
}

// rebuilt are the parent's constraints that ATTACH PARTITION does not find on a table,
// whatever it has, and so builds: exclusion constraints, which partitioned tables can
// have since PostgreSQL 17, and keys WITHOUT OVERLAPS, new in 18.
func rebuilt(snap partition.Snapshot) (definitions []string) {
	for _, p := range snap.Parent.Properties {
		if p.Kind == partition.PropIndex && p.Value == constraintKinds["x"] {
			definitions = append(definitions, p.Name)
		}
	}
	return definitions
}

// dropRebuilt takes from a table that is about to be attached what it would have twice
// then, or, since a table has one primary key, not be attached for.
func dropRebuilt(snap partition.Snapshot, table partition.Name) []string {
	definitions := rebuilt(snap)
	if len(definitions) == 0 {
		return nil
	}
	for i, d := range definitions {
		definitions[i] = quoteLiteral(d)
	}
	return []string{"DO " + dollarQuote(fmt.Sprintf(`
DECLARE
  was pg_catalog.name;
BEGIN
  FOR was IN SELECT conname FROM pg_catalog.pg_constraint WHERE conrelid = %[1]s::pg_catalog.regclass AND pg_catalog.pg_get_constraintdef(oid) IN (%[2]s) LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %%s DROP CONSTRAINT %%I', %[1]s, was);
  END LOOP;
END `, quoteLiteral(quoteName(table)), strings.Join(definitions, ", ")))}
}

// buildAside makes a table like the parent, with what else a partition has to have.
func buildAside(set partition.Set, a partition.Action, constraint string) (out []Statement) {
	r := a.Route
	table, parent := quoteName(a.Table), quoteName(set.Parent)
	onParent := shareUpdate + set.Parent.String()
	// The parent comes first, as ever, and its lock is the one that ATTACH takes.
	out = append(out,
		Statement{SQL: fmt.Sprintf("LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE", parent), Lock: onParent},
		Statement{SQL: fmt.Sprintf("CREATE TABLE %s (LIKE %s %s%s)", table, parent, likeDeclared, constraint), Lock: onParent + "; " + ours})
	for _, role := range r.Revoke {
		out = append(out, Statement{SQL: fmt.Sprintf("REVOKE ALL ON TABLE %s FROM %s", table, quoteRole(role)), Lock: ours})
	}
	for _, p := range r.Properties {
		optional := slices.Contains(optionalKinds, p.Kind)
		for _, t := range propertyTemplates(partition.Change{Want: p, Missing: true}) {
			out = append(out, Statement{SQL: expand(t, a.Table, r.KeyType, a.Bounds), Lock: ours, Optional: optional})
		}
	}
	return out
}

// renderAttach gives back what a pass has taken out: its CHECK spares it a scan.
func renderAttach(set partition.Set, snap partition.Snapshot, a partition.Action) (c creation) {
	c.build = []Statement{
		{SQL: fmt.Sprintf("LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE", quoteName(set.Parent)), Lock: shareUpdate + set.Parent.String()},
		{SQL: fmt.Sprintf("LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", quoteName(a.Table)), Lock: exclusive + a.Table.String()}}
	return c.attached(set, snap, a, partition.RetireMark(set.Parent))
}

// attached adds the parts of the creation that make a table a partition, whose CHECK
// of that name says what its bound will.
func (c creation) attached(set partition.Set, snap partition.Snapshot, a partition.Action, check string) creation {
	r := a.Route
	table, parent := quoteName(a.Table), quoteName(set.Parent)
	ours := ours
	if a.Kind == partition.Attach {
		ours = exclusive + a.Table.String()
	}
	onParent := shareUpdate + set.Parent.String()
	attach := Statement{SQL: fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s %s", parent, table, forValues(r.KeyType, a.Bounds)), Lock: onParent + "; " + ours}
	if d := snap.Default; d != nil {
		onDefault := exclusive + d.Name.String()
		if shutsParent(set, snap, a) {
			onParent = exclusive + set.Parent.String()
			c.lock = []Statement{{SQL: fmt.Sprintf("LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", parent), Lock: onParent}}
		}
		c.lock = append(c.lock, Statement{SQL: fmt.Sprintf("LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", quoteName(d.Name)), Lock: onDefault})
		c.move = []Statement{{SQL: moveSQL(snap, d.Name, a.Table, boundsExpression(set.Key, r.KeyType, a.Bounds), 0), Lock: onDefault + "; " + ours}}
		attach.Lock = onParent + "; " + onDefault + "; " + ours
	}
	for _, sql := range dropRebuilt(snap, a.Table) {
		c.attach = append(c.attach, Statement{SQL: sql, Lock: ours})
	}
	c.attach = append(c.attach, attach, Statement{SQL: fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", table, quoteIdent(check)), Lock: ours})
	if snap.Parent.Distributed && a.Kind == partition.Create {
		// Citus has copied its rows to the shards, and leaves them here as well, unseen.
		c.attach = append(c.attach, Statement{SQL: fmt.Sprintf("SELECT pg_catalog.truncate_local_data_after_distributing_table(%s)", quoteLiteral(table)), Lock: ours})
	}
	return c
}

// shutsParent tells whether a partition comes beside a default one under a lock that
// nobody gets past. A session that has looked which partitions there are, and then
// waits for the default one, does not look again: when it gets there it would not see
// the rows that have moved on, and a row that it brings would be refused. Where none
// wait, and the period is still to come, nobody is known to do so, and readers and
// writers are let in; who does wait in the end, [nobodyWaits] tells.
func shutsParent(set partition.Set, snap partition.Snapshot, a partition.Action) bool {
	return a.Rows > 0 || a.Bounds.From.Compare(partition.At(set.Wall(snap.Server.Now, snap.Parent.Key))) <= 0
}

// declaredExpression is the condition by which ATTACH finds that a table needs no
// scan: NULL is in no range (PostgreSQL documentation, CREATE TABLE, PARTITION BY).
func declaredExpression(key string, kind partition.KeyType, b partition.Bounds) string {
	parts := []string{quoteIdent(key) + " IS NOT NULL"}
	if b.From.Inf == 0 || b.To.Inf == 0 {
		parts = append(parts, boundsExpression(key, kind, b))
	}
	return strings.Join(parts, " AND ")
}

// forValues is a partition's bound.
func forValues(kind partition.KeyType, b partition.Bounds) string {
	edge := func(e partition.Edge) string {
		switch {
		case e.Inf < 0:
			return "MINVALUE"
		case e.Inf > 0:
			return "MAXVALUE"
		}
		return quoteLiteral(edgeText(kind, e))
	}
	return fmt.Sprintf("FOR VALUES FROM (%s) TO (%s)", edge(b.From), edge(b.To))
}

// renderAttachIndex makes the partitions' indexes parts of their parent's. Which
// they are only the server knows.
func renderAttachIndex(a partition.Action, owner string) []Step {
	var steps []Step
	for _, name := range a.Invalid {
		index := partition.Name{Schema: a.Table.Schema, Local: name}
		steps = append(steps, Step{Role: owner, Statements: []Statement{{
			SQL:  attachIndexSQL(a.Table, index, a.Changes[0].Want),
			Lock: accessShare + a.Table.String() + "; " + accessShare + "each partition"}}})
	}
	return steps
}

// attachIndexSQL attaches to a parent's index one index of each partition that has
// none attached to it yet: one with the same definition that is part of no other. If
// the parent's is a constraint's, so is the partition's; if not, such a one comes last.
func attachIndexSQL(parent, index partition.Name, want partition.Property) string {
	_, definition := splitIndex(want.Name)
	word, _ := constraintWords(want.Value)
	kinds := map[string]string{"PRIMARY KEY": "p", "UNIQUE": "u"}
	return "DO " + dollarQuote(fmt.Sprintf(`
DECLARE
  part pg_catalog.text;
BEGIN
  FOR part IN
    SELECT DISTINCT ON (i.indrelid) pg_catalog.format('%%I.%%I', n.nspname, c.relname)
      FROM pg_catalog.pg_inherits h
      JOIN pg_catalog.pg_index i ON i.indrelid = h.inhrelid AND i.indisvalid
      JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid AND NOT c.relispartition
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u')
     WHERE h.inhparent = %[1]s::pg_catalog.regclass AND NOT h.inhdetachpending
       AND pg_catalog.right(pg_catalog.pg_get_indexdef(i.indexrelid), %[4]d) = %[3]s
       AND (%[5]s = '' OR k.contype = %[5]s) AND i.indisunique = %[6]t
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_index o JOIN pg_catalog.pg_inherits x ON x.inhrelid = o.indexrelid
                        WHERE o.indrelid = i.indrelid AND x.inhparent = %[2]s::pg_catalog.regclass)
     ORDER BY i.indrelid, k.contype IS NOT NULL, i.indexrelid
  LOOP
    EXECUTE pg_catalog.format('ALTER INDEX %%s ATTACH PARTITION %%s', %[2]s, part);
  END LOOP;
END `, quoteLiteral(quoteName(parent)), quoteLiteral(quoteName(index)), quoteLiteral(definition), len([]rune(definition)),
		quoteLiteral(kinds[word]), strings.HasPrefix(want.Name, "UNIQUE ")))
}
