package convert

import (
	"fmt"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
	"github.com/partitiond/partitiond/maintenance/postgres"
)

// list returns columns, each behind a prefix.
func list(prefix string, columns []string) string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = prefix + postgres.QuoteIdent(c)
	}
	return strings.Join(out, ", ")
}

// same is the condition that two rows have the same key.
func (d drain) same(a, b string) string {
	out := make([]string, len(d.key))
	for i, c := range d.key {
		out[i] = fmt.Sprintf("%s.%s = %s.%[2]s", a, postgres.QuoteIdent(c), b)
	}
	return strings.Join(out, " AND ")
}

func (d drain) role() string {
	if d.snap.Parent.Owner == d.snap.Server.Role {
		return ""
	}
	return d.snap.Parent.Owner
}

// position is where the copy stands when it begins: the table's file, and how many pages it
// has. Rows on later pages have come since, and are in the log.
func (d drain) position() string {
	wide := postgres.QuoteLiteral(postgres.QuoteName(d.wide.Name)) + "::pg_catalog.regclass"
	return fmt.Sprintf("pg_catalog.pg_relation_filenode(%s) AS file, 0::bigint AS block, pg_catalog.pg_relation_size(%[1]s) / pg_catalog.current_setting('block_size')::bigint AS blocks, 0::bigint AS rows", wide)
}

// beginStep makes all that a drain needs, in one transaction: it is there, or it is not.
func (d drain) beginStep() postgres.Step {
	var out []postgres.Statement
	add := func(lock, format string, args ...any) {
		out = append(out, postgres.Statement{SQL: fmt.Sprintf(format, args...), Lock: lock})
	}
	parent, wide, months, log, state := postgres.QuoteName(d.set.Parent), postgres.QuoteName(d.wide.Name), postgres.QuoteName(d.months()), postgres.QuoteName(d.log()), postgres.QuoteName(d.state())
	onParent, onWide := "ACCESS SHARE on "+d.set.Parent.String(), "SHARE ROW EXCLUSIVE on "+d.wide.Name.String()
	// The generated columns have to be generated from the start, or no partition would fit.
	add(onParent, "CREATE TABLE %s (LIKE %s INCLUDING GENERATED) PARTITION BY RANGE (%s)", months, parent, postgres.QuoteIdent(d.set.Key))
	add(noLock, "COMMENT ON TABLE %s IS %s", months, postgres.QuoteLiteral(fmt.Sprintf("copies of the rows of %s, which become its periods: see partitiond drain --help", d.wide.Name)))
	for _, p := range d.parts {
		a := partition.Action{Table: p.name(), Bounds: p.Bounds, Route: partition.Template(d.set, d.snap)}
		for _, st := range postgres.BuildAside(d.set, a) {
			add(onParent, "%s", st.SQL)
		}
		add(noLock, "ALTER TABLE %s ATTACH PARTITION %s %s", months, postgres.QuoteName(p.name()), p.Bound)
	}
	add(noLock, "CREATE TABLE %s AS SELECT %s FROM ONLY %s WITH NO DATA", log, list("", d.key), wide)
	add(noLock, "ALTER TABLE %s ADD partitiond_seq bigserial PRIMARY KEY", log)
	add(noLock, "CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %s", log, postgres.QuoteLiteral(fmt.Sprintf(`
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    INSERT INTO %[1]s DEFAULT VALUES;
    RETURN NULL;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    INSERT INTO %[1]s (%[2]s) VALUES (%[3]s);
  END IF;
  IF TG_OP = 'INSERT' OR TG_OP = 'UPDATE' AND ROW(%[3]s) IS DISTINCT FROM ROW(%[4]s) THEN
    INSERT INTO %[1]s (%[2]s) VALUES (%[4]s);
  END IF;
  RETURN NULL;
END `, log, list("", d.key), list("OLD.", d.key), list("NEW.", d.key))))
	add(noLock, "REVOKE ALL ON FUNCTION %s() FROM PUBLIC", log)
	// Whoever writes is waited for, and so nothing is on its way that is not written down.
	add(onWide, "CREATE TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION %s()", partition.DrainTrigger, wide, log)
	add(onWide, "CREATE TRIGGER %s_truncate AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s()", partition.DrainTrigger, wide, log)
	// What a subscription brings fires only such.
	add(onWide, "ALTER TABLE %s ENABLE ALWAYS TRIGGER %s, ENABLE ALWAYS TRIGGER %[2]s_truncate", wide, partition.DrainTrigger)
	add(noLock, "CREATE TABLE %s AS SELECT %d::pg_catalog.oid AS source, %s AS shape, pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS bound, %s FROM pg_catalog.pg_class c WHERE c.oid = %[2]d",
		state, d.wide.OID, d.shape(), d.position())
	return postgres.Step{Role: d.role(), Statements: out}
}

