-- The names in the parents' schemas that a set's pattern could make, and that
-- something else than a partition of the set has: a relation, or a type, for a
-- table needs a type of its name as well. The array type that PostgreSQL made for
-- another type gives way.
-- $1: the parents, 0 where there is none; $2: their schemas; $3, $4: the range
-- of names, by which the index on names finds them; $5: the patterns, exactly.
SELECT w.ord - 1 AS set, c.relname AS name
  FROM unnest($1::oid[], $2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS w (parent, nsp, low, high, pattern, ord)
  JOIN pg_namespace n ON n.nspname = w.nsp
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname >= w.low AND c.relname < w.high AND c.relname ~ w.pattern
 WHERE NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND i.inhparent = w.parent)
UNION
SELECT w.ord - 1, t.typname
  FROM unnest($1::oid[], $2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS w (parent, nsp, low, high, pattern, ord)
  JOIN pg_namespace n ON n.nspname = w.nsp
  JOIN pg_type t ON t.typnamespace = n.oid AND t.typname >= w.low AND t.typname < w.high AND t.typname ~ w.pattern
 WHERE t.typrelid = 0 AND (SELECT e.typarray FROM pg_type e WHERE e.oid = t.typelem) IS DISTINCT FROM t.oid
 ORDER BY 1, 2;
