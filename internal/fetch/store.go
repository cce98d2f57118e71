package fetch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Endpoint is an S3-compatible store (OBS, MinIO, ...) that packages are read from with credentials. The operator names it,
// so its address may be private.
type Endpoint struct {
	URL       string // e.g. "https://obs.example.com"
	Region    string // "" means us-east-1, which most stores accept
	AccessKey string
	SecretKey string
	// PathStyle asks for URL/bucket/key and not bucket.URL/key. OBS refuses it on its own domains; most stores in a rack
	// need it.
	PathStyle bool
	// Buckets are those that functions may be read from; nil means all that the credentials can read.
	Buckets []string
}

type store struct {
	scheme, host string
	buckets      []string
	client       *minio.Client
}

func newStore(e Endpoint, stall time.Duration) (*store, error) {
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("fetch: %q is not the URL of an endpoint, such as https://obs.example.com", e.URL)
	}
	lookup := minio.BucketLookupDNS
	if e.PathStyle {
		lookup = minio.BucketLookupPath
	}
	region := e.Region
	if region == "" {
		region = "us-east-1"
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(e.AccessKey, e.SecretKey, ""),
		Secure:       u.Scheme == "https",
		Region:       region,
		BucketLookup: lookup,
		MaxRetries:   2,
		Transport: &http.Transport{
			DisableCompression:    true,
			DisableKeepAlives:     true,
			TLSHandshakeTimeout:   stall,
			ResponseHeaderTimeout: stall,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("fetch: endpoint %s: %w", u.Host, err)
	}
	return &store{scheme: u.Scheme, host: strings.ToLower(u.Host), buckets: e.Buckets, client: client}, nil
}

// locate reads bucket and key out of a URL in either style; ok is false for a URL of another place.
func (s *store) locate(u *url.URL) (bucket, key string, ok bool) {
	if u.Scheme != s.scheme || u.RawQuery != "" {
		return "", "", false // a query is a signature of its own: the URL opens without our credentials
	}
	host, path := strings.ToLower(u.Host), strings.TrimPrefix(u.Path, "/")
	if host == s.host {
		bucket, key, ok = strings.Cut(path, "/")
	} else if bucket, ok = strings.CutSuffix(host, "."+s.host); ok {
		key = path
	}
	return bucket, key, ok && bucket != "" && key != ""
}

// takes tells whether a bucket is one that functions may use.
func (s *store) takes(bucket string) bool {
	return s.buckets == nil || slices.Contains(s.buckets, bucket)
}

// open starts reading an object.
func (s *store) open(ctx context.Context, bucket, key string) (io.ReadCloser, int64, error) {
	if !s.takes(bucket) {
		return nil, 0, faas.Errorf(faas.CodeInvalid, "code_url", "bucket %.80q is not one that functions may be read from", bucket)
	}
	object, err := s.client.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, 0, s.refusal(err)
	}
	info, err := object.Stat()
	if err != nil {
		object.Close()
		return nil, 0, s.refusal(err)
	}
	return object, info.Size, nil
}

// refusal turns an answer of the store into an expected failure; anything else passes as it is.
func (s *store) refusal(err error) error {
	answer := minio.ToErrorResponse(err)
	switch {
	case answer.StatusCode == http.StatusNotFound || answer.Code == "NoSuchKey" || answer.Code == "NoSuchBucket":
		return &faas.Error{Code: faas.CodeInvalid, Field: "code_url", Message: "the bucket has no such object", Err: err}
	case answer.StatusCode >= 400 && answer.StatusCode < 500, answer.Code == "InvalidBucketName":
		return &faas.Error{Code: faas.CodeInvalid, Field: "code_url", Message: "the store of code_url refused to give the object", Err: err}
	}
	return err
}
