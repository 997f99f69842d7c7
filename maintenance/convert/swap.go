package convert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// attached is a table that becomes a partition.
type attached struct {
	name   partition.Name
	oid    uint32
	bounds partition.Bounds
}

// swapper writes the statements that put a declarative parent in a table's place.
type swapper struct {
	plan *Plan
	facts
	// parent is the name that is kept; interim the new table's until then; kept what
	// the old table is called then, with aside behind the names of its indexes.
	parent, interim, kept partition.Name
	aside                 string
	children              []attached
	// whole says that the old table itself becomes the partition.
	whole bool
}

func (w *swapper) add(to *[]postgres.Statement, lock, format string, args ...any) {
	*to = append(*to, postgres.Statement{SQL: fmt.Sprintf(format, args...), Lock: lock})
}

const (
	noLock    = "none that anybody could wait for"
	underLock = "held already"
	exclusive = "ACCESS EXCLUSIVE on "
)

// forward writes the swap from a table to a declarative parent; rest becomes the
// default partition.
func (w *swapper) forward(rest partition.Name) {
	s := &w.plan.Swap
	w.build(&s.Build)
	w.lock(&s.Lock)
	w.guard(&s.Change)
	old, now := postgres.QuoteName(w.kept), postgres.QuoteName(w.parent)
	if !w.whole {
		for _, c := range w.children {
			w.add(&s.Change, underLock, "ALTER TABLE %s NO INHERIT %s", postgres.QuoteName(c.name), now)
		}
		w.disableRouting(&s.Change, w.parent, w.triggers)
	}
	for _, i := range w.indexes {
		w.renameIndex(&s.Change, w.parent, i, i.Name, suffixed(partition.Name{Local: i.Name}, w.aside).Local)
	}
	w.add(&s.Change, underLock, "ALTER TABLE %s RENAME TO %s", now, postgres.QuoteIdent(w.kept.Local))
	w.add(&s.Change, underLock, "ALTER TABLE %s RENAME TO %s", postgres.QuoteName(w.interim), postgres.QuoteIdent(w.parent.Local))
	w.equip(&s.Change)
	// From release 17 on a table with an identity of its own cannot be attached.
	w.hand(&s.Change, w.kept, w.parent)
	w.attach(&s.Change)
	w.defaultPartition(&s.Change, rest)
	for _, t := range w.triggers {
		if w.whole && t.ForRows {
			// A partition is given its own by the parent's.
			w.add(&s.Change, underLock, "DROP TRIGGER %s ON %s", postgres.QuoteIdent(t.Name), old)
		}
	}
	for _, t := range w.triggers {
		if t.Name != w.plan.Set.Trigger || w.whole {
			w.trigger(&s.Change, t)
		}
	}
	for _, v := range w.views {
		w.add(&s.Change, underLock, "%s", v.Statement)
	}
	w.plan.After = append(w.plan.After, analyze(w.plan, w.parent))
}

// disableRouting leaves rows that come to the old parent in it, where they are to be
// seen: the function of its trigger may become another one's, which would drop them.
func (w *swapper) disableRouting(to *[]postgres.Statement, table partition.Name, triggers []trigger) {
	for _, t := range triggers {
		if t.Name == w.plan.Set.Trigger {
			w.add(to, underLock, "ALTER TABLE %s DISABLE TRIGGER %s", postgres.QuoteName(table), postgres.QuoteIdent(t.Name))
		}
	}
}

// build makes the new parent aside, with all that has no name of its own.
func (w *swapper) build(to *[]postgres.Statement) {
	n := postgres.QuoteName(w.interim)
	key := postgres.QuoteIdent(w.plan.Set.Key)
	w.add(to, "ACCESS SHARE on "+w.parent.String(), "CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES) PARTITION BY RANGE (%s)", n, postgres.QuoteName(w.parent), key)
	w.add(to, noLock, "ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", n, key)
	if w.whole {
		w.add(to, noLock, "ALTER TABLE %s DROP CONSTRAINT %s", n, postgres.QuoteIdent(partition.BoundsConstraint))
	}
	w.grants(to, w.interim)
	for _, q := range w.plan.Snapshot.Parent.Properties {
		switch q.Kind {
		case partition.PropTablespace, partition.PropRowSecurity, partition.PropPolicy, partition.PropComment:
			if q.Kind != partition.PropRowSecurity || q.Value != "off" {
				w.property(to, w.interim, q)
			}
		}
	}
}

