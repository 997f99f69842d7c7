-- The settings of an observing transaction; they end with it.
-- $1, $2: lock_timeout and statement_timeout. Whatever else the transaction is,
-- with them it is read-only.
--
-- With only pg_catalog in the search path, whatever is deparsed names user
-- objects with their schema. The date and time settings give every value one
-- spelling. Row security "off" does not lift a policy: it makes a query that a
-- policy would cut short fail (PostgreSQL documentation, 20.11.1 Statement
-- Behavior). JIT and parallel workers would cost more than most of these queries
-- take; with a little memory thousands of tables are joined without a file, and
-- without a sort what is alike among them is found by hashing. Names come and go as
-- UTF-8, whatever the database's own encoding is. Each statement is bounded, so the
-- bound that PostgreSQL 17 has for a whole transaction is not for this one.
SELECT set_config('transaction_read_only', 'on', true),
       set_config('client_encoding', 'UTF8', true),
       set_config('search_path', 'pg_catalog', true),
       set_config('TimeZone', 'UTC', true),
       set_config('DateStyle', 'ISO, YMD', true),
       set_config('IntervalStyle', 'postgres', true),
       set_config('extra_float_digits', '1', true),
       set_config('quote_all_identifiers', 'off', true),
       set_config('standard_conforming_strings', 'on', true),
       set_config('row_security', 'off', true),
       set_config('jit', 'off', true),
       set_config('work_mem', '32MB', true),
       set_config('enable_sort', 'off', true),
       set_config('max_parallel_workers_per_gather', '0', true),
       set_config('lock_timeout', $1::text, true),
       set_config('statement_timeout', $2::text, true),
       CASE WHEN current_setting('transaction_timeout', true) IS NOT NULL THEN set_config('transaction_timeout', '0', true) END;
