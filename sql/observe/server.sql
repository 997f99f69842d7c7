-- The server as a whole. Its clock is in microseconds since 1970.
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS clock,
       current_setting('server_version_num') AS version,
       pg_is_in_recovery() AS standby,
       current_user AS role,
       current_setting('block_size') AS block_size;
