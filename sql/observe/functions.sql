-- The routing functions of the sets, and whether each has a search path of its own.
-- They are long, so of one whose body has the digest that its first line tells,
-- as route.sql's have, that line is all that is sent, and "whole" is true.
-- $1, $2: schemas and names; each set has three in a row; $3: the first line's form,
-- with the digest, the SHA-256 of all lines after it, at the end.
--
-- As bytes it is decompressed once, and a part costs no more than its length.
SELECT w.ord - 1 AS place,
       CASE WHEN h.whole THEN h.header ELSE p.prosrc END AS source,
       h.whole,
       p.prosecdef,
       pg_get_userbyid(p.proowner) AS owner,
       p.prorettype = 'trigger'::regtype AND p.pronargs = 0 AS is_trigger,
       EXISTS (SELECT FROM unnest(p.proconfig) AS c (setting) WHERE starts_with(c.setting, 'search_path=')) AS has_search_path
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (nsp, name, ord)
  JOIN pg_namespace n ON n.nspname = w.nsp
  JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = w.name
 CROSS JOIN LATERAL (SELECT convert_to(p.prosrc, 'UTF8') AS source OFFSET 0) AS s
 CROSS JOIN LATERAL (SELECT position('\x0a'::bytea IN substr(s.source, 2, 201)) AS size OFFSET 0) AS l
 CROSS JOIN LATERAL (SELECT CASE WHEN l.size BETWEEN 2 AND 200 AND substr(s.source, 1, 1) = '\x0a' THEN substr(left(p.prosrc, l.size), 2) END AS header OFFSET 0) AS t
 CROSS JOIN LATERAL (
        SELECT t.header,
               CASE WHEN t.header ~ $3
                    THEN encode(sha256(substr(s.source, l.size + 2)), 'hex') = right(t.header, 64)
                    ELSE false END AS whole
        OFFSET 0
       ) AS h;
