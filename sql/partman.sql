-- The sets of pg_partman 4 and 5, whatever schema it is in: %[1]s is that schema.
-- What a version has no column for reads as NULL.
SELECT coalesce(n.nspname, split_part(c.parent_table, '.', 1)) AS schema,
       coalesce(t.relname, substr(c.parent_table, strpos(c.parent_table, '.') + 1)) AS parent,
       t.oid IS NOT NULL AS found,
       coalesce(t.relkind = 'p', false) AS declarative,
       c.control,
       coalesce(format_type(a.atttypid, NULL), '') AS key_type,
       coalesce(c.epoch, 'none') AS epoch,
       c.partition_type,
       c.partition_interval,
       c.premake,
       coalesce(j.row ->> 'datetime_string', '') AS datetime_string,
       coalesce(c.retention, '') AS retention,
       coalesce(c.retention_schema, '') AS retention_schema,
       c.retention_keep_table,
       coalesce(j.row ->> 'template_table', '') AS template_table,
       coalesce(c.automatic_maintenance, '') AS automatic_maintenance,
       EXISTS (SELECT FROM %[1]s.part_config_sub s WHERE s.sub_parent = c.parent_table) AS sub_partitioned,
       EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgname = t.relname || '_part_trig') AS trigger,
       current_setting('TimeZone') AS time_zone
  FROM %[1]s.part_config c
 CROSS JOIN LATERAL (SELECT to_jsonb(c) AS row) AS j
  LEFT JOIN pg_namespace n ON n.nspname = split_part(c.parent_table, '.', 1)
  LEFT JOIN pg_class t ON t.relnamespace = n.oid AND t.relname = substr(c.parent_table, strpos(c.parent_table, '.') + 1)
  LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = c.control AND NOT a.attisdropped
 ORDER BY 1, 2;