func (w *swapper) property(to *[]postgres.Statement, table partition.Name, q partition.Property) {
	for _, sql := range postgres.PropertySQL(table, partition.Change{Want: q, Missing: true}) {
		*to = append(*to, postgres.Statement{SQL: sql, Lock: noLock, AsSession: q.Kind == partition.PropPublication})
	}
}

// grants gives a new table the privileges of the parent, and none that ALTER DEFAULT
// PRIVILEGES would.
func (w *swapper) grants(to *[]postgres.Statement, table partition.Name) {
	for _, role := range w.plan.Snapshot.Parent.DefaultGrantees {
		who := "PUBLIC"
		if role != "" {
			who = postgres.QuoteIdent(role)
		}
		w.add(to, noLock, "REVOKE ALL ON TABLE %s FROM %s", postgres.QuoteName(table), who)
	}
	for _, q := range w.plan.Snapshot.Parent.Properties {
		if q.Kind == partition.PropGrant || q.Kind == partition.PropColumnGrant {
			w.property(to, table, q)
		}
	}
}

// lock takes the views first, as their readers do: a reader who has a view and waits
// for the table would else be waited for.
func (w *swapper) lock(to *[]postgres.Statement) {
	for _, v := range w.views {
		w.add(to, exclusive+v.Name, "%s", v.Statement)
	}
	w.add(to, exclusive+w.parent.String()+" and each partition", "LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", postgres.QuoteName(w.parent))
}

// guard looks once more, now that nobody can change anything.
func (w *swapper) guard(to *[]postgres.Statement) {
	var oids []string
	if !w.whole {
		for _, c := range w.children {
			oids = append(oids, strconv.FormatUint(uint64(c.oid), 10))
		}
	}
	slices.Sort(oids)
	more := ""
	if !w.whole {
		more = fmt.Sprintf(`
IF EXISTS (SELECT FROM ONLY %s) THEN
  RAISE EXCEPTION 'rows have come into the parent itself' USING ERRCODE = '%s';
END IF;`, postgres.QuoteName(w.parent), postgres.SwapChanged)
	}
	w.unchanged(to, oids, more)
}

// unchanged makes sure that the parent is the table that was planned for, and has the
// children that it had then.
func (w *swapper) unchanged(to *[]postgres.Statement, oids []string, more string) {
	oid := w.plan.Snapshot.Parent.OID
	body := fmt.Sprintf(`BEGIN
IF %s::pg_catalog.regclass <> %d OR (SELECT pg_catalog.array_agg(inhrelid::pg_catalog.text ORDER BY inhrelid::pg_catalog.text COLLATE "C") FROM pg_catalog.pg_inherits WHERE inhparent = %d) IS DISTINCT FROM %s::pg_catalog.text[] THEN
  RAISE EXCEPTION 'a partition has come or gone since the plan was made' USING ERRCODE = '%s';
END IF;%s
END`, postgres.QuoteLiteral(postgres.QuoteName(w.parent)), oid, oid, arrayOrNull(oids), postgres.SwapChanged, more)
	w.add(to, underLock, "DO %s", postgres.QuoteLiteral(body))
}

func arrayOrNull(texts []string) string {
	if len(texts) == 0 {
		return "NULL"
	}
	return "'{" + strings.Join(texts, ",") + "}'"
}

