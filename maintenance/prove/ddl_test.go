package prove

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/partitiond/partitiond/maintenance/partition"
)

func (h *history) ddl(format string, args ...any) {
	h.rt.Helper()
	h.exec(h.owner, fmt.Sprintf(format, args...))
}

func (h *history) addColumn() {
	if len(h.columns) > 3 {
		h.rt.Skip("enough")
	}
	h.last++
	c := column{name: fmt.Sprintf("%s %d", h.draw("name", "select", "More", "c"), h.last)}
	clause := ""
	if h.draw("default", "no", "yes") == "yes" {
		c.without, clause = "by default", " DEFAULT 'by default'"
	}
	h.ddl("ALTER TABLE %s ADD COLUMN %s text%s", quoted(h.set.Parent), pgx.Identifier{c.name}.Sanitize(), clause)
	h.columns = append(h.columns, c)
	for _, id := range h.inSet() {
		h.model[id][c.name] = c.without
	}
}

func (h *history) dropColumn() {
	if len(h.columns) == 0 {
		h.rt.Skip("there is none")
	}
	i := h.number("column", 0, len(h.columns)-1)
	name := h.columns[i].name
	h.ddl("ALTER TABLE %s DROP COLUMN %s", quoted(h.set.Parent), pgx.Identifier{name}.Sanitize())
	h.columns = slices.Delete(slices.Clone(h.columns), i, i+1)
	for _, id := range h.inSet() {
		delete(h.model[id], name)
	}
}

func (h *history) renameChild() {
	h.last++
	h.ddl("ALTER TABLE %s RENAME TO %s", h.child(), pgx.Identifier{fmt.Sprintf("%s %d", h.draw("new name", "Odd Name", "select", `qu"o`), h.last)}.Sanitize())
}

// index makes one on the parent, or drops one somewhere.
func (h *history) index() {
	if h.draw("what", "create", "drop") == "create" {
		only := ""
		if h.style.declared {
			only = h.draw("only", "", "ONLY")
		}
		h.ddl("CREATE INDEX ON %s %s (%s)", only, quoted(h.set.Parent), h.draw("on", "body", "lower(body)", pgx.Identifier{h.set.Key}.Sanitize(), "id DESC"))
		return
	}
	all := h.strings(`SELECT i.indexrelid::regclass::text FROM pg_index i WHERE NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = i.indexrelid) AND (i.indrelid = $1::text::regclass
		OR i.indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = $1::text::regclass)) ORDER BY 1`, quoted(h.set.Parent))
	if len(all) == 0 {
		h.rt.Skip("there is none")
	}
	h.ddl("DROP INDEX %s", rapid.SampledFrom(all).Draw(h.rt, "index"))
}

func (h *history) grant() {
	switch h.draw("what", "grant", "revoke", "columns") {
	case "grant":
		h.ddl("GRANT SELECT ON %s TO %s", quoted(h.set.Parent), h.roles.reader)
	case "revoke":
		h.ddl("REVOKE SELECT ON %s FROM %s", h.child(), h.roles.reader)
	default:
		h.ddl("GRANT UPDATE (body) ON %s TO %s", h.draw("on", quoted(h.set.Parent), h.child()), h.roles.reader)
	}
}

// trigger does something to the one that routes rows, or that tells of those in the
// default partition.
func (h *history) trigger() {
	name := pgx.Identifier{h.set.Trigger}.Sanitize()
	tables := h.strings("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = $1 AND NOT tgisinternal", h.set.Trigger)
	if len(tables) == 0 {
		h.rt.Skip("there is none")
	}
	switch h.draw("what", "disable", "enable", "drop") {
	case "drop":
		h.ddl("DROP TRIGGER %s ON %s", name, tables[0])
	case "disable":
		h.ddl("ALTER TABLE %s DISABLE TRIGGER %s", tables[0], name)
	default:
		h.ddl("ALTER TABLE %s ENABLE TRIGGER %s", tables[0], name)
	}
}

// takeName puts a table in the way of a partition.
func (h *history) takeName() {
	period := h.set.PeriodOf(h.day(), partition.KeyTimestamp)
	name := quoted(h.set.PartitionName(period, partition.KeyTimestamp))
	if len(h.strings("SELECT 'yes' FROM pg_class WHERE oid = to_regclass($1)", name)) > 0 {
		h.rt.Skip("it is there")
	}
	h.ddl("CREATE TABLE %s (in_the_way integer)", name)
	h.taken = append(h.taken, name)
}

func (h *history) freeName() {
	if len(h.taken) == 0 {
		h.rt.Skip("none is taken")
	}
	for _, name := range h.taken {
		h.ddl("DROP TABLE %s", name)
	}
	h.taken = nil
}

