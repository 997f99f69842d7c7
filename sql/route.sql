{{- /*
The three functions that route the rows of one set, as a template for Go's
text/template. Between the doubled braces stand names and constants that are
quoted already, and the branches; all else is what the server gets. To read it
with a set's names filled in, see partitiond --run-now --dry-run, or \sf in psql.

  F           the trigger function: "row"
  F_create    finds or makes the partition for one value of the key: "create"
  F_fits      whether a partition takes the parent's rows by position, or, given
              columns, whether the parent has just these, of which just those
              that are written are not generated: "fits"

How a row finds its way:

1. The branches are constant, so that no row costs a look at a catalog. Those of
   the nearest periods come first, and write their row at once, column by column:
   nothing takes less time. (A third of what is left goes to the table's CHECKs,
   which PostgreSQL parses again for each INSERT; without them a query could not
   leave the table out.) Each holds as long as F_fits says so, which costs no
   row anything: it is declared IMMUTABLE though it reads catalogs. On purpose: the
   planner calls it once for each plan and puts in the answer, and a plan is made
   anew when one of the tables changes that it has as constants (PostgreSQL
   documentation, 38.7 Function Volatility Categories, and PREPARE). The table is
   such a constant by its OID, which is no error when it is gone. So a table that
   was dropped, renamed, detached or got other columns before the transaction
   began is met there, and the row goes on to 2. The daemon never removes the
   table of such a branch: the branch goes first, and then whoever wrote to the
   parent at that time is waited for. Who takes one away by hand, while a
   transaction is writing to the parent, may fail that transaction.
2. The first row that a transaction has for another branch makes sure of its
   table: it locks it ROW EXCLUSIVE, as an INSERT does, and notes that in a setting
   which ends with the transaction, as the lock does. From then on nobody can take
   the table away, and no row needs an exception block, which would cost a
   transaction id each. A table that is gone, or may not be written, is met in
   that one place, and the row goes on to 3. The branches share one exception
   block: each brings variables that every call of the function makes. NEW.* by
   position follows columns that are added, renamed and dropped later; F_fits
   tells whether it may be used. Expressions stand in IF and EXIT, for PL/pgSQL
   runs PERFORM as a query (PostgreSQL documentation, 43.5.2).
3. Otherwise F_create answers with the partition, found by its CHECK and not by
   its name, and the row goes there column by column. Where it has no answer
   (the date is out of all reason, the name is taken) the row stays in the
   parent, where queries see it and the daemon reports it.
*/ -}}

{{define "fits"}}
DECLARE
  parent_columns pg_catalog.text[];
  child_columns pg_catalog.text[];
BEGIN
{{- if .Known}}
  -- What is given by its OID has to have the name by which it is written to.
  IF child::text <> (CASE child::oid
{{- range .Known}} WHEN {{.OID}} THEN format('%I.%I', {{.Schema}}, {{.Local}}){{end}} ELSE child::text END) THEN
    RETURN false;
  END IF;
{{- end}}
  -- This is planned afresh with each call, so it knows the tables as they are
  -- now, however old the snapshot is. The cast fails unless child inherits from
  -- parent; then columns of one name are of one type.
  EXECUTE pg_catalog.format(
    'SELECT ARRAY(SELECT json_object_keys(row_to_json(p))), ARRAY(SELECT json_object_keys(row_to_json(c)))
       FROM (SELECT (NULL::%1$s).*) AS p, (SELECT (NULL::%2$s).*) AS c, (SELECT (NULL::%2$s)::%1$s) AS heir',
    parent, child) INTO parent_columns, child_columns;
  IF columns IS NULL THEN
    RETURN child_columns[1:cardinality(parent_columns)] = parent_columns;
  END IF;
  RETURN columns = parent_columns AND (written IS NULL OR written = ARRAY(
    SELECT a.attname::text FROM pg_attribute AS a
     WHERE a.attrelid = parent AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
     ORDER BY a.attnum));
