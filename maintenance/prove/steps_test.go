package prove

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// steps are what can happen. What happens often is there several times; and since
// small numbers are drawn more often than others, what matters most comes first.
func (h *history) steps() map[string]func(*rapid.T) {
	type step struct {
		name  string
		times int
		do    func()
	}
	list := []step{
		{"pass", 5, h.pass},
		{"insert", 5, h.insert},
		{"restore", 2, h.restore},
		{"configure", 2, h.configure},
		{"move", 2, h.move},
		{"release", 2, h.release},
		{"copy", 2, h.copy},
		{"mend", 2, h.mend},
		{"edit", 2, h.edit},
		{"delete", 1, h.delete},
		{"trigger", 1, h.trigger},
		{"insert odd", 1, h.insertOdd},
		{"insert NULL", 1, h.insertNull},
		{"add column", 1, h.addColumn},
		{"drop column", 1, h.dropColumn},
		{"rename child", 1, h.renameChild},
		{"index", 1, h.index},
		{"grant", 1, h.grant},
		{"set", 1, h.setting},
		{"drop CHECK", 1, h.dropCheck},
		{"by hand", 1, h.byHand},
		{"free name", 1, h.freeName},
		{"take name", 1, h.takeName},
		{"drop views", 1, h.dropViews},
		{"view", 1, h.view},
		{"drop child", 1, h.dropChild},
		{"regrid", 1, h.regrid},
	}
	steps := map[string]func(*rapid.T){"": func(*rapid.T) {}}
	for round, more := 1, true; more; round++ {
		more = false
		for _, s := range list {
			if s.times < round {
				continue
			}
			more = true
			steps[fmt.Sprintf("%02d %s", len(steps), s.name)] = func(rt *rapid.T) {
				h.rt, h.t = rt, rt
				s.do()
				h.account()
				h.counts[s.name]++
			}
		}
	}
	return steps
}

func (h *history) draw(name string, from ...string) string {
	return rapid.SampledFrom(from).Draw(h.rt, name)
}

func (h *history) number(name string, from, to int) int {
	return rapid.IntRange(from, to).Draw(h.rt, name)
}

// pick is one of the rows in the set.
func (h *history) pick() string {
	in := h.inSet()
	if len(in) == 0 {
		h.rt.Skip("there are no rows")
	}
	return rapid.SampledFrom(in).Draw(h.rt, "row")
}

// children lists the partitions.
func (h *history) children() []string {
	return h.strings(`SELECT format('%I.%I', n.nspname, c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.inhparent = $1::text::regclass ORDER BY 1`, quoted(h.set.Parent))
}

func (h *history) child() string {
	all := h.children()
	if len(all) == 0 {
		h.rt.Skip("there are no partitions")
	}
	return rapid.SampledFrom(all).Draw(h.rt, "child")
}

// day draws a day around a month from the present one.
func (h *history) day() time.Time {
	offset := h.number("month", -30, 6)
	if h.number("recent", 0, 1) == 1 {
		offset = h.number("month near", -2, 2)
	}
	return h.month.AddDate(0, offset, h.number("day", 0, 27))
}

// value is a time as to_jsonb() shows it.
func (h *history) value(t time.Time) string {
	switch h.keyType {
	case "date":
		return t.Format("2006-01-02")
	case "timestamp":
		return t.Format("2006-01-02T15:04:05")
	}
	return t.Format("2006-01-02T15:04:05+00:00")
}

var bodies = []string{"", "plain", `it's "quoted"`, "back\\slash", "tab\tand\nline", "Größe 😀", "\\N", "\\."}

// newRow makes one of the given key.
func (h *history) newRow(key any) (id string, r row) {
	h.last++
	r = row{h.set.Key: key, "body": h.draw("body", bodies...)}
	for _, c := range h.columns {
		r[c.name] = h.draw(c.name, "x", "y'z")
	}
	return strconv.Itoa(h.last), r
}

func (h *history) newRows() ledger {
	rows := ledger{}
	for range h.number("rows", 1, 5) {
		id, r := h.newRow(h.value(h.day().Add(time.Duration(h.number("hour", 0, 23)) * time.Hour)))
		if h.keyType == "date" {
			r[h.set.Key] = r[h.set.Key].(string)[:10]
		}
		rows[id] = r
	}
	return rows
}

