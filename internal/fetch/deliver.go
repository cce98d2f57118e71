package fetch

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// deliverTime bounds one delivery.
const deliverTime = 30 * time.Second

// CheckBucket tells whether objects can be put into a bucket: it must be one of those that a configured endpoint names, where
// it names any. Errors: CodeUnsupported and CodeInvalid, field "destination_config".
func (f *Fetcher) CheckBucket(name string) error {
	_, err := f.bucket(name)
	return err
}

func (f *Fetcher) bucket(name string) (*store, error) {
	if len(f.stores) == 0 {
		return nil, faas.Errorf(faas.CodeUnsupported, "destination_config", "this server knows no bucket service; its operator names one with --s3-endpoint")
	}
	for _, s := range f.stores {
		if name != "" && s.takes(name) {
			return s, nil
		}
	}
	return nil, faas.Errorf(faas.CodeInvalid, "destination_config", "bucket %.80q is not one that functions may use", name)
}

// Put stores an object, in place of one of that key. expires is when it may go; zero for never. Errors: CodeUnavailable, field "bucket",
// and those of CheckBucket.
func (f *Fetcher) Put(ctx context.Context, bucket, key string, data []byte, expires time.Time) error {
	s, err := f.bucket(bucket)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, deliverTime)
	defer cancel()
	_, err = s.client.PutObject(ctx, bucket, key, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{
		ContentType: "application/json", Expires: expires, DisableMultipart: true,
		DisableContentSha256: true, // or it comes in signed chunks, which not every service reads
	})
	if err != nil {
		return &faas.Error{Code: faas.CodeUnavailable, Field: "bucket", Message: "the bucket did not take the object", Err: err}
	}
	return nil
}

// Post sends data to a URL, which this server's configuration must let it reach. With a secret, the header X-Hanshu-Signature
// is the hexadecimal HMAC-SHA256 of the data. Any 2xx is success. Errors: CodeInvalid, field "url", for an address that is not
// allowed; CodeUnavailable, field "url".
func (f *Fetcher) Post(ctx context.Context, target string, header map[string]string, secret, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, deliverTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(data))
	if err != nil {
		return faas.Errorf(faas.CodeInvalid, "url", "the webhook's url cannot be requested")
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		request.Header.Set(name, value)
	}
	if secret != nil {
		mac := hmac.New(sha256.New, secret)
		_, _ = mac.Write(data) // a hash takes everything
		request.Header.Set("X-Hanshu-Signature", hex.EncodeToString(mac.Sum(nil)))
	}
	response, err := f.client.Do(request)
	switch {
	case errors.Is(err, errGuarded):
		return &faas.Error{Code: faas.CodeInvalid, Field: "url", Message: "the webhook cannot be used: " + errGuarded.Error(), Err: err}
	case err != nil:
		return &faas.Error{Code: faas.CodeUnavailable, Field: "url", Message: "the webhook could not be reached", Err: err}
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // what it says is of no use here
	if response.StatusCode/100 != 2 {
		return faas.Errorf(faas.CodeUnavailable, "url", "the webhook answered with status %d", response.StatusCode)
	}
	return nil
}
