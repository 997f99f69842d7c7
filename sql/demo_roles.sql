-- The roles that partitiond demo begins with. A superuser makes them, and then
-- chat_owner runs seed.sql and demo_load.sql.

CREATE ROLE chat_owner NOLOGIN;
CREATE ROLE app LOGIN;
CREATE ROLE readonly LOGIN;
CREATE ROLE partitiond LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
-- The trigger makes tables, and whoever inserts a month's first row has to be
-- allowed to; so has the daemon, which acts as the owner.
GRANT USAGE, CREATE ON SCHEMA public TO chat_owner;
GRANT chat_owner TO partitiond;
-- With this it can name the sessions that it waits for.
GRANT pg_read_all_stats TO partitiond;
