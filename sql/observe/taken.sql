-- The names in the parents' schemas that a set's pattern could make, and that
-- something else than a partition of the set has: a relation, or a type, for a
-- table needs a type of its name as well. The array type that PostgreSQL made for
-- another type gives way.
-- $1: the parents, 0 where there is none; $2: their schemas; $3, $4: the range
-- of names, by which the index on names finds them; $5: what all those names have
-- but for digits, which tells partitions from their indexes for less than the
-- pattern takes; $6: the patterns, exactly.
WITH wanted AS MATERIALIZED (
  SELECT w.ord - 1 AS set, w.parent, n.oid AS nsp, w.low, w.high, w.letters, w.pattern
    FROM unnest($1::oid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY AS w (parent, nsp, low, high, letters, pattern, ord)
    JOIN pg_namespace n ON n.nspname = w.nsp
), other AS MATERIALIZED (
  SELECT w.set, w.pattern, c.relname AS name
    FROM wanted w
    JOIN pg_class c ON c.relnamespace = w.nsp AND c.relname >= w.low AND c.relname < w.high
                   AND translate(c.relname, '0123456789', '') = w.letters
   WHERE NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND i.inhparent = w.parent)
)
SELECT set, name
  FROM other
 WHERE name ~ pattern
UNION
SELECT w.set, t.typname
  FROM wanted w
  JOIN pg_type t ON t.typnamespace = w.nsp AND t.typname >= w.low AND t.typname < w.high AND t.typrelid = 0 AND t.typname ~ w.pattern
 WHERE (SELECT e.typarray FROM pg_type e WHERE e.oid = t.typelem) IS DISTINCT FROM t.oid
 ORDER BY 1, 2;