EXCEPTION WHEN syntax_error_or_access_rule_violation THEN
  RETURN false;
END
{{end}}

{{define "period"}}
  -- The period of the moment. It counts as the daemon does: months from the year
  -- 0, days from 1970-01-01, weeks from Monday 1969-12-29, hours in UTC.
  IF moment >= '0001-01-02' AND moment < '9999-01-01' THEN
{{- if and .Zoned (not .Hours)}}
    wall := moment AT TIME ZONE {{.Zone}};
    LOOP
{{- template "wall clock period" .}}
      -- Of a midnight that happens twice the first one counts; PostgreSQL takes the
      -- second. One that is skipped it takes for the end of the skip, as is right.
      lower := wall_from AT TIME ZONE {{.Zone}};
      earlier := lower - interval '6 hours';
      earlier := (wall_from - (earlier AT TIME ZONE {{.Zone}} - earlier AT TIME ZONE 'UTC')) AT TIME ZONE 'UTC';
      IF earlier < lower AND earlier AT TIME ZONE {{.Zone}} = wall_from THEN
        lower := earlier;
      END IF;
      upper := wall_to AT TIME ZONE {{.Zone}};
      earlier := upper - interval '6 hours';
      earlier := (wall_to - (earlier AT TIME ZONE {{.Zone}} - earlier AT TIME ZONE 'UTC')) AT TIME ZONE 'UTC';
      IF earlier < upper AND earlier AT TIME ZONE {{.Zone}} = wall_to THEN
        upper := earlier;
      END IF;
      -- A clock that goes back across midnight shows the old date once more.
      EXIT WHEN moment < upper;
      wall := upper AT TIME ZONE {{.Zone}};
    END LOOP;
    wanted := to_char(lower AT TIME ZONE {{.Zone}}, {{.ToChar}});
{{- else}}
      wall := moment{{if .Zoned}} AT TIME ZONE 'UTC'{{end}};
{{- template "wall clock period" .}}
      lower := wall_from{{if .Zoned}} AT TIME ZONE 'UTC'{{end}};
      upper := wall_to{{if .Zoned}} AT TIME ZONE 'UTC'{{end}};
      wanted := to_char(wall_from, {{.ToChar}});
{{- end}}
  END IF;
{{end}}

{{define "wall clock period"}}
{{- if .Hours}}
      wall_from := date_trunc('day', wall)
        + make_interval(hours => extract(hour FROM wall)::integer / {{.Hours}} * {{.Hours}});
      wall_to := wall_from + interval '{{.Hours}} hours';
{{- else if .Months}}
      n := extract(year FROM wall)::integer * 12 + extract(month FROM wall)::integer - 1;
      wall_from := timestamp '0001-01-01' + make_interval(months => n - n % {{.Months}} - 12);
      wall_to := wall_from + interval '{{.Months}} months';
{{- else}}
      n := wall::date - date '{{.Anchor}}';
      wall_from := wall::date - (n % {{.Days}} + {{.Days}}) % {{.Days}};
      wall_to := wall_from + interval '{{.Days}} days';
{{- end}}
{{- end}}

{{define "period variables"}}
  wall timestamp without time zone;
  wall_from timestamp without time zone;
  wall_to timestamp without time zone;
  earlier timestamp with time zone;
  n integer;
  lower {{.KeyType}};
  upper {{.KeyType}};
  wanted text;
{{end}}

{{define "create"}}
DECLARE
{{- template "period variables" .}}  parent oid;
  home oid;
  candidates oid[];
  child oid;
  child_name text;
  child_schema text;
  checks text[];
  definition text;
  bound text[];
  child_from {{.KeyType}};
  child_to {{.KeyType}};
  bounded boolean;
  clash boolean;
