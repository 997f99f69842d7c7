-- To whom ALTER DEFAULT PRIVILEGES would grant something on a new table that
-- the parent's owner makes in the parent's schema. PUBLIC is empty.
-- $1: the parents.
SELECT DISTINCT c.oid, CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END AS role
  FROM unnest($1::oid[]) AS f (oid)
  JOIN pg_class c ON c.oid = f.oid
  JOIN pg_default_acl d ON d.defaclrole = c.relowner AND d.defaclobjtype = 'r' AND d.defaclnamespace IN (0, c.relnamespace)
 CROSS JOIN LATERAL aclexplode(d.defaclacl) AS a
 WHERE a.grantee <> c.relowner
 ORDER BY 1, 2;
