-- The values of constants that CHECK constraints compare with, in seconds since
-- 1970, by the server that printed them.
-- $1, $2: the texts and their types.
SELECT v.ord - 1 AS place, extract(epoch FROM v.value) AS seconds
  FROM (SELECT l.ord,
               CASE l.type WHEN 'date' THEN l.text::date::timestamp without time zone
                           WHEN 'timestamp without time zone' THEN l.text::timestamp without time zone
                           ELSE l.text::timestamp with time zone AT TIME ZONE 'UTC' END AS value
          FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS l (text, type, ord)) AS v;
