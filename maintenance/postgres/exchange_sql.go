package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// truncateTrigger stands beside [partition.LogTrigger]: a TRUNCATE fires no row's trigger.
const truncateTrigger = partition.LogTrigger + "_truncate"

// tidySQL removes what an exchange has made but the two tables that are attached in
// its end: those have other names by then.
func (x exchange) tidySQL() []string {
	return []string{
		fmt.Sprintf("DROP TRIGGER IF EXISTS %s ON %s", partition.LogTrigger, quoteName(x.snap.Default.Name)),
		fmt.Sprintf("DROP TRIGGER IF EXISTS %s ON %s", truncateTrigger, quoteName(x.snap.Default.Name)),
		fmt.Sprintf("DROP FUNCTION IF EXISTS %s()", quoteName(x.log)),
		fmt.Sprintf("DROP TABLE IF EXISTS %s, %s, %s", quoteName(x.log), quoteName(x.part), quoteName(x.rest)),
	}
}

// elsewhere is the condition that a default partition's rows fulfil beside the
// partitions, in the form in which PostgreSQL itself has it, so that ATTACH finds the
// one in the other.
func (x exchange) elsewhere() string {
	bounds := []partition.Bounds{x.a.Bounds}
	for _, c := range x.snap.Partitions {
		bounds = append(bounds, c.Bounds)
	}
	bounds = append(bounds, x.made...)
	slices.SortFunc(bounds, func(a, b partition.Bounds) int { return a.From.Compare(b.From) })
	bounds = slices.CompactFunc(bounds, partition.Bounds.Equal)
	var ranges []string
	for _, b := range bounds {
		ranges = append(ranges, "("+boundsExpression(x.set.Key, x.a.Route.KeyType, b)+")")
	}
	return fmt.Sprintf("NOT (%s IS NOT NULL AND (%s))", quoteIdent(x.set.Key), strings.Join(ranges, " OR "))
}

// prepareSQL makes the tables aside, and then what writes down the changes.
func (x exchange) prepareSQL() (aside, watch []string) {
	for _, t := range []struct {
		name  partition.Name
		check string
	}{{x.part, declaredExpression(x.set.Key, x.a.Route.KeyType, x.a.Bounds)}, {x.rest, x.elsewhere()}} {
		a := x.a
		a.Table = t.name
		for _, st := range buildAside(x.set, a, fmt.Sprintf(", CONSTRAINT %s CHECK (%s)", partition.BoundsConstraint, t.check))[1:] {
			if !st.Optional {
				aside = append(aside, st.SQL)
			}
		}
	}
	log, old := quoteName(x.log), quoteName(x.snap.Default.Name)
	aside = append(aside,
		fmt.Sprintf("CREATE TABLE %s AS SELECT %s FROM ONLY %s WITH NO DATA", log, x.list(""), old),
		fmt.Sprintf("ALTER TABLE %s ADD partitiond_seq bigserial PRIMARY KEY, ADD partitiond_gone boolean", log),
		fmt.Sprintf("CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %s", log, dollarQuote(fmt.Sprintf(`
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    INSERT INTO %[1]s (partitiond_gone) VALUES (NULL);
  ELSIF TG_OP IN ('UPDATE', 'DELETE') THEN
    INSERT INTO %[1]s (partitiond_gone, %[2]s) VALUES (true, %[3]s);
  END IF;
  IF TG_OP IN ('UPDATE', 'INSERT') THEN
    INSERT INTO %[1]s (partitiond_gone, %[2]s) VALUES (false, %[4]s);
  END IF;
  RETURN NULL;
END `, log, x.list(""), x.list("OLD."), x.list("NEW.")))),
		fmt.Sprintf("REVOKE ALL ON FUNCTION %s() FROM PUBLIC", log),
		// They do nothing yet, and show that there is something to tidy up.
		fmt.Sprintf("CREATE TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION %s()", partition.LogTrigger, old, log),
		fmt.Sprintf("CREATE TRIGGER %s AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s()", truncateTrigger, old, log),
		fmt.Sprintf("ALTER TABLE %s DISABLE TRIGGER %s", old, partition.LogTrigger),
		fmt.Sprintf("ALTER TABLE %s DISABLE TRIGGER %s", old, truncateTrigger))
	watch = []string{
		fmt.Sprintf("LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE", old),
		// What a subscription brings fires only such.
		fmt.Sprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", old, partition.LogTrigger),
		fmt.Sprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", old, truncateTrigger),
	}
	return aside, watch
}

// copySQL are the two copies, within a snapshot.
func (x exchange) copySQL() []string {
	var out []string
	for _, t := range []struct {
		name partition.Name
		not  string
	}{{x.part, ""}, {x.rest, "NOT "}} {
		out = append(out, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM ONLY %s WHERE %s(%s)",
			quoteName(t.name), x.list(""), x.list(""), quoteName(x.snap.Default.Name), t.not, x.belongs("")))
	}
	return out
}

// catchUpSQL takes over so many changes, the oldest first. Who deletes a row has seen
// it, so its coming was written down before its going, or it was copied.
func (x exchange) catchUpSQL(limit int) string {
	return "DO " + dollarQuote(fmt.Sprintf(`
DECLARE
  r record;
  n bigint;
BEGIN
  FOR r IN SELECT * FROM %[1]s ORDER BY partitiond_seq LIMIT %[2]d LOOP
    IF r.partitiond_gone IS NULL THEN
      RAISE 'the default partition was truncated while its rows were moved';
    ELSIF NOT r.partitiond_gone AND %[3]s THEN
      INSERT INTO %[4]s (%[6]s) VALUES (%[7]s);
    ELSIF NOT r.partitiond_gone THEN
      INSERT INTO %[5]s (%[6]s) VALUES (%[7]s);
    ELSE
      IF %[3]s THEN
        DELETE FROM ONLY %[4]s WHERE ctid = (SELECT t.ctid FROM ONLY %[4]s AS t WHERE t.%[9]s = r.%[9]s AND ROW(%[8]s)::text = ROW(%[7]s)::text LIMIT 1);
      ELSE
        DELETE FROM ONLY %[5]s WHERE ctid = (SELECT t.ctid FROM ONLY %[5]s AS t WHERE ROW(%[8]s)::text = ROW(%[7]s)::text LIMIT 1);
      END IF;
      GET DIAGNOSTICS n = ROW_COUNT;
      IF n <> 1 THEN
        RAISE 'a row that was deleted from the default partition is not among those that were copied';
      END IF;
    END IF;
    DELETE FROM %[1]s WHERE partitiond_seq = r.partitiond_seq;
  END LOOP;
END `, quoteName(x.log), limit, x.belongs("r."), quoteName(x.part), quoteName(x.rest), x.list(""), x.list("r."), x.list("t."), quoteIdent(x.set.Key)))
}
