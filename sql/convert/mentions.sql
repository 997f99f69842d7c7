-- The functions whose text speaks of a table by its name. They go on as they are,
-- with whatever table has that name.
-- $1: the table's name without its schema; $2: names of functions to leave out.
SELECT p.oid::regprocedure::text
  FROM pg_proc p
 WHERE p.prosqlbody IS NULL AND p.proname <> ALL ($2::text[])
   AND p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
   AND p.prosrc ~ ('\m' || regexp_replace($1, '([^A-Za-z0-9_])', '\\\1', 'g') || '\M')
 ORDER BY 1;
