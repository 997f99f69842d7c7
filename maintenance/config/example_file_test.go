package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

const exampleFile = "../../config.example.toml"

// The two kinds of comments in the example that are TOML: a default by itself,
// and an indented block that shows what has no default.
var (
	defaultLine = regexp.MustCompile(`(?m)^# ([a-z_]+ = \S.*)$`)
	blockLine   = regexp.MustCompile(`(?m)^#     (\S.*)$`)
)

func readExample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestExampleLoads(t *testing.T) {
	quietEnvironment(t)
	c, err := Load(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Databases[0].Sets) != 1 {
		t.Errorf("%d sets", len(c.Databases[0].Sets))
	}
}

// TestExampleShowsTheDefaults takes the # from every default and expects that
// nothing changes.
func TestExampleShowsTheDefaults(t *testing.T) {
	t.Parallel()
	text := readExample(t)
	lines := defaultLine.FindAllString(text, -1)
	if len(lines) < 30 {
		t.Errorf("only %d lines of defaults found", len(lines))
	}
	want := mustParse(t, text)
	got := mustParse(t, defaultLine.ReplaceAllString(text, "$1"))
	for _, c := range []*Config{want, got} {
		c.Databases[0] = Database{ConnectTimeout: c.Databases[0].ConnectTimeout, Sets: c.Databases[0].Sets}
	}
	if diff := cmp.Diff(want, got, compareOptions, cmp.AllowUnexported(Database{})); diff != "" {
		t.Errorf("-without +with the lines of defaults:\n%s", diff)
	}
}

// TestExampleShowsEveryKey goes by the structs that the file is read into.
func TestExampleShowsEveryKey(t *testing.T) {
	t.Parallel()
	text := readExample(t)
	shown := map[string]bool{}
	note := func(text string) {
		for path := range locate(text) {
			shown[shownKey(path)] = true
		}
	}
	note(defaultLine.ReplaceAllString(text, "$1"))
	for _, block := range regexp.MustCompile(`(?m)(^#     \S.*\n)+`).FindAllString(text, -1) {
		block = blockLine.ReplaceAllString(block, "$1")
		if strings.HasPrefix(block, "events") {
			block = "[history]\n" + block
		} else if !strings.HasPrefix(block, "[") {
			block = "[database]\n" + block // The password file's.
		}
		var any map[string]any
		if _, err := toml.Decode(block, &any); err != nil {
			t.Errorf("%s\n%v", block, err)
		}
		note(block)
	}
	for _, key := range allKeys(reflect.TypeFor[documentKeys](), "") {
		if strings.HasPrefix(key, ofDatabase) {
			continue // A set there is like any other.
		}
		if key = strings.ReplaceAll(key, "[]", ""); !shown[key] {
			t.Errorf("%s does not show %s", exampleFile, key)
		}
	}
}

// TestExampleBlocksAreValid reads the whole configurations that stand in comments.
func TestExampleBlocksAreValid(t *testing.T) {
	t.Parallel()
	text := readExample(t)
	blocks := regexp.MustCompile(`(?m)(^#     \S.*\n)+`).FindAllString(text, -1)
	if len(blocks) != 11 {
		t.Errorf("%d blocks, want the shortest file, the password file, several databases, how long events are kept, three receivers, two hooks, a second set and a third", len(blocks))
	}
	for _, block := range blocks {
		block = blockLine.ReplaceAllString(block, "$1")
		switch {
		case strings.HasPrefix(block, "[[set]]"):
			if c := mustParse(t, text+block); len(c.Databases[0].Sets) != 2 {
				t.Errorf("%d sets", len(c.Databases[0].Sets))
			}
		case strings.HasPrefix(block, "[[notify]]"), strings.HasPrefix(block, "[hooks."):
			mustParse(t, text+block)
		case strings.HasPrefix(block, "[database]"):
			mustParse(t, block)
		case strings.HasPrefix(block, "[[database]]"):
			if c := mustParse(t, block+oneSet); len(c.Databases) != 2 || len(c.Databases[0].Sets) != 1 || len(c.Databases[1].Sets) != 1 {
				t.Errorf("%+v", c)
			}
		case strings.HasPrefix(block, "events"):
			if c := mustParse(t, strings.Replace(text, "\n[history]\n", "\n[history]\n"+block, 1)); c.History.Events.IsZero() {
				t.Error("events are kept for ever")
			}
		default:
			mustParse(t, strings.Replace(text, "\n[database]\n", "\n[database]\n"+block, 1))
		}
	}
}
