package maintenance_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// part is an export of an archive in CSV, read as somebody reads it who has only
// the files: what is in the manifest, and the rows of all its files.
type part struct {
	Load struct {
		Columns string `json:"columns"`
	} `json:"load"`
	Source struct {
		Table struct {
			Local string `json:"name"`
		} `json:"table"`
	} `json:"source"`
	Late    bool `json:"late"`
	Content struct {
		Rows int `json:"rows"`
	} `json:"content"`
	Parts []struct {
		File   string `json:"file"`
		SHA256 string `json:"sha256"`
	} `json:"parts"`
	Supersedes []string `json:"supersedes"`

	path   string // the manifest's
	header []string
	rows   [][]string
}

// column returns the values of one column.
func (p part) column(name string) []string {
	i := slices.Index(p.header, name)
	var out []string
	for _, r := range p.rows {
		out = append(out, r[i])
	}
	return out
}

// readArchive reads all parts below a directory that nothing supersedes, in the
// order of their paths, and holds each against its manifest.
func readArchive(t *testing.T, root string) []part {
	t.Helper()
	var parts []part
	superseded := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".json" || strings.HasPrefix(filepath.Base(path), ".") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var p part
		if err := json.Unmarshal(text, &p); err != nil {
			return err
		}
		for _, s := range p.Supersedes {
			superseded[filepath.Join(filepath.Dir(path), s)] = true
		}
		p.path = path
		parts = append(parts, p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// manifest-0002.json is before manifest.json in the directory.
	slices.SortStableFunc(parts, func(a, b part) int {
		return cmp.Or(strings.Compare(filepath.Dir(a.path), filepath.Dir(b.path)), strings.Compare(a.Parts[0].File, b.Parts[0].File))
	})
	parts = slices.DeleteFunc(parts, func(p part) bool { return superseded[p.path] })
	for i := range parts {
		for _, f := range parts[i].Parts {
			parts[i].read(t, filepath.Join(filepath.Dir(parts[i].path), f.File), f.SHA256)
		}
		if p := parts[i]; len(p.rows) != p.Content.Rows {
			t.Errorf("%s says %d rows, its files have %d", p.path, p.Content.Rows, len(p.rows))
		}
	}
	return parts
}

func (p *part) read(t *testing.T, file, want string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	z, err := zstd.NewReader(io.TeeReader(f, sum))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	r := csv.NewReader(z)
	if p.header, err = r.Read(); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		p.rows = append(p.rows, row)
	}
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		t.Errorf("%s has the SHA-256 %s, its manifest says %s", file, got, want)
	}
}
