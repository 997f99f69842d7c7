package partition

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// ParseArchive reads the URL of an archive's store: file:///absolute/path or
// s3://bucket/prefix. Errors begin with a verb, to stand behind the value. Credentials do not belong into it: it is
// printed in logs and reports.
func ParseArchive(text string) (*url.URL, error) {
	const want = "expected file:///absolute/path or s3://bucket/prefix"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme == "":
		return nil, errors.New("is not a URL: " + want)
	case u.Scheme != "file" && u.Scheme != "s3":
		return nil, fmt.Errorf("the scheme %q is not supported: %s", u.Scheme, want)
	case u.User != nil:
		return nil, errors.New("has credentials in it: " + want + ", and credentials where the AWS programs look for them")
	case u.Opaque != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.ContainsRune(u.Path, 0):
		return nil, errors.New("has more than a path: " + want + "; ? and # are written %3F and %23")
	case u.Scheme == "s3" && (u.Host == "" || u.Port() != ""):
		return nil, errors.New("names no bucket: " + want)
	case u.Scheme == "s3" && u.Path != "" && strings.Trim(u.Path, "/") != strings.Trim(path.Clean(u.Path), "/"):
		return nil, errors.New("has . or .. or an empty name in its path: " + want)
	case u.Scheme == "file" && u.Host != "" && u.Host != "localhost":
		return nil, fmt.Errorf("names the host %q: %s, with three slashes", u.Host, want)
	case u.Scheme == "file" && (!path.IsAbs(u.Path) || path.Clean(u.Path) == "/"):
		return nil, errors.New(want)
	}
	return u, nil
}

// ParseArchiveEndpoint reads the URL of an S3 server, which has a host and nothing
// else. The error does not have the text in it: somebody may have put a secret there.
func ParseArchiveEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New(`expected a URL without a path, such as "https://s3.example.org" or "http://127.0.0.1:9000"`)
	}
	return u, nil
}
