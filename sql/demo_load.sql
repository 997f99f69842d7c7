-- What partitiond demo fills seed.sql's tables with: 18 months of the chat
-- that goes with television programmes, and some of what goes wrong in real life.
-- All of it goes through the trigger, in the order of time, as it did in
-- production. Run it as chat_owner.
--
-- It makes about demo.rows messages a month, 15000 unless that is set before:
--
--     SET demo.rows = '1000';
--
-- The months end with the present one. Two runs in one month agree but for that.

-- What the roles were meant to have. The trigger passes none of it on to the
-- tables that it makes: readonly gets those by hand, if somebody thinks of it.
GRANT SELECT ON public.chat_master TO readonly;
GRANT INSERT ON public.chat_master TO app;
GRANT USAGE ON SEQUENCE public.chat_id_seq TO app;

-- Compiling would take longer than it saves, and so would sorting on disk.
SET jit = off;
SET work_mem = '64MB';
SELECT setseed(0.42);

-- Some thousand things that people say, to be put together to messages below.
CREATE TEMPORARY TABLE demo_clause AS
WITH words AS MATERIALIZED (
  SELECT string_to_array('haha|lol|wow|yes!!|no way|same here|agreed|omg|goal!|finally|exactly this|so true|what a night'
           '|good evening all|hi from Lisbon|hello everyone|first!|brb|back again|thanks :)|good night everybody|hmm|ouch'
           '|not again|love it|bravo|more please|poor guy|I knew it|that was close|who else is watching?|volume up!', '|') AS reactions,
         string_to_array('well|ok so|honestly|to be fair|sorry but|wait|listen|oh and|by the way|I think|I swear|of course'
           '|maybe|you know|for the record|fun fact:', '|') AS openers,
         string_to_array('the host|that song|this quiz|my sister|the referee|our goalkeeper|the second candidate|the band'
           '|the cook with the red apron|everybody here|my stream|the sound|the jury|that joke|the new season|the weather map'
           '|this recipe|the guitar player|somebody in the audience|the last question|my neighbour|the whole kitchen'
           '|the commentator|number seven|the dog in the front row|the finale|yesterday''s episode|the subtitle', '|') AS subjects,
         string_to_array('is so good tonight|makes no sense|was better last year|just broke|deserves to win|is out of tune'
           '|starts in five minutes|keeps freezing|never gets old|reminds me of the old days|looks tired|is my favourite'
           '|went straight to the final|needs more salt|gave me goosebumps|is late again|should have seen that coming'
           '|told us so from the start|forgot the words|has no chance|knows every answer|got the loudest applause'
           '|takes forever|will be repeated on Sunday', '|') AS predicates,
         string_to_array('if you ask me|in my opinion|as always|for the third time|on the big screen|at home at least'
           '|after the break|before the news|since last week|with the volume at maximum|according to the programme'
           '|and nobody noticed|but I like it|so please vote|and I am not even joking|which is a pity|in case you missed it', '|') AS endings,
         string_to_array('.|.|.|!|!!|?|...||||| :)| ;)| :D| <3', '|') AS marks
)
SELECT n, CASE WHEN random() < 0.3 THEN reactions[1 + floor(random() * cardinality(reactions))::integer]
          ELSE concat_ws(' ', CASE WHEN random() < 0.35 THEN openers[1 + floor(random() * cardinality(openers))::integer] END,
                 subjects[1 + floor(random() * cardinality(subjects))::integer],
                 predicates[1 + floor(random() * cardinality(predicates))::integer],
                 CASE WHEN random() < 0.4 THEN endings[1 + floor(random() * cardinality(endings))::integer] END)
               || marks[1 + floor(random() * cardinality(marks))::integer] END AS text
  FROM words, generate_series(1, 4000) AS n;

-- And 200 long stories, of 4 to 40 clauses.
CREATE TEMPORARY TABLE demo_story AS
SELECT s.n, string_agg(c.text, ' ' ORDER BY c.n) AS text
  FROM (SELECT n, least(40, 4 - 6 * ln(1 - random())) AS clauses FROM generate_series(0, 199) AS n) AS s
  JOIN demo_clause AS c ON c.n > s.n * 19 AND c.n <= s.n * 19 + s.clauses
 GROUP BY s.n;
ANALYZE demo_clause;
ANALYZE demo_story;

