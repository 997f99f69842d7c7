-- The parents of the sets: whatever relation has the configured name.
-- $1, $2: schemas and names, in the order of the sets.
--
-- A role acts as the owner by SET ROLE, which PostgreSQL 16 made a matter of its
-- own (PostgreSQL documentation, 9.27.2 Access Privilege Inquiry Functions). NOT NULL
-- is a constraint since PostgreSQL 18, and may be one that children do not inherit.
-- A table that Citus distributes depends on that extension.
SELECT w.ord - 1 AS set,
       c.oid,
       c.relkind,
       pg_get_userbyid(c.relowner) AS owner,
       c.reltuples::bigint AS rows,
       c.relpages AS pages,
       c.relrowsecurity,
       c.relforcerowsecurity,
       c.relreplident,
       pg_has_role(c.relowner, CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END) AS may_act,
       has_schema_privilege(c.relowner, c.relnamespace, 'CREATE') AS owner_may_create,
       CASE WHEN c.relkind = 'r' THEN coalesce(pg_relation_size(c.oid), 0) > 0 ELSE false END AS has_pages,
       c.relacl IS NOT NULL AS acl,
       c.reloptions IS NOT NULL AS options,
       c.reltoastrelid AS toast,
       CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS partitioned_by,
       (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = k.partattrs[0] AND k.partstrat = 'r' AND k.partnatts = 1) AS range_column,
       (SELECT array_agg(k.conkey[1]) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'n' AND k.connoinherit) AS own_not_null,
       EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'citus'
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.refclassid = 'pg_extension'::regclass) AS distributed,
       s.spcname AS tablespace,
       has_tablespace_privilege(c.relowner, s.oid, 'CREATE') AS owner_may_use_tablespace
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (nsp, rel, ord)
  JOIN pg_namespace n ON n.nspname = w.nsp
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.rel
  LEFT JOIN pg_partitioned_table k ON k.partrelid = c.oid
  LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace;
