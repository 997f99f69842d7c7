-- The publications that list a table, with the columns and the row filter as
-- ALTER PUBLICATION ... ADD TABLE takes them. Publications of all tables or of a
-- schema hold every partition anyway.
-- $1: the tables; $2: for each a table by which its row filter is deparsed, as in
-- checks.sql.
--
-- PostgreSQL 15 added prqual and prattrs; before, the names mean the constants here.
SELECT x.prrelid,
       x.pubname,
       concat_ws(' ',
         '(' || (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
                   FROM unnest(x.columns) AS c (num)
                   JOIN pg_attribute a ON a.attrelid = x.prrelid AND a.attnum = c.num) || ')',
         'WHERE (' || pg_get_expr(x.filter, x.alike) || ')') AS rest
  FROM (SELECT NULL::pg_node_tree AS prqual, NULL::int2vector AS prattrs) AS absent
 CROSS JOIN LATERAL (
        SELECT r.prrelid, f.alike, p.pubname, prqual AS filter, prattrs::int2[] AS columns
          FROM unnest($1::oid[], $2::oid[]) AS f (oid, alike)
          JOIN pg_publication_rel r ON r.prrelid = f.oid
          JOIN pg_publication p ON p.oid = r.prpubid
       ) AS x;
