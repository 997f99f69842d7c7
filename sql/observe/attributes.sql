-- The columns of parents and partitions, each with all tables that have one like
-- it: most partitions' are alike. Dropped ones count, for two tables are deparsed
-- alike where the same numbers have the same names.
-- $1, $2: schemas and names of the parents; $3: as in children.sql.
--
-- The tables come from a subquery, so that the planner looks them up by index,
-- all in one scan, instead of comparing each with its statistics first.
WITH parents AS (
  SELECT DISTINCT c.oid, w.mark
    FROM unnest($1::text[], $2::text[], $3::text[]) AS w (nsp, rel, mark)
    JOIN pg_namespace n ON n.nspname = w.nsp
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.rel
), family AS (
  SELECT oid FROM parents
  UNION
  SELECT i.inhrelid
    FROM parents p
    JOIN pg_inherits i ON i.inhparent = p.oid
  UNION
  SELECT k.conrelid
    FROM parents p
    JOIN pg_constraint k ON k.conname = p.mark AND k.contype = 'c'
), columns AS (
  SELECT a.attnum, a.attname, a.atttypid, a.atttypmod, a.attisdropped, a.attnotnull,
         a.attgenerated, a.attstorage, a.attacl IS NOT NULL AS acl, array_agg(a.attrelid) AS tables
    FROM pg_attribute a
   WHERE a.attrelid = ANY (ARRAY(SELECT oid FROM family)) AND a.attnum > 0
   GROUP BY a.attnum, a.attname, a.atttypid, a.atttypmod, a.attisdropped, a.attnotnull,
         a.attgenerated, a.attstorage, a.attacl IS NOT NULL
)
SELECT a.tables,
       a.attnum,
       a.attname,
       a.atttypid,
       a.atttypmod,
       a.attisdropped,
       a.attnotnull,
       a.attgenerated <> '' AS generated,
       a.acl,
       CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage END AS storage,
       CASE WHEN NOT a.attisdropped THEN format_type(a.atttypid, a.atttypmod) END AS type
  FROM columns a
  LEFT JOIN pg_type t ON t.oid = a.atttypid;
