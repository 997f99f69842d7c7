-- What tables that become partitions have to be like, as one text: the parent's columns,
-- indexes and constraints.
-- %[1]d: the parent's OID.
SELECT pg_catalog.md5(pg_catalog.concat(
  (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', attname, pg_catalog.format_type(atttypid, atttypmod), attcollation::pg_catalog.text, attnotnull::pg_catalog.text, attgenerated), E'\n' ORDER BY attnum)
     FROM pg_catalog.pg_attribute WHERE attrelid = %[1]d AND attnum > 0 AND NOT attisdropped), E'\n',
  (SELECT pg_catalog.string_agg(pg_catalog.pg_get_indexdef(indexrelid), E'\n' ORDER BY indexrelid) FROM pg_catalog.pg_index WHERE indrelid = %[1]d), E'\n',
  (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', conname, pg_catalog.pg_get_constraintdef(oid)), E'\n' ORDER BY conname) FROM pg_catalog.pg_constraint WHERE conrelid = %[1]d)))
