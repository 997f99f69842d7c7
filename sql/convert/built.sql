-- The unique indexes of tables that have one definition, and whether they are valid.
-- $1: the tables; $2: the definition behind the table's name, without UNIQUE.
SELECT i.indrelid, c.relname, i.indisvalid
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
 WHERE i.indrelid = ANY ($1::oid[]) AND i.indisunique AND right(pg_get_indexdef(i.indexrelid), length($2)) = $2;
