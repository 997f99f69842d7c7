package prove

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/partitiond/partitiond/maintenance"
	"github.com/partitiond/partitiond/maintenance/archive"
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
		{"take out", 1, h.takeOut},
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
				h.made++
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

// must takes rows into the model. What no partition of a declarative set takes is
// refused, with all that came along.
func (h *history) must(rows ledger, err error) {
	h.rt.Helper()
	if h.homeless(err) {
		return
	}
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

// homeless tells whether a row was refused because there is no place for it.
func (h *history) homeless(err error) bool {
	var pgErr *pgconn.PgError
	return h.style.declared && errors.As(err, &pgErr) && pgErr.Code == "23514" && h.defaultPartition() == ""
}

// defaultPartition returns the name of the default partition, or nothing.
func (h *history) defaultPartition() string {
	return strings.Join(h.strings("SELECT partdefid::regclass::text FROM pg_partitioned_table WHERE partrelid = $1::text::regclass AND partdefid <> 0", quoted(h.set.Parent)), "")
}

// insertNull has a row without a date refused, or put into the parent where nothing
// routes it.
func (h *history) insertNull() {
	id, r := h.newRow(nil)
	rows := ledger{id: r}
	routed := !h.style.declared && len(h.strings("SELECT tgname::text FROM pg_trigger WHERE tgrelid = $1::text::regclass AND tgenabled = 'O'", quoted(h.set.Parent))) > 0
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

// move changes a row's date. In a set by inheritance the CHECK refuses what would be
// another partition's, in a declarative one the row goes there.
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
	case !errors.As(err, &pgErr) || pgErr.Code != "23514" || h.style.declared && !h.homeless(err):
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

// restore brings an archived period back, if there is one.
func (h *history) restore() {
	exports := h.counting()
	if len(exports) == 0 {
		h.rt.Skip("nothing is archived")
	}
	first := rapid.SampledFrom(exports).Draw(h.rt, "export")
	request := maintenance.RestoreRequest{Set: h.archived, HoldUntil: time.Now().Add(24 * time.Hour)}
	for _, m := range exports {
		if m.Bounds.Partition().Equal(first.Bounds.Partition()) {
			request.Manifests = append(request.Manifests, m)
		}
	}
	rows := map[string]row{}
	for _, m := range request.Manifests {
		for _, s := range h.read(m) {
			rows[s.id] = s.row
		}
	}
	h.looked = false
	if !h.restoreRequest(request) {
		return
	}
	for id, archived := range rows {
		back := row{h.set.Key: archived[h.set.Key], "body": archived["body"]}
		for _, c := range h.columns {
			if value, ok := archived[c.name]; ok {
				back[c.name] = value
			} else {
				back[c.name] = c.without
			}
		}
		h.model[id] = back
	}
}

func keysOf(exports []archive.Manifest) string {
	var keys []string
	for _, m := range exports {
		keys = append(keys, m.Key)
	}
	return strings.Join(keys, " ")
}
