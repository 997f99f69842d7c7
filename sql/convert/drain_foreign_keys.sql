-- The foreign keys of a parent that tables lack which are to become its partitions, or that
-- are not validated there: the table, the name, the definition, and whether it is there.
-- $1: the parent; $2: what the tables are partitions of until the end.
SELECT n.nspname AS schema, c.relname AS local, f.conname AS name, pg_get_constraintdef(f.oid) AS definition, g.oid IS NOT NULL AS made
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_constraint f ON f.conrelid = $1 AND f.contype = 'f' AND f.conparentid = 0
  LEFT JOIN pg_constraint g ON g.conrelid = c.oid AND g.contype = 'f' AND g.conname = f.conname
 WHERE i.inhparent = $2 AND NOT coalesce(g.convalidated, false)
 ORDER BY c.oid, f.conname;
