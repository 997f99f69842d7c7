package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxSecretBytes bounds such a file, so that a wrong path is noticed.
const maxSecretBytes = 4096

// readSecret returns the contents of a file, a password or what else is called
// by its kind, without the newline at its end. Its errors never hold any of the
// contents.
func readSecret(path, kind string) (string, error) {
	// Looked at before it is opened: opening a pipe would wait for its writer.
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	if err := checkSecretFile(info); err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	if err := checkSecretFile(info); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case len(text) > maxSecretBytes:
		return "", fmt.Errorf("is too large: expected a %s of at most %d bytes", kind, maxSecretBytes)
	case secret == "":
		return "", fmt.Errorf("the file is empty: expected a %s in it", kind)
	case strings.ContainsAny(secret, "\r\n\x00"):
		return "", fmt.Errorf("expected one line in the file, the %s", kind)
	}
	return secret, nil
}

func checkSecretFile(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("is not a regular file")
	}
	// What the owner may do is the owner's business.
	if allowed := allowedMode(info); info.Mode().Perm()&0o077&^allowed != 0 {
		return fmt.Errorf("the file has mode %04o: expected %04o or less", info.Mode().Perm(), allowed)
	}
	return nil
}
