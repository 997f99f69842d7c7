package partition

import (
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", MaxNameBytes)
	for _, test := range []struct {
		text string
		want Name
	}{
		{"chat_master", Name{"public", "chat_master"}},
		{"Chat_Master", Name{"public", "chat_master"}},
		{"App.Chat", Name{"app", "chat"}},
		{`"App"."Chat"`, Name{"App", "Chat"}},
		{`"App".Chat`, Name{"App", "chat"}},
		{`App."Chat.x"`, Name{"app", "Chat.x"}},
		{`"a.b"`, Name{"public", "a.b"}},
		{`"a""b"`, Name{"public", `a"b`}},
		{`""""`, Name{"public", `"`}},
		{`" "`, Name{"public", " "}},
		{`"2018"`, Name{"public", "2018"}},
		{"_x1$", Name{"public", "_x1$"}},
		{"Größe", Name{"public", "größe"}},
		{"ÄRGER", Name{"public", "Ärger"}}, // PostgreSQL folds ASCII only.
		{long, Name{"public", long}},
		{"s." + long, Name{"s", long}},
		{`"` + strings.Repeat("é", 31) + `"`, Name{"public", strings.Repeat("é", 31)}},
	} {
		got, err := ParseName(test.text)
		if err != nil || got != test.want {
			t.Errorf("ParseName(%q) = %+v, %v; want %+v", test.text, got, err, test.want)
		}
	}
}

func TestParseNameErrors(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", MaxNameBytes+1)
	for _, test := range []struct{ text, want string }{
		{"", `"" is not a table name: a part is empty`},
		{".", `"." is not a table name: a part is empty`},
		{"a.", `"a." is not a table name: a part is empty`},
		{".a", `".a" is not a table name: a part is empty`},
		{"a..b", `"a..b" is not a table name: a part is empty`},
		{`""`, `"\"\"" is not a table name: a quoted part is empty or has a zero byte`},
		{"\"a\x00b\"", `"\"a\x00b\"" is not a table name: a quoted part is empty or has a zero byte`},
		{`"a`, `"\"a" is not a table name: a quote is not closed`},
		{`"a""`, `"\"a\"\"" is not a table name: a quote is not closed`},
		{`"a"b`, `"\"a\"b" is not a table name: something follows the closing quote`},
		{`"a" .b`, `"\"a\" .b" is not a table name: something follows the closing quote`},
		{`a"b"`, `"a\"b\"" is not a table name: "a\"b\"" must be written in double quotes`},
		{"a b", `"a b" is not a table name: "a b" must be written in double quotes`},
		{" a", `" a" is not a table name: " a" must be written in double quotes`},
		{"a;drop", `"a;drop" is not a table name: "a;drop" must be written in double quotes`},
		{"a-b", `"a-b" is not a table name: "a-b" must be written in double quotes`},
		{"a\x00b", `"a\x00b" is not a table name: "a\x00b" must be written in double quotes`},
		{"a\fb", `"a\fb" is not a table name: "a\fb" must be written in double quotes`},
		{"$a", `"$a" is not a table name: "$a" must be written in double quotes`},
		{"2018_11", `"2018_11" is not a table name: "2018_11" must be written in double quotes`},
		{"public.2018_11", `"public.2018_11" is not a table name: "2018_11" must be written in double quotes`},
		{"a.b.c", `"a.b.c" has 3 parts: expected schema.table`},
		{"a.b.c.d", `"a.b.c.d" has 4 parts: expected schema.table`},
		{long, `"` + long + `" has 64 bytes: PostgreSQL keeps 63 of a name`},
		{"s." + long, `"` + long + `" has 64 bytes: PostgreSQL keeps 63 of a name`},
		{`"` + strings.Repeat("é", 32) + `"`, `"` + strings.Repeat("é", 32) + `" has 64 bytes: PostgreSQL keeps 63 of a name`},
		{"a\xff", `"a\xff" is not a table name: it is not valid UTF-8`},
	} {
		got, err := ParseName(test.text)
		if err == nil || err.Error() != test.want || got != (Name{}) {
			t.Errorf("ParseName(%q) = %+v,\n     %v\nwant %s", test.text, got, err, test.want)
		}
	}
}

func TestBaseName(t *testing.T) {
	t.Parallel()
	for local, want := range map[string]string{
		"events": "events", "events_master": "events", "events_parent": "events", "events_template": "events",
		"_master": "_master", "a_master_parent": "a_master", "master": "master",
	} {
		if got := BaseName(Name{"public", local}); got != want {
			t.Errorf("BaseName(%q) = %q, want %q", local, got, want)
		}
	}
}

// quoted writes a name as ParseName and PostgreSQL read it, whatever it holds.
func quoted(n Name) string {
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	return quote(n.Schema) + "." + quote(n.Local)
}

func FuzzParseName(f *testing.F) {
	for _, seed := range []string{"chat_master", `"App"."Ch""at"`, "a.b.c", `"a`, "2018", "Ä.ö", "a.", "\x00", "a\xff", `"".""`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := ParseName(text)
		if err != nil {
			if name != (Name{}) {
				t.Fatalf("%q gives %+v beside the error %v", text, name, err)
			}
			return
		}
		for _, part := range []string{name.Schema, name.Local} {
			if part == "" || len(part) > MaxNameBytes || strings.ContainsRune(part, 0) {
				t.Fatalf("%q gives the part %q", text, part)
			}
		}
		if again, err := ParseName(quoted(name)); err != nil || again != name {
			t.Fatalf("%q is read as %+v, but %s as %+v, %v", text, name, quoted(name), again, err)
		}
		if !strings.Contains(text, `"`) && text != name.Local && text != name.String() && strings.ToLower(text) == text {
			t.Fatalf("%q has nothing to fold and is read as %+v", text, name)
		}
	})
}
