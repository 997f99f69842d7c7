-- The comments on tables, where the number is 0, and on their columns, each with
-- all tables that have it.
-- $1: the tables.
SELECT array_agg(d.objoid) AS tables, d.objsubid, d.description
  FROM unnest($1::oid[]) AS f (oid)
  JOIN pg_description d ON d.objoid = f.oid
 WHERE d.classoid = 'pg_class'::regclass
 GROUP BY d.objsubid, d.description;
