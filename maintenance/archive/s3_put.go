package archive

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/cenkalti/backoff/v5"
	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

const (
	maxParts  = 10_000 // Amazon S3 User Guide, "Multipart upload limits"
	parallel  = 4      // parts on their way at the same time
	uploadTag = "Partitiond-Upload"
	// probePrefix begins the keys of objects that only find out what the store can do.
	probePrefix = ".partitiond-probe-"
	// conditionalRequestConflict is the answer where another operation on the key was
	// under way, which may have been a removal (Amazon S3 User Guide, "How to prevent
	// object overwrites with conditional writes").
	conditionalRequestConflict = "ConditionalRequestConflict"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Put implements [Store] by a multipart upload, also of small files: the object
// appears when the upload is completed (Amazon S3 User Guide, "Uploading and copying
// objects using multipart upload"). Each part has a CRC32C, which the store
// compares, and a SHA-256 in the signature ("Checking object integrity"). The
// completion bears If-None-Match: *, so that of several of one key one succeeds ("How
// to prevent object overwrites with conditional writes"); see Conditional.
//
// After an error that is no answer of the store, such as one of the network, the
// object may be there nevertheless, whole. An upload that fails is aborted; what cannot
// be aborted because the store is gone, or Put was killed, is left to Sweep.
func (s *S3) Put(ctx context.Context, f *os.File, key string) error {
	defer s.Discard(f)
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("looking at a file to upload: %w", err)
	}
	conditional, err := s.Conditional(ctx)
	if err != nil {
		return err
	}
	// Where puts are conditional this only saves the upload.
	if _, err := s.stat(ctx, key); err == nil {
		return fmt.Errorf("uploading %s: %w", s.URL(key), fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.upload(ctx, f, info.Size(), key, conditional)
}

func (s *S3) stat(ctx context.Context, key string) (minio.ObjectInfo, error) {
	small, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	info, err := s.core.StatObject(small, s.bucket, s.name(key), minio.StatObjectOptions{})
	return info, s.fail(ctx, "looking for", key, err)
}

// upload makes an object of a file, and compares what the store has then.
func (s *S3) upload(ctx context.Context, f io.ReaderAt, size int64, key string, conditional bool) error {
	// The tag tells this upload's object from another's, whose content may be the same.
	tag := rand.Text()
	id, err := s.begin(ctx, key, tag)
	if err != nil {
		return s.fail(ctx, "beginning to upload", key, err)
	}
	parts, err := s.parts(ctx, f, size, key, id)
	if err != nil {
		return s.abort(ctx, key, id, s.fail(ctx, "uploading", key, err))
	}
	var o minio.PutObjectOptions
	if conditional {
		o.SetMatchETagExcept("*")
	}
	_, err = s.core.CompleteMultipartUpload(ctx, s.bucket, s.name(key), id, parts, o)
	if err = s.fail(ctx, "completing the upload of", key, err); err != nil {
		if there, mine := s.settled(ctx, key, tag, err); !mine {
			if there && code(err) == conditionalRequestConflict {
				err = fmt.Errorf("%w: %w", fs.ErrExist, err)
			}
			return s.abort(ctx, key, id, err)
		}
	}
	info, err := s.stat(ctx, key)
	if err != nil {
		return fmt.Errorf("checking what was uploaded: %w", err)
	}
	if info.Size != size {
		return fmt.Errorf("uploading %s: the store has %d bytes of %d", s.URL(key), info.Size, size)
	}
	return nil
}

func (s *S3) begin(ctx context.Context, key, tag string) (id string, err error) {
	small, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	return s.core.NewMultipartUpload(small, s.bucket, s.name(key), minio.PutObjectOptions{
		UserMetadata: map[string]string{"X-Amz-Checksum-Algorithm": "CRC32C", uploadTag: tag},
	})
}

// parts uploads the parts of a file; one that is empty has an empty one.
func (s *S3) parts(ctx context.Context, f io.ReaderAt, size int64, key, id string) ([]minio.CompletePart, error) {
	each := max(s.partSize, (size+maxParts-1)/maxParts)
	parts := make([]minio.CompletePart, max(1, (size+each-1)/each))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range parts {
		g.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			at := int64(i) * each
			parts[i], err = s.part(ctx, io.NewSectionReader(f, at, min(each, size-at)), key, id, i+1)
			return err
		})
	}
	return parts, g.Wait()
}

