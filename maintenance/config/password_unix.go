//go:build unix

package config

import (
	"io/fs"
	"syscall"
)

// allowedMode returns the permissions that a password file may have: as for a
// private key of libpq's, root may let a group read its own (PostgreSQL
// documentation, 34.19.2 Client Certificates).
func allowedMode(info fs.FileInfo) fs.FileMode {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid == 0 {
		return 0o640
	}
	return 0o600
}
