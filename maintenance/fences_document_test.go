package maintenance_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFencesDocument holds FENCES.md to the tests: each row names some, all of which
// there are, and no test of a fence is left out.
func TestFencesDocument(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, match := range function.FindAllStringSubmatch(string(text), -1) {
			tests[match[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../FENCES.md")
	if err != nil {
		t.Fatal(err)
	}
	named, rows := map[string]bool{}, 0
	for line := range strings.Lines(string(document)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.TrimSpace(cells[len(cells)-1]) == "test" {
			continue
		}
		rows++
		found := regexp.MustCompile("`(Test\\w+)(?:/(\\w+))?`").FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(cells) != 4 || len(found) == 0 {
			t.Errorf("a row of %d cells that names %d tests: %s", len(cells), len(found), line)
		}
		for _, match := range found {
			named[match[1]] = true
			if !tests[match[1]] {
				t.Errorf("there is no test %s: %s", match[1], line)
			}
			if match[2] == "" {
				continue
			}
			if _, err := os.Stat(filepath.Join("testdata", match[2]+".txtar")); err != nil || match[1] != "TestScenarios" {
				t.Errorf("there is no scenario %s: %v", match[2], err)
			}
		}
	}
	if rows == 0 {
		t.Error("there are no rows")
	}
	for name := range tests {
		if strings.HasPrefix(name, "TestFence") && name != t.Name() && !named[name] {
			t.Errorf("no row names %s", name)
		}
	}
}
