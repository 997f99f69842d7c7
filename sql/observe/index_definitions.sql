-- The definitions of indexes without their own and their table's name, such as
-- "UNIQUE USING btree (a)", or of exclusion constraints and keys WITHOUT OVERLAPS.
-- $1: the indexes.
--
-- What is cut off is made here as pg_get_indexdef makes it, so that no name with
-- a blank, a quote or a " USING " in it can mislead.
--
-- Deparsing reads the catalogs as they are now, and answers NULL where the index
-- has been dropped since this transaction began: "gone".
SELECT d.indexrelid,
       CASE WHEN d.excludes THEN d.definition
            WHEN starts_with(d.definition, d.prefix) THEN d.is_unique || substr(d.definition, length(d.prefix) + 1)
       END AS definition,
       d.definition IS NULL AS gone
  FROM (SELECT i.indexrelid,
               con.oid IS NOT NULL AS excludes,
               CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END AS is_unique,
               format('CREATE %sINDEX %I ON %s%I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, c.relname,
                      CASE WHEN c.relkind = 'I' THEN 'ONLY ' ELSE '' END, n.nspname, t.relname) AS prefix,
               CASE WHEN con.oid IS NOT NULL THEN pg_get_constraintdef(con.oid) ELSE pg_get_indexdef(i.indexrelid) END AS definition
          FROM unnest($1::oid[]) AS f (oid)
          JOIN pg_index i ON i.indexrelid = f.oid
          JOIN pg_class c ON c.oid = i.indexrelid
          JOIN pg_class t ON t.oid = i.indrelid
          JOIN pg_namespace n ON n.oid = t.relnamespace
          LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid AND con.conrelid = i.indrelid AND i.indisexclusion
       ) AS d;
