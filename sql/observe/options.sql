-- The storage options of tables, TOAST tables among them, each with all tables
-- that have it.
-- $1: the tables.
SELECT c.tables, o.name
  FROM (SELECT array_agg(oid) AS tables, reloptions
          FROM pg_class
         WHERE oid = ANY ($1::oid[]) AND reloptions IS NOT NULL
         GROUP BY reloptions) AS c
 CROSS JOIN LATERAL unnest(c.reloptions) AS o (name);
