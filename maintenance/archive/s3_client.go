package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/partitiond/partitiond/maintenance/partition"
)

// newClient returns a client of a bucket's server.
func newClient(bucket string, o S3Options) (*minio.Core, error) {
	if err := s3utils.CheckValidBucketNameStrict(bucket); err != nil {
		return nil, fmt.Errorf("the bucket %q: %w", bucket, err)
	}
	region := cmp.Or(o.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1")
	endpoint := o.Endpoint
	if endpoint == "" {
		endpoint = "https://s3." + region + ".amazonaws.com"
		if strings.HasPrefix(region, "cn-") {
			endpoint += ".cn"
		}
	}
	u, err := partition.ParseArchiveEndpoint(endpoint)
	if err != nil {
		return nil, fmt.Errorf("the endpoint of the S3 store: %w", err)
	}
	secure := u.Scheme == "https"
	transport, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, fmt.Errorf("making an S3 client: %w", err)
	}
	stall := cmp.Or(o.stall, stallTimeout)
	dialer := &net.Dialer{Timeout: connectTimeout}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &stallConn{Conn: conn, stall: stall}, nil
	}
	// One that is taken from the pool must not be about to stall.
	transport.IdleConnTimeout = stall / 2
	transport.MaxIdleConnsPerHost = parallel

	lookup := minio.BucketLookupDNS
	if o.PathStyle || net.ParseIP(u.Hostname()) != nil || (secure && strings.Contains(bucket, ".")) {
		lookup = minio.BucketLookupPath
	}
	creds := o.creds
	if creds == nil {
		creds = credentials.New(newChain())
	}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds: creds, Secure: secure, Transport: transport, Region: region, BucketLookup: lookup, MaxRetries: attempts,
	})
	if err != nil {
		return nil, fmt.Errorf("making an S3 client: %w", err)
	}
	core.SetS3EnableDualstack(false) // else another host than that of the endpoint is asked
	return core, nil
}

// stallConn is a connection on which something must happen every now and then. A
// limit to the time of whole requests would have to know how fast the line is.
type stallConn struct {
	net.Conn
	stall time.Duration
}

// Read reads, and is given up when neither a byte is read nor one is written for too long.
func (c *stallConn) Read(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Write is like Read. It puts off the deadline of a Read that waits for the answer.
func (c *stallConn) Write(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// chain is the chain of the library, but that it is an error, and no anonymous
// request, that there are no credentials.
type chain struct{ credentials.Chain }

func newChain() *chain {
	providers := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	role := os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") + os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") +
		os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if role != "" || !strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		providers = append(providers, &credentials.IAM{Client: &http.Client{Timeout: connectTimeout}})
	}
	return &chain{credentials.Chain{Providers: providers}}
}

// RetrieveWithCredContext returns the first credentials there are.
func (c *chain) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	v, err := c.Chain.RetrieveWithCredContext(cc)
	return c.some(v, err)
}

// Retrieve is RetrieveWithCredContext without its argument.
func (c *chain) Retrieve() (credentials.Value, error) {
	v, err := c.Chain.RetrieveWithCredContext(nil)
	return c.some(v, err)
}

func (*chain) some(v credentials.Value, err error) (credentials.Value, error) {
	if err == nil && (v.AccessKeyID == "" || v.SecretAccessKey == "") {
		err = errors.New("no S3 credentials in the environment, in the shared files or from a role")
	}
	return v, err
}

// retry does what the library does not try again by itself, as often as it would,
// until the error is a [backoff.Permanent] one.
func retry(ctx context.Context, do func() error) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = minio.DefaultRetryUnit, minio.DefaultRetryCap
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, do() },
		backoff.WithBackOff(pause), backoff.WithMaxTries(attempts), backoff.WithMaxElapsedTime(0))
	if permanent := (*backoff.PermanentError)(nil); errors.As(err, &permanent) {
		return permanent.Unwrap() // It is still around that of the last attempt.
	}
	return err
}

// passing tells whether another attempt may succeed: there was no answer, or one of
// those of a store that has too much to do ("Best practices design patterns: optimizing
// Amazon S3 performance").
func passing(err error) bool {
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		return true
	}
	return r.StatusCode >= 500 && r.StatusCode != http.StatusNotImplemented || r.StatusCode == http.StatusTooManyRequests ||
		r.StatusCode == http.StatusRequestTimeout || r.Code == "RequestTimeout"
}

// code returns the code of the store's answer that an error comes from ("Error
// responses" in the Amazon S3 API Reference), or nothing if there was none.
func code(err error) string {
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		return ""
	}
	switch r.StatusCode {
	case http.StatusPreconditionFailed: // Not all stores use the same codes.
		return minio.PreconditionFailed
	case http.StatusNotImplemented:
		return minio.NotImplemented
	}
	return r.Code
}

// fail says what was being done when an error came, and makes it one of those that
// [Store] knows. No error stays none.
func (s *S3) fail(ctx context.Context, doing, key string, err error) error {
	if err == nil {
		return nil
	}
	over := ctx.Err()
	switch {
	case over != nil && !errors.Is(err, over):
		err = fmt.Errorf("%w: %w", over, err)
	case over == nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)):
		// It is a timeout of this package or of a connection, and must not be taken for the caller's.
		err = fmt.Errorf("the store does not answer: %s", err)
	}
	switch c := code(err); c {
	case "":
	case minio.NoSuchKey:
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	case minio.PreconditionFailed:
		err = fmt.Errorf("%w: %w", fs.ErrExist, err)
	default:
		err = fmt.Errorf("%s: %w", c, err)
	}
	return fmt.Errorf("%s %s: %w", doing, s.URL(key), err)
}
