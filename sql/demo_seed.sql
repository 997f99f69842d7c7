-- What partitiond demo begins with: the schema and the trigger of this pattern as
-- databases have them in production today, with all that is wrong with it, and
-- the roles that go with it. For a new set there is chat_master.sql.
--
-- Run it as a superuser in an empty database.

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

SET ROLE chat_owner;

CREATE SEQUENCE chat_id_seq;
CREATE TABLE public.chat_master (
  id integer NOT NULL DEFAULT nextval('chat_id_seq'::regclass),
  program_id character varying, user_id character varying,
  dialogue character varying(10000), created_at timestamp without time zone);
CREATE INDEX idx_program_id ON public.chat_master USING hash (program_id);
CREATE INDEX idx_user_id ON public.chat_master USING hash (user_id);
CREATE INDEX idx_created_at ON public.chat_master ((created_at::DATE));

CREATE OR REPLACE FUNCTION chat_insert_function() RETURNS TRIGGER AS $$
DECLARE partition_date TEXT; partition_name TEXT; start_of_month TEXT; end_of_next_month TEXT;
BEGIN
  partition_date := to_char(NEW.created_at,'YYYY_MM');
  partition_name := 'chat_' || partition_date;
  start_of_month := to_char((NEW.created_at),'YYYY-MM') || '-01';
  end_of_next_month := to_char((NEW.created_at + interval '1 month'),'YYYY-MM') || '-01';
  IF NOT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_name = partition_name) THEN
    RAISE NOTICE 'A partition has been created %', partition_name;
    EXECUTE format(E'CREATE TABLE %I (CHECK ( date_trunc(\'day\', created_at) >= ''%s'' AND date_trunc(\'day\', created_at) < ''%s'')) INHERITS (public.chat_master)', partition_name, start_of_month, end_of_next_month);
    -- EXECUTE format('GRANT SELECT ON TABLE %I TO readonly', partition_name);
  END IF;
  EXECUTE format('INSERT INTO %I (program_id, user_id, dialogue, created_at) VALUES($1,$2,$3,$4)', partition_name)
    USING NEW.program_id, NEW.user_id, NEW.dialogue, NEW.created_at;
  RETURN NULL;
END $$ LANGUAGE plpgsql;

CREATE TRIGGER insert_chat_trigger BEFORE INSERT ON public.chat_master
  FOR EACH ROW EXECUTE PROCEDURE public.chat_insert_function();

-- What the roles were meant to have. The trigger passes none of it on to the
-- tables that it makes: readonly gets those by hand, if somebody thinks of it.
GRANT SELECT ON public.chat_master TO readonly;
GRANT INSERT ON public.chat_master TO app;
GRANT USAGE ON SEQUENCE public.chat_id_seq TO app;

RESET ROLE;
