package archive

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestRecords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		csv   string
		want  []string
		whole bool
	}{
		{"a,b\n", []string{"a,b\n"}, true},
		{"a,b\n1,2\n", []string{"a,b\n", "1,2\n"}, true},
		{"a\n\n\n", []string{"a\n", "\n", "\n"}, true}, // two rows of one NULL
		{"a,b\n1,\"x\ny\"\n2,\"\"\"\n\"\"\"\n", []string{"a,b\n", "1,\"x\ny\"\n", "2,\"\"\"\n\"\"\"\n"}, true},
		{"\"a\nb\"\n1\n", []string{"\"a\nb\"\n", "1\n"}, true},
		{"a,b\n\"\",\"\n\"\n", []string{"a,b\n", "\"\",\"\n\"\n"}, true},
		{"a\n\"\\.\"\n", []string{"a\n", "\"\\.\"\n"}, true},
		{"", nil, true},
		{"a,b", nil, false},
		{"a,b\n1,2", []string{"a,b\n"}, false},
		{"a,b\n1,\"2\n", []string{"a,b\n"}, false},
	} {
		for range 20 { // cut anywhere
			var got []string
			r := &records{each: func(r []byte) error {
				if !strings.HasPrefix(string(r), "\x00\x00") {
					t.Errorf("%q has no room in front", r)
				}
				got = append(got, string(r[2:]))
				return nil
			}}
			for rest := []byte(c.csv); len(rest) > 0; {
				n := 1 + rand.IntN(len(rest))
				if err := r.write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if err := r.finish(); (err == nil) != c.whole || !slices.Equal(got, c.want) {
				t.Fatalf("%q is %q, %v; want %q", c.csv, got, err, c.want)
			}
		}
	}
}
