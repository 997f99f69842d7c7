-- The CHECK constraints of parents and partitions, as pg_get_constraintdef
-- prints them.
-- $1: the tables; $2: for each a table whose columns have the same numbers and
-- names, by which its expressions are deparsed. Deparsing opens that table, so
-- with one for many this neither waits for a lock on each nor loads each.
--
-- PostgreSQL 18 added conenforced; before, the name means the constant here.
SELECT k.conrelid,
       k.conname,
       CASE WHEN k.whole_row THEN pg_get_constraintdef(k.oid)
            ELSE 'CHECK (' || pg_get_expr(k.conbin, k.alike) || ')'
                 || CASE WHEN k.connoinherit THEN ' NO INHERIT' ELSE '' END
                 || CASE WHEN NOT k.enforced THEN ' NOT ENFORCED'
                         WHEN NOT k.convalidated THEN ' NOT VALID' ELSE '' END
       END AS definition,
       k.convalidated,
       k.connoinherit,
       k.enforced,
       k.conislocal,
       k.coninhcount > 0 AS inherited
  FROM (SELECT true AS conenforced) AS absent
 CROSS JOIN LATERAL (
        SELECT con.oid, con.conrelid, con.conname, con.conbin, con.convalidated, con.connoinherit,
               conenforced AS enforced, con.conislocal, con.coninhcount, f.alike,
               coalesce(0 = ANY (con.conkey), false) AS whole_row
          FROM unnest($1::oid[], $2::oid[]) AS f (oid, alike)
          JOIN pg_constraint con ON con.conrelid = f.oid
         WHERE con.contype = 'c'
       ) AS k
 ORDER BY k.conrelid, k.conname;
