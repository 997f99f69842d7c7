package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// FormatVersion is the version of the manifests that are written. Those of
// later versions are refused rather than misread.
const FormatVersion = 1

// Manifest says all that is known of a part. It stands beside the part as JSON
// with the field names of the tags, and is not changed once it is written.
type Manifest struct {
	// FormatVersion is that of the manifest itself.
	FormatVersion int `json:"format_version"`
	// File is the name of the part's file, in the manifest's directory.
	File string `json:"file"`
	// Format and Compression are those of the file, "csv" and "zstd".
	Format      string `json:"format"`
	Compression string `json:"compression"`
	// Parent is the table that the partition belonged to.
	Parent Name `json:"parent"`
	// Source identifies the partition.
	Source Source `json:"source"`
	// Bounds are the partition's, and TimeZone the calendar in which they are
	// midnights. For a key without a time zone they are wall clock readings in UTC.
	Bounds   Bounds `json:"bounds"`
	TimeZone string `json:"time_zone"`
	// Key describes the key column.
	Key Key `json:"key"`
	// Columns are the columns in the file, in order, and Generated those that are
	// not, for COPY cannot load them (PostgreSQL documentation, 5.3 Generated Columns).
	Columns   []Column `json:"columns"`
	Generated []Column `json:"generated,omitempty"`
	// Content is what the server counted, in the snapshot that was exported.
	Content Content `json:"content"`
	// RawBytes and RawSHA256 are of the CSV stream, in hexadecimal.
	RawBytes  int64  `json:"raw_bytes"`
	RawSHA256 string `json:"raw_sha256"`
	// CompressedBytes and SHA256 are of the file, in hexadecimal.
	CompressedBytes int64  `json:"compressed_bytes"`
	SHA256          string `json:"sha256"`
	// ExportedAt is the server's clock after the export, in UTC.
	ExportedAt time.Time `json:"exported_at"`
	// Supersedes names the files, in the same directory, that this part replaces.
	Supersedes []string `json:"supersedes,omitempty"`
	// Load says how to load the file.
	Load Load `json:"load"`

	// Path is the file's path beneath the root, where the manifest was found.
	Path string `json:"-"`
}

// Source identifies a table, so that no two tables are ever taken for one.
type Source struct {
	// SystemIdentifier is the cluster's (PostgreSQL documentation, 9.26 System
	// Information Functions), and Timeline the one that it wrote to (26.3.5 Timelines).
	// They are empty and 0 where the role may not know or the server does not tell.
	SystemIdentifier string `json:"system_identifier,omitempty"`
	Timeline         uint32 `json:"timeline,omitempty"`
	Database         string `json:"database"`
	DatabaseOID      uint32 `json:"database_oid"`
	Encoding         string `json:"encoding"`
	// ServerVersion is for people, as in "15.18 (Debian 15.18-0+deb12u1)".
	ServerVersion string `json:"server_version"`
	// Table and OID are the partition's.
	Table Name   `json:"table"`
	OID   uint32 `json:"oid"`
}

// same tells whether both are one table. An OID is unique within a database, a
// database's within its cluster. Without the system identifier the database's
// name must do, since every cluster counts its OIDs from the same number.
func (s Source) same(o Source) bool {
	return s.OID == o.OID && s.DatabaseOID == o.DatabaseOID && s.SystemIdentifier == o.SystemIdentifier &&
		(s.SystemIdentifier != "" || s.Database == o.Database)
}

// mayReplace tells whether s is surely a later state of what o is. A cluster that
// was restored to an earlier point, or copied and promoted, has the same
// identifier but another timeline; its table may lack rows that o's has.
func (s Source) mayReplace(o Source) bool {
	return s.same(o) && s.SystemIdentifier != "" && s.Timeline != 0 && s.Timeline == o.Timeline
}

// Key describes the column that decides a row's partition.
type Key struct {
	Column string `json:"column"`
	Type   string `json:"type"`
	// Min and Max are the least and the greatest key, as PostgreSQL prints them
	// under [Load]'s settings; empty where there is none.
	Min string `json:"min,omitempty"`
	Max string `json:"max,omitempty"`
}

// Column is a column of the table.
type Column struct {
	Name string `json:"name"`
	// Type is as format_type prints it, with the schema unless that is pg_catalog.
	Type    string `json:"type"`
	NotNull bool   `json:"not_null"`
	// Generated is the expression of a generated column.
	Generated string `json:"generated,omitempty"`
}