func (w *swapper) renameIndex(to *[]postgres.Statement, table partition.Name, i index, from, name string) {
	if from == name {
		return
	}
	if i.Contype != "" {
		w.add(to, underLock, "ALTER TABLE ONLY %s RENAME CONSTRAINT %s TO %s", postgres.QuoteName(table), postgres.QuoteIdent(from), postgres.QuoteIdent(name))
		return
	}
	w.add(to, underLock, "ALTER INDEX %s RENAME TO %s", postgres.QuoteName(partition.Name{Schema: table.Schema, Local: from}), postgres.QuoteIdent(name))
}

// equip makes the indexes and keys of the new parent, under their old names. It has no
// partitions yet, so nothing is built.
func (w *swapper) equip(to *[]postgres.Statement) {
	table := postgres.QuoteName(w.parent)
	for _, i := range w.indexes {
		definition, constraint := i.Definition, i.Constraint
		if i.Narrow {
			definition, constraint = i.wide(), widened(constraint, i.Key)
		}
		if i.Contype != "" {
			w.add(to, noLock, "ALTER TABLE %s ADD CONSTRAINT %s %s", table, postgres.QuoteIdent(i.Name), constraint)
		} else {
			unique, rest := "", definition
			if r, ok := strings.CutPrefix(definition, "UNIQUE "); ok {
				unique, rest = "UNIQUE ", r
			}
			w.add(to, noLock, "CREATE %sINDEX %s ON %s %s", unique, postgres.QuoteIdent(i.Name), table, rest)
		}
		if i.Comment != "" {
			w.add(to, noLock, "COMMENT ON INDEX %s IS %s", postgres.QuoteName(partition.Name{Schema: w.parent.Schema, Local: i.Name}), postgres.QuoteLiteral(i.Comment))
		}
	}
	for _, k := range w.foreignKeys {
		w.add(to, "SHARE ROW EXCLUSIVE on the table that it refers to", "ALTER TABLE %s ADD CONSTRAINT %s %s", table, postgres.QuoteIdent(k.Name), k.Definition)
	}
	for _, q := range w.plan.Snapshot.Parent.Properties {
		if q.Kind == partition.PropReplicaIdentity && q.Value != "default" {
			w.property(to, w.parent, q)
		}
	}
}

// attach makes each table a partition. Its CHECK and its NOT NULL say that all rows
// belong there, and its indexes are those that the parent asks for, so nothing is
// read and nothing built (PostgreSQL documentation, ALTER TABLE, ATTACH PARTITION).
func (w *swapper) attach(to *[]postgres.Statement) {
	for _, c := range w.children {
		for _, i := range w.indexes {
			if i.Narrow && i.Contype != "" {
				w.rekey(to, c.name, i.Contype, bare(i.Definition), bare(i.wide()))
			}
		}
	}
	for _, c := range w.children {
		w.add(to, underLock, "ALTER TABLE %s ATTACH PARTITION %s %s", postgres.QuoteName(w.parent), postgres.QuoteName(c.name),
			postgres.ForValuesSQL(w.plan.Snapshot.Parent.Key, c.bounds))
	}
}

// rekey puts a key over the unique index that has been built in the place of the
// partition's present one, whose name only the server knows. The definitions are
// without UNIQUE.
func (w *swapper) rekey(to *[]postgres.Statement, table partition.Name, contype, from, into string) {
	word := map[string]string{"p": "PRIMARY KEY", "u": "UNIQUE"}[contype]
	tail := func(definition string) string {
		return fmt.Sprintf("right(pg_catalog.pg_get_indexdef(i.indexrelid), %d) = %s", len([]rune(definition)), postgres.QuoteLiteral(definition))
	}
	body := fmt.Sprintf(`DECLARE was name; built name; BEGIN
SELECT k.conname INTO was FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_index i ON i.indexrelid = k.conindid
 WHERE k.conrelid = %[1]s::pg_catalog.regclass AND k.contype = %[2]s AND %[3]s LIMIT 1;
SELECT x.relname INTO STRICT built FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
 WHERE i.indrelid = %[1]s::pg_catalog.regclass AND i.indisunique AND i.indisvalid AND %[4]s
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid) LIMIT 1;
IF was IS NOT NULL THEN
  EXECUTE pg_catalog.format('ALTER TABLE %%s DROP CONSTRAINT %%I', %[1]s, was);
END IF;
EXECUTE pg_catalog.format('ALTER TABLE %%s ADD CONSTRAINT %%I %[5]s USING INDEX %%I', %[1]s, coalesce(was, built), built);
END`, postgres.QuoteLiteral(postgres.QuoteName(table)), postgres.QuoteLiteral(contype), tail(from), tail(into), word)
	w.add(to, underLock, "DO %s", postgres.QuoteLiteral(body))
}

