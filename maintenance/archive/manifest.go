package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"path"
	"slices"
	"time"

	"github.com/partitiond/partitiond/maintenance/archive/parquetfile"
	"github.com/partitiond/partitiond/maintenance/partition"
)

// FormatVersion is the version of the manifests that are written. Others are
// refused rather than misread.
const FormatVersion = 2

// Manifest says all that is known of one export of a partition. It stands beside
// the export's parts as JSON with the field names of the tags, and is not changed
// once it is written.
type Manifest struct {
	// FormatVersion is that of the manifest itself.
	FormatVersion int `json:"format_version"`
	// Format is that of the parts, and Compression what is done to them.
	Format      Format `json:"format"`
	Compression string `json:"compression"`
	// Parent is the table that the partition belonged to.
	Parent Name `json:"parent"`
	// Source identifies the partition.
	Source Source `json:"source"`
	// Bounds are the partition's, and TimeZone the calendar in which they are
	// midnights. For a key without a time zone they are wall clock readings in UTC.
	Bounds   Bounds `json:"bounds"`
	TimeZone string `json:"time_zone"`
	// Late says that the period had been archived before, from a table that is gone:
	// these rows came afterwards.
	Late bool `json:"late,omitempty"`
	// KeyColumn describes the key column.
	KeyColumn Key `json:"key"`
	// Columns are the columns in the parts, in order, and Generated those that are
	// not, for COPY cannot load them (PostgreSQL documentation, 5.3 Generated Columns).
	Columns   []Column `json:"columns"`
	Generated []Column `json:"generated,omitempty"`
	// Parquet tells the form that each column has in a part of that format, and
	// which are there as text because Parquet has no type for them.
	Parquet parquetfile.Plan `json:"parquet,omitempty"`
	// Content is what the server counted, in the snapshot that was exported.
	Content Content `json:"content"`
	// Digest is of the rows as they went into the parts, whatever their order; those
	// of the parts add up to it.
	Digest parquetfile.Digest `json:"digest"`
	// Parts are the files, in the manifest's directory; there is at least one.
	Parts []Part `json:"parts"`
	// ExportedAt is the server's clock after the export, in UTC.
	ExportedAt time.Time `json:"exported_at"`
	// Supersedes names the manifests, in the same directory, that this one replaces.
	Supersedes []string `json:"supersedes,omitempty"`
	// RestoredFrom names the manifests, in the same directory, that the table was
	// restored from before its rows changed. This one counts instead of them; they and
	// their parts stay, for whoever wants to know what was changed.
	RestoredFrom []string `json:"restored_from,omitempty"`
	// Load says how to load parts of CSV by hand.
	Load *Load `json:"load,omitempty"`

	// Key is the manifest's in the store.
	Key string `json:"-"`
}

