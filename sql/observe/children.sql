-- The partitions of the sets: what inherits from a parent directly. A partition
-- that DETACH CONCURRENTLY has begun to take out is none any more.
-- $1, $2: schemas and names of the parents, in the order of the sets.
SELECT w.ord - 1 AS set,
       c.oid,
       CASE WHEN c.relnamespace = pn.oid THEN pn.nspname
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
       c.reltoastrelid AS toast
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (nsp, rel, ord)
  JOIN pg_namespace pn ON pn.nspname = w.nsp
  JOIN pg_class p ON p.relnamespace = pn.oid AND p.relname = w.rel
  JOIN pg_inherits i ON i.inhparent = p.oid
  JOIN pg_class c ON c.oid = i.inhrelid
 WHERE NOT i.inhdetachpending;
