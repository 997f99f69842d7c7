-- What stands in the way of putting a partitioned table in the place of a table:
-- what kind of thing it is, which one, and what could be done.
-- $1: the table; $2: its key column; $3: the routing trigger, or ''; $4: whether
-- unique keys may be widened by the key column; $5: whether the table itself
-- becomes a partition, instead of its children.
WITH self AS MATERIALIZED (
  SELECT c.oid, c.relname, c.reltype, c.relpersistence, c.relkind, c.reloftype, c.relowner, n.nspname, format('%I.%I', n.nspname, c.relname) AS named,
         (SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = $2 AND NOT a.attisdropped) AS key
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.oid = $1
), child AS MATERIALIZED (
  SELECT c.oid, c.relkind, c.relpersistence, format('%I.%I', n.nspname, c.relname) AS named
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE i.inhparent = $1
), col AS MATERIALIZED (
  SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull, a.attgenerated,
         format_type(a.atttypid, a.atttypmod) AS type,
         CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END AS generation
    FROM pg_attribute a
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
   WHERE a.attnum > 0 AND NOT a.attisdropped AND (a.attrelid = $1 OR a.attrelid IN (SELECT oid FROM child))
), users AS MATERIALIZED (
  SELECT d.classid, d.objid, d.objsubid, false AS row_type
    FROM pg_depend d
   WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.deptype <> 'i'
  UNION
  SELECT d.classid, d.objid, d.objsubid, true
    FROM pg_depend d JOIN pg_type t ON t.oid = d.refobjid
    LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
   WHERE d.refclassid = 'pg_type'::regclass AND coalesce(e.typrelid, t.typrelid) = $1 AND d.classid <> 'pg_type'::regclass
)
SELECT 'unlogged table' AS kind, named AS what, 'ALTER TABLE ... SET LOGGED: a partitioned table is not unlogged' AS hint
  FROM (SELECT named, relpersistence FROM self UNION ALL SELECT named, relpersistence FROM child) AS t
 WHERE relpersistence <> 'p'
UNION ALL
SELECT 'typed table', named, 'ALTER TABLE ... NOT OF' FROM self WHERE reloftype <> 0
UNION ALL
SELECT 'table that inherits', named || ' inherits from ' || i.inhparent::regclass, 'ALTER TABLE ... NO INHERIT'
  FROM self JOIN pg_inherits i ON i.inhrelid = self.oid
UNION ALL
SELECT 'table with children', named, 'this is for a table without children; for a set there is: partitiond convert' FROM self
 WHERE $5 AND EXISTS (SELECT FROM child)
UNION ALL
SELECT 'foreign table', named, 'take it out of the set: its CHECK proves nothing' FROM child WHERE relkind = 'f'
UNION ALL
SELECT 'partition with children', child.named, 'take its children out: ALTER TABLE ' || i.inhrelid::regclass || ' NO INHERIT'
  FROM child JOIN pg_inherits i ON i.inhparent = child.oid
UNION ALL
SELECT 'partition of several parents', child.named || ' also inherits from ' || i.inhparent::regclass, 'ALTER TABLE ... NO INHERIT'
  FROM child JOIN pg_inherits i ON i.inhrelid = child.oid AND i.inhparent <> $1
UNION ALL
SELECT 'rule', format('%I on %s', r.rulename, t.named), 'drop it: it would be asked for rows of the new table no more'
  FROM pg_rewrite r JOIN (SELECT oid, named FROM self) AS t ON t.oid = r.ev_class
UNION ALL
SELECT CASE v.relkind WHEN 'm' THEN 'materialized view' WHEN 'v' THEN 'view of another owner' ELSE 'rule' END,
       format('%I.%I', n.nspname, v.relname),
       CASE v.relkind WHEN 'm' THEN 'drop it, and make it again afterwards: it would go on reading the old table'
                      WHEN 'v' THEN 'be a member of its owner: it is made anew with its own text'
                      ELSE 'drop it: it would go on writing to the old table' END
  FROM (SELECT DISTINCT objid FROM users WHERE classid = 'pg_rewrite'::regclass) AS u
  JOIN pg_rewrite r ON r.oid = u.objid JOIN pg_class v ON v.oid = r.ev_class JOIN pg_namespace n ON n.oid = v.relnamespace
 WHERE v.oid <> $1 AND (v.relkind <> 'v' OR r.rulename <> '_RETURN' OR NOT pg_has_role(v.relowner, 'USAGE'))
UNION ALL
SELECT 'view of the row type', format('%I.%I', n.nspname, v.relname), 'have it name columns instead of the whole row'
  FROM (SELECT objid FROM users WHERE classid = 'pg_rewrite'::regclass AND row_type
        UNION SELECT r.oid FROM users u JOIN pg_rewrite r ON r.ev_class = u.objid WHERE u.classid = 'pg_class'::regclass AND u.row_type) AS u
  JOIN pg_rewrite r ON r.oid = u.objid JOIN pg_class v ON v.oid = r.ev_class JOIN pg_namespace n ON n.oid = v.relnamespace
 WHERE v.relkind = 'v'
