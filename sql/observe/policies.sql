-- The row security policies, as the rest of CREATE POLICY name ON table.
-- $1: the tables.
SELECT p.polrelid,
       p.polname,
       'AS ' || CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END
       || ' FOR ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END
       || ' TO ' || (SELECT string_agg(CASE WHEN r.oid = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.oid)) END, ', '
                                       ORDER BY CASE WHEN r.oid = 0 THEN '' ELSE pg_get_userbyid(r.oid) END)
                       FROM unnest(p.polroles) AS r (oid))
       || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
       || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '') AS rest
  FROM unnest($1::oid[]) AS f (oid)
  JOIN pg_policy p ON p.polrelid = f.oid;
