-- The table of holds, where there is one, and what the role may do with it. It
-- is looked for in the catalog, since to_regclass would fail without USAGE on the
-- schema. A lock that keeps others from writing takes a privilege to write
-- (PostgreSQL documentation, LOCK).
SELECT c.relkind,
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS may_read,
       has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') AS may_lock
  FROM pg_namespace n
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'hold'
 WHERE n.nspname = 'partitiond';
