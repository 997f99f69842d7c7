package archive

import (
	"path/filepath"
	"strings"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// OpenStore returns the store that a URL names, see [partition.ParseArchive]. It
// does no I/O; the options matter to S3 only.
func OpenStore(text string, o S3Options) (Store, error) {
	u, err := partition.ParseArchive(text)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "s3" {
		return NewS3(u.Host, strings.Trim(u.Path, "/"), o)
	}
	return NewDirectory(filepath.Clean(u.Path)), nil
}
