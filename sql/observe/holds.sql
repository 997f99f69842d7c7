-- The holds of the sets, as sql/tables.sql has them; those that are over, too.
-- $1, $2: schemas and names of the parents, in the order of the sets.
SELECT w.ord - 1 AS set,
       h.id,
       extract(epoch FROM h.lower) AS lower,
       extract(epoch FROM h.upper) AS upper,
       extract(epoch FROM h.until) AS until,
       h.kind,
       coalesce(h.partition_oid, 0) AS partition_oid,
       h.reason,
       h.made_by,
       (extract(epoch FROM h.made_at) * 1000000)::bigint AS made_at
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (nsp, rel, ord)
  JOIN partitiond.hold h ON h.parent_schema = w.nsp AND h.parent_name = w.rel
 ORDER BY w.ord, h.id;
