-- The names in the parents' schemas that a set's pattern could make, or that its
-- default partition would have, and that something else than a partition of the set has: a relation, or a type, for a
-- table needs a type of its name as well. The array type that PostgreSQL made for
-- another type gives way.
-- $1: the parents, 0 where there is none, again for the default partition's name; $2: their schemas; $3, $4: the range
-- of names, by which the index on names finds them; $5: the last character of
-- those names, empty for a digit, which tells most indexes from partitions for
-- less than the pattern takes; $6: the patterns, exactly.
--
-- OFFSET keeps it a look-up by name for each set.
WITH wanted AS MATERIALIZED (
  SELECT w.ord - 1 AS set, w.parent, n.oid AS nsp, w.low, w.high, w.ending, w.pattern
    FROM unnest($1::oid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY AS w (parent, nsp, low, high, ending, pattern, ord)
    JOIN pg_namespace n ON n.nspname = w.nsp
), other AS MATERIALIZED (
  SELECT w.set, w.pattern, c.relname AS name
    FROM wanted w
   CROSS JOIN LATERAL (
          SELECT c.oid, c.relname
            FROM pg_class c
           WHERE c.relnamespace = w.nsp AND c.relname >= w.low AND c.relname < w.high
             AND translate(right(c.relname, 1), '0123456789', '') = w.ending
          OFFSET 0
         ) AS c
   WHERE NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND i.inhparent = w.parent)
)
SELECT set, name
  FROM other
 WHERE name ~ pattern
UNION
SELECT w.set, t.typname
  FROM wanted w
 CROSS JOIN LATERAL (
        SELECT t.oid, t.typname, t.typelem
          FROM pg_type t
         WHERE t.typnamespace = w.nsp AND t.typname >= w.low AND t.typname < w.high AND t.typrelid = 0
           AND translate(right(t.typname, 1), '0123456789', '') = w.ending
        OFFSET 0
       ) AS t
 WHERE t.typname ~ w.pattern AND (SELECT e.typarray FROM pg_type e WHERE e.oid = t.typelem) IS DISTINCT FROM t.oid
 ORDER BY 1, 2;
