-- The indexes of parents and partitions, each with a digest of all that its
-- definition is made from but its table: of indexes with one digest, only one
-- is deparsed, by index_definitions.sql. Places in the text that an expression
-- was parsed from are no part of it.
-- $1: the tables.
--
-- PostgreSQL 15 added indnullsnotdistinct; before, the name means the constant here.
SELECT x.indrelid,
       x.indexrelid,
       x.relname,
       x.indisvalid,
       x.indisreplident,
       coalesce(con.contype::text, '') AS constraint_type,
       coalesce(con.condeferrable, false) AS is_deferrable,
       coalesce(con.condeferred, false) AS initially_deferred,
       md5(concat_ws('|', x.relam, x.indisunique, x.nulls, x.indnkeyatts, x.indkey, x.indclass, x.indcollation, x.indoption,
                     regexp_replace(x.indexprs::text, ':location -?[0-9]+', '', 'g'), '|',
                     regexp_replace(x.indpred::text, ':location -?[0-9]+', '', 'g'), '|',
                     x.reloptions::text, o.options)) AS digest
  FROM (SELECT false AS indnullsnotdistinct) AS absent
 CROSS JOIN LATERAL (
        SELECT i.*, indnullsnotdistinct AS nulls, c.relname, c.relam, c.reloptions
          FROM unnest($1::oid[]) AS f (oid)
          JOIN pg_index i ON i.indrelid = f.oid
          JOIN pg_class c ON c.oid = i.indexrelid
       ) AS x
  LEFT JOIN pg_constraint con ON con.conindid = x.indexrelid AND con.conrelid = x.indrelid AND con.contype IN ('p', 'u', 'x')
  LEFT JOIN (SELECT attrelid, string_agg(attnum || '=' || attoptions::text, ' ' ORDER BY attnum) AS options
               FROM pg_attribute
              WHERE attoptions IS NOT NULL AND attnum > 0
              GROUP BY attrelid) AS o ON o.attrelid = x.indexrelid;