// tidyStep removes all that a drain has made, and leaves the wide partition as it was.
func (d drain) tidyStep() postgres.Step {
	statements := []postgres.Statement{
		{SQL: fmt.Sprintf("DROP FUNCTION IF EXISTS %s() CASCADE", postgres.QuoteName(d.log())), Lock: exclusive + "the table that its trigger is on"},
		{SQL: fmt.Sprintf("DROP TABLE IF EXISTS %s, %s, %s", postgres.QuoteName(d.months()), postgres.QuoteName(d.log()), postgres.QuoteName(d.state())), Lock: noLock}}
	return postgres.Step{Role: d.role(), Statements: statements}
}

// resetSQL begins the copy anew.
func (d drain) resetSQL() string {
	return fmt.Sprintf("TRUNCATE %s; DELETE FROM %s; UPDATE %s SET (file, block, blocks, rows) = (SELECT %s)",
		postgres.QuoteName(d.months()), postgres.QuoteName(d.log()), postgres.QuoteName(d.state()), d.position())
}

// copySQL copies the rows of some pages. One that is there already was written down
// before, and taken over.
func (d drain) copySQL(from, to int64) string {
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %[2]s FROM ONLY %[3]s WHERE ctid >= '(%[4]d,0)' AND ctid < '(%[5]d,0)' ON CONFLICT DO NOTHING",
		postgres.QuoteName(d.months()), list("", d.columns), postgres.QuoteName(d.wide.Name), from, to)
}

// changesLeft is the SQLSTATE of a swap that more changes are left for than it takes over.
const changesLeft = "PD002"

// byKey has the planner look each key up: it knows nothing of tables that have just been
// filled. The cost that it then sees in what it does all the same would have it compile.
var byKey = []string{"SET LOCAL jit = off", "SET LOCAL enable_hashjoin = off", "SET LOCAL enable_mergejoin = off", "SET LOCAL enable_seqscan = off"}

// catchUpSQL takes over so many changes, the oldest first. All rows go before any comes:
// another unique key may have passed from one to another. One that
// cannot come yet for that is written down once more. A TRUNCATE is as if nothing had been
// copied, which the last transaction leaves to others.
func (d drain) catchUpSQL(limit int, last bool) string {
	reset := strings.ReplaceAll(d.resetSQL(), "; ", ";\n    ") + ";\n    RETURN;"
	if last {
		reset = fmt.Sprintf("RAISE EXCEPTION 'the partition was truncated' USING ERRCODE = '%s';", postgres.SwapChanged)
	}
	return "DO " + postgres.QuoteLiteral(fmt.Sprintf(`
DECLARE
  changed %[1]s[];
BEGIN
  SELECT pg_catalog.array_agg(c.l) INTO changed FROM (SELECT l FROM %[1]s AS l ORDER BY l.partitiond_seq LIMIT %[2]d) AS c;
  IF changed IS NULL THEN
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM pg_catalog.unnest(changed) AS k WHERE k.%[3]s IS NULL) THEN
    %[4]s
  END IF;
  DELETE FROM %[1]s AS l USING pg_catalog.unnest(changed) AS k WHERE l.partitiond_seq = k.partitiond_seq;
  DELETE FROM %[5]s AS m USING (SELECT DISTINCT %[6]s FROM pg_catalog.unnest(changed)) AS k WHERE %[7]s;
  INSERT INTO %[5]s (%[8]s) SELECT %[9]s FROM (SELECT DISTINCT %[6]s FROM pg_catalog.unnest(changed)) AS k JOIN ONLY %[10]s AS w ON %[11]s ON CONFLICT DO NOTHING;
  INSERT INTO %[1]s (%[6]s) SELECT %[12]s FROM (SELECT DISTINCT %[6]s FROM pg_catalog.unnest(changed)) AS k JOIN ONLY %[10]s AS w ON %[11]s
   WHERE NOT EXISTS (SELECT FROM %[5]s AS m WHERE %[7]s);
END `, postgres.QuoteName(d.log()), limit, postgres.QuoteIdent(d.key[0]), reset, postgres.QuoteName(d.months()), list("", d.key), d.same("m", "k"),
		list("", d.columns), list("w.", d.columns), postgres.QuoteName(d.wide.Name), d.same("w", "k"), list("k.", d.key)))
}

