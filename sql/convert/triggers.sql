-- The triggers that somebody made on a table.
-- $1: the table.
SELECT t.tgname, pg_get_triggerdef(t.oid) AS definition, t.tgenabled::text AS enabled, t.tgtype & 1 = 1 AS for_rows
  FROM pg_trigger t
 WHERE t.tgrelid = $1 AND NOT t.tgisinternal
 ORDER BY 1;
