package archive

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// Place is where the parts of a partition are kept.
type Place struct {
	// Root is the URL of the store, as in file:///var/lib/archive. The directory
	// must exist: made on demand, it could end up beneath the mount point of a
	// disk that is not mounted.
	Root string
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

// parentDir returns the directory of the parent, relative to the root.
func (p Place) parentDir() string {
	return safe(p.Parent.Schema) + "." + safe(p.Parent.Local)
}

// dir returns the directory of the parts, relative to the root.
func (p Place) dir() (string, error) {
	dir := p.parentDir()
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
		dir = filepath.Join(dir, fmt.Sprintf(level.name, level.from))
	}
	return dir, nil
}

// safe makes an identifier part of a file name, so that no two identifiers make
// the same: letters, digits, _ and - stay, other bytes become %XX.
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

// rootPath returns the directory that the URL of a store names.
func rootPath(root string) (string, error) {
	u, err := url.Parse(root)
	switch {
	case err != nil:
		return "", fmt.Errorf("reading the archive's URL: %w", err)
	case u.Scheme != "file":
		return "", fmt.Errorf("the archive's URL has the scheme %q: expected file, as in file:///var/lib/archive", u.Scheme)
	case u.Host != "" && u.Host != "localhost":
		return "", fmt.Errorf("the archive's URL names the host %q: expected three slashes, as in file:///var/lib/archive", u.Host)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return "", errors.New("the archive's URL has more than a path: ? and # must be written %3F and %23")
	case !filepath.IsAbs(u.Path):
		return "", fmt.Errorf("the archive's URL has the path %q: expected an absolute one", u.Path)
	}
	return filepath.Clean(u.Path), nil
}
