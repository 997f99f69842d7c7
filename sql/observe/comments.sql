-- The comments on tables, where the number is 0, and on their columns.
-- $1: the tables.
SELECT d.objoid, d.objsubid, d.description
  FROM unnest($1::oid[]) AS f (oid)
  JOIN pg_description d ON d.objoid = f.oid
 WHERE d.classoid = 'pg_class'::regclass;
