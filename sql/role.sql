-- The least that the daemon needs, for one set. %%1$I is its role, %%2$I the
-- parent's schema, %%3$s the parent, %%4$I the database.
--
-- The role owns the parent, and through that the partitions; it is no superuser
-- and may make neither roles nor databases. It logs in with whatever
-- pg_hba.conf asks for: give it a password, or let it come by the peer method.

DO $partitiond$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = %1$L) THEN
    CREATE ROLE %1$I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
  END IF;
END $partitiond$;
GRANT CONNECT ON DATABASE %4$I TO %1$I;
GRANT USAGE, CREATE ON SCHEMA %2$I TO %1$I;
-- With this it can name the sessions that it waits for.
GRANT pg_read_all_stats TO %1$I;
