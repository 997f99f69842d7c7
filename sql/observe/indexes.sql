-- The indexes of parents and partitions, those that are alike together, each with
-- its table; only invalid ones with their name, and with how many
-- indexes are parts of them. The digest is of all that a definition is made from but its table:
-- of indexes with one digest, only one is deparsed, by index_definitions.sql.
-- Places in the text that an expression was parsed from are no part of it.
-- A key WITHOUT OVERLAPS, new in PostgreSQL 18, is built as an exclusion constraint
-- and taken for one: it is no index over bare columns that could be built first.
-- Operator classes of btree and hash, numbers 403 and 405, have no parameters.
-- $1: the tables.
--
-- PostgreSQL 15 added indnullsnotdistinct; before, the name means the constant here.
SELECT x.tables,
       x.indexes,
       x.name,
       x.indisvalid,
       x.indisreplident,
       coalesce(x.contype::text, '') AS constraint_type,
       coalesce(x.condeferrable, false) AS is_deferrable,
       coalesce(x.condeferred, false) AS initially_deferred,
       md5(concat_ws('|', CASE WHEN x.contype = 'x' THEN concat_ws(',', x.keyword, x.operators::text, x.condeferrable, x.condeferred) END,
                     x.indisunique, x.nulls, x.indnkeyatts, x.indkey, x.indclass, x.indcollation, x.indoption,
                     regexp_replace(x.expressions, ':location -?[0-9]+', '', 'g'), '|',
                     regexp_replace(x.predicate, ':location -?[0-9]+', '', 'g'), '|',
                     x.reloptions::text, x.options)) AS digest,
       x.parts
  FROM (
        SELECT array_agg(i.indrelid) AS tables, array_agg(i.indexrelid) AS indexes,
               i.name, i.parts,
               i.indisvalid, i.indisreplident, CASE WHEN i.indisexclusion THEN 'x' ELSE con.contype END AS contype, con.contype AS keyword,
               con.condeferrable, con.condeferred, con.conexclop AS operators,
               i.indisunique, i.nulls, i.indnkeyatts, i.indkey, i.indclass, i.indcollation, i.indoption,
               i.expressions, i.predicate, c.reloptions, i.options
          FROM (SELECT false AS indnullsnotdistinct) AS absent
         CROSS JOIN LATERAL (
                SELECT i.*, indnullsnotdistinct AS nulls, i.indexprs::text AS expressions, i.indpred::text AS predicate,
                       CASE WHEN NOT i.indisvalid
                            THEN (SELECT c.relname::text FROM pg_class c WHERE c.oid = i.indexrelid) END AS name,
                       CASE WHEN NOT i.indisvalid
                            THEN (SELECT count(*)::text FROM pg_inherits p WHERE p.inhparent = i.indexrelid) END AS parts,
                       CASE WHEN k.oid IS NOT NULL
                            THEN (SELECT string_agg(a.attnum || '=' || a.attoptions::text, ' ' ORDER BY a.attnum)
                                    FROM pg_attribute a
                                   WHERE a.attrelid = i.indexrelid AND a.attoptions IS NOT NULL) END AS options
                  FROM pg_index i
                  LEFT JOIN pg_opclass k ON k.oid = i.indclass[0] AND k.opcmethod NOT IN (403, 405)
                 WHERE i.indrelid = ANY ($1::oid[])
               ) AS i
          LEFT JOIN pg_class c ON c.oid = i.indexrelid AND c.reloptions IS NOT NULL
          LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid AND con.conrelid = i.indrelid AND con.contype IN ('p', 'u', 'x')
         GROUP BY i.name, i.parts, i.indisvalid, i.indisreplident, i.indisexclusion, con.contype, con.condeferrable, con.condeferred, con.conexclop,
               i.indisunique, i.nulls, i.indnkeyatts, i.indkey, i.indclass, i.indcollation, i.indoption,
               i.expressions, i.predicate, c.reloptions, i.options
       ) AS x;
