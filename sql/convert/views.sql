-- The views that read a table, with what makes each of them anew with the text that
-- it has: by whatever table has the name then.
-- $1: the table.
SELECT DISTINCT format('%I.%I', n.nspname, v.relname) AS view,
       format('CREATE OR REPLACE VIEW %I.%I%s AS %s', n.nspname, v.relname,
         ' WITH (' || (SELECT string_agg(format('%s = %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') FROM unnest(v.reloptions) AS o) || ')',
         rtrim(pg_get_viewdef(v.oid), '; ')) AS statement,
       pg_get_userbyid(v.relowner) AS owner
  FROM pg_depend d
  JOIN pg_rewrite r ON r.oid = d.objid
  JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
  JOIN pg_namespace n ON n.oid = v.relnamespace
 WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
 ORDER BY 1;
