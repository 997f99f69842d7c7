-- The storage options of tables, and of their TOAST tables as ALTER TABLE names
-- them (PostgreSQL documentation, CREATE TABLE, Storage Parameters).
-- $1: the tables.
SELECT c.oid, o.name
  FROM unnest($1::oid[]) AS f (oid)
  JOIN pg_class c ON c.oid = f.oid
 CROSS JOIN LATERAL unnest(c.reloptions) AS o (name)
 WHERE c.reloptions IS NOT NULL
UNION ALL
SELECT c.oid, 'toast.' || o.name
  FROM unnest($1::oid[]) AS f (oid)
  JOIN pg_class c ON c.oid = f.oid
  JOIN pg_class t ON t.oid = c.reltoastrelid
 CROSS JOIN LATERAL unnest(t.reloptions) AS o (name)
 WHERE t.reloptions IS NOT NULL;