// byHand makes a partition of a month as people do.
func (h *history) byHand() {
	h.last++
	from := h.month.AddDate(0, h.number("month", -30, 6), 0)
	to := from.AddDate(0, h.number("months", 1, 2), 0)
	name := pgx.Identifier{h.set.Parent.Schema, fmt.Sprintf("By hand %d", h.last)}.Sanitize()
	if h.style.declared {
		_, err := h.owner.Exec(h.ctx, fmt.Sprintf("CREATE TABLE %s PARTITION OF %s FOR VALUES FROM ('%s') TO ('%s')", name, quoted(h.set.Parent), h.value(from), h.value(to)))
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) && (pgErr.Code == "42P17" || pgErr.Code == "23514") {
			h.rt.Skip("there are partitions of these months, or rows in the default one")
		} else if err != nil {
			h.rt.Fatalf("make a partition by hand: %v", err)
		}
		h.mixed = true
		return
	}
	key := pgx.Identifier{h.set.Key}.Sanitize()
	check := fmt.Sprintf("%[1]s >= '%[2]s' AND %[1]s < '%[3]s'", key, h.value(from), h.value(to))
	if h.keyType == "timestamp" && h.draw("form", "plain", "truncated") == "truncated" {
		check = fmt.Sprintf("date_trunc('day', %[1]s) >= '%[2]s' AND date_trunc('day', %[1]s) < '%[3]s'", key, h.value(from), h.value(to))
	}
	h.ddl("CREATE TABLE %s (CHECK (%s)) INHERITS (%s)", name, check, quoted(h.set.Parent))
	h.ddl("GRANT ALL ON %s TO %s", name, h.roles.app) // Routed rows are written by their client.
	h.messy = true
}

// regrid changes how long periods are, or where days begin. Those that are there stay,
// and may be in the way of others.
func (h *history) regrid() {
	h.interval, h.zone = h.draw("interval", "1 month", "2 weeks", "1 quarter"), h.draw("zone", "UTC", "Europe/Berlin")
	h.mixed = true
	h.configure()
}

func (h *history) dropCheck() {
	child := h.child()
	checks := h.strings("SELECT quote_ident(conname) FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'c' AND coninhcount = 0 ORDER BY 1", child)
	if len(checks) == 0 {
		h.rt.Skip("there is none")
	}
	h.ddl("ALTER TABLE %s DROP CONSTRAINT %s", child, rapid.SampledFrom(checks).Draw(h.rt, "check"))
	h.messy = true
}

// mend is a person who sorts out what somebody did by hand: the rows of such a table
// go through the parent once more.
func (h *history) mend() {
	if h.restored() || len(h.views) > 0 {
		h.rt.Skip("its rows would be back in the archive, or something depends on it")
	}
	if h.style.declared && h.defaultPartition() == "" {
		h.rt.Skip("some of its rows could be refused")
	}
	var odd []string
	for _, child := range h.children() {
		if strings.Contains(child, "By hand") || !h.style.declared && len(h.strings("SELECT 'yes' FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'c'", child)) == 0 {
			odd = append(odd, child)
		}
	}
	if len(odd) == 0 {
		h.rt.Skip("all is as it should be")
	}
	h.leaves()
	for _, child := range odd {
		h.ddl("BEGIN; CREATE TEMPORARY TABLE aside ON COMMIT DROP AS SELECT * FROM ONLY %[1]s; DROP TABLE %[1]s; INSERT INTO %[2]s SELECT * FROM aside; COMMIT", child, quoted(h.set.Parent))
	}
}

func (h *history) view() {
	h.last++
	name := pgx.Identifier{h.set.Parent.Schema, fmt.Sprintf("view %d", h.last)}.Sanitize()
	h.ddl("CREATE VIEW %s AS SELECT id FROM %s", name, h.child())
	h.views = append(h.views, name)
}

func (h *history) dropViews() {
	if len(h.views) == 0 {
		h.rt.Skip("there is none")
	}
	for _, name := range h.views {
		h.ddl("DROP VIEW %s", name)
	}
	h.views = nil
}

// dropChild is a person who drops a partition, with its rows.
func (h *history) dropChild() {
	if h.restored() || len(h.views) > 0 {
		h.rt.Skip("its rows would be back in the archive, or something depends on it")
	}
	child := h.child()
	gone := h.strings("SELECT id::text FROM ONLY " + child)
	h.leaves()
	h.ddl("DROP TABLE %s", child)
	for _, id := range gone {
		delete(h.model, id)
	}
}

// leaves notes whether a partition goes by hand while an index of the parent is not valid
// yet: that one may never be, then.
func (h *history) leaves() {
	h.unmarked = h.unmarked || len(h.strings("SELECT 'yes' FROM pg_index WHERE indrelid = $1::text::regclass AND NOT indisvalid", quoted(h.set.Parent))) > 0
}

// takeOut is a person who takes a partition out of a declarative set, and keeps it.
func (h *history) takeOut() {
	if !h.style.declared {
		h.rt.Skip("the routing function goes on to name it")
	}
	child := h.child()
	h.leaves()
	h.ddl("ALTER TABLE %s DETACH PARTITION %s", quoted(h.set.Parent), child)
	h.outside = true
}

// setting changes what the parent is like.
func (h *history) setting() {
	options := []string{"ALTER TABLE $ SET (fillfactor = 80)", "ALTER TABLE $ RESET (fillfactor)"}
	if h.style.declared { // Such a parent has none.
		options = nil
	}
	h.ddl("%s", strings.ReplaceAll(h.draw("setting", append(options, "COMMENT ON TABLE $ IS 'it''s'",
		"ALTER TABLE $ ALTER body SET DEFAULT 'none'", "ALTER TABLE $ ALTER body SET NOT NULL", "ALTER TABLE $ ALTER body DROP NOT NULL",
		"ALTER TABLE $ REPLICA IDENTITY FULL", "COMMENT ON COLUMN $.body IS NULL", "ALTER TABLE $ ALTER body SET STORAGE EXTERNAL")...), "$", quoted(h.set.Parent)))
}