// compareSQL counts and sums up both sides in one snapshot, without the rows whose changes
// are still to be taken over.
func (d drain) compareSQL() string {
	side := func(table, alias string) string {
		return fmt.Sprintf("(SELECT pg_catalog.count(*)::text || ' ' || coalesce(pg_catalog.sum(pg_catalog.hashtextextended(ROW(%s)::text, 0)::numeric), 0)::text FROM %s AS %s WHERE NOT EXISTS (SELECT FROM %s AS l WHERE %s))",
			list(alias+".", d.columns), table, alias, postgres.QuoteName(d.log()), d.same("l", alias))
	}
	return "SELECT " + side("ONLY "+postgres.QuoteName(d.wide.Name), "w") + ", " + side(postgres.QuoteName(d.months()), "m")
}

// copy shows what is done until the swap.
func (d drain) copy(p *Plan) {
	reads, none := "ACCESS SHARE on "+d.wide.Name.String(), "only on the tables that are made aside"
	p.Copy = []postgres.Statement{{SQL: d.copySQL(0, d.pages()), Lock: reads}, {SQL: d.catchUpSQL(copyBatches*d.set.SweepBatch, false), Lock: reads},
		{SQL: "ANALYZE " + postgres.QuoteName(d.months()), Lock: none}, {SQL: d.compareSQL(), Lock: reads}}
}

