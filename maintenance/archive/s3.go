package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// How patient an S3 store is. A store that refuses connections is given up after
// some three seconds, one that cannot be reached at all after less than half a minute, and
// one that falls silent in the middle after one stall and the time of the former. Only one that takes
// connections and never answers is waited for longer: attempts times a stall.
const (
	attempts       = 4                // of every request, with pauses of up to one second between them
	connectTimeout = 5 * time.Second  // for a connection to be made
	stallTimeout   = 30 * time.Second // without a byte in either direction
	smallTimeout   = 30 * time.Second // for a request without a body, with all its attempts
	abortTimeout   = 10 * time.Second // to clean up, when the context is over already
)

// S3Options say how an S3 store is reached. The zero value is Amazon's S3 in the
// environment's region.
type S3Options struct {
	// Endpoint is a URL such as https://s3.eu-central-1.amazonaws.com or
	// http://127.0.0.1:7070; empty is Amazon's S3 in the region.
	Endpoint string
	// Region is part of every signature; empty is AWS_REGION, else AWS_DEFAULT_REGION,
	// else us-east-1.
	Region string
	// PathStyle asks for https://endpoint/bucket/key rather than
	// https://bucket.endpoint/key (Amazon S3 User Guide, "Virtual hosting of general
	// purpose buckets"). Endpoints that are IP addresses, and buckets with dots in
	// their name over https, are addressed so in any case: nothing else can work.
	PathStyle bool
	// TempDir is where files are kept before they are uploaded and after they are
	// downloaded; it needs room for the largest object. Empty is [os.TempDir].
	TempDir string
	// PartSize is the size of the pieces in which objects are uploaded, in bytes; 0 is 16 MiB.
	// Amazon takes no less than 5 MiB and no more than 10,000 parts ("Multipart upload
	// limits"), so that parts of large objects are larger.
	PartSize int64

	// Only tests have these.
	creds    *credentials.Credentials
	pageSize int           // of listings, in keys
	stall    time.Duration // for stallTimeout
}

// S3 is the [Store] of a bucket that is reached by Amazon's S3 protocol, or of
// what is beneath a prefix in it. Make one with [NewS3].
//
// It asks for the actions s3:PutObject, GetObject, ListBucket, DeleteObject,
// AbortMultipartUpload, ListMultipartUploadParts and ListBucketMultipartUploads. In a bucket with versioning,
// Remove leaves what it removes as a noncurrent version, which a lifecycle rule may
// expire ("Working with delete markers").
type S3 struct {
	core           *minio.Core
	bucket, prefix string
	tempDir        string
	partSize       int64
	pageSize       int

	// probing is held by whoever asks or tells whether conditional is known.
	probing     chan struct{}
	known       bool
	conditional bool
}

var _ Store = (*S3)(nil)

// NewS3 returns the store of what is beneath a prefix of a bucket; the empty
// prefix is all of it. It speaks to nobody: what is wrong with the bucket or the
// credentials is found by the first use.
//
// Credentials are looked for where Amazon's tools look for them: in the environment
// (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), in the shared files
// (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE, AWS_PROFILE), and at the provider of
// a role: web identity (AWS_WEB_IDENTITY_TOKEN_FILE), container, EC2 instance. They are
// renewed before they end, and never part of an error or a URL.
func NewS3(bucket, prefix string, o S3Options) (*S3, error) {
	prefix = strings.Trim(prefix, "/")
	if prefix != "" && (!fs.ValidPath(prefix) || prefix == ".") {
		return nil, fmt.Errorf("the prefix %q of the S3 store is not a plain path", prefix)
	}
	core, err := newClient(bucket, o)
	if err != nil {
		return nil, err
	}
	if o.PartSize < 0 {
		return nil, fmt.Errorf("the part size %d of the S3 store is negative", o.PartSize)
	}
	return &S3{
		core: core, bucket: bucket, prefix: prefix,
		tempDir:  o.TempDir,
		partSize: cmp.Or(o.PartSize, 16<<20),
		pageSize: o.pageSize,
		probing:  make(chan struct{}, 1),
	}, nil
}

// URL returns s3://bucket/prefix/key.
func (s *S3) URL(key string) string { return "s3://" + path.Join(s.bucket, s.name(key)) }

// name returns what the bucket calls a key.
func (s *S3) name(key string) string {
	if s.prefix == "" {
		return key
	}
	return s.prefix + "/" + key
}

