package archive

import (
	"fmt"
	"path"
	"strings"
	"time"
	"unicode"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Place is where the parts of a partition are kept within a store.
type Place struct {
	// Parent is the table that the partition belongs to.
	Parent partition.Name
	// Bounds are the partition's. Years outside of 0 to 9999 are refused.
	Bounds partition.Bounds
	// Location is the set's calendar, see [partition.Set.Calendar]; nil is UTC.
	Location *time.Location
}

func (p Place) location() *time.Location {
	if p.Location == nil {
		return time.UTC
	}
	return p.Location
}

// parentDir returns the directory of a parent, relative to the root.
func parentDir(parent partition.Name) string {
	return safe(parent.Schema) + "." + safe(parent.Local)
}

// dir returns the directory of the parts, relative to the root.
func (p Place) dir() (string, error) {
	dir := parentDir(p.Parent)
	if !p.Bounds.Finite() || p.Bounds.Empty() {
		return dir, nil
	}
	from := p.Bounds.From.Time.In(p.location())
	// The last instant within the bounds decides, not the upper bound: that
	// spares the arithmetic with days which begin at one o'clock.
	last := p.Bounds.To.Time.Add(-1).In(p.location())
	for _, t := range []time.Time{from, p.Bounds.To.Time.In(p.location())} {
		if t.Year() < 0 || t.Year() > 9999 {
			return "", fmt.Errorf("the bounds %s are outside of the years 0 to 9999", p.Bounds)
		}
	}
	for _, level := range []struct {
		name       string
		from, last int
	}{
		{"year=%04d", from.Year(), last.Year()},
		{"month=%02d", int(from.Month()), int(last.Month())},
		{"day=%02d", from.Day(), last.Day()},
		{"hour=%02d", from.Hour(), last.Hour()},
	} {
		if level.from != level.last {
			break
		}
		dir = path.Join(dir, fmt.Sprintf(level.name, level.from))
	}
	return dir, nil
}

// safe makes an identifier part of a key, so that no two identifiers make the
// same: letters, digits, _ and - stay, other bytes become %XX.
func safe(identifier string) string {
	var b strings.Builder
	for _, r := range identifier {
		if r != unicode.ReplacementChar && (unicode.IsLetter(r) || unicode.IsDigit(r)) || r == '_' || r == '-' {
			b.WriteRune(r)
			continue
		}
		for _, c := range []byte(string(r)) {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
