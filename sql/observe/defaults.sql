-- The defaults of columns. What generates a column is no default; a default
-- has no columns in it, so it needs no table to be deparsed by.
-- $1: the tables.
SELECT d.adrelid, a.attname, pg_get_expr(d.adbin, 0) AS expression
  FROM unnest($1::oid[]) AS f (oid)
  JOIN pg_attrdef d ON d.adrelid = f.oid
  JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
 WHERE a.attgenerated = '';