func (s *S3) part(ctx context.Context, r *io.SectionReader, key, id string, number int) (minio.CompletePart, error) {
	// It is read twice, for a checksum as a header must be known before the body is
	// sent. Checksums as trailers, which spare that, are not understood by every store.
	crc, sha := crc32.New(castagnoli), sha256.New()
	n, err := io.Copy(io.MultiWriter(crc, sha), r)
	if err == nil && n != r.Size() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return minio.CompletePart{}, fmt.Errorf("reading the file to upload: %w", err)
	}
	sum := base64.StdEncoding.EncodeToString(crc.Sum(nil))
	var part minio.ObjectPart
	err = retry(ctx, func() (err error) {
		// A reader for each attempt, as the connection of one that has failed may read on
		// for a moment, and one that cannot be rewound, so that the library makes but one attempt.
		body := struct{ io.Reader }{io.NewSectionReader(r, 0, r.Size())}
		part, err = s.core.PutObjectPart(ctx, s.bucket, s.name(key), id, number, body, r.Size(), minio.PutObjectPartOptions{
			Sha256Hex:            hex.EncodeToString(sha.Sum(nil)),
			DisableContentSha256: true, // that is, sign the body as a whole and not in pieces
			CustomHeader:         http.Header{minio.ChecksumCRC32C.KeyCapitalized(): {sum}},
		})
		if err != nil && !passing(err) {
			err = backoff.Permanent(err)
		}
		return err
	})
	if err != nil {
		return minio.CompletePart{}, fmt.Errorf("part %d: %w", number, err)
	}
	if part.ChecksumCRC32C != "" && part.ChecksumCRC32C != sum {
		return minio.CompletePart{}, fmt.Errorf("part %d: the store has the CRC32C %s for %s", number, part.ChecksumCRC32C, sum)
	}
	return minio.CompletePart{PartNumber: number, ETag: part.ETag, ChecksumCRC32C: part.ChecksumCRC32C}, nil
}

// settled looks whether a completion that the store says has failed did succeed. It
// has if its answer was lost on the way: the next attempt is told that the object
// exists, or that there is no such upload.
func (s *S3) settled(ctx context.Context, key, tag string, err error) (there, mine bool) {
	if code(err) == "" {
		return false, false
	}
	info, err := s.stat(ctx, key)
	return err == nil, err == nil && info.UserMetadata[uploadTag] == tag
}

// abort frees what the store has of an upload, and returns the error that led to it.
func (s *S3) abort(ctx context.Context, key, id string, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	err := retry(ctx, func() error {
		if err := s.core.AbortMultipartUpload(ctx, s.bucket, s.name(key), id); err != nil {
			return backoff.Permanent(err)
		}
		// Parts that were still on their way may make it necessary to abort again, and to
		// list the parts tells (Amazon S3 API Reference, "AbortMultipartUpload").
		if _, err := s.core.ListObjectParts(ctx, s.bucket, s.name(key), id, 0, 1); err == nil {
			return errors.New("parts still come in")
		}
		return nil
	})
	if err = s.fail(ctx, "aborting the upload of", key, err); err != nil && code(err) != minio.NoSuchUpload {
		return fmt.Errorf("%w (%v, so that its parts are left until they are swept)", failed, err)
	}
	return failed
}

// Conditional implements [Store]. It asks the store, once and by trying: it puts two objects
// of one key, one that no other has, and removes it. Not all stores know
// conditional writes; some refuse them, and some take no notice of the condition.
// Only an answer is remembered: after an error it is asked again.
func (s *S3) Conditional(ctx context.Context) (bool, error) {
	select {
	case s.probing <- struct{}{}:
		defer func() { <-s.probing }()
	case <-ctx.Done():
		return false, fmt.Errorf("trying conditional writes: %w", ctx.Err())
	}
	if s.known {
		return s.conditional, nil
	}
	conditional, err := s.probe(ctx)
	if err != nil {
		return false, fmt.Errorf("trying conditional writes: %w", err)
	}
	s.known, s.conditional = true, conditional
	return conditional, nil
}

func (s *S3) probe(ctx context.Context) (conditional bool, err error) {
	key, content := probePrefix+strings.ToLower(rand.Text()), "partitiond"
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		err = errors.Join(err, s.remove(ctx, key))
	}()
	for range 2 {
		err := s.upload(ctx, strings.NewReader(content), int64(len(content)), key, true)
		switch {
		case code(err) == minio.NotImplemented, code(err) == minio.InvalidArgument:
			return false, nil
		case errors.Is(err, fs.ErrExist):
			return true, nil
		case err != nil:
			return false, err
		}
	}
	return false, nil
}

// Sweep implements [Store]: it aborts uploads of the keys that were never
// completed, for which Amazon charges until then ("Aborting a multipart upload"). It
// asks for each key by itself, which stores understand that do not list the
// uploads beneath a prefix.
func (s *S3) Sweep(ctx context.Context, dir string, keys []string) error {
	for _, key := range keys {
		if dir != "" && !strings.HasPrefix(key, strings.TrimSuffix(dir, "/")+"/") {
			continue
		}
		if err := s.sweep(ctx, key); err != nil {
			return s.fail(ctx, "sweeping", key, err)
		}
	}
	return nil
}

func (s *S3) sweep(ctx context.Context, key string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	for range attempts {
		err = s.core.RemoveIncompleteUpload(ctx, s.bucket, s.name(key))
		if code(err) != minio.NoSuchUpload { // else one was over before it was aborted; there may be others
			return err
		}
	}
	return err
}