func (h *history) columnNames() []string {
	names := []string{"id", h.set.Key, "body"}
	for _, c := range h.columns {
		names = append(names, c.name)
	}
	return names
}

// write inserts rows in one statement, and returns its error.
func (h *history) write(rows ledger) error {
	var list []map[string]any
	for id, r := range rows {
		m := map[string]any{"id": id}
		for k, v := range r {
			m[k] = v
		}
		list = append(list, m)
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	var names, typed []string
	for _, name := range h.columnNames() {
		q := pgx.Identifier{name}.Sanitize()
		names = append(names, q)
		kind := "text"
		switch name {
		case "id":
			kind = "bigint"
		case h.set.Key:
			kind = h.keyType
		}
		typed = append(typed, q+" "+kind)
	}
	_, err = h.app.Exec(h.ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT * FROM jsonb_to_recordset($1) AS r (%s)",
		quoted(h.set.Parent), strings.Join(names, ", "), strings.Join(typed, ", ")), text)
	return err
}

func (h *history) must(rows ledger, err error) {
	h.rt.Helper()
	if err != nil {
		h.rt.Fatalf("an insert fails: %v\n%v", err, rows)
	}
	for id, r := range rows {
		h.model[id] = r
	}
}

func (h *history) insert() {
	rows := h.newRows()
	h.must(rows, h.write(rows))
}

// copy sends rows by COPY.
func (h *history) copy() {
	rows := h.newRows()
	escape := strings.NewReplacer("\\", "\\\\", "\t", "\\t", "\n", "\\n")
	var text strings.Builder
	for id, r := range rows {
		line := []string{id}
		for _, name := range h.columnNames()[1:] {
			line = append(line, escape.Replace(r[name].(string)))
		}
		text.WriteString(strings.Join(line, "\t") + "\n")
	}
	var names []string
	for _, name := range h.columnNames() {
		names = append(names, pgx.Identifier{name}.Sanitize())
	}
	_, err := h.app.PgConn().CopyFrom(h.ctx, strings.NewReader(text.String()),
		fmt.Sprintf("COPY %s (%s) FROM STDIN", quoted(h.set.Parent), strings.Join(names, ", ")))
	h.must(rows, err)
}

// insertNull has a row without a date refused, or put into the parent where nothing
// routes it.
func (h *history) insertNull() {
	id, r := h.newRow(nil)
	rows := ledger{id: r}
	routed := len(h.strings("SELECT tgname::text FROM pg_trigger WHERE tgrelid = $1::text::regclass AND tgenabled = 'O'", quoted(h.set.Parent))) > 0
	err := h.write(rows)
	if !routed {
		h.must(rows, err)
	} else if err == nil {
		h.rt.Fatalf("a row without a date is taken")
	}
}

// insertOdd inserts what no partition is made for.
func (h *history) insertOdd() {
	odd := h.draw("odd", "infinity", "-infinity", h.value(h.month.AddDate(70, 0, 0)), h.value(h.month.AddDate(-90, 0, 0)))
	id, r := h.newRow(odd)
	rows := ledger{id: r}
	h.must(rows, h.write(rows))
}

func (h *history) affects(sql string, args ...any) {
	h.rt.Helper()
	tag, err := h.app.Exec(h.ctx, sql, args...)
	if err != nil || tag.RowsAffected() != 1 {
		h.rt.Fatalf("%s %v: %s, %v", sql, args, tag, err)
	}
}

func (h *history) edit() {
	id, body := h.pick(), h.draw("body", bodies...)
	h.affects(fmt.Sprintf("UPDATE %s SET body = $1 WHERE id = $2", quoted(h.set.Parent)), body, id)
	h.model[id]["body"] = body
}

// move changes a row's date. The CHECK refuses what would be another partition's.
func (h *history) move() {
	id := h.pick()
	value := h.value(h.day())
	_, err := h.app.Exec(h.ctx, fmt.Sprintf("UPDATE %s SET %s = $1::text::%s WHERE id = $2",
		quoted(h.set.Parent), pgx.Identifier{h.set.Key}.Sanitize(), h.keyType), value, id)
	var pgErr *pgconn.PgError
	switch {
	case err == nil:
		h.model[id][h.set.Key] = value
		// Where somebody took the CHECK away, nothing holds rows to their month.
	case !errors.As(err, &pgErr) || pgErr.Code != "23514":
		h.rt.Fatalf("an update across months fails: %v", err)
	}
}

