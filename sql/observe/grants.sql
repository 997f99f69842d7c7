-- The privileges on tables and on their columns, but the owner's own, each with
-- all tables that have it by one access control list. The column is empty for the
-- table, the role is empty for PUBLIC. Without a list there are only the owner's
-- privileges (PostgreSQL documentation, 5.7 Privileges). One that several roles
-- granted comes once for each.
-- $1: the tables that have a list; $2: those that have columns with one.
SELECT c.tables,
       '' AS column,
       CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END AS role,
       a.privilege_type,
       a.is_grantable
  FROM (SELECT array_agg(oid) AS tables, relacl, relowner
          FROM pg_class
         WHERE oid = ANY ($1::oid[]) AND relacl IS NOT NULL
         GROUP BY relacl, relowner) AS c
 CROSS JOIN LATERAL aclexplode(c.relacl) AS a
 WHERE a.grantee <> c.relowner
UNION ALL
SELECT ARRAY[c.oid],
       t.attname,
       CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END,
       a.privilege_type,
       a.is_grantable
  FROM unnest($2::oid[]) AS f (oid)
  JOIN pg_class c ON c.oid = f.oid
  JOIN pg_attribute t ON t.attrelid = c.oid
 CROSS JOIN LATERAL aclexplode(t.attacl) AS a
 WHERE t.attacl IS NOT NULL AND t.attnum > 0 AND NOT t.attisdropped AND a.grantee <> c.relowner;
