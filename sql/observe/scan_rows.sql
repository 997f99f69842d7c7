-- What a partition's rows show of its bounds, where no CHECK can be read.
-- {table} and {key} are quoted names.
SELECT count(*) AS rows,
       count(*) - count({key}) AS nulls,
       extract(epoch FROM min({key})) AS first,
       extract(epoch FROM max({key})) AS last,
       min({key})::text AS first_text,
       max({key})::text AS last_text
  FROM {table};
