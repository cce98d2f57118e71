package obs

import (
	"encoding/json"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// record is one event of a bucket (FunctionGraph reference, section 4.2), which is S3's.
type record struct {
	EventVersion string `json:"eventVersion"`
	EventSource  string `json:"eventSource"`
	AwsRegion    string `json:"awsRegion"`
	EventTime    string `json:"eventTime"`
	EventName    string `json:"eventName"`
	UserIdentity struct {
		PrincipalID string `json:"principalId"`
	} `json:"userIdentity"`
	RequestParameters struct {
		SourceIPAddress string `json:"sourceIPAddress"`
	} `json:"requestParameters"`
	ResponseElements struct {
		RequestID string `json:"x-amz-request-id"`
		ID2       string `json:"x-amz-id-2"`
	} `json:"responseElements"`
	S3 struct {
		SchemaVersion   string `json:"s3SchemaVersion"`
		ConfigurationID string `json:"configurationId"`
		Bucket          struct {
			Name  string `json:"name"`
			ARN   string `json:"arn"`
			Owner struct {
				PrincipalID string `json:"PrincipalId"`
			} `json:"ownerIdentity"`
		} `json:"bucket"`
		Object struct {
			Key       string      `json:"key"` // URL-encoded
			ETag      string      `json:"eTag"`
			Size      json.Number `json:"size"`
			Sequencer string      `json:"sequencer"`
			VersionID string      `json:"versionId"`
		} `json:"object"`
	} `json:"s3"`
}

// maxRecords bounds a notification.
const maxRecords = 1000

// read reads a notification. Error: CodeInvalid, field "body".
func read(body []byte) ([]record, error) {
	var n struct {
		Records []record `json:"Records"`
	}
	if err := json.Unmarshal(body, &n); err != nil || len(n.Records) == 0 || len(n.Records) > maxRecords {
		return nil, faas.Errorf(faas.CodeInvalid, "body", "this is no notification of a bucket: it has no Records, 1 to %d, in the shape of S3", maxRecords)
	}
	for i := range n.Records {
		r := &n.Records[i]
		r.EventName = strings.TrimPrefix(r.EventName, "s3:")
		r.EventVersion, r.EventSource = "2.0", "aws:s3"
		if r.S3.Object.Size == "" {
			r.S3.Object.Size = "0"
		}
		if r.S3.Bucket.Name == "" || r.S3.Object.Key == "" || r.EventName == "" {
			return nil, faas.Errorf(faas.CodeInvalid, "body", "record %d of the notification lacks the bucket's name, the object's key or the event's name", i)
		}
	}
	return n.Records, nil
}
