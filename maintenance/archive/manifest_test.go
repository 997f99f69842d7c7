package archive

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// version1 is a manifest as it was first written. What exists must stay
// readable, so it is never adapted to the code.
const version1 = `{
  "format_version": 1,
  "file": "part-0002-4f0c9a51be27.csv.zst",
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
  "content": {
    "rows": 12,
    "hash": "-8123456789012345678901",
    "hash_method": "hashtextextended"
  },
  "raw_bytes": 345,
  "raw_sha256": "aa",
  "compressed_bytes": 123,
  "sha256": "4f0c9a51be27bb",
  "exported_at": "2020-01-02T03:04:05.678901Z",
  "supersedes": [
    "part-0001-000000000000.csv.zst"
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

func TestManifestOfVersion1(t *testing.T) {
	t.Parallel()
	m, err := decode([]byte(version1), "part-0002-4f0c9a51be27")
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.encode()
	if err != nil || string(text) != version1 {
		t.Errorf("encoded again it is %s, %v", text, err)
	}
	want := partition.Bounds{From: partition.At(time.Date(2018, 10, 31, 23, 0, 0, 0, time.UTC)), To: partition.PlusInfinity}
	if !m.Bounds.Partition().Equal(want) || m.number() != 2 || partition.Name(m.Source.Table).String() != "public.event_2018_11" {
		t.Errorf("decoded %+v", m)
	}
	// Each field is in the text above, so that none can be lost unnoticed.
	for i, v := 0, reflect.ValueOf(m); i < v.NumField(); i++ {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() != (name == "Path") {
			t.Errorf("%s is %v", name, v.Field(i))
		}
	}
}

func TestManifestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, new, want string }{
		{"a later version", `"format_version": 1`, `"format_version": 2`, "version 2"},
		{"no version", `"format_version": 1,`, ``, "version 0"},
		{"another file", `"file": "part-0002-4f0c9a51be27`, `"file": "part-0003-4f0c9a51be27`, "names the file"},
		{"a file elsewhere", `"file": "part`, `"file": "../part`, "names the file"},
		{"another digest", `"sha256": "4f0c9a51be27bb"`, `"sha256": "00"`, "SHA-256"},
		{"superseding what is no part", `"part-0001-000000000000.csv.zst"`, `"../../x"`, "supersedes"},
		{"another format", `"format": "csv"`, `"format": "parquet"`, "parquet"},
		{"cut", `"load": {`, ``, "not a manifest"},
		{"a bound that is none", `"to": "infinity"`, `"to": "never"`, "not a manifest"},
	} {
		text := strings.Replace(version1, c.old, c.new, 1)
		if text == version1 {
			t.Fatalf("%s: nothing was replaced", c.name)
		}
		if m, err := decode([]byte(text), "part-0002-4f0c9a51be27"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %+v, %v", c.name, m, err)
		}
	}
}

func TestStem(t *testing.T) {
	t.Parallel()
	for file, number := range map[string]int{
		"part-0001-4f0c9a51be27.csv.zst":      1,
		"part-12345-4f0c9a51be27.csv.zst":     12345,
		"part-001-4f0c9a51be27.csv.zst":       0,
		"part-0001-4f0c9a51be2.csv.zst":       0,
		"part-0001-4F0C9A51BE27.csv.zst":      0,
		"part-0001-4f0c9a51be27.json":         0,
		".tmp-part-0001-4f0c9a51be27.csv.zst": 0,
		"x/part-0001-4f0c9a51be27.csv.zst":    0,
	} {
		if _, n, ok := stem(file, dataExt); n != number || ok != (number > 0) {
			t.Errorf("%s has the number %d, %t", file, n, ok)
		}
	}
}
