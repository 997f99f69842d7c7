-- The routing functions of the sets.
-- $1, $2: schemas and names; each set has three in a row.
SELECT w.ord - 1 AS place,
       p.prosrc,
       p.prosecdef,
       pg_get_userbyid(p.proowner) AS owner,
       p.prorettype = 'trigger'::regtype AND p.pronargs = 0 AS is_trigger
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (nsp, name, ord)
  JOIN pg_namespace n ON n.nspname = w.nsp
  JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = w.name;
