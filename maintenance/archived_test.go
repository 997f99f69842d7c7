package maintenance_test

import (
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

// part is a part of an archive, read as somebody reads it who has only the
// files: what is in the manifest, and the rows.
type part struct {
	File string `json:"file"`
	Load struct {
		Columns string `json:"columns"`
	} `json:"load"`
	Source struct {
		Table struct {
			Local string `json:"name"`
		} `json:"table"`
	} `json:"source"`
	Content struct {
		Rows int `json:"rows"`
	} `json:"content"`
	SHA256     string   `json:"sha256"`
	Supersedes []string `json:"supersedes"`

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
		p.File = filepath.Join(filepath.Dir(path), p.File)
		parts = append(parts, p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	parts = slices.DeleteFunc(parts, func(p part) bool { return superseded[p.File] })
	for i := range parts {
		parts[i].read(t)
	}
	return parts
}

func (p *part) read(t *testing.T) {
	t.Helper()
	f, err := os.Open(p.File)
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
		t.Fatalf("%s: %v", p.File, err)
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", p.File, err)
		}
		p.rows = append(p.rows, row)
	}
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.SHA256 || len(p.rows) != p.Content.Rows {
		t.Errorf("%s has %d rows and SHA-256 %s, its manifest says %d and %s", p.File, len(p.rows), got, p.Content.Rows, p.SHA256)
	}
}
