package pgtest

import (
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// messages are beside the module's directory; they are not part of the project.
const messages = "../shared/data/slack-racket-2017-2019.csv.gz"

// RealMessages returns 22,172 real messages, in CSV with the header program_id,
// user_id, dialogue, created_at, or skips the test where they are not. The
// module's directory is found from the test's, which is that of its package.
func RealMessages(t testing.TB) io.Reader {
	t.Helper()
	root, err := filepath.Abs(".")
	for err == nil {
		if _, err = os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(root) != root {
			root, err = filepath.Dir(root), nil
		}
	}
	if err != nil {
		t.Fatalf("finding the module's directory: %v", err)
	}
	f, err := os.Open(filepath.Join(root, messages))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("the Slack data is not at %s", messages)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // It was only read.
	csv, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return csv
}
