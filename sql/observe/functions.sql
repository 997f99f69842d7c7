-- The routing functions of the sets, and whether each has a search path of its own.
-- $1, $2: schemas and names; each set has three in a row.
SELECT w.ord - 1 AS place,
       p.prosrc,
       p.prosecdef,
       pg_get_userbyid(p.proowner) AS owner,
       p.prorettype = 'trigger'::regtype AND p.pronargs = 0 AS is_trigger,
       EXISTS (SELECT FROM unnest(p.proconfig) AS c (setting) WHERE starts_with(c.setting, 'search_path=')) AS has_search_path
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (nsp, name, ord)
  JOIN pg_namespace n ON n.nspname = w.nsp
  JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = w.name;
