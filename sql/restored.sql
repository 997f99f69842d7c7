-- From which archives a partition was restored, by the keys of their manifests
-- in the set's store: as long as the partition has the same rows, they are its
-- archive, and its retirement writes none beside them. The name is there beside
-- the OID because OIDs change when a database is dumped and loaded.
CREATE TABLE IF NOT EXISTS partitiond.restored (
  partition_oid    oid NOT NULL,
  partition_schema text NOT NULL,
  partition_name   text NOT NULL,
  parent_schema    text NOT NULL,
  parent_name      text NOT NULL,
  manifest_key     text NOT NULL,
  restored_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (partition_oid, manifest_key)
);
-- Whoever archives has to be able to look, whichever role has restored; to use
-- the schema is a privilege of its own, as for the holds.
GRANT SELECT ON TABLE partitiond.restored TO PUBLIC;