// List implements [Store]. An object of a bucket appears to readers when its upload is
// completed, and listings are consistent with that (Amazon S3 User Guide, "Amazon S3
// data consistency model").
func (s *S3) List(ctx context.Context, prefix string) ([]Object, error) {
	var out []Object
	root := s.name("")
	for info := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{
		Prefix: s.name(prefix), Recursive: true, MaxKeys: s.pageSize,
	}) {
		if info.Err != nil {
			return nil, s.fail(ctx, "listing", prefix, info.Err)
		}
		key := strings.TrimPrefix(info.Key, root)
		// Some tools, and gateways to file systems, keep objects that stand for directories.
		if strings.HasSuffix(key, "/") || key == "" || strings.HasPrefix(key, probePrefix) {
			continue
		}
		out = append(out, Object{Key: key, Size: info.Size})
	}
	if err := ctx.Err(); err != nil { // The listing may just end.
		return nil, s.fail(ctx, "listing", prefix, err)
	}
	// Directory buckets list in no order ("Differences for directory buckets").
	sortObjects(out)
	return out, nil
}

// Open implements [Store]: it downloads the object to a file that has no name any
// more. What is cut off on the way is fetched from where it was cut, a few times, if
// the object is still the same.
func (s *S3) Open(ctx context.Context, key string) (*os.File, error) {
	f, err := s.spool()
	if err != nil {
		return nil, err
	}
	d := download{f: f, size: -1}
	err = retry(ctx, func() error { return s.fetch(ctx, key, &d) })
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		s.Discard(f)
		return nil, s.fail(ctx, "reading", key, err)
	}
	return f, nil
}

var errChanged = errors.New("the object has changed while it was read")

// download is an object on its way into a file.
type download struct {
	f        *os.File
	etag     string
	size, at int64 // in bytes; the size is -1 before it is known
}

// fetch gets what is missing of an object.
func (s *S3) fetch(ctx context.Context, key string, d *download) error {
	var o minio.GetObjectOptions
	if d.at > 0 {
		if err := errors.Join(o.SetRange(d.at, 0), o.SetMatchETag(d.etag)); err != nil {
			return backoff.Permanent(err)
		}
	}
	body, info, _, err := s.core.GetObject(ctx, s.bucket, s.name(key), o)
	if d.at > 0 && code(err) == minio.PreconditionFailed {
		return backoff.Permanent(errChanged)
	}
	if err != nil {
		return backoff.Permanent(err) // It has been tried often enough below.
	}
	defer func() { _ = body.Close() }() // What matters was read or not.
	switch {
	case info.Size < 0:
		return backoff.Permanent(errors.New("the store does not tell the length of the object"))
	case d.size < 0:
		d.size, d.etag = info.Size, info.ETag
	case info.ETag != d.etag || info.Size != d.size-d.at:
		return backoff.Permanent(errChanged)
	}
	n, err := io.Copy(d.f, body)
	d.at += n
	if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
		return backoff.Permanent(fmt.Errorf("writing the temporary file: %w", err))
	}
	if err == nil && d.at != d.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("%d of %d bytes have come: %w", d.at, d.size, err)
	}
	return nil
}

// Remove implements [Store]. S3 answers for an object that is not there as for one
// that was (Amazon S3 API Reference, "DeleteObject").
func (s *S3) Remove(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := s.remove(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func (s *S3) remove(ctx context.Context, key string) error {
	small, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	err := s.core.RemoveObject(small, s.bucket, s.name(key), minio.RemoveObjectOptions{})
	if err = s.fail(ctx, "removing", key, err); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Temp implements [Store]: the file has mode 0600 and no name any more, so that
// nothing is left of it when the process is killed.
func (s *S3) Temp(ctx context.Context, _ string) (*os.File, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("making a temporary file: %w", err)
	}
	return s.spool()
}

func (s *S3) spool() (*os.File, error) {
	f, err := os.CreateTemp(s.tempDir, "partitiond-*")
	if err != nil {
		return nil, fmt.Errorf("making a temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, fmt.Errorf("unlinking a temporary file: %w", errors.Join(err, f.Close()))
	}
	return f, nil
}

// Discard implements [Store].
func (s *S3) Discard(f *os.File) { _ = f.Close() } // It has no name, so closing removes it.

// Lock implements [Store]: it keeps nobody away, for S3 has no locks.
func (s *S3) Lock(ctx context.Context, _ string) (unlock func(), err error) {
	return func() {}, ctx.Err()
}
