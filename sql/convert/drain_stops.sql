-- What stands in the way of cutting a partition into periods: what kind of thing it is,
-- which one, and what could be done.
-- $1: the parent; $2: the partition; $3: the trigger that an earlier try has left.
WITH self AS MATERIALIZED (
  SELECT c.oid, c.relkind, c.relforcerowsecurity, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname) AS named
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid IN ($1, $2)
)
SELECT 'foreign key to it' AS kind, format('%I of %s', f.conname, f.conrelid::regclass) AS what,
       'drop it, and add it again afterwards: rows that are referred to cannot change their table' AS hint
  FROM pg_constraint f WHERE f.contype = 'f' AND f.conparentid = 0 AND f.confrelid IN ($1, $2)
UNION ALL
SELECT 'row security', named || ' has it for its owner as well', 'ALTER TABLE ... NO FORCE ROW LEVEL SECURITY: rows could be left out' FROM self WHERE relforcerowsecurity
UNION ALL
SELECT 'foreign table', named, 'its rows are elsewhere' FROM self WHERE relkind = 'f'
UNION ALL
SELECT 'partitioned partition', named, 'it is partitioned itself' FROM self WHERE relkind = 'p' AND oid = $2
UNION ALL
SELECT 'trigger', format('%I of %s', t.tgname, self.named), 'drop it, or make it on the parent: the new partitions would not have it'
  FROM self JOIN pg_trigger t ON t.tgrelid = self.oid
 WHERE self.oid = $2 AND NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgname::text NOT IN ($3::text, $3::text || '_truncate')
UNION ALL
SELECT 'rule', format('%I on %s', r.rulename, self.named), 'drop it: the new partitions would not have it'
  FROM self JOIN pg_rewrite r ON r.ev_class = self.oid WHERE self.oid = $2
UNION ALL
SELECT CASE v.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, format('%I.%I reads %s itself', n.nspname, v.relname, self.named),
       'have it read the parent: the partition is dropped in the end'
  FROM self
  JOIN (SELECT DISTINCT refobjid, objid FROM pg_depend WHERE classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = $2) AS d ON d.refobjid = self.oid
  JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class JOIN pg_namespace n ON n.oid = v.relnamespace
 WHERE v.oid <> $2
UNION ALL
SELECT 'sequence', format('%s belongs to %s', d.objid::regclass, self.named), 'ALTER SEQUENCE ... OWNED BY the column of the parent: it would go with the partition'
  FROM self JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.refclassid = d.classid AND d.refobjid = self.oid AND d.deptype = 'a'
  JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
 WHERE self.oid = $2
UNION ALL
-- Its subscribers would be sent every copied row, of tables that they do not have.
SELECT 'publication', format('%I has all tables, or all of the schema', p.pubname), 'name the parent in it instead'
  FROM pg_publication p
 WHERE p.puballtables OR EXISTS (SELECT FROM pg_publication_tables t JOIN self ON (t.schemaname, t.tablename) = (self.nspname, self.relname) WHERE t.pubname = p.pubname)
   AND NOT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid IN ($1, $2))
UNION ALL
SELECT 'subscription', format('%I writes to %s', s.subname, self.named), 'drop it, or have it write to the parent'
  FROM pg_subscription_rel r JOIN self ON self.oid = r.srrelid AND self.oid = $2 JOIN pg_subscription s ON s.oid = r.srsubid
UNION ALL
SELECT 'no unique key', (SELECT named FROM self WHERE oid = $1), 'add a primary key with the partition key in it: a changed row is found by it'
 WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
                      AND NOT EXISTS (SELECT FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS k(n) JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k.n WHERE NOT a.attnotnull))
ORDER BY 1, 2;
