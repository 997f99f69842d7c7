package archive

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// digits is how many of a file's SHA-256 are in its name.
const digits = 12

var (
	partName     = regexp.MustCompile(`^(part-([0-9]{4,9})-[0-9a-f]{12})(\.[a-z.]+)$`)
	manifestName = regexp.MustCompile(`^manifest(-[0-9a-f]{4,12})?\.json$`)
	pendingName  = regexp.MustCompile(`^\.pending-(part-[0-9]{4,9}-[0-9a-f]{12}\.[a-z.]+)\.json$`)
)

// parsePart takes the name of a part apart.
func parsePart(file string) (stem string, number int, ok bool) {
	m := partName.FindStringSubmatch(file)
	if m == nil {
		return "", 0, false
	}
	number, err := strconv.Atoi(m[2])
	return m[1], number, err == nil
}

func isManifest(name string) bool { return manifestName.MatchString(name) }

// partFile names a part after its number and what is in it.
func partFile(number int, sha256, ext string) string {
	return fmt.Sprintf("part-%04d-%s%s", number, sha256[:digits], ext)
}

// pendingFile names the note that a part is being uploaded.
func pendingFile(part string) string { return ".pending-" + part + ".json" }

// manifestFile names the manifest of an export. Where the store has conditional
// puts two writers cannot make the same name, and it is manifest.json for the
// first export of a directory and has its first part's number for others. Where
// it has not, the name has the digest of what is in it.
func manifestFile(first int, sha256 string, conditional bool) string {
	switch {
	case !conditional:
		return "manifest-" + sha256[:digits] + ".json"
	case first == 1:
		return "manifest.json"
	}
	return fmt.Sprintf("manifest-%04d.json", first)
}

func sortObjects(objects []Object) {
	slices.SortFunc(objects, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
}