func (h *history) delete() {
	id := h.pick()
	h.affects(fmt.Sprintf("DELETE FROM %s WHERE id = $1", quoted(h.set.Parent)), id)
	delete(h.model, id)
}

// restoreRequest tells whether the rows are in the set again. There may be no place.
func (h *history) restoreRequest(r maintenance.RestoreRequest) bool {
	_, err := h.m.Restore(h.ctx, r)
	if err != nil && !errors.Is(err, maintenance.ErrNoPlace) {
		h.rt.Fatalf("restore %s: %v", keysOf(r.Manifests), err)
	}
	return err == nil
}

// release ends all holds.
func (h *history) release() {
	if len(h.strings("SELECT 'yes' FROM pg_class WHERE oid = to_regclass('partitiond.hold')")) == 0 {
		h.rt.Skip("there are no holds")
	}
	h.exec(h.super, "UPDATE partitiond.hold SET until = now() WHERE until IS NULL OR until > now()")
}

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
		h.ddl("CREATE INDEX ON %s (%s)", quoted(h.set.Parent), h.draw("on", "body", "lower(body)", pgx.Identifier{h.set.Key}.Sanitize(), "id DESC"))
		return
	}
	all := h.strings(`SELECT i.indexrelid::regclass::text FROM pg_index i WHERE i.indrelid = $1::text::regclass
		OR i.indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = $1::text::regclass) ORDER BY 1`, quoted(h.set.Parent))
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

func (h *history) trigger() {
	name := pgx.Identifier{h.set.Trigger}.Sanitize()
	if len(h.strings("SELECT tgname::text FROM pg_trigger WHERE tgrelid = $1::text::regclass AND tgname = $2", quoted(h.set.Parent), h.set.Trigger)) == 0 {
		h.rt.Skip("there is none")
	}
	switch h.draw("what", "disable", "enable", "drop") {
	case "drop":
		h.ddl("DROP TRIGGER %s ON %s", name, quoted(h.set.Parent))
	case "disable":
		h.ddl("ALTER TABLE %s DISABLE TRIGGER %s", quoted(h.set.Parent), name)
	default:
		h.ddl("ALTER TABLE %s ENABLE TRIGGER %s", quoted(h.set.Parent), name)
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
	key := pgx.Identifier{h.set.Key}.Sanitize()
	check := fmt.Sprintf("%[1]s >= '%[2]s' AND %[1]s < '%[3]s'", key, h.value(from), h.value(to))
	if h.keyType == "timestamp" && h.draw("form", "plain", "truncated") == "truncated" {
		check = fmt.Sprintf("date_trunc('day', %[1]s) >= '%[2]s' AND date_trunc('day', %[1]s) < '%[3]s'", key, h.value(from), h.value(to))
	}
	name := pgx.Identifier{h.set.Parent.Schema, fmt.Sprintf("By hand %d", h.last)}.Sanitize()
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
	var odd []string
	for _, child := range h.children() {
		if strings.Contains(child, "By hand") || len(h.strings("SELECT 'yes' FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'c'", child)) == 0 {
			odd = append(odd, child)
		}
	}
	if len(odd) == 0 {
		h.rt.Skip("all is as it should be")
	}
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
	h.ddl("DROP TABLE %s", child)
	for _, id := range gone {
		delete(h.model, id)
	}
}

// setting changes what the parent is like.
func (h *history) setting() {
	h.ddl("%s", strings.ReplaceAll(h.draw("setting", "ALTER TABLE $ SET (fillfactor = 80)", "ALTER TABLE $ RESET (fillfactor)", "COMMENT ON TABLE $ IS 'it''s'",
		"ALTER TABLE $ ALTER body SET DEFAULT 'none'", "ALTER TABLE $ ALTER body SET NOT NULL", "ALTER TABLE $ ALTER body DROP NOT NULL",
		"ALTER TABLE $ REPLICA IDENTITY FULL", "COMMENT ON COLUMN $.body IS NULL", "ALTER TABLE $ ALTER body SET STORAGE EXTERNAL"), "$", quoted(h.set.Parent)))
}