UNION ALL
SELECT CASE WHEN u.row_type THEN 'user of the row type' ELSE 'dependent' END, pg_describe_object(u.classid, u.objid, u.objsubid),
       'drop it, and make it again afterwards: it would go on using the old table'
  FROM users u
  LEFT JOIN pg_class c ON u.classid = 'pg_class'::regclass AND c.oid = u.objid
 WHERE u.classid NOT IN ('pg_rewrite'::regclass, 'pg_constraint'::regclass, 'pg_trigger'::regclass, 'pg_attrdef'::regclass, 'pg_statistic_ext'::regclass,
                         'pg_publication_rel'::regclass)
   AND NOT (u.classid = 'pg_policy'::regclass AND EXISTS (SELECT FROM pg_policy p WHERE p.oid = u.objid AND p.polrelid = $1))
   AND NOT (c.oid IS NOT NULL AND (c.relkind IN ('i', 'I', 'S', 't') AND NOT u.row_type OR c.relkind = 'v' OR c.oid IN (SELECT oid FROM child)))
UNION ALL
SELECT 'foreign key to it', format('%I of %s', f.conname, f.conrelid::regclass), 'drop it; it can be made again where the set has a unique key with the partition key in it'
  FROM pg_constraint f WHERE f.confrelid = $1 AND f.contype = 'f' AND f.conparentid = 0
UNION ALL
SELECT 'foreign key to it', format('%I of %s refers to the partition %s', f.conname, f.conrelid::regclass, child.named), 'drop it'
  FROM pg_constraint f JOIN child ON child.oid = f.confrelid WHERE f.contype = 'f' AND f.conparentid = 0
UNION ALL
-- A key that has never held for the rows of the partitions must not be proved under a lock.
SELECT 'foreign key', format('%I of %s, which %s lacks', f.conname, self.named, child.named),
       'add it to each partition, NOT VALID, and validate it; or drop it from the parent'
  FROM self JOIN pg_constraint f ON f.conrelid = self.oid AND f.contype = 'f' AND f.conparentid = 0 CROSS JOIN child
 WHERE NOT EXISTS (SELECT FROM pg_constraint g WHERE g.conrelid = child.oid AND g.contype = 'f'
                      AND (g.convalidated OR right(pg_get_constraintdef(g.oid), 12) = 'NOT ENFORCED') AND pg_get_constraintdef(g.oid) = pg_get_constraintdef(f.oid))
UNION ALL
SELECT 'foreign key', format('%I of %s is not validated', f.conname, self.named), 'ALTER TABLE ... VALIDATE CONSTRAINT'
  FROM self JOIN pg_constraint f ON f.conrelid = self.oid AND f.contype = 'f' AND NOT f.convalidated AND $5 AND right(pg_get_constraintdef(f.oid), 12) <> 'NOT ENFORCED'
UNION ALL
SELECT 'trigger', format('%I of %s', t.tgname, self.named),
       'drop it: it is called for no row of a partition now, and would be called for all of them then'
  FROM self JOIN pg_trigger t ON t.tgrelid = self.oid
 WHERE NOT t.tgisinternal AND NOT $5 AND self.relkind = 'r' AND t.tgname <> $3 AND t.tgtype & 1 = 1 AND (t.tgtype & 7 <> 7 OR t.tgname > $3)
UNION ALL
SELECT 'trigger', format('%I of %s', t.tgname, self.named), 'drop it: a partition cannot have a row trigger with transition tables'
  FROM self JOIN pg_trigger t ON t.tgrelid = self.oid
 WHERE $5 AND NOT t.tgisinternal AND t.tgtype & 1 = 1 AND (t.tgoldtable IS NOT NULL OR t.tgnewtable IS NOT NULL)
UNION ALL
SELECT 'unique key without the partition key', format('%I of %s', c.relname, self.named),
       CASE WHEN i.indexprs IS NULL AND i.indpred IS NULL THEN 'let it be widened: --widen-keys' ELSE 'drop it, or make it not unique' END
  FROM self JOIN pg_index i ON i.indrelid = self.oid JOIN pg_class c ON c.oid = i.indexrelid
 WHERE i.indisunique AND NOT i.indisexclusion AND self.key <> ALL ((i.indkey::int2[])[0:i.indnkeyatts - 1]) AND NOT ($4 AND i.indexprs IS NULL AND i.indpred IS NULL)
UNION ALL
SELECT 'exclusion constraint', format('%I of %s', x.conname, self.named),
       CASE WHEN current_setting('server_version_num')::integer < 170000 THEN 'drop it: a partitioned table cannot have one before release 17'
            ELSE 'drop it, and add it again afterwards, with the partition key in it' END
  FROM self JOIN pg_constraint x ON x.conrelid = self.oid JOIN pg_index i ON i.indexrelid = x.conindid AND i.indrelid = self.oid AND i.indisexclusion
