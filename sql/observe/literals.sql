-- The values of constants that CHECK constraints compare with, in seconds since
-- 1970, by the server that printed them. A date may be one that no timestamp can
-- hold, so each type is taken for itself.
-- $1, $2: the texts and their types.
SELECT l.ord - 1 AS place,
       CASE l.type WHEN 'date' THEN extract(epoch FROM l.text::date)
                   WHEN 'timestamp without time zone' THEN extract(epoch FROM l.text::timestamp without time zone)
                   ELSE extract(epoch FROM l.text::timestamp with time zone) END AS seconds
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS l (text, type, ord);
