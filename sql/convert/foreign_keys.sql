-- The foreign keys of a table.
-- $1: the table.
SELECT f.conname, pg_get_constraintdef(f.oid) AS definition
  FROM pg_constraint f
 WHERE f.conrelid = $1 AND f.contype = 'f' AND f.conparentid = 0
 ORDER BY 1;
