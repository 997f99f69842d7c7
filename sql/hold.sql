-- The holds: what keeps partitions of a set from being removed. Run it as the
-- role that the daemon uses, or let `partitiond init` or `partitiond hold add` do
-- so; what is there already is left as it is.
--
-- A hold is about a table by its name, and so survives when that is made anew.
-- The bounds are those of a partition: instants where the key is a timestamptz,
-- otherwise the key's own reading, written as though it were in UTC. NULL is no
-- bound. With partition_oid only that one table is held, until NULL is for ever.
--
-- The removal of a partition looks here under a lock that keeps this table from
-- changing. As long as there is no such table, an advisory lock stands for it.

DO $partitiond$ BEGIN
  PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('partitiond.hold', 0));
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'partitiond') THEN
    CREATE SCHEMA partitiond;
    REVOKE ALL ON SCHEMA partitiond FROM PUBLIC;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = 'partitiond' AND c.relname = 'hold') THEN
    CREATE TABLE partitiond.hold (
      id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      parent_schema text NOT NULL,
      parent_name   text NOT NULL,
      lower         timestamptz CHECK (pg_catalog.isfinite(lower)),
      upper         timestamptz CHECK (pg_catalog.isfinite(upper)),
      until         timestamptz CHECK (pg_catalog.isfinite(until)),
      kind          text NOT NULL DEFAULT 'manual' CHECK (kind IN ('manual', 'restore', 'late')),
      partition_oid oid,
      reason        text NOT NULL CHECK (reason <> ''),
      made_by       text NOT NULL DEFAULT session_user,
      made_at       timestamptz NOT NULL DEFAULT pg_catalog.now() CHECK (pg_catalog.isfinite(made_at)),
      CHECK (lower < upper)
    );
    REVOKE ALL ON TABLE partitiond.hold FROM PUBLIC;
    COMMENT ON TABLE partitiond.hold IS 'what keeps partitions from being removed; see partitiond hold --help';
  END IF;
END $partitiond$;
