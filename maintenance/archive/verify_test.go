package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// formats are those that tests go through.
var formats = []Format{Parquet, CSV}

func TestVerify(t *testing.T) {
	t.Parallel()
	edit := func(change func([]byte) []byte) func(*testing.T, string, *Manifest) {
		return func(t *testing.T, path string, _ *Manifest) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, change(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, path string, m *Manifest)
		want   Aspect
	}{
		{"untouched", func(*testing.T, string, *Manifest) {}, ""},
		{"cut", edit(func(b []byte) []byte { return b[:len(b)-1] }), Length},
		{"emptied", edit(func([]byte) []byte { return nil }), Length},
		{"longer", edit(func(b []byte) []byte { return append(b, 0) }), Length},
		{"a bit flipped", edit(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }), SHA256},
		{"last byte flipped", edit(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), SHA256},
		{"not the format from the start", func(t *testing.T, path string, m *Manifest) {
			sum := sha256.Sum256([]byte("plain"))
			m.Parts[0].Bytes, m.Parts[0].SHA256 = 5, hex.EncodeToString(sum[:])
			if err := os.WriteFile(path, []byte("plain"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, Decoding},
		{"manifest with other rows", func(_ *testing.T, _ string, m *Manifest) { m.Parts[0].Digest.Rows++ }, Rows},
		{"manifest with another digest", func(_ *testing.T, _ string, m *Manifest) { m.Parts[0].Digest.Sum[1]++ }, Rows},
	} {
		for _, format := range formats {
			t.Run(c.name+" "+string(format), func(t *testing.T) {
				t.Parallel()
				f := newEvents(t)
				f.spec.Format = format
				m := f.ensure()
				path := filepath.Join(f.dir, m.Parts[0].File)
				c.damage(t, path, &m)
				err := Verify(t.Context(), f.spec.Store, m, nil)
				damage, ok := errors.AsType[*DamagedError](err)
				switch {
				case c.want == "" && err != nil:
					t.Errorf("got %v", err)
				case c.want != "" && (!ok || damage.Aspect != c.want || damage.Path != "file://"+path || damage.Want == damage.Got):
					t.Errorf("got %v, want a difference in %s", err, c.want)
				}
			})
		}
	}
}

func TestVerifyMissing(t *testing.T) {
	t.Parallel()
	f := newEvents(t)
	m := f.ensure()
	if err := os.Remove(filepath.Join(f.dir, m.Parts[0].File)); err != nil {
		t.Fatal(err)
	}
	if err := Verify(t.Context(), f.spec.Store, m, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestVerifyCancelled(t *testing.T) {
	t.Parallel()
	f := newEvents(t)
	m := f.ensure()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Verify(ctx, f.spec.Store, m, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestRestoreRefuses has a part damaged that is to be restored: nothing of it must
// come into the table.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		f := newEvents(t)
		f.spec.Format = format
		m := f.ensure()
		if err := flip(filepath.Join(f.dir, m.Parts[0].File)); err != nil {
			t.Fatal(err)
		}
		f.exec("CREATE TABLE back (LIKE " + f.sql() + ")")
		tx, err := f.conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		back := f.spec.Table
		back.Local = "back"
		if err := Restore(t.Context(), tx, f.spec.Store, m, back, nil); !damaged(err) || !strings.Contains(err.Error(), m.Parts[0].File) {
			t.Errorf("got %v", err)
		}
		var rows int
		if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM public.back").Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%d rows came back, %v", rows, err)
		}
		end(tx)
	}
}