UNION ALL
SELECT 'invalid index', format('%I of %s', c.relname, self.named), 'REINDEX INDEX CONCURRENTLY, or drop it'
  FROM self JOIN pg_index i ON i.indrelid = self.oid JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid AND self.relkind = 'r'
UNION ALL
SELECT 'CHECK that is not inherited', format('%I of %s', k.conname, self.named), 'drop it: a partitioned table cannot have one'
  FROM self JOIN pg_constraint k ON k.conrelid = self.oid AND k.contype = 'c' AND k.connoinherit
UNION ALL
SELECT 'CHECK that is not validated', format('%I of %s', k.conname, k.conrelid::regclass), 'ALTER TABLE ... VALIDATE CONSTRAINT'
  FROM self JOIN pg_constraint k ON (k.conrelid = self.oid OR k.conrelid IN (SELECT oid FROM child)) AND k.contype = 'c' AND NOT k.convalidated
   AND right(pg_get_constraintdef(k.oid), 12) <> 'NOT ENFORCED'
 WHERE EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = self.oid AND o.contype = 'c' AND o.conname = k.conname)
UNION ALL
-- NOT NULL is a constraint since PostgreSQL 18.
SELECT 'NOT NULL that is not inherited', format('%I of %s', k.conname, k.conrelid::regclass), 'ALTER TABLE ... ALTER CONSTRAINT ... INHERIT'
  FROM self JOIN pg_constraint k ON (k.conrelid = self.oid OR k.conrelid IN (SELECT oid FROM child)) AND k.contype = 'n' AND k.connoinherit
 WHERE k.conrelid = self.oid OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = k.conkey[1] AND a.attname = $2)
UNION ALL
SELECT 'NOT NULL that is not validated', format('%I of %s', k.conname, k.conrelid::regclass), 'ALTER TABLE ... VALIDATE CONSTRAINT'
  FROM self JOIN pg_constraint k ON (k.conrelid = self.oid OR k.conrelid IN (SELECT oid FROM child)) AND k.contype = 'n' AND NOT k.convalidated
  JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
 WHERE EXISTS (SELECT FROM col p WHERE p.attrelid = self.oid AND p.attname = a.attname AND (p.attnotnull OR p.attname = $2))
UNION ALL
SELECT 'CHECK that differs', format('%I of %s', k.conname, child.named), 'give the partition the CHECK of its parent'
  FROM child JOIN pg_constraint k ON k.conrelid = $1 AND k.contype = 'c'
 WHERE NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = child.oid AND o.contype = 'c' AND o.conname = k.conname
                      AND pg_get_constraintdef(o.oid) IN (pg_get_constraintdef(k.oid), pg_get_constraintdef(k.oid) || ' NOT VALID'))
UNION ALL
SELECT 'publication by the root', format('%I', p.pubname), 'ALTER PUBLICATION ... SET (publish_via_partition_root = false): its subscribers would see another table'
  FROM pg_publication p
 WHERE p.pubviaroot AND (p.puballtables OR EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND (r.prrelid = $1 OR r.prrelid IN (SELECT oid FROM child))))
UNION ALL
SELECT 'publication of another owner', format('%I', p.pubname), 'be a member of its owner'
  FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = $1 WHERE NOT pg_has_role(p.pubowner, 'USAGE')
UNION ALL
SELECT 'subscription', format('%s is a table that a subscription fills', s.srrelid::regclass), 'take it out of the publication at the other end'
  FROM pg_subscription_rel s WHERE s.srrelid = $1 OR s.srrelid IN (SELECT oid FROM child)
UNION ALL
SELECT 'column of the partition only', format('%I of %s', o.attname, child.named), 'drop it, or add it to the parent'
  FROM child JOIN col o ON o.attrelid = child.oid
 WHERE NOT EXISTS (SELECT FROM col p WHERE p.attrelid = $1 AND p.attname = o.attname)
UNION ALL
SELECT 'column that differs', format('%I of %s is %s%s, and %s%s in the parent', p.attname, child.named, o.type,
         CASE WHEN o.attcollation <> p.attcollation THEN format(' collation %s', o.attcollation::regcollation) END,
         p.type, CASE WHEN o.attcollation <> p.attcollation THEN format(' collation %s', p.attcollation::regcollation) END),
       'give it the type, collation and expression of the parent'
  FROM child JOIN col p ON p.attrelid = $1 LEFT JOIN col o ON o.attrelid = child.oid AND o.attname = p.attname
 WHERE o.attname IS NOT NULL AND (o.atttypid, o.atttypmod, o.attcollation, o.attgenerated) <> (p.atttypid, p.atttypmod, p.attcollation, p.attgenerated)
    OR o.generation IS DISTINCT FROM p.generation AND o.attname IS NOT NULL
UNION ALL
SELECT 'generated key', format('%I of %s', $2::text, self.named), 'a partition key cannot be a generated column'
  FROM self JOIN col ON col.attrelid = self.oid AND col.attname = $2 WHERE col.attgenerated <> ''
 ORDER BY 1, 2, 3;
