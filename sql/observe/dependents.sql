-- What would break with a partition: views, rules and functions that use it,
-- foreign keys to it, tables that inherit from it. What it inherits from is
-- listed with the parent's number, for one of those is the set's own.
-- $1: the partitions.
WITH child AS (
  SELECT oid FROM unnest($1::oid[]) AS f (oid)
)
SELECT d.refobjid AS child,
       0::oid AS parent,
       CASE v.relkind WHEN 'v' THEN format('view %I.%I', n.nspname, v.relname)
                      WHEN 'm' THEN format('materialized view %I.%I', n.nspname, v.relname)
                      ELSE format('rule %I of table %I.%I', r.rulename, n.nspname, v.relname) END AS dependent
  FROM pg_depend d
  JOIN child ON child.oid = d.refobjid
  JOIN pg_rewrite r ON r.oid = d.objid
  JOIN pg_class v ON v.oid = r.ev_class
  JOIN pg_namespace n ON n.oid = v.relnamespace
 WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND v.oid <> child.oid
UNION
SELECT d.refobjid, 0, 'function ' || d.objid::regprocedure::text
  FROM pg_depend d
  JOIN child ON child.oid = d.refobjid
 WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_class'::regclass
UNION
SELECT f.confrelid, 0, format('foreign key %I of %I.%I', f.conname, n.nspname, c.relname)
  FROM pg_constraint f
  JOIN child ON child.oid = f.confrelid
  JOIN pg_class c ON c.oid = f.conrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE f.contype = 'f' AND f.conrelid <> f.confrelid AND f.conparentid = 0
UNION
SELECT i.inhparent, 0, format('table %I.%I inherits from it', n.nspname, c.relname)
  FROM pg_inherits i
  JOIN child ON child.oid = i.inhparent
  JOIN pg_class c ON c.oid = i.inhrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
UNION
SELECT i.inhrelid, i.inhparent, format('table %I.%I is another parent of it', n.nspname, c.relname)
  FROM pg_inherits i
  JOIN child ON child.oid = i.inhrelid
  JOIN pg_class c ON c.oid = i.inhparent
  JOIN pg_namespace n ON n.oid = c.relnamespace
 ORDER BY 1, 3;
