-- The columns of parents and partitions, with dropped ones, for two tables are
-- deparsed alike where the same numbers have the same names.
-- $1, $2: schemas and names of the parents.
WITH parents AS (
  SELECT DISTINCT c.oid
    FROM unnest($1::text[], $2::text[]) AS w (nsp, rel)
    JOIN pg_namespace n ON n.nspname = w.nsp
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.rel
), family AS (
  SELECT oid, true AS parent FROM parents
  UNION ALL
  SELECT DISTINCT i.inhrelid, false
    FROM parents p
    JOIN pg_inherits i ON i.inhparent = p.oid
   WHERE NOT EXISTS (SELECT FROM parents q WHERE q.oid = i.inhrelid)
)
SELECT a.attrelid,
       a.attnum,
       a.attname,
       a.atttypid,
       a.atttypmod,
       a.attisdropped,
       a.attnotnull,
       a.attgenerated <> '' AS generated,
       a.attacl IS NOT NULL AS acl,
       CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage END AS storage,
       CASE WHEN f.parent AND NOT a.attisdropped THEN format_type(a.atttypid, a.atttypmod) END AS type
  FROM family f
  JOIN pg_attribute a ON a.attrelid = f.oid
  LEFT JOIN pg_type t ON t.oid = a.atttypid
 WHERE a.attnum > 0;
