-- The columns of the key by which a changed row is found again, and the columns that are written.
-- $1: the parent.
SELECT ARRAY(SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k(n, place) JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k.n ORDER BY k.place) AS key,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum) AS columns
  FROM pg_index i
 WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
   AND NOT EXISTS (SELECT FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS k(n) JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k.n WHERE NOT a.attnotnull)
 ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid
 LIMIT 1;
