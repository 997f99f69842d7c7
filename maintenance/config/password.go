package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxPasswordBytes bounds a password file, so that a wrong path is noticed.
const maxPasswordBytes = 4096

// readPassword returns the contents of a password file without the newline at
// its end. Its errors never hold any of the contents.
func readPassword(path string) (string, error) {
	// Looked at before it is opened: opening a pipe would wait for its writer.
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	if err := checkPasswordFile(info); err != nil {
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
	if err := checkPasswordFile(info); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPasswordBytes+1))
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case len(text) > maxPasswordBytes:
		return "", fmt.Errorf("is too large: expected a password of at most %d bytes", maxPasswordBytes)
	case password == "":
		return "", errors.New("the file is empty: expected a password in it")
	case strings.ContainsAny(password, "\r\n\x00"):
		return "", errors.New("expected one line in the file, the password")
	}
	return password, nil
}

func checkPasswordFile(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("is not a regular file")
	}
	// What the owner may do is the owner's business.
	if allowed := allowedMode(info); info.Mode().Perm()&0o077&^allowed != 0 {
		return fmt.Errorf("the file has mode %04o: expected %04o or less", info.Mode().Perm(), allowed)
	}
	return nil
}
