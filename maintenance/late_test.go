package maintenance_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestLateRows archives old months of the seed. Rows that come afterwards make
// their month again, which is archived beside the first, and so on: nothing is
// overwritten, and in the end every row that there ever was is in one place.
func TestLateRows(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	var set strings.Builder
	if err := s.template(`[[set]]
parent = "public.chat_master"
key = "created_at"
retention = { keep = "12 months", then = "archive", archive = "file://{{archive}}", max_share = 1, late_grace = "0s" }`).Execute(&set, nil); err != nil {
		t.Fatal(err)
	}
	s.section("set.toml", set.String())
	s.section("seed.sql", `CREATE SEQUENCE chat_id_seq; CREATE TABLE chat_master (id integer NOT NULL DEFAULT nextval('chat_id_seq'), body text, created_at timestamp)`)
	s.section("pass", passedText(s, "done", "create 0", "create 1", "create 2", "route", "analyze"))
	const nasty = `E'a "b", c''d\n\\. \\N \t\u00e9\U0001F600' || repeat('x', i % 7)`
	written := 0
	late := func(month, rows int) {
		t.Helper()
		s.section("late.sql", fmt.Sprintf(`INSERT INTO chat_master (created_at, body)
			SELECT date_trunc('month', localtimestamp) + make_interval(months => %d, hours => i), CASE i %% 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE %s END
			FROM generate_series(1, %d) i`, month, nasty, rows))
		written += rows
	}
	late(-14, 100)
	late(-13, 50)
	s.section("pass", passedText(s, "done", "archive -14", "archive -13", "analyze"))
	first := readArchive(t, s.archive)
	if len(first) != 2 {
		t.Fatalf("%d parts, want 2", len(first))
	}
	late(-14, 7)
	s.section("pass", passedText(s, "done", "archive -14", "analyze"))
	late(-14, 1)
	late(-13, 3)
	s.section("pass", passedText(s, "done", "archive -14", "archive -13", "analyze"))
	late(-3, 5)
	s.section("pass", passedText(s, "done", "route"))

	parts := readArchive(t, s.archive)
	var rowsIn, numbers []string
	for _, p := range parts {
		rowsIn = append(rowsIn, fmt.Sprint(len(p.rows)))
		name := p.Parts[0].File
		numbers = append(numbers, name[:len("part-0001")])
	}
	if got := strings.Join(numbers, " "); got != "part-0001 part-0002 part-0003 part-0001 part-0002" {
		t.Errorf("the parts are %s", got)
	}
	if got := strings.Join(rowsIn, " "); got != "100 7 1 50 3" {
		t.Errorf("the parts have %s rows", got)
	}
	for _, p := range first {
		if !slices.ContainsFunc(parts, func(q part) bool { return q.path == p.path && slices.Equal(q.Parts, p.Parts) }) {
			t.Errorf("%s was overwritten", p.path)
		}
	}
	ids := strings.Fields(rows(t, s.conn, "SELECT id FROM chat_master"))
	for _, p := range parts {
		ids = append(ids, p.column("id")...)
	}
	slices.Sort(ids)
	if n := len(slices.Compact(slices.Clone(ids))); n != written || len(ids) != written {
		t.Errorf("%d rows were written, %d are there, %d of them different", written, len(ids), n)
	}
	// What people write comes back as it was.
	s.query = `SELECT encode(convert_to(` + strings.ReplaceAll(nasty, "i % 7", "2") + `, 'UTF8'), 'hex')`
	want := strings.TrimSpace(rows(t, s.conn, s.query))
	i := slices.Index(parts[0].column("body"), "a \"b\", c'd\n\\. \\N \té😀xx")
	if i < 0 || fmt.Sprintf("%x", parts[0].column("body")[i]) != want {
		t.Errorf("the text %s is not in %q", want, parts[0].column("body")[:9])
	}
	s.section("left", "")
}

// passedText is what a pass does, with "verb month" for the action on the
// partition of that month from the present, and the parent without a month.
func passedText(s *scenario, status string, actions ...string) string {
	text := status
	for _, a := range actions {
		i := strings.LastIndex(a, " ")
		if i < 0 {
			text += "\n" + a + " public.chat_master"
			continue
		}
		verb, month := a[:i], a[i+1:]
		text += "\n" + verb + ` public.chat_{{month ` + month + ` "2006_01"}}`
	}
	var b strings.Builder
	if err := s.template(text).Execute(&b, nil); err != nil {
		s.t.Fatal(err)
	}
	return b.String()
}
