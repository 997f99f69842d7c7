-- What a table's rows span, in seconds since 1970, whether the key of some row is NULL
-- or infinite, and the CHECK that an earlier try has left: whether it is validated, and its
-- bounds.
-- %[1]s: the key; %[2]s: the table; $1: its OID; $2: the name of the CHECK; $3: the key's type.
SELECT extract(epoch FROM (SELECT min(%[1]s) FROM %[2]s WHERE isfinite(%[1]s)))::float8,
       extract(epoch FROM (SELECT max(%[1]s) FROM %[2]s WHERE isfinite(%[1]s)))::float8,
       EXISTS (SELECT FROM %[2]s WHERE %[1]s IS NULL OR NOT isfinite(%[1]s)),
       k.convalidated,
       CASE WHEN $3 = 'date' THEN extract(epoch FROM k.edge[1]::date) WHEN $3 LIKE '%% with %%' THEN extract(epoch FROM k.edge[1]::timestamptz) ELSE extract(epoch FROM k.edge[1]::timestamp) END::float8,
       CASE WHEN $3 = 'date' THEN extract(epoch FROM k.edge[2]::date) WHEN $3 LIKE '%% with %%' THEN extract(epoch FROM k.edge[2]::timestamptz) ELSE extract(epoch FROM k.edge[2]::timestamp) END::float8
  FROM (SELECT) AS one
  LEFT JOIN (SELECT convalidated, regexp_match(pg_get_constraintdef(oid), '>= ''([^'']+)''.* < ''([^'']+)''') AS edge
               FROM pg_constraint WHERE conrelid = $1 AND contype = 'c' AND conname = $2) AS k ON true;
