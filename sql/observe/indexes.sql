-- The indexes of parents and partitions, each with a digest of all that its
-- definition is made from but its table: of indexes with one digest, only one
-- is deparsed, by index_definitions.sql. Places in the text that an expression
-- was parsed from are no part of it.
-- Operator classes of btree and hash, numbers 403 and 405, have no parameters.
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
       md5(concat_ws('|', CASE WHEN con.contype = 'x' THEN concat_ws(',', con.conexclop::text, con.condeferrable, con.condeferred) END,
                     x.relam, x.indisunique, x.nulls, x.indnkeyatts, x.indkey, x.indclass, x.indcollation, x.indoption,
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
  LEFT JOIN LATERAL (
        SELECT string_agg(a.attnum || '=' || a.attoptions::text, ' ' ORDER BY a.attnum) AS options
          FROM pg_attribute a
         WHERE x.relam NOT IN (403, 405) AND a.attrelid = x.indexrelid AND a.attoptions IS NOT NULL
       ) AS o ON true;
