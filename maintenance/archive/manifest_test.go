package archive

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// version2 is a manifest as it was first written. What exists must stay
// readable, so it is never adapted to the code.
const version2 = `{
  "format_version": 2,
  "format": "csv",
  "compression": "zstd",
  "parent": {
    "schema": "public",
    "name": "event"
  },
  "source": {
    "system_identifier": "7711690034318635874",
    "timeline": 3,
    "database": "shop",
    "database_oid": 16384,
    "encoding": "UTF8",
    "server_version": "15.18 (Debian 15.18-0+deb12u1)",
    "table": {
      "schema": "public",
      "name": "event_2018_11"
    },
    "oid": 16385
  },
  "bounds": {
    "from": "2018-11-01T00:00:00+01:00",
    "to": "infinity"
  },
  "time_zone": "Europe/Berlin",
  "late": true,
  "key": {
    "column": "at",
    "type": "timestamp with time zone",
    "min": "2018-11-01 00:00:00+00",
    "max": "infinity"
  },
  "columns": [
    {
      "name": "at",
      "type": "timestamp with time zone",
      "not_null": true
    },
    {
      "name": "n",
      "type": "numeric(10,2)",
      "not_null": false
    }
  ],
  "generated": [
    {
      "name": "twice",
      "type": "numeric",
      "not_null": false,
      "generated": "(n * 2)"
    }
  ],
  "parquet": [
    {
      "name": "at",
      "type": "timestamp with time zone",
      "type_oid": 1184,
      "base_oid": 1184,
      "typmod": -1,
      "parquet": "timestamp(us,utc)"
    }
  ],
  "content": {
    "rows": 12,
    "hash": "-8123456789012345678901",
    "hash_method": "hashtextextended"
  },
  "digest": {
    "rows": 12,
    "sum": "00000000000000030000000000000004"
  },
  "parts": [
    {
      "file": "part-0002-4f0c9a51be27.csv.zst",
      "bytes": 123,
      "sha256": "4f0c9a51be270000000000000000000000000000000000000000000000000000",
      "digest": {
        "rows": 5,
        "sum": "00000000000000010000000000000002"
      }
    },
    {
      "file": "part-0003-4f0c9a51be28.csv.zst",
      "bytes": 124,
      "sha256": "4f0c9a51be280000000000000000000000000000000000000000000000000000",
      "digest": {
        "rows": 7,
        "sum": "00000000000000020000000000000002"
      }
    }
  ],
  "exported_at": "2020-01-02T03:04:05.678901Z",
  "supersedes": [
    "manifest.json"
  ],
  "restored_from": [
    "manifest.json"
  ],
  "load": {
    "settings": {
      "TimeZone": "UTC"
    },
    "columns": "(\"at\", \"n\")",
    "options": "(FORMAT csv, HEADER true, ENCODING 'UTF8')"
  }
}
`

const version2Key = "public.event/manifest-0002.json"

func TestManifestOfVersion2(t *testing.T) {
	t.Parallel()
	m, err := decode([]byte(version2), version2Key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := encode(m)
	if err != nil || string(text) != version2 {
		t.Errorf("encoded again it is %s, %v", text, err)
	}
	want := partition.Bounds{From: partition.At(time.Date(2018, 10, 31, 23, 0, 0, 0, time.UTC)), To: partition.PlusInfinity}
	if !m.Bounds.Partition().Equal(want) || m.first() != 2 || partition.Name(m.Source.Table).String() != "public.event_2018_11" {
		t.Errorf("decoded %+v", m)
	}
	// Each field is in the text above, so that none can be lost unnoticed.
	for i, v := 0, reflect.ValueOf(m); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("%s is %v", v.Type().Field(i).Name, v.Field(i))
		}
	}
}

func TestManifestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, new, want string }{
		{"a later version", `"format_version": 2`, `"format_version": 3`, "version 3"},
		{"an earlier version", `"format_version": 2`, `"format_version": 1`, "version 1"},
		{"no version", `"format_version": 2,`, ``, "version 0"},
		{"a file elsewhere", `"file": "part-0002`, `"file": "../part-0002`, "names the part"},
		{"a file of another format", `be27.csv.zst`, `be27.parquet`, "names the part"},
		{"another digest of a file", `"sha256": "4f0c9a51be27`, `"sha256": "4f0c9a51be29`, "SHA-256"},
		{"no parts", `"parts": [`, `"parts": [], "other": [`, "no part"},
		{"a part less", `"rows": 7`, `"rows": 6`, "parts have"},
		{"another count", "\"content\": {\n    \"rows\": 12", "\"content\": {\n    \"rows\": 13", "counted"},
		{"superseding what is no manifest", `"manifest.json"`, `"../../x"`, "supersedes"},
		{"another format", `"format": "csv"`, `"format": "xml"`, "xml"},
		{"another compression", `"zstd"`, `"lz4"`, "lz4"},
		{"cut", `"load": {`, ``, "not a manifest"},
		{"a bound that is none", `"to": "infinity"`, `"to": "never"`, "not a manifest"},
	} {
		text := strings.Replace(version2, c.old, c.new, 1)
		if text == version2 {
			t.Fatalf("%s: nothing was replaced", c.name)
		}
		if m, err := decode([]byte(text), version2Key); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %+v, %v", c.name, m, err)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for file, number := range map[string]int{
		"part-0001-4f0c9a51be27.csv.zst":          1,
		"part-12345-4f0c9a51be27.parquet":         12345,
		"part-001-4f0c9a51be27.csv.zst":           0,
		"part-0001-4f0c9a51be2.csv.zst":           0,
		"part-0001-4F0C9A51BE27.csv.zst":          0,
		"part-0001-4f0c9a51be27":                  0,
		".tmp-part-0001-4f0c9a51be27.csv.zst":     0,
		".pending-part-0001-4f0c9a51be27.csv.zst": 0,
		"x/part-0001-4f0c9a51be27.csv.zst":        0,
	} {
		if _, n, ok := parsePart(file); n != number || ok != (number > 0) {
			t.Errorf("%s has the number %d, %t", file, n, ok)
		}
	}
	sum := strings.Repeat("0123456789ab", 6)[:64]
	for _, c := range []struct {
		first       int
		conditional bool
		want        string
	}{{1, true, "manifest.json"}, {2, true, "manifest-0002.json"}, {12345, true, "manifest-12345.json"}, {1, false, "manifest-0123456789ab.json"}} {
		if got := manifestFile(c.first, sum, c.conditional); got != c.want || !isManifest(got) {
			t.Errorf("the manifest is %s, want %s", got, c.want)
		}
	}
	part := partFile(7, sum, ".parquet")
	if m := pendingName.FindStringSubmatch(pendingFile(part)); m == nil || m[1] != part || isManifest(pendingFile(part)) {
		t.Errorf("%s is announced by %s", part, pendingFile(part))
	}
}