// swap writes the last transaction.
func (d drain) swap(p *Plan, o Options) {
	s := &p.Swap
	parent, wide, months := postgres.QuoteName(d.set.Parent), postgres.QuoteName(d.wide.Name), postgres.QuoteName(d.months())
	add := func(to *[]postgres.Statement, lock, format string, args ...any) {
		*to = append(*to, postgres.Statement{SQL: fmt.Sprintf(format, args...), Lock: lock})
	}
	add(&s.Lock, exclusive+d.set.Parent.String(), "LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", parent)
	add(&s.Lock, exclusive+d.wide.Name.String(), "LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", wide)
	if def := d.snap.Default; def != nil {
		add(&s.Lock, exclusive+def.Name.String(), "LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", postgres.QuoteName(def.Name))
	}
	for _, sql := range byKey {
		add(&s.Change, noLock, "%s", sql)
	}
	add(&s.Change, underLock, "DO %s", postgres.QuoteLiteral(d.guardSQL()))
	add(&s.Change, underLock, "%s", d.catchUpSQL(d.set.SweepBatch+1, true))
	add(&s.Change, underLock, "DO %s", postgres.QuoteLiteral(fmt.Sprintf("BEGIN IF EXISTS (SELECT FROM %s) THEN RAISE EXCEPTION 'changes are left' USING ERRCODE = '%s'; END IF; END", postgres.QuoteName(d.log()), changesLeft)))
	// A table with triggers that have still to fire cannot be altered.
	add(&s.Change, noLock, "SET CONSTRAINTS ALL IMMEDIATE")
	add(&s.Change, underLock, "ALTER TABLE %s DETACH PARTITION %s", parent, wide)
	add(&s.Change, underLock, "DROP TABLE %s", wide)
	for _, q := range d.parts {
		table := postgres.QuoteName(q.name())
		move := []string{fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s", months, table)}
		if q.name() == d.before() {
			move = append(move, fmt.Sprintf("ALTER TABLE %s RENAME TO %s", table, postgres.QuoteIdent(d.wide.Name.Local)), d.renameIndexesSQL())
			table = wide
		}
		move = append(move, fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s %s", parent, table, q.Bound), fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", table, postgres.QuoteIdent(partition.BoundsConstraint)))
		if q.name() == d.before() && d.snap.Default != nil {
			// With a default partition it is of use only if it has rows.
			add(&s.Change, noLock, "DO %s", postgres.QuoteLiteral(fmt.Sprintf("BEGIN IF EXISTS (SELECT FROM %s) THEN\n%s;\nEND IF; END", postgres.QuoteName(q.name()), strings.Join(move, ";\n"))))
			continue
		}
		for _, sql := range move {
			add(&s.Change, noLock, "%s", sql)
		}
	}
	add(&s.Change, noLock, "DROP TABLE %s, %s, %s", months, postgres.QuoteName(d.log()), postgres.QuoteName(d.state()))
	add(&s.Change, noLock, "DROP FUNCTION %s()", postgres.QuoteName(d.log()))
	s.Bound, s.Event = o.Bound, o.event(p, postgres.Drained, fmt.Sprintf("cut into %d partitions, the last of them %s", len(d.parts), d.parts[len(d.parts)-1].Local))
	s.Event.Partition, s.Event.OID, s.Event.Bounds, s.Event.Rows, s.Event.Bytes = d.wide.Name, d.wide.OID, d.wide.Bounds, d.wide.Rows, d.wide.Bytes
	p.After = append(p.After, analyze(p, d.set.Parent))
}

// renameIndexesSQL has the indexes of what is older than the first period follow its name.
func (d drain) renameIndexesSQL() string {
	return "DO " + postgres.QuoteLiteral(fmt.Sprintf(`
DECLARE
  was pg_catalog.text;
  becomes pg_catalog.text;
BEGIN
  FOR was, becomes IN
    SELECT c.relname, pg_catalog.concat(%[1]s, pg_catalog.substr(c.relname, %[2]d)) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid = %[3]s::pg_catalog.regclass AND pg_catalog.starts_with(c.relname, %[4]s)
  LOOP
    IF pg_catalog.length(becomes) < 60 AND pg_catalog.to_regclass(pg_catalog.format('%%I.%%I', %[5]s, becomes)) IS NULL THEN
      EXECUTE pg_catalog.format('ALTER INDEX %%I.%%I RENAME TO %%I', %[5]s, was, becomes);
    END IF;
  END LOOP;
END `, postgres.QuoteLiteral(d.wide.Name.Local), len(d.before().Local)+1, postgres.QuoteLiteral(postgres.QuoteName(d.wide.Name)),
		postgres.QuoteLiteral(d.before().Local), postgres.QuoteLiteral(d.wide.Name.Schema)))
}

// guardSQL makes sure, under the locks, that all is as the copy took it to be.
func (d drain) guardSQL() string {
	return fmt.Sprintf(`BEGIN
IF NOT EXISTS (SELECT FROM %[1]s s JOIN pg_catalog.pg_class c ON c.oid = s.source JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
    JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid AND t.tgname = '%[2]s' AND t.tgenabled = 'A'
   WHERE c.oid = %[3]s::pg_catalog.regclass AND i.inhparent = %[4]d AND NOT i.inhdetachpending AND s.bound = pg_catalog.pg_get_expr(c.relpartbound, c.oid)
     AND s.block >= s.blocks AND s.shape = %[5]s) THEN
  RAISE EXCEPTION 'the set has changed' USING ERRCODE = '%[6]s';
END IF;
END`, postgres.QuoteName(d.state()), partition.DrainTrigger, postgres.QuoteLiteral(postgres.QuoteName(d.wide.Name)), d.snap.Parent.OID, d.shape(), postgres.SwapChanged)
}
