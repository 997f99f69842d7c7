-- The defaults of columns, by the columns' numbers, each with all tables that have
-- it. What generates a column is no default; a default has no columns in it, so it
-- needs no table to be deparsed by.
-- $1: the tables; $2, $3: tables and numbers of generated columns.
WITH alike AS (
  SELECT min(d.oid) AS one, array_agg(d.adrelid) AS tables
    FROM pg_attrdef d
   WHERE d.adrelid = ANY ((SELECT $1::oid[])::oid[])
     AND NOT EXISTS (SELECT FROM unnest($2::oid[], $3::smallint[]) AS g (oid, num) WHERE g.oid = d.adrelid AND g.num = d.adnum)
   GROUP BY d.adnum, d.adbin::text
)
SELECT a.tables, d.adnum, pg_get_expr(d.adbin, 0) AS expression
  FROM alike a
  JOIN pg_attrdef d ON d.oid = a.one;
