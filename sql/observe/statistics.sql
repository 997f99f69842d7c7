-- When the parents were last analyzed, in microseconds since 1970, and whether
-- there are statistics over a parent with its partitions. pg_stats shows them only
-- to who may read all rows; to others, that there was an ANALYZE has to do.
-- $1: the parents.
--
-- LIMIT keeps it a look-up for each parent, in place of a table of all statistics.
SELECT c.oid,
       (extract(epoch FROM l.analyzed) * 1000000)::bigint AS last,
       CASE WHEN has_any_column_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid)
            THEN (SELECT true
                    FROM pg_stats s
                   WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND s.inherited
                   LIMIT 1)
            ELSE l.analyzed IS NOT NULL END AS analyzed
  FROM unnest($1::oid[]) AS f (oid)
  JOIN pg_class c ON c.oid = f.oid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) AS l (analyzed);
