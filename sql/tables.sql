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
--
-- partitiond.history: what was removed, restored, held and converted, and by whom; the
-- row of a removal is written by the transaction that removes. Its bounds are as those of
-- hold. The number of rows is exact where they were counted, and otherwise what the
-- server's statistics said; bytes are those of the table with its indexes, right
-- before it went. The daemon deletes nothing there unless it is told to. A trigger on
-- the holds writes down whoever makes or ends one, by whatever means.
--
-- partitiond.pass: the passes that did or failed something, for as long as the
-- daemon is told to keep them, and one row for all that had nothing to do.

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
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = 'partitiond' AND c.relname = 'history') THEN
    CREATE TABLE partitiond.history (
      id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      at               timestamptz NOT NULL DEFAULT pg_catalog.now(),
      event            text NOT NULL CHECK (event IN ('drop', 'detach', 'archive', 'restore', 'hold', 'release', 'convert', 'partition', 'drain')),
      parent_schema    text NOT NULL,
      parent_name      text NOT NULL,
      partition_schema text,
      partition_name   text,
      partition_oid    oid,
      lower            timestamptz,
      upper            timestamptz,
      rows             bigint,
      rows_exact       boolean NOT NULL DEFAULT false,
      bytes            bigint,
      moved_schema     text,
      moved_name       text,
      archives         text[] NOT NULL DEFAULT '{}',
      archive_bytes    bigint,
      hold_id          bigint,
      hold_until       timestamptz,
      reason           text NOT NULL,
      role             text NOT NULL DEFAULT session_user,
      acted_as         text NOT NULL DEFAULT current_user,
      application      text DEFAULT pg_catalog.current_setting('application_name', true),
      client_address   inet DEFAULT pg_catalog.inet_client_addr(),
      host             text,
      version          text
    );
    REVOKE ALL ON TABLE partitiond.history FROM PUBLIC;
    COMMENT ON TABLE partitiond.history IS 'what was removed, restored and held; see partitiond history --help';
    CREATE TABLE partitiond.pass (
      id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      idle           text UNIQUE,
      passes         bigint NOT NULL DEFAULT 1,
      began_at       timestamptz NOT NULL,
      ended_at       timestamptz NOT NULL,
      status         text NOT NULL,
      sets           text[] NOT NULL,
      report         jsonb,
      role           text NOT NULL DEFAULT session_user,
      application    text DEFAULT pg_catalog.current_setting('application_name', true),
      client_address inet DEFAULT pg_catalog.inet_client_addr(),
      host           text,
      version        text
    );
    REVOKE ALL ON TABLE partitiond.pass FROM PUBLIC;
    COMMENT ON TABLE partitiond.pass IS 'passes that did or failed something, and the last that had nothing to do; see partitiond history --help';
    CREATE FUNCTION partitiond.note_hold() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $note$
      DECLARE
        h partitiond.hold;
      BEGIN
        IF TG_OP = 'DELETE' THEN h := OLD; ELSE h := NEW; END IF;
        IF TG_OP = 'INSERT' AND h.until <= now() THEN
          RETURN NULL; -- What is left of a hold that was ended.
        END IF;
        INSERT INTO partitiond.history (event, parent_schema, parent_name, partition_oid, lower, upper, hold_id, hold_until, reason, acted_as)
        VALUES (CASE TG_OP WHEN 'DELETE' THEN 'release' ELSE 'hold' END, h.parent_schema, h.parent_name, h.partition_oid, h.lower, h.upper, h.id, h.until, h.reason, h.made_by);
        RETURN NULL;
      END
    $note$;
    REVOKE ALL ON FUNCTION partitiond.note_hold() FROM PUBLIC;
    -- An earlier table of holds may be somebody else's.
    IF (SELECT pg_catalog.pg_has_role(relowner, 'USAGE') FROM pg_catalog.pg_class WHERE oid = 'partitiond.hold'::pg_catalog.regclass AND relkind = 'r') THEN
      CREATE TRIGGER note_hold AFTER INSERT OR UPDATE OR DELETE ON partitiond.hold FOR EACH ROW EXECUTE FUNCTION partitiond.note_hold();
    END IF;
  END IF;
END $partitiond$;
