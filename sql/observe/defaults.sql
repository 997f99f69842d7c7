-- The defaults of columns, by the columns' numbers. What generates a column is no
-- default; a default has no columns in it, so it needs no table to be deparsed by.
-- $1: the tables; $2, $3: tables and numbers of generated columns.
SELECT d.adrelid, d.adnum, pg_get_expr(d.adbin, 0) AS expression
  FROM unnest($1::oid[]) AS f (oid)
  JOIN pg_attrdef d ON d.adrelid = f.oid
 WHERE NOT EXISTS (SELECT FROM unnest($2::oid[], $3::integer[]) AS g (oid, num) WHERE g.oid = d.adrelid AND g.num = d.adnum);
