package maintenance_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is the module's directory, seen from this package's.
const root = ".."

// module is the path that each package's path begins with.
const module = "github.com/partitiond/partitiond"

// listed is what go list says of one package.
type listed struct {
	ImportPath   string
	Dir          string
	Standard     bool
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// packages is every package that the module needs, by import path.
type packages map[string]*listed

// listPackages lists the module's packages and what they import. That some do
// not compile at the moment is no reason to fail here.
func listPackages(t *testing.T) packages {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps",
		"-json=ImportPath,Dir,Standard,GoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaint.Bytes())
	}
	all := packages{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(listed)
		if err := decoder.Decode(p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all[p.ImportPath] = p
	}
}

// at returns the package in a directory of the module. A rule about a package
// that is not there would hold nothing, so its absence fails the test.
func (all packages) at(t *testing.T, dir string) *listed {
	t.Helper()
	p := all[path.Join(module, dir)]
	if p == nil || len(p.GoFiles) == 0 {
		t.Fatalf("there is no package in %s, which a rule in layering_test.go is about", dir)
	}
	return p
}

// chain returns the imports that lead from one package to one that is unwanted:
// "a -> b -> c", or "" if none does.
func (all packages) chain(from string, unwanted func(*listed) bool) string {
	cameFrom := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		p := all[queue[0]]
		if p == nil {
			continue // "C", or a package that go list could not find
		}
		if p.ImportPath != from && unwanted(p) {
			steps := []string{}
			for at := p.ImportPath; at != ""; at = cameFrom[at] {
				steps = append(steps, strings.TrimPrefix(at, module+"/"))
			}
			slices.Reverse(steps)
			return strings.Join(steps, " -> ")
		}
		if p.Standard {
			continue // imports only its like
		}
		for _, next := range p.Imports {
			if _, seen := cameFrom[next]; !seen {
				cameFrom[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	return ""
}

// within tells whether the import path is the directory of the module, or below.
func within(importPath, dir string) bool {
	whole := path.Join(module, dir)
	return importPath == whole || strings.HasPrefix(importPath, whole+"/")
}

func TestOnlyTheStandardLibrary(t *testing.T) {
	t.Parallel()
	all := listPackages(t)
	for _, dir := range []string{"sql", "maintenance/partition", "maintenance/pgtemp"} {
		t.Run(dir, func(t *testing.T) {
			p := all.at(t, dir)
			if found := all.chain(p.ImportPath, func(p *listed) bool { return !p.Standard }); found != "" {
				t.Errorf("%s may import only the standard library: %s", dir, found)
			}
		})
	}
}

func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	all := listPackages(t)
	rules := []struct {
		dir    string
		spared []string // what the package must not need, with all below it
		alone  []string // likewise, but without what is below
	}{
		{dir: "maintenance/config", spared: []string{"maintenance/postgres", "maintenance/archive", "cmd"}},
		{dir: "maintenance/postgres", spared: []string{"maintenance/config", "cmd"}, alone: []string{"maintenance"}},
		{dir: "maintenance/archive", spared: []string{"maintenance/config", "cmd"}, alone: []string{"maintenance"}},
	}
	for _, rule := range rules {
		t.Run(rule.dir, func(t *testing.T) {
			p := all.at(t, rule.dir)
			for _, dir := range rule.spared {
				if found := all.chain(p.ImportPath, func(p *listed) bool { return within(p.ImportPath, dir) }); found != "" {
					t.Errorf("%s must not need %s: %s", rule.dir, dir, found)
				}
			}
			for _, dir := range rule.alone {
				if found := all.chain(p.ImportPath, func(p *listed) bool { return p.ImportPath == path.Join(module, dir) }); found != "" {
					t.Errorf("%s must not need %s: %s", rule.dir, dir, found)
				}
			}
		})
	}
}

// Nothing but a command, not even a test, imports what belongs to commands.
func TestNothingImportsCommands(t *testing.T) {
	t.Parallel()
	for importPath, p := range listPackages(t) {
		if !within(importPath, "") || within(importPath, "cmd") {
			continue
		}
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if within(imported, "cmd") {
				t.Errorf("%s imports %s", importPath, imported)
			}
		}
	}
}

// impure is what would give maintenance/partition a world to depend on. A name
// ending in "/" stands for all below it, except net/url, which only reads text.
var impure = []string{
	"database/sql", "database/sql/", "embed", "io/fs", "io/ioutil", "log", "log/", "math/rand", "math/rand/",
	"net", "net/", "os", "os/", "path/filepath", "runtime", "runtime/", "syscall", "testing", "testing/", "unsafe",
}

// worldly is what does so in packages that it may import.
var worldly = map[string][]string{
	"time": {"After", "AfterFunc", "LoadLocation", "Local", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"},
	"fmt":  {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
}

// The time, the zone and all else that a plan depends on are arguments.
func TestPartitionIsPure(t *testing.T) {
	t.Parallel()
	p := listPackages(t).at(t, "maintenance/partition")
	for _, name := range p.GoFiles {
		for _, found := range impurities(t, filepath.Join(p.Dir, name)) {
			t.Error("maintenance/partition must be pure: " + found)
		}
	}
}

// impurities lists the impure imports and the worldly names of a Go file.
func impurities(t *testing.T, name string) (found []string) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	report := func(at token.Pos, what string) {
		position := files.Position(at)
		found = append(found, fmt.Sprintf("%s:%d: %s", filepath.Base(position.Filename), position.Line, what))
	}
	called := map[string]string{} // the name that the file gives to a package of worldly
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		for _, unwanted := range impure {
			if imported == unwanted || strings.HasSuffix(unwanted, "/") && strings.HasPrefix(imported, unwanted) && imported != "net/url" {
				report(spec.Pos(), "imports "+imported)
			}
		}
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "." {
			report(spec.Pos(), "imports all names of "+imported+", which hides where they come from")
		}
		called[name] = imported
	}
	ast.Inspect(file, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := selector.X.(*ast.Ident); ok && slices.Contains(worldly[called[x.Name]], selector.Sel.Name) {
			report(selector.Pos(), "uses "+called[x.Name]+"."+selector.Sel.Name)
		}
		return true
	})
	return found
}

// seedWord is what the seed schema is about. Partitiond is not about it: only the
// schema itself and the demonstration know the word.
const seedWord = "chat"

func TestOnlyTheDemoKnowsTheSeed(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		inside = filepath.ToSlash(inside)
		if entry.IsDir() {
			if inside == "sql" || inside != "." && strings.HasPrefix(entry.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		demo, err := path.Match("cmd/partitiond/demo*.go", inside)
		if err != nil {
			return err
		}
		if demo || !strings.HasSuffix(inside, ".go") || strings.HasSuffix(inside, "_test.go") {
			return nil
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for number, line := range strings.Split(string(content), "\n") {
			if strings.Contains(strings.ToLower(line), seedWord) {
				t.Errorf("%s:%d knows the word %q: %s", inside, number+1, seedWord, strings.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
