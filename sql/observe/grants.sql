-- The privileges on tables and on their columns, but the owner's own. The
-- column is empty for the table, the role is empty for PUBLIC. Without an ACL
-- there are only the owner's privileges (PostgreSQL documentation, 5.7
-- Privileges). One that several roles granted comes once for each.
-- $1: the tables; $2: those of them that have columns with an ACL.
SELECT c.oid,
       '' AS column,
       CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END AS role,
       a.privilege_type,
       a.is_grantable
  FROM unnest($1::oid[]) AS f (oid)
  JOIN pg_class c ON c.oid = f.oid
 CROSS JOIN LATERAL aclexplode(c.relacl) AS a
 WHERE c.relacl IS NOT NULL AND a.grantee <> c.relowner
UNION ALL
SELECT c.oid,
       t.attname,
       CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END,
       a.privilege_type,
       a.is_grantable
  FROM unnest($2::oid[]) AS f (oid)
  JOIN pg_class c ON c.oid = f.oid
  JOIN pg_attribute t ON t.attrelid = c.oid
 CROSS JOIN LATERAL aclexplode(t.attacl) AS a
 WHERE t.attacl IS NOT NULL AND t.attnum > 0 AND NOT t.attisdropped AND a.grantee <> c.relowner;
