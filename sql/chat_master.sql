-- The seed schema: a table of chat messages, split by month through a trigger.
--
-- partitiond init runs this for a set that does not exist yet, and then makes
-- the trigger, its functions and the first partitions from the catalog. Give
-- init another file (--schema FILE) for another table; a file only has to make
-- the parent, with the indexes and grants that every partition shall have.
--
-- The names are those of the schema that this pattern's users have in
-- production, and so is what its readers see.

CREATE SEQUENCE public.chat_id_seq AS integer;

CREATE TABLE public.chat_master (
  id         integer NOT NULL DEFAULT nextval('public.chat_id_seq'::regclass),
  program_id character varying,
  user_id    character varying,
  dialogue   character varying(10000),
  created_at timestamp without time zone NOT NULL
);
ALTER SEQUENCE public.chat_id_seq OWNED BY public.chat_master.id;

COMMENT ON TABLE public.chat_master IS 'Chat messages; rows are in the months'' tables';

-- Partitions get the same. The last one is on the bare column, not on a cast of
-- it, so that it serves both ranges and days.
CREATE INDEX idx_program_id ON public.chat_master USING hash (program_id);
CREATE INDEX idx_user_id    ON public.chat_master USING hash (user_id);
CREATE INDEX idx_created_at ON public.chat_master (created_at);