INSERT INTO public.chat_master (program_id, user_id, dialogue, created_at)
WITH months AS (
  -- The audience grows by half in these 18 months.
  SELECT month, least(month + interval '1 month', present) AS until,
         coalesce(nullif(current_setting('demo.rows', true), ''), '15000')::integer * (0.8 + 0.4 * n / 17) AS rows
    FROM (SELECT now() AT TIME ZONE 'UTC' AS present) AS clock
   CROSS JOIN generate_series(0, 17) AS n
   CROSS JOIN LATERAL (SELECT date_trunc('month', present) - make_interval(months => 17 - n)) AS m (month)
), hours AS (
  -- Evenings are busy and nights are not, and weekends are busier than other days.
  SELECT month, hour, least(hour + interval '1 hour', until) AS until,
         greatest(10, rows * extract(epoch FROM until - month) / extract(epoch FROM month + interval '1 month' - month)) AS rows,
         (ARRAY[3,2,1,1,1,1,3,6,8,6,5,5,8,7,5,5,6,9,14,22,30,28,18,8])[1 + extract(hour FROM hour)::integer]
           * (ARRAY[1,1,1,1,1.2,1.6,1.5])[extract(isodow FROM hour)::integer] AS weight
    FROM months CROSS JOIN LATERAL generate_series(month, until - interval '1 microsecond', '1 hour') AS hour
), shares AS (
  SELECT hour, until, rows, sum(weight) OVER (PARTITION BY month ORDER BY hour) / sum(weight) OVER (PARTITION BY month) AS upto,
         weight / sum(weight) OVER (PARTITION BY month) AS share
    FROM hours
), messages AS MATERIALIZED (
  SELECT hour + random() * (until - hour) AS created_at,
         (ARRAY['quiz-night','football','late-show','kitchen-live','music-box','morning-news','weather','classics'])
           [1 + floor(8 * power(random(), 1.8))::integer] AS program_id,
         'u' || lpad((1 + floor(200 * power(random(), 2.5)))::text, 3, '0') AS user_id,
         CASE WHEN random() < 0.12 THEN '@u' || lpad((1 + floor(200 * power(random(), 2.5)))::text, 3, '0') END AS mention,
         1 + floor(4000 * power(random(), 1.3))::integer AS first, floor(1 - 1.1 * ln(1 - random()))::integer AS clauses,
         1 + floor(4000 * random())::integer AS second, 1 + floor(4000 * random())::integer AS third,
         floor(200 * random())::integer AS story
    FROM shares CROSS JOIN LATERAL generate_series(1, (floor(rows * upto + 1e-6) - floor(rows * (upto - share) + 1e-6))::integer) AS n
)
SELECT m.program_id, m.user_id, concat_ws(' ', m.mention, a.text, b.text, c.text, s.text), m.created_at
  FROM messages AS m
  JOIN demo_clause AS a ON a.n = m.first
  LEFT JOIN demo_clause AS b ON b.n = m.second AND m.clauses >= 2
  LEFT JOIN demo_clause AS c ON c.n = m.third AND m.clauses >= 3
  LEFT JOIN demo_story AS s ON s.n = m.story AND m.clauses >= 6
 ORDER BY m.created_at;

DROP TABLE demo_clause, demo_story;

-- Real life. Somebody gave readonly those months that were asked for ...
DO $$
DECLARE ago integer;
BEGIN
  FOREACH ago IN ARRAY ARRAY[13, 12, 6, 3, 2] LOOP
    EXECUTE format('GRANT SELECT ON TABLE %I TO readonly', 'chat_' || to_char((now() AT TIME ZONE 'UTC') - make_interval(months => ago), 'YYYY_MM'));
  END LOOP;
END $$;

-- ... and switched the trigger off for a moment, in which people went on talking.
ALTER TABLE public.chat_master DISABLE TRIGGER insert_chat_trigger;
INSERT INTO public.chat_master (program_id, user_id, dialogue, created_at)
SELECT 'late-show', 'u' || lpad(n::text, 3, '0'), 'is it only me or is the chat frozen?',
       date_trunc('month', now() AT TIME ZONE 'UTC') - interval '2 months' + interval '11 days 20 hours' + n * interval '3 seconds'
  FROM generate_series(1, 47) AS n;
ALTER TABLE public.chat_master ENABLE TRIGGER insert_chat_trigger;
RESET work_mem;
RESET jit;
