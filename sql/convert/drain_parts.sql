-- The tables that a drain has made: each with its name and its bound.
-- $1: what they are partitions of until the end.
SELECT n.nspname AS schema, c.relname AS local, pg_get_expr(c.relpartbound, c.oid) AS bound
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE i.inhparent = $1 AND NOT i.inhdetachpending
 ORDER BY c.oid;