// Part is a file of an export.
type Part struct {
	// File is the name, in the manifest's directory.
	File string `json:"file"`
	// Bytes and SHA256, in hexadecimal, are of the file.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Digest is of the rows, and tells how many there are.
	Digest parquetfile.Digest `json:"digest"`
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

// sameDatabase tells whether both are of one database. A database's OID is
// unique within its cluster. Without the system identifier the database's name
// must do, since every cluster counts its OIDs from the same number.
func (s Source) sameDatabase(o Source) bool {
	return s.DatabaseOID == o.DatabaseOID && s.SystemIdentifier == o.SystemIdentifier &&
		(s.SystemIdentifier != "" || s.Database == o.Database)
}

// same tells whether both are one table.
func (s Source) same(o Source) bool { return s.OID == o.OID && s.sameDatabase(o) }

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
	// Min and Max are the least and the greatest key, as PostgreSQL prints them in
	// UTC; empty where there is none.
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

// Load says how to load a part of CSV into a table.
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

// Content is what the server counts of a table: the rows, and the sum of their
// hashes as a decimal number.
type Content struct {
	Rows   int64      `json:"rows"`
	Hash   string     `json:"hash"`
	Method HashMethod `json:"hash_method"`
}

// add returns the content of both tables together; the methods must be the same.
func (c Content) add(o Content) (Content, error) {
	a, ok := new(big.Int).SetString(c.Hash, 10)
	b, fine := new(big.Int).SetString(o.Hash, 10)
	if !ok || !fine || c.Method != o.Method {
		return c, fmt.Errorf("hashes cannot be added: %q by %q and %q by %q", c.Hash, c.Method, o.Hash, o.Method)
	}
	return Content{Rows: c.Rows + o.Rows, Hash: a.Add(a, b).String(), Method: c.Method}, nil
}

// Bytes returns the length of all parts.
func (m Manifest) Bytes() int64 {
	var n int64
	for _, p := range m.Parts {
		n += p.Bytes
	}
	return n
}

// dir returns the directory that the manifest and its parts are in.
func (m Manifest) dir() string { return path.Dir(m.Key) }

// name returns the manifest's name, by which others supersede it.
func (m Manifest) name() string { return path.Base(m.Key) }

// partKeys returns the keys of the parts.
func (m Manifest) partKeys() []string {
	keys := make([]string, len(m.Parts))
	for i, p := range m.Parts {
		keys[i] = path.Join(m.dir(), p.File)
	}
	return keys
}

// first returns the number of the first part: manifests are in their order.
func (m Manifest) first() int {
	_, n, _ := parsePart(m.Parts[0].File)
	return n
}

// replaces tells whether m is the later export of o's table. A manifest that
// claims to replace another table's is not believed.
func (m Manifest) replaces(o Manifest) bool {
	return m.first() > o.first() && m.Source.mayReplace(o.Source) && slices.Contains(m.Supersedes, o.name())
}

// outdates tells whether m counts instead of o.
func (m Manifest) outdates(o Manifest) bool {
	return m.replaces(o) || m.first() > o.first() && slices.Contains(m.RestoredFrom, o.name())
}

// encode returns a manifest, or something as readable, as it is written.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // People read it, browsers do not.
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding a manifest: %w", err)
	}
	return b.Bytes(), nil
}

// version reads nothing but the version.
type version struct {
	FormatVersion int `json:"format_version"`
}

func (v version) check() error {
	if v.FormatVersion != FormatVersion {
		return fmt.Errorf("the manifest has format version %d: this program knows %d", v.FormatVersion, FormatVersion)
	}
	return nil
}

// decode reads the manifest of the given key. What it says of files is checked,
// for it is used to find and to remove them.
func decode(text []byte, key string) (Manifest, error) {
	m := Manifest{Key: key}
	var v version
	if err := json.Unmarshal(text, &v); err != nil {
		return m, fmt.Errorf("not a manifest: %w", err)
	}
	if err := v.check(); err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("not a manifest: %w", err)
	}
	f, err := m.Format.codec()
	if err != nil {
		return m, err
	}
	if m.Compression != compression {
		return m, fmt.Errorf("the manifest is of files compressed by %q: this program knows %s", m.Compression, compression)
	}
	if len(m.Parts) == 0 {
		return m, errors.New("the manifest names no part")
	}
	var sum parquetfile.Digest
	for _, p := range m.Parts {
		stem, _, ok := parsePart(p.File)
		if !ok || p.File != stem+f.ext() {
			return m, fmt.Errorf("the manifest names the part %q: expected one like part-0001-0123456789ab%s", p.File, f.ext())
		}
		if len(p.SHA256) != 64 || stem[len(stem)-digits:] != p.SHA256[:digits] {
			return m, fmt.Errorf("the manifest's SHA-256 of %s is not that in its name", p.File)
		}
		sum.Add(p.Digest)
	}
	if sum != m.Digest || sum.Rows != m.Content.Rows {
		return m, fmt.Errorf("the manifest's parts have %s, the whole %s, and %d rows were counted", sum, m.Digest, m.Content.Rows)
	}
	for _, name := range slices.Concat(m.Supersedes, m.RestoredFrom) {
		if !isManifest(name) {
			return m, fmt.Errorf("the manifest supersedes %q, which is not a manifest", name)
		}
	}
	return m, nil
}
