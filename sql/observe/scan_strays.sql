-- The rows in a parent itself, or in a default partition, by the day or hour of
-- their key; NULL and what is no date make one group. {table} and {key} are quoted
-- names, {unit} is the grid's, {moment} the key as a date or time, {finite} whether
-- it is one, {wall} it as a wall clock reading in the set's time zone, and {ordered}
-- the key as what has a least value.
SELECT CASE WHEN {finite} THEN date_trunc({unit}, {wall}) END AS span,
       count(*) AS rows,
       count(*) - count({key}) AS nulls,
       extract(epoch FROM min({moment})) AS first,
       min({ordered})::text AS first_text,
       extract(epoch FROM max({moment})) AS last,
       max({ordered})::text AS last_text
  FROM ONLY {table}
 GROUP BY 1
 ORDER BY 1;
