-- What would break with a partition: views, rules, policies and functions that
-- use it, functions and columns that use its row type, foreign keys to it, tables
-- that inherit from it. Where it inherits from several tables, those are listed
-- with their numbers, for one of them is the set's own parent.
-- $1: the partitions.
--
-- Few things depend on any table, so each kind is first narrowed to those that use
-- a partition, and named then. One that uses it twice comes twice: to find that
-- here would take the server a table for as many as it guesses that there might be.
WITH child AS MATERIALIZED (
  SELECT oid FROM unnest($1::oid[]) AS f (oid)
), used AS MATERIALIZED (
  SELECT child.oid AS child, d.classid, d.objid, d.objsubid
    FROM pg_depend d
    JOIN child ON child.oid = d.refobjid
   WHERE d.refclassid = 'pg_class'::regclass
     AND d.classid IN ('pg_rewrite'::regclass, 'pg_proc'::regclass, 'pg_policy'::regclass)
  UNION ALL
  SELECT child.oid, d.classid, d.objid, d.objsubid
    FROM pg_depend d
    JOIN pg_type t ON t.oid = d.refobjid
    LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
    JOIN child ON child.oid = coalesce(e.typrelid, t.typrelid)
   WHERE d.refclassid = 'pg_type'::regclass
     AND (d.classid = 'pg_proc'::regclass OR d.classid = 'pg_class'::regclass AND d.objsubid > 0)
), referenced AS MATERIALIZED (
  SELECT f.confrelid, f.conrelid, f.conname
    FROM pg_constraint f
    JOIN child ON child.oid = f.confrelid
   WHERE f.contype = 'f' AND f.conrelid <> f.confrelid AND f.conparentid = 0
), inherited AS MATERIALIZED (
  SELECT i.inhparent, i.inhrelid
    FROM pg_inherits i
    JOIN child ON child.oid = i.inhparent
), several AS MATERIALIZED (
  SELECT DISTINCT i.inhrelid FROM pg_inherits i WHERE i.inhseqno > 1
)
SELECT u.child,
       0::oid AS parent,
       CASE v.relkind WHEN 'v' THEN format('view %I.%I', n.nspname, v.relname)
                      WHEN 'm' THEN format('materialized view %I.%I', n.nspname, v.relname)
                      ELSE format('rule %I of table %I.%I', r.rulename, n.nspname, v.relname) END AS dependent
  FROM used u
  JOIN pg_rewrite r ON u.classid = 'pg_rewrite'::regclass AND r.oid = u.objid
  JOIN pg_class v ON v.oid = r.ev_class
  JOIN pg_namespace n ON n.oid = v.relnamespace
 WHERE v.oid <> u.child
UNION ALL
SELECT u.child, 0, 'function ' || u.objid::regprocedure::text
  FROM used u
 WHERE u.classid = 'pg_proc'::regclass
UNION ALL
SELECT u.child, 0, format('policy %I of table %I.%I', p.polname, n.nspname, c.relname)
  FROM used u
  JOIN pg_policy p ON u.classid = 'pg_policy'::regclass AND p.oid = u.objid
  JOIN pg_class c ON c.oid = p.polrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid <> u.child
UNION ALL
SELECT u.child, 0, format('column %I of %I.%I', a.attname, n.nspname, c.relname)
  FROM used u
  JOIN pg_attribute a ON u.classid = 'pg_class'::regclass AND a.attrelid = u.objid AND a.attnum = u.objsubid
  JOIN pg_class c ON c.oid = u.objid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid <> u.child
UNION ALL
SELECT f.confrelid, 0, format('foreign key %I of %I.%I', f.conname, n.nspname, c.relname)
  FROM referenced f
  JOIN pg_class c ON c.oid = f.conrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
UNION ALL
SELECT i.inhparent, 0, format('table %I.%I inherits from it', n.nspname, c.relname)
  FROM inherited i
  JOIN pg_class c ON c.oid = i.inhrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
UNION ALL
SELECT i.inhrelid, i.inhparent, format('table %I.%I is another parent of it', n.nspname, c.relname)
  FROM several s
  JOIN child ON child.oid = s.inhrelid
  JOIN pg_inherits i ON i.inhrelid = s.inhrelid
  JOIN pg_class c ON c.oid = i.inhparent
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE EXISTS (SELECT FROM pg_inherits o WHERE o.inhrelid = i.inhrelid AND o.inhparent <> i.inhparent)
 ORDER BY 1, 3, 2;
