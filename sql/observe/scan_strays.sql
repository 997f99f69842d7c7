-- The rows in a parent itself, by the day or hour of their key; NULL and the
-- infinities make one group. {table} and {key} are quoted names, {unit} is the
-- grid's, {wall} the key as a wall clock reading in the set's time zone.
SELECT CASE WHEN isfinite({key}) THEN date_trunc({unit}, {wall}) END AS span,
       count(*) AS rows,
       count(*) - count({key}) AS nulls,
       extract(epoch FROM min({key})) AS first,
       min({key})::text AS first_text,
       extract(epoch FROM max({key})) AS last,
       max({key})::text AS last_text
  FROM ONLY {table}
 GROUP BY 1
 ORDER BY 1;
