package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stored writes a part of three rows without a database.
func stored(t *testing.T) (root, path string, m Manifest) {
	t.Helper()
	const text = "a,b\n1,\"x\ny\"\n2,\n3,z\n"
	var file bytes.Buffer
	e, err := newEncoder(&file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(e, text); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	m = Manifest{
		Path: "p.t/part", RawBytes: e.raw.bytes, RawSHA256: e.raw.hex(),
		CompressedBytes: e.compressed.bytes, SHA256: e.compressed.hex(), Content: Content{Rows: 3},
	}
	dir := t.TempDir()
	path = filepath.Join(dir, "p.t", "part")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return fileURL(dir), path, m
}

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
		{"cut", edit(func(b []byte) []byte { return b[:len(b)-1] }), CompressedBytes},
		{"emptied", edit(func([]byte) []byte { return nil }), CompressedBytes},
		{"longer", edit(func(b []byte) []byte { return append(b, 0) }), CompressedBytes},
		{"a bit flipped", edit(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }), CompressedSHA256},
		{"last byte flipped", edit(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), CompressedSHA256},
		{"not zstd from the start", func(t *testing.T, path string, m *Manifest) {
			d := newDigest()
			_, _ = d.Write([]byte("plain"))
			m.CompressedBytes, m.SHA256 = d.bytes, d.hex()
			if err := os.WriteFile(path, []byte("plain"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, Decompression},
		{"manifest with other bytes", func(_ *testing.T, _ string, m *Manifest) { m.RawBytes++ }, RawBytes},
		{"manifest with another digest", func(_ *testing.T, _ string, m *Manifest) { m.RawSHA256 = strings.Repeat("0", 64) }, RawSHA256},
		{"manifest with other rows", func(_ *testing.T, _ string, m *Manifest) { m.Content.Rows++ }, Records},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root, path, m := stored(t)
			c.damage(t, path, &m)
			err := Verify(t.Context(), root, m)
			damage, ok := errors.AsType[*DamagedError](err)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v", err)
			case c.want != "" && (!ok || damage.Aspect != c.want || damage.Path != path || damage.Want == damage.Got):
				t.Errorf("got %v, want a difference in %s", err, c.want)
			}
		})
	}
}

func TestVerifyMissing(t *testing.T) {
	t.Parallel()
	root, path, m := stored(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := Verify(t.Context(), root, m); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := Open(root, m); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open: got %v", err)
	}
}

func TestVerifyCancelled(t *testing.T) {
	t.Parallel()
	root, _, m := stored(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Verify(ctx, root, m); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	root, path, m := stored(t)
	read := func() (string, error) {
		r, err := Open(root, m)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		return string(text), err
	}
	if text, err := read(); err != nil || text != "a,b\n1,\"x\ny\"\n2,\n3,z\n" {
		t.Errorf("got %q, %v", text, err)
	}
	right := m.RawSHA256
	m.RawSHA256 = strings.Repeat("0", 64)
	_, err := read()
	if damage, ok := errors.AsType[*DamagedError](err); !ok || damage.Aspect != RawSHA256 {
		t.Errorf("another digest: got %v", err)
	}
	m.RawSHA256 = right
	if err := os.Truncate(path, m.CompressedBytes-3); err != nil {
		t.Fatal(err)
	}
	_, err = read()
	if damage, ok := errors.AsType[*DamagedError](err); !ok || damage.Aspect != Decompression {
		t.Errorf("cut: got %v", err)
	}
}
