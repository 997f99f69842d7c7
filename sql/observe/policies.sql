-- The row security policies, as the rest of CREATE POLICY name ON table.
-- $1: the tables; $2: for each a table by which its expressions are deparsed, as
-- in checks.sql. With one for many, columns that are written with their table's
-- name, as in a subquery, look alike, too.
SELECT p.polrelid,
       p.polname,
       'AS ' || CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END
       || ' FOR ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END
       || ' TO ' || (SELECT string_agg(CASE WHEN r.oid = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.oid)) END, ', '
                                       ORDER BY CASE WHEN r.oid = 0 THEN '' ELSE pg_get_userbyid(r.oid) END)
                       FROM unnest(p.polroles) AS r (oid))
       || coalesce(' USING (' || pg_get_expr(p.polqual, f.alike) || ')', '')
       || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, f.alike) || ')', '') AS rest
  FROM unnest($1::oid[], $2::oid[]) AS f (oid, alike)
  JOIN pg_policy p ON p.polrelid = f.oid;
