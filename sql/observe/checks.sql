-- The CHECK constraints of parents and partitions, as pg_get_constraintdef
-- prints them, each with all tables that have one like it: partitions of one
-- period have, in many sets.
-- $1: the tables; $2: for each a table whose columns have the same numbers and
-- names, by which its expressions are deparsed. Deparsing opens that table, so
-- with one for many this neither waits for a lock on each nor loads each.
-- $3, $4: for each the number of its set's key, and a table that has a column of
-- that number and name: it does where the expression has no other column.
--
-- OFFSET keeps it a look-up for each table: hashing all expressions takes longer.
-- PostgreSQL 18 added conenforced; before, the name means the constant here.
WITH alike AS (
  SELECT min(k.oid) AS one, k.conname, k.convalidated, k.connoinherit, k.enforced, k.conislocal,
         k.inherited, k.whole_row, k.by, array_agg(k.conrelid) AS tables
    FROM (SELECT true AS conenforced) AS absent
   CROSS JOIN LATERAL (
          SELECT con.oid, con.conrelid, con.conname, con.expression, con.convalidated, con.connoinherit,
                 con.enforced, con.conislocal, con.coninhcount > 0 AS inherited,
                 CASE WHEN 0 = ANY (con.conkey) THEN con.oid ELSE 0 END AS whole_row,
                 CASE WHEN con.conkey = ARRAY[f.key] THEN f.by_key ELSE f.alike END AS by
            FROM unnest($1::oid[], $2::oid[], $3::smallint[], $4::oid[]) AS f (oid, alike, key, by_key)
           CROSS JOIN LATERAL (
                  SELECT c.*, c.conbin::text AS expression, conenforced AS enforced
                    FROM pg_constraint c
                   WHERE c.conrelid = f.oid AND c.contype = 'c'
                  OFFSET 0
                 ) AS con
         ) AS k
   GROUP BY k.conname, k.expression, k.convalidated, k.connoinherit, k.enforced, k.conislocal, k.inherited, k.whole_row, k.by
)
SELECT k.tables,
       k.conname,
       CASE WHEN k.whole_row <> 0 THEN pg_get_constraintdef(k.one)
            ELSE 'CHECK (' || (SELECT pg_get_expr(c.conbin, k.by) FROM pg_constraint c WHERE c.oid = k.one) || ')'
                 || CASE WHEN k.connoinherit THEN ' NO INHERIT' ELSE '' END
                 || CASE WHEN NOT k.enforced THEN ' NOT ENFORCED'
                         WHEN NOT k.convalidated THEN ' NOT VALID' ELSE '' END
       END AS definition,
       k.convalidated,
       k.connoinherit,
       k.enforced,
       k.conislocal,
       k.inherited
  FROM alike k;
