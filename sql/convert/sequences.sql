-- The sequences that belong to a table's columns, and those of identity columns.
-- $1: the table.
SELECT a.attname, format('%I.%I', n.nspname, s.relname) AS sequence, d.deptype = 'i' AS identity
  FROM pg_depend d
  JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  JOIN pg_namespace n ON n.oid = s.relnamespace
  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
 WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid > 0
   AND d.deptype IN ('a', 'i')
 ORDER BY 1, 2;