// defaultPartition is the safety net for rows that no partition takes.
func (w *swapper) defaultPartition(to *[]postgres.Statement, name partition.Name) {
	w.add(to, noLock, "CREATE TABLE %s PARTITION OF %s DEFAULT", postgres.QuoteName(name), postgres.QuoteName(w.parent))
	w.grants(to, name)
	for _, q := range w.plan.Snapshot.Parent.Properties {
		switch q.Kind {
		case partition.PropRowSecurity, partition.PropPolicy, partition.PropReplicaIdentity, partition.PropComment, partition.PropColumnComment:
			if q.Value != "off" && q.Value != "default" {
				w.property(to, name, q)
			}
		}
	}
}

// hand passes on what one table alone can have: sequences and publications.
func (w *swapper) hand(to *[]postgres.Statement, from, heir partition.Name) {
	for _, s := range w.sequences {
		if !s.Identity {
			w.add(to, "SHARE UPDATE EXCLUSIVE on the sequence", "ALTER SEQUENCE %s OWNED BY %s.%s", s.Name, postgres.QuoteName(heir), postgres.QuoteIdent(s.Column))
			continue
		}
		w.add(to, noLock, "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence(%s, %s), last_value, is_called) FROM %s",
			postgres.QuoteLiteral(postgres.QuoteName(heir)), postgres.QuoteLiteral(s.Column), s.Name)
		if w.whole {
			w.add(to, underLock, "ALTER TABLE %s ALTER COLUMN %s DROP IDENTITY", postgres.QuoteName(from), postgres.QuoteIdent(s.Column))
		}
	}
	for _, q := range w.plan.Snapshot.Parent.Properties {
		if q.Kind != partition.PropPublication {
			continue
		}
		w.property(to, heir, q)
		if !w.whole {
			for _, sql := range postgres.PropertySQL(from, partition.Change{Want: q, Have: q.Value})[:1] {
				*to = append(*to, postgres.Statement{SQL: sql, Lock: "SHARE UPDATE EXCLUSIVE on the old table", AsSession: true})
			}
		}
	}
}

// trigger makes a trigger on whatever table has the parent's name now.
func (w *swapper) trigger(to *[]postgres.Statement, t trigger) {
	w.add(to, noLock, "%s", t.Definition)
	state := map[string]string{"D": "DISABLE TRIGGER", "R": "ENABLE REPLICA TRIGGER", "A": "ENABLE ALWAYS TRIGGER"}[t.Enabled]
	if state != "" {
		w.add(to, noLock, "ALTER TABLE %s %s %s", postgres.QuoteName(w.parent), state, postgres.QuoteIdent(t.Name))
	}
}

// analyze makes the statistics of the new parent, which has none.
func analyze(p *Plan, parent partition.Name) postgres.Step {
	role := p.Snapshot.Parent.Owner
	if role == p.Snapshot.Server.Role {
		role = ""
	}
	return postgres.Step{Alone: true, Waits: true, Role: role, Statements: []postgres.Statement{{SQL: "ANALYZE " + postgres.QuoteName(parent),
		Lock: "SHARE UPDATE EXCLUSIVE on " + parent.String() + "; ACCESS SHARE on each partition"}}}
}