BEGIN
{{- template "period" .}}
  FOR attempt IN 1..5 LOOP
    SELECT c.oid INTO parent
      FROM pg_class AS c JOIN pg_namespace AS s ON s.oid = c.relnamespace
     WHERE s.nspname = {{.ParentSchema}} AND c.relname = {{.ParentLocal}};
    IF NOT FOUND THEN
      RETURN NULL;
    END IF;
    SELECT s.oid INTO home FROM pg_namespace AS s WHERE s.nspname = {{.ParentSchema}};

    -- First the partition of the wanted name, then all, then all once more while
    -- nobody else can make one.
    BEGIN
      <<search>>
      FOR pass IN 1..3 LOOP
        IF pass = 1 THEN
          candidates := ARRAY(
            SELECT c.oid FROM pg_class AS c JOIN pg_inherits AS i ON i.inhrelid = c.oid
             WHERE c.relname = wanted AND c.relnamespace = home AND i.inhparent = parent);
        ELSE
          IF pass = 3 THEN
            IF wanted IS NULL{{with .Oldest}} OR moment < {{.}}{{end}}{{with .Newest}} OR moment > {{.}}{{end}} THEN
              RETURN NULL;
            END IF;
            -- One lock for the whole set, so that no transaction waits for a second
            -- one; the daemon takes the same. A query sees what was committed
            -- meanwhile, which to_regclass() does not.
            PERFORM pg_advisory_xact_lock({{.LockClass}},
              (CASE WHEN parent::bigint > 2147483647 THEN parent::bigint - 4294967296 ELSE parent::bigint END)::integer);
          END IF;
          candidates := ARRAY(SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = parent);
        END IF;
        clash := false;
        FOR child, checks IN
          SELECT k.conrelid, array_agg(pg_get_constraintdef(k.oid)) FROM pg_constraint AS k
           WHERE k.conrelid = ANY (candidates) AND k.contype = 'c' AND k.coninhcount = 0
           GROUP BY k.conrelid ORDER BY k.conrelid
        LOOP
          bounded := false;
          child_from := NULL;
          child_to := NULL;
          FOREACH definition IN ARRAY checks LOOP
            bound := string_to_array(definition, '''');
            IF definition = concat('CHECK (((', quote_ident({{.KeyText}}), ' >= ''', bound[2],
                '''::{{.KeyType}}) AND (', quote_ident({{.KeyText}}), ' < ''', bound[4], '''::{{.KeyType}})))') THEN
              -- As it is made here. Regular expressions take a hundred times as long.
              bounded := true;
              child_from := greatest(child_from, bound[2]::{{.KeyType}});
              child_to := least(child_to, bound[4]::{{.KeyType}});
            ELSIF definition ~ {{.CheckPattern}} THEN
              bounded := true;
              FOR bound IN SELECT regexp_matches(definition, {{.BoundPattern}}, 'g') LOOP
                IF bound[1] = '>=' THEN
                  child_from := greatest(child_from, bound[2]::{{.KeyType}});
                ELSE
                  child_to := least(child_to, bound[2]::{{.KeyType}});
                END IF;
              END LOOP;
            END IF;
          END LOOP;
          EXIT search WHEN bounded AND (child_from IS NULL OR moment >= child_from) AND (child_to IS NULL OR moment < child_to);
          clash := clash OR bounded AND (child_from IS NULL OR child_from < upper) AND (child_to IS NULL OR child_to > lower);
        END LOOP;
        child := NULL;
      END LOOP;
    EXCEPTION WHEN internal_error THEN
      -- A table went away between the catalog's answer and the print of its CHECK.
      IF attempt = 5 THEN
        RAISE;
      END IF;
      CONTINUE;
    END;

    IF child IS NOT NULL THEN
      -- Whoever asked is about to write to it: once locked it cannot go away.
      SELECT s.nspname, c.relname INTO child_schema, child_name
        FROM pg_class AS c JOIN pg_namespace AS s ON s.oid = c.relnamespace WHERE c.oid = child;
      CONTINUE WHEN NOT FOUND;
      BEGIN
        EXECUTE format('LOCK TABLE ONLY %I.%I IN ROW EXCLUSIVE MODE', child_schema, child_name);
      EXCEPTION
        WHEN undefined_table OR invalid_schema_name THEN
          CONTINUE;
        WHEN insufficient_privilege OR wrong_object_type THEN
          RETURN child; -- Somebody else's table, or a foreign one.
      END;
      PERFORM FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid JOIN pg_namespace AS s ON s.oid = c.relnamespace
        WHERE i.inhrelid = child AND i.inhparent = parent AND c.relname = child_name AND s.nspname = child_schema;
      CONTINUE WHEN NOT FOUND;
      PERFORM set_config({{.Found}}, concat_ws('|', child, coalesce(child_from::text, '-infinity'), coalesce(child_to::text, 'infinity')), true);
      RETURN child;
    END IF;

    IF clash OR EXISTS (SELECT FROM pg_class AS c WHERE c.relname = wanted AND c.relnamespace = home) THEN
      RETURN NULL;
    END IF;
    child_name := format('%I.%I', {{.ParentSchema}}, wanted);
    BEGIN
{{- range .Creation}}
      EXECUTE format({{.}}, child_name, lower, upper);
{{- end}}
{{- range .Optional}}
      BEGIN
        -- The daemon tries again, perhaps with a role that may.
        EXECUTE format({{.}}, child_name, lower, upper);
      EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'partition % is incomplete: %', wanted, SQLERRM;
      END;
{{- end}}
    EXCEPTION
      WHEN duplicate_table OR unique_violation THEN
        -- Somebody has made it without the lock, or since this transaction's snapshot.
        IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
          RAISE EXCEPTION 'could not serialize access: table % was made by another transaction', wanted
            USING ERRCODE = 'serialization_failure', HINT = 'Try the transaction again.';
        END IF;
        CONTINUE;
      WHEN syntax_error_or_access_rule_violation OR invalid_schema_name THEN
        -- Rows do not suffer from a privilege or a role that is gone: they wait in the parent.
        RAISE WARNING 'partition % could not be created: %', wanted, SQLERRM;
        RETURN NULL;
    END;
    SELECT c.oid INTO child FROM pg_class AS c WHERE c.relname = wanted AND c.relnamespace = home;
    RAISE NOTICE 'A partition has been created %', wanted;
    PERFORM set_config({{.Found}}, concat_ws('|', child, lower, upper), true);
    RETURN child;
  END LOOP;
  RETURN NULL;
END
{{end}}

{{define "insert"}}
{{- with .ByName}}
IF {{.Fits}} THEN
  INSERT INTO {{$.Table}} ({{.Columns}}) VALUES ({{.Values}});
  EXIT routed;
END IF;
{{- end}}
{{- if not .OnlyByName}}
IF {{.Fits}} THEN
  INSERT INTO {{.Table}} VALUES (NEW.*);
  EXIT routed;
END IF;
{{- end}}
EXIT branches;
{{end}}

{{define "lock"}}
{{- if .OnlyByName}}
INSERT INTO {{.Table}} ({{.ByName.Columns}}) SELECT {{.ByName.Values}} WHERE false;
{{- else}}
INSERT INTO {{.Table}} SELECT NEW.* WHERE false;
{{- end}}
{{end}}

{{define "gone"}}EXCEPTION WHEN syntax_error_or_access_rule_violation OR invalid_schema_name OR object_not_in_prerequisite_state THEN
  EXIT branches;
END;{{end}}

{{define "far"}}
IF (CASE WHEN locked THEN pg_catalog.set_config({{.Held}}, 'held', true) ELSE pg_catalog.current_setting({{.Held}}, true) END) = 'held' THEN
{{indent (include "insert" .)}}
END IF;
{{end}}

{{define "tree"}}
{{- with .Tree}}
{{- if .Branch -}}
IF {{.Branch.Condition}} THEN
{{indent (include $.Leaf .Branch)}}
ELSE
  EXIT branches;
END IF;
{{- else -}}
IF {{$.Key}} < {{.Middle}} THEN
{{indent (include "tree" ($.Under .Left))}}
ELSE
{{indent (include "tree" ($.Under .Right))}}
END IF;
{{- end}}
{{- else -}}
EXIT branches;
{{- end}}
{{- end}}

{{define "row"}}
BEGIN
{{- range $i, $branch := .Direct}}
  {{if $i}}ELSIF{{else}}IF{{end}} {{.Condition}} AND {{.ByName.Fits}} THEN
    INSERT INTO {{.Table}} ({{.ByName.Columns}}) VALUES ({{.ByName.Values}});
    RETURN NULL;
{{- end}}
{{- if .Direct}}
  END IF;
{{end}}
DECLARE
  locked pg_catalog.bool; -- A value would be computed for every row.
BEGIN
<<routed>>
BEGIN
  <<branches>>
  LOOP
{{indent (indent (include "tree" (.With "far")))}}
{{- if .Tree}}

    -- This transaction has not locked the row's table yet. It does, and tries again.
    BEGIN
{{indent (indent (indent (include "tree" (.With "lock"))))}}
{{indent (indent (include "gone" .))}}
    locked := true;
{{- end}}
  END LOOP;

  -- No branch took the row.
  IF {{.Key}} IS NULL THEN
    RAISE EXCEPTION 'null value in column "%" of relation "%" has no partition', {{.KeyText}}, TG_TABLE_NAME
      USING ERRCODE = 'not_null_violation', COLUMN = {{.KeyText}}, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA,
        HINT = 'The column decides which partition a row goes to: give it a value, or a default.';
  END IF;

  DECLARE
    note pg_catalog.text;
    noted pg_catalog.text[];
    child pg_catalog.regclass;
    names pg_catalog.text;
    vals pg_catalog.text;
    whole pg_catalog.bool;
    valued pg_catalog.text;
    differs pg_catalog.bool;
  BEGIN
    -- What this transaction has looked up it has locked, so that still holds. Some
    -- notes do for all periods: which one it is about, a note says itself.
    note := {{.NotePrefix}} || coalesce(pg_catalog.hashtext(pg_catalog.to_char({{.Key}}, {{.NoteFormat}})) & 63, 64);
    noted := pg_catalog.string_to_array(pg_catalog.current_setting(note, true), '|');
    IF noted[1] <> '' AND {{.Key}} >= noted[2]::{{.KeyType}} AND {{.Key}} < noted[3]::{{.KeyType}} THEN
      SELECT i.inhrelid INTO child FROM pg_catalog.pg_inherits AS i
       WHERE i.inhrelid = noted[1]::pg_catalog.oid AND i.inhparent = TG_RELID;
    END IF;
    IF child IS NULL THEN
      child := {{.Create}}({{.Key}});
      IF child IS NULL THEN
        RETURN NEW;
      END IF;
      PERFORM pg_catalog.set_config(note, pg_catalog.current_setting({{.Found}}, true), true);
    END IF;
    -- By name, since the order may differ, and only what the role may write.
    SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ') FILTER (WHERE a.granted),
           pg_catalog.string_agg('($1).' || pg_catalog.quote_ident(a.attname), ', ') FILTER (WHERE a.granted),
           pg_catalog.bool_and(a.granted)
      INTO names, vals, whole
      FROM (SELECT a.attname, pg_catalog.has_column_privilege(TG_RELID, a.attnum, 'INSERT') AS granted
              FROM pg_catalog.pg_attribute AS a
             WHERE a.attrelid = TG_RELID AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS a;
    IF NOT whole THEN
      -- What the role may not write it has not named in its INSERT: there is a
      -- default, no value, or what an identity or a trigger before this one has put
      -- there. Left out, the column gets the same from the partition, if that has
      -- the same default and no trigger could have overruled it, or if there is no
      -- default and no value.
      SELECT pg_catalog.string_agg('($1).' || pg_catalog.quote_ident(a.attname) || ' IS DISTINCT FROM NULL', ' OR ')
               FILTER (WHERE NOT a.defaults),
             pg_catalog.bool_or(a.defaults AND EXISTS (
                 SELECT FROM pg_catalog.pg_trigger AS t
                  WHERE t.tgrelid = TG_RELID AND t.tgname < TG_NAME AND t.tgenabled <> 'D' AND t.tgtype & 7 = 7)
               OR (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef AS d
                    WHERE d.adrelid = TG_RELID AND d.adnum = a.attnum)
                 IS DISTINCT FROM
                  (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid)
                     FROM pg_catalog.pg_attribute AS c JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = c.attrelid AND d.adnum = c.attnum
                    WHERE c.attrelid = child AND c.attname = a.attname))
        INTO valued, differs
        FROM (SELECT a.attname, a.attnum,
                     a.atthasdef OR (SELECT t.typdefault FROM pg_catalog.pg_type AS t WHERE t.oid = a.atttypid) IS NOT NULL AS defaults
                FROM pg_catalog.pg_attribute AS a
               WHERE a.attrelid = TG_RELID AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                 AND NOT pg_catalog.has_column_privilege(TG_RELID, a.attnum, 'INSERT')) AS a;
      IF valued <> '' AND NOT differs THEN
        EXECUTE 'SELECT ' || valued INTO differs USING NEW;
      END IF;
      IF differs OR names IS NULL THEN
        RETURN NEW; -- Its owner may move it, which the daemon does.
      END IF;
    END IF;
    EXECUTE pg_catalog.format('INSERT INTO %s (%s) VALUES (%s)', child, names, vals) USING NEW;
  END;
END routed;
RETURN NULL;
END;
END
{{end}}

{{define "functions" -}}
CREATE OR REPLACE FUNCTION {{.Fits}}(child pg_catalog.regclass, parent pg_catalog.regclass,
    columns pg_catalog.text[], written pg_catalog.text[])
  RETURNS pg_catalog.bool LANGUAGE plpgsql IMMUTABLE
  SET search_path = pg_catalog, pg_temp
  AS {{quoted . "fits"}}
{{statement}}
GRANT EXECUTE ON FUNCTION {{.Fits}}(pg_catalog.regclass, pg_catalog.regclass, pg_catalog.text[], pg_catalog.text[]) TO PUBLIC
{{statement}}
COMMENT ON FUNCTION {{.Fits}}(pg_catalog.regclass, pg_catalog.regclass, pg_catalog.text[], pg_catalog.text[]) IS {{.FitsComment}}
{{statement}}
CREATE OR REPLACE FUNCTION {{.Create}}(moment {{.KeyType}})
  RETURNS pg_catalog.regclass LANGUAGE plpgsql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = {{.Zone}}
  SET DateStyle = ISO, YMD
  SET quote_all_identifiers = off
  AS {{quoted . "create"}}
{{statement}}
REVOKE ALL ON FUNCTION {{.Create}}({{.KeyType}}) FROM PUBLIC
{{statement}}
{{.RevokeOthers}}
{{statement}}
{{- range .Grantees}}
GRANT EXECUTE ON FUNCTION {{$.Create}}({{$.KeyType}}) TO {{.}}
{{statement}}
{{- end}}
COMMENT ON FUNCTION {{.Create}}({{.KeyType}}) IS {{.CreateComment}}
{{statement}}
CREATE OR REPLACE FUNCTION {{.Function}}()
  RETURNS trigger LANGUAGE plpgsql VOLATILE
  AS {{quoted . "row"}}
{{statement}}
COMMENT ON FUNCTION {{.Function}}() IS {{.RowComment}}
{{end}}
