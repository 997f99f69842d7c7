
-- partitiond notify 1
-- A row without a partition came into the default partition: the daemon listens,
-- makes the partition and moves the row. It hears once a transaction.
BEGIN
  PERFORM pg_catalog.pg_notify('partitiond', TG_ARGV[0]);
  RETURN NULL;
END
