-- The indexes of a table: their names, what makes the like on another table, and
-- whether they have to be widened because they are unique without the key column.
-- $1: the table; $2: its key column.
SELECT d.name,
       d.is_unique || substr(d.definition, length(d.prefix) + 1) AS definition,
       coalesce(con.contype::text, '') AS contype,
       coalesce(pg_get_constraintdef(con.oid), '') AS constraint_definition,
       d.indisunique AND a.attnum <> ALL ((d.indkey::int2[])[0:d.indnkeyatts - 1]) AS narrow,
       coalesce(obj_description(d.indexrelid, 'pg_class'), '') AS comment,
       d.indisvalid AS valid,
       quote_ident($2) AS key
  FROM (SELECT i.indexrelid, i.indrelid, i.indkey, i.indnkeyatts, i.indisunique, i.indisvalid, c.relname AS name,
               CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END AS is_unique,
               format('CREATE %sINDEX %I ON %s%I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, c.relname,
                      CASE WHEN c.relkind = 'I' THEN 'ONLY ' ELSE '' END, n.nspname, t.relname) AS prefix,
               pg_get_indexdef(i.indexrelid) AS definition
          FROM pg_index i
          JOIN pg_class c ON c.oid = i.indexrelid
          JOIN pg_class t ON t.oid = i.indrelid
          JOIN pg_namespace n ON n.oid = t.relnamespace
         WHERE i.indrelid = $1) AS d
  JOIN pg_attribute a ON a.attrelid = d.indrelid AND a.attname = $2
  LEFT JOIN pg_constraint con ON con.conindid = d.indexrelid AND con.conrelid = d.indrelid AND con.contype IN ('p', 'u')
 ORDER BY d.name;
