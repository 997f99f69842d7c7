-- When the parents were last analyzed, in microseconds since 1970, and whether
-- there are statistics over a parent with its partitions. Neither needs a
-- privilege; pg_stats shows what the role may read.
-- $1: the parents.
SELECT c.oid,
       (extract(epoch FROM greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid))) * 1000000)::bigint AS last,
       EXISTS (SELECT FROM pg_stats s
                WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND s.inherited) AS analyzed
  FROM unnest($1::oid[]) AS f (oid)
  JOIN pg_class c ON c.oid = f.oid
  JOIN pg_namespace n ON n.oid = c.relnamespace;
