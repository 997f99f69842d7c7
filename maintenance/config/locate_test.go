package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLocate(t *testing.T) {
	t.Parallel()
	text := strings.Join([]string{
		`top = 1 # a = 2`,            // 1
		`"quoted.key" = "# [[set]]"`, // 2
		``,                           // 3
		`[database] # comment`,       // 4
		`url = 'C:\'`,                // 5
		`long = """`,                 // 6
		`[[set]]`,                    // 7
		`key = "\""""""`,             // 8
		`raw = '''`,                  // 9
		`it's ]] " '''''`,            // 10
		`  [[ set ]]`,                // 11
		`parent="a"`,                 // 12
		`  retention = { keep = "1 year", then="drop" }`, // 13
		`[[set]]`,                // 14
		`parent = "b\" # ]" # c`, // 15
		`retention . keep = "x"`, // 16
		`retention.'then' = "y"`, // 17
		`list = [ 1, [2,`,        // 18
		`  3], # ]`,              // 19
		`  { a = { b = 1 },`,     // 20
		`    c = [] },`,          // 21
		`]`,                      // 22
		`[set.limits]`,           // 23
		`when = 1979-05-27 07:32:00 # blank inside`, // 24
		`[set.window.deep]`,                         // 25
		`"e\u0073c" = true`,                         // 26
		`[[set.sub]]`,                               // 27
		`a = +inf`,                                  // 28
		`[[set.sub]]`,                               // 29
		`b.c = 0x1F`,                                // 30
		`[set.sub.inner]`,                           // 31
		`d = ""`,                                    // 32
		`[[set]]`,                                   // 33
		`parent = ''`,                               // 34
		`[log]`,                                     // 35
		`level = "info"`,                            // 36
	}, "\n")
	want := places{
		"top": {1, "1"}, `"quoted.key"`: {2, `"# [[set]]"`},
		"database": {4, ""}, "database.url": {5, `'C:\'`},
		"database.long": {6, "\"\"\"\n[[set]]\nkey = \"\\\"\"\"\"\"\""},
		"database.raw":  {9, "'''\nit's ]] \" '''''"},
		"set":           {11, ""}, "set[0]": {11, ""}, "set[0].parent": {12, `"a"`},
		"set[0].retention":      {13, `{ keep = "1 year", then="drop" }`},
		"set[0].retention.keep": {13, `"1 year"`}, "set[0].retention.then": {13, `"drop"`},
		"set[1]": {14, ""}, "set[1].parent": {15, `"b\" # ]"`},
		"set[1].retention": {16, ""}, "set[1].retention.keep": {16, `"x"`}, "set[1].retention.then": {17, `"y"`},
		"set[1].list":    {18, "[ 1, [2,\n  3], # ]\n  { a = { b = 1 },\n    c = [] },\n]"},
		"set[1].list[0]": {18, "1"}, "set[1].list[1]": {18, "[2,\n  3]"},
		"set[1].list[1][0]": {18, "2"}, "set[1].list[1][1]": {19, "3"},
		"set[1].list[2]":   {20, "{ a = { b = 1 },\n    c = [] }"},
		"set[1].list[2].a": {20, "{ b = 1 }"}, "set[1].list[2].a.b": {20, "1"}, "set[1].list[2].c": {21, "[]"},
		"set[1].limits": {23, ""}, "set[1].limits.when": {24, "1979-05-27 07:32:00"},
		"set[1].window": {25, ""}, "set[1].window.deep": {25, ""}, "set[1].window.deep.esc": {26, "true"},
		"set[1].sub": {27, ""}, "set[1].sub[0]": {27, ""}, "set[1].sub[0].a": {28, "+inf"},
		"set[1].sub[1]": {29, ""}, "set[1].sub[1].b": {30, ""}, "set[1].sub[1].b.c": {30, "0x1F"},
		"set[1].sub[1].inner": {31, ""}, "set[1].sub[1].inner.d": {32, `""`},
		"set[2]": {33, ""}, "set[2].parent": {34, "''"},
		"log": {35, ""}, "log.level": {36, `"info"`},
	}
	for name, ending := range map[string]string{"LF": "\n", "CRLF": "\r\n"} {
		got := locate(strings.ReplaceAll(text, "\n", ending))
		for path, at := range got {
			at.raw = strings.ReplaceAll(at.raw, "\r\n", "\n")
			got[path] = at
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(place{})); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestLocateInlineArrayOfTables(t *testing.T) {
	t.Parallel()
	got := locate("set = [\n  { parent = \"a\" },\n  {\n    parent = \"b\" },\n]")
	for path, line := range map[string]int{"set": 1, "set[0]": 2, "set[0].parent": 2, "set[1]": 3, "set[1].parent": 4} {
		if got[path].line != line {
			t.Errorf("%s in line %d, want %d", path, got[path].line, line)
		}
	}
}

func TestFindFallsBackToTheTableAround(t *testing.T) {
	t.Parallel()
	found := locate("\n[[set]]\nparent = \"a\"\n[set.retention]\nkeep = 1")
	for path, want := range map[string]struct {
		line  int
		exact bool
	}{
		"set[0].parent": {3, true}, "set[0].retention.then": {4, false}, "set[0].key": {2, false},
		"set[0].limits.retries": {2, false}, "set[1].key": {2, false}, "log.level": {0, false}, "": {0, false},
	} {
		at, exact := found.find(path)
		if at.line != want.line || exact != want.exact {
			t.Errorf("%q: line %d, exact %t, want %v", path, at.line, exact, want)
		}
	}
}

// What is not TOML never gets here, but if it does it must come to an end.
func TestLocateEndsOnAnything(t *testing.T) {
	t.Parallel()
	whole := "a.\"b\".'c' = [1, {x = \"\"\"\\\"\"\"\", y = '''z'''}] # c\n[[t.\"u\"]]\n[v]\nw = 1\n"
	for cut := range len(whole) {
		locate(whole[:cut])
		locate(whole[cut:])
		locate(whole[:cut] + "=" + whole[cut:])
		locate(whole[:cut] + "[" + whole[cut:])
		locate(whole[:cut] + "\"" + whole[cut:])
		locate(whole[:cut] + "\x00" + whole[cut:])
	}
}
