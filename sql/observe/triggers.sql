-- The BEFORE INSERT row triggers of parents and partitions, and whatever trigger
-- of a parent has the name of its set's, with its definition where it is another
-- than that, and what an exchange of a default partition has left there. The bits
-- are pg_trigger.tgtype's.
-- $1: the tables; $2, $3: the parents and the names of their sets' triggers; $4,
-- $5: the schemas and names of those triggers' functions.
SELECT t.tgrelid,
       t.tgname,
       t.tgtype,
       t.tgenabled IN ('O', 'A') AS enabled,
       t.tgqual IS NOT NULL AS conditional,
       n.nspname,
       p.proname,
       bool_or(w.trigger IS NOT NULL) AS routing,
       CASE WHEN bool_or(w.trigger IS NOT NULL AND (t.tgtype <> 7 OR t.tgqual IS NOT NULL OR n.nspname <> w.nsp OR p.proname <> w.function))
            THEN pg_get_triggerdef(t.oid) END AS definition
  FROM unnest($1::oid[]) AS f (oid)
  JOIN pg_trigger t ON t.tgrelid = f.oid
  JOIN pg_proc p ON p.oid = t.tgfoid
  JOIN pg_namespace n ON n.oid = p.pronamespace
  LEFT JOIN unnest($2::oid[], $3::text[], $4::text[], $5::text[]) AS w (parent, trigger, nsp, function) ON w.parent = t.tgrelid AND w.trigger = t.tgname
 WHERE NOT t.tgisinternal AND (t.tgtype & 7 = 7 OR w.trigger IS NOT NULL OR t.tgname = 'partitiond_log')
 GROUP BY t.oid, t.tgrelid, t.tgname, t.tgtype, t.tgenabled, t.tgqual, n.nspname, p.proname
 ORDER BY t.tgrelid, t.tgname;
