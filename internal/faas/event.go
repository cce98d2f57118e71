package faas

import (
	"encoding/json"
	"regexp"
	"sync"
	"time"
)

// Limits of test events (FunctionGraph reference 1.10).
const (
	MaxTestEvents     = 10
	MaxTestEventBytes = 256 << 10
)

// TestEvent is an event kept with a function, to call it with by hand. It belongs to the function and not to a version.
type TestEvent struct {
	ID        string      // UUID
	Function  FunctionKey // Version is ""
	Name      string      // unique among those of the function
	Content   []byte      // JSON
	CreatedAt time.Time
	ChangedAt time.Time
}

var testEventName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,24}$`) })

// Check holds an event to its rules. Errors: CodeInvalid, field "name" or "content"; CodeTooLarge, field "content".
func (e *TestEvent) Check() error {
	switch {
	case !testEventName().MatchString(e.Name):
		return Errorf(CodeInvalid, "name", "name %.80q must be 1 to 25 letters, digits, '-' or '_', and start with a letter", e.Name)
	case len(e.Content) > MaxTestEventBytes:
		return Errorf(CodeTooLarge, "content", "the event has %d bytes, over the limit of %d", len(e.Content), MaxTestEventBytes)
	case !json.Valid(e.Content):
		return Errorf(CodeInvalid, "content", "content must be JSON, in base64")
	}
	return nil
}
