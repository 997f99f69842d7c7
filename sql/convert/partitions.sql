-- The partitions of a declarative parent, with their bounds as the text of a CHECK on
-- the bare key: '' for a default partition.
-- $1: the parent; $2: the key column, quoted; $3: the key's type.
SELECT c.oid, n.nspname, c.relname, b.bound = 'DEFAULT' AS is_default, c.relkind::text,
       coalesce(concat_ws(' AND ', nullif($2::text || ' >= ' || nullif(b.part[1], 'MINVALUE') || '::' || $3::text, ''),
                                   nullif($2::text || ' < ' || nullif(b.part[2], 'MAXVALUE') || '::' || $3::text, '')), '') AS expression,
       (SELECT k.convalidated FROM pg_constraint k
         WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conname = 'partition_bounds') AS checked
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bound,
                            regexp_match(pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \((.*)\) TO \((.*)\)$') AS part) AS b
 WHERE i.inhparent = $1
 ORDER BY n.nspname, c.relname;
