-- The rows of a partition that lie outside the bounds which a CHECK that is NOT
-- VALID claims. {table} and {key} are quoted names, {outside} is the condition.
SELECT count(*) AS all,
       count(*) FILTER (WHERE {outside}) AS rows,
       count(*) - count({key}) AS nulls,
       min({key}) FILTER (WHERE {outside})::text AS first_text,
       max({key}) FILTER (WHERE {outside})::text AS last_text
  FROM {table};
