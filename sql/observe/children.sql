-- The partitions of the sets: what inherits from a parent directly, or is declared
-- to be its partition; one that DETACH CONCURRENTLY has begun to take out is
-- "pending". Then the tables that a pass has taken out of a declarative parent and
-- not got to the end with, "detached": a CHECK of a certain name tells.
-- $1, $2: schemas and names of the parents, in the order of the sets; $3: those
-- names of CHECKs.
--
-- A bound has no columns in it, so it needs no table to be deparsed by; pg_class
-- stands for one, since it is locked by nobody. relpages is 0 until a first VACUUM,
-- which is too late for a default partition.
WITH wanted AS (
  SELECT w.ord, w.mark, w.nsp, p.relnamespace, p.oid AS parent
    FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w (nsp, rel, mark, ord)
    JOIN pg_namespace pn ON pn.nspname = w.nsp
    JOIN pg_class p ON p.relnamespace = pn.oid AND p.relname = w.rel
), family AS (
  SELECT w.ord, w.nsp, w.relnamespace, i.inhrelid AS oid, i.inhdetachpending AS pending, false AS detached
    FROM wanted w
    JOIN pg_inherits i ON i.inhparent = w.parent
  UNION ALL
  SELECT w.ord, w.nsp, w.relnamespace, k.conrelid, false, true
    FROM wanted w
    JOIN pg_constraint k ON k.conname = w.mark AND k.contype = 'c'
   WHERE NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = k.conrelid)
)
SELECT f.ord - 1 AS set,
       c.oid,
       CASE WHEN c.relnamespace = f.relnamespace THEN f.nsp
            ELSE (SELECT n.nspname FROM pg_namespace n WHERE n.oid = c.relnamespace) END AS nspname,
       c.relname,
       c.relkind,
       pg_get_userbyid(c.relowner) AS owner,
       c.reltuples::bigint AS rows,
       c.relpages AS pages,
       c.relrowsecurity,
       c.relforcerowsecurity,
       c.relreplident,
       c.relacl IS NOT NULL AS acl,
       c.reloptions IS NOT NULL AS options,
       c.reltoastrelid AS toast,
       b.bound,
       CASE WHEN b.bound = 'DEFAULT' AND c.relkind = 'r' THEN pg_relation_size(c.oid) END AS default_size,
       f.pending,
       f.detached,
       CASE WHEN c.reltablespace <> 0 THEN (SELECT s.spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace) END AS tablespace
  FROM family f
  JOIN pg_class c ON c.oid = f.oid
 CROSS JOIN LATERAL (SELECT CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, 'pg_class'::regclass) END AS bound OFFSET 0) AS b;