// Load says how to load a part into a table.
type Load struct {
	// Settings are those of the session that wrote the file; the session that
	// loads it needs the same.
	Settings map[string]string `json:"settings"`
	// Columns is the column list, quoted, and Options the options of COPY FROM.
	Columns string `json:"columns"`
	Options string `json:"options"`
}

// Name is a table's name, convertible to [partition.Name].
type Name struct {
	Schema string `json:"schema"`
	Local  string `json:"name"`
}

// Bounds are a partition's bounds, as in {"from": "2018-11-01T00:00:00Z", "to": "infinity"}.
type Bounds struct {
	From Edge `json:"from"`
	To   Edge `json:"to"`
}

// boundsOf returns the bounds with their times as the location's clocks show them.
func boundsOf(b partition.Bounds, loc *time.Location) Bounds {
	b.From.Time, b.To.Time = b.From.Time.In(loc), b.To.Time.In(loc)
	return Bounds{From: Edge(b.From), To: Edge(b.To)}
}

// Partition returns the bounds as they were given.
func (b Bounds) Partition() partition.Bounds {
	return partition.Bounds{From: partition.Edge(b.From), To: partition.Edge(b.To)}
}

// Edge is an edge of bounds.
type Edge partition.Edge

// MarshalJSON writes RFC 3339, "infinity" or "-infinity".
func (e Edge) MarshalJSON() ([]byte, error) {
	if e.Inf != 0 {
		return json.Marshal(partition.Edge(e).String())
	}
	return json.Marshal(e.Time)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (e *Edge) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case `"-infinity"`:
		*e = Edge(partition.MinusInfinity)
	case `"infinity"`:
		*e = Edge(partition.PlusInfinity)
	default:
		*e = Edge{}
		return json.Unmarshal(text, &e.Time)
	}
	return nil
}

// partName matches the names of parts, without the extension.
var partName = regexp.MustCompile(`^part-([0-9]{4,9})-([0-9a-f]{12})$`)

const (
	dataExt     = ".csv.zst"
	manifestExt = ".json"
)

// stem returns the name that the part's files share, and its number.
func stem(file, ext string) (name string, number int, ok bool) {
	name, ok = strings.CutSuffix(file, ext)
	if !ok {
		return "", 0, false
	}
	m := partName.FindStringSubmatch(name)
	if m == nil {
		return "", 0, false
	}
	number, err := strconv.Atoi(m[1])
	return name, number, err == nil
}

// encode returns the manifest as it is written.
func (m Manifest) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // People read it, browsers do not.
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("encoding the manifest: %w", err)
	}
	return b.Bytes(), nil
}

// decode reads the manifest of the part with the given stem. What it says of
// files is checked, for it is used to find and to remove them.
func decode(text []byte, name string) (Manifest, error) {
	var m Manifest
	var version struct {
		FormatVersion int `json:"format_version"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return m, fmt.Errorf("not a manifest: %w", err)
	}
	if version.FormatVersion < 1 || version.FormatVersion > FormatVersion {
		return m, fmt.Errorf("the manifest has format version %d: this program knows 1 to %d", version.FormatVersion, FormatVersion)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("not a manifest: %w", err)
	}
	if m.File != name+dataExt {
		return m, fmt.Errorf("the manifest names the file %q: expected %q", m.File, name+dataExt)
	}
	if m.Format != "csv" || m.Compression != "zstd" {
		return m, fmt.Errorf("the manifest is of a file in %s and %s: this program knows csv and zstd", m.Format, m.Compression)
	}
	if len(m.SHA256) < 12 || name[len(name)-12:] != m.SHA256[:12] {
		return m, errors.New("the manifest is of another file: its SHA-256 is not the name's")
	}
	for _, file := range m.Supersedes {
		if _, _, ok := stem(file, dataExt); !ok {
			return m, fmt.Errorf("the manifest supersedes %q, which is not a part", file)
		}
	}
	return m, nil
}

// number returns the part's number.
func (m Manifest) number() int {
	_, n, _ := stem(m.File, dataExt)
	return n
}

// replaces tells whether m is the later export of o's table. A manifest that
// claims to replace another table's part is not believed.
func (m Manifest) replaces(o Manifest) bool {
	return m.number() > o.number() && m.Source.mayReplace(o.Source) && slices.Contains(m.Supersedes, o.File)
}
