-- The daemon's own tables. Run it as the role that the daemon uses, or let
-- `partitiond init`, `partitiond hold add` or `partitiond archives restore` do so;
-- what is there already is left as it is.
--
-- partitiond.hold: what keeps partitions of a set from being removed. A hold is
-- about a table by its name, and so survives when that is made anew. The bounds are
-- those of a partition: instants where the key is a timestamptz, otherwise the key's
-- own reading, written as though it were in UTC. NULL is no bound. With
-- partition_oid only that one table is held, until NULL is for ever.
--
-- The removal of a partition looks there under a lock that keeps the table from
-- changing. As long as there is no such table, an advisory lock stands for it.
--
-- partitiond.restored: from which archives a partition was restored, by the keys of
-- their manifests in the set's store. As long as the partition has the same rows,
-- they are its archive, and its retirement writes none beside them. The name is
-- there beside the OID because OIDs change when a database is dumped and loaded.

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
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = 'partitiond' AND c.relname = 'restored') THEN
    CREATE TABLE partitiond.restored (
      partition_oid    oid NOT NULL,
      partition_schema text NOT NULL,
      partition_name   text NOT NULL,
      parent_schema    text NOT NULL,
      parent_name      text NOT NULL,
      manifest_key     text NOT NULL,
      restored_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
      PRIMARY KEY (partition_oid, manifest_key)
    );
    REVOKE ALL ON TABLE partitiond.restored FROM PUBLIC;
    COMMENT ON TABLE partitiond.restored IS 'from which archives partitions were restored; see partitiond archives --help';
  END IF;
END $partitiond$;
