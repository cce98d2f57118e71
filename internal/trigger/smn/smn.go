// Package smn is the trigger of message topics: notifications in the shape of SMN's HTTP subscriptions, or plain ones, arrive at an
// address of the trigger's own and become calls.
//
// It must not know how notifications are carried, and follows no address that one contains.
package smn

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/trigger"
)

// Code is the kind's name in requests.
const Code = "SMN"

var fields = []trigger.Field{
	{Name: "topic_urn", Need: true, Min: 1, Max: 255},
	{Name: "invoke_url", Made: true},
}

type data struct {
	TopicURN string `json:"topic_urn"`
}

// Config is what a Kind needs.
type Config struct {
	Sink   trigger.Sink
	Region string // in URNs of functions
	URL    string // of the data plane
	Log    *slog.Logger
	Now    func() time.Time // nil for time.Now
}

// Kind is the SMN trigger.
type Kind struct {
	trigger.Hooked[data]
	cfg Config
}

// New makes the kind.
func New(cfg Config) *Kind {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Kind{cfg: cfg}
}

// Codes is of trigger.Kind.
func (k *Kind) Codes() []string { return []string{Code} }

// Check is of trigger.Kind.
func (k *Kind) Check(_ *faas.Trigger, set map[string]any, secrets map[string]string) (faas.TriggerData, error) {
	checked, err := trigger.Check(Code, fields, set, secrets)
	if err == nil {
		trigger.MakeHookKey(&checked, secrets)
	}
	return checked, err
}

// Show is of trigger.Kind.
func (k *Kind) Show(t *faas.Trigger, secrets map[string]string, shown map[string]any) {
	trigger.ShowHook(k.cfg.URL, t, secrets, shown)
}

// notification is what a topic sends. A sender without a topic of the vendor's gives message, and the others if it likes.
type notification struct {
	Type         string          `json:"type"`
	TopicURN     string          `json:"topic_urn"`
	MessageID    string          `json:"message_id"`
	Message      *string         `json:"message"`
	Subject      string          `json:"subject"`
	Timestamp    string          `json:"timestamp"`
	Attributes   json.RawMessage `json:"message_attributes"`
	SubscribeURL string          `json:"subscribe_url"`
}

// event is what a function is given (FunctionGraph reference, section 4.2).
type event struct {
	Record []record `json:"record"`
}

type record struct {
	Version      string  `json:"event_version"`
	SMN          message `json:"smn"`
	Subscription string  `json:"event_subscription_urn"`
	Source       string  `json:"event_source"`
}

type message struct {
	TopicURN   string          `json:"topic_urn"`
	Timestamp  string          `json:"timestamp"`
	Attributes json.RawMessage `json:"message_attributes"`
	Message    string          `json:"message"`
	Type       string          `json:"type"`
	MessageID  string          `json:"message_id"`
	Subject    string          `json:"subject"`
}

// Take is of trigger.Hook. A request to confirm a subscription is refused: the address that it names would have to be visited by this
// server, wherever it leads. It stands in the log, for a person to open.
func (k *Kind) Take(ctx context.Context, id, key string, body []byte) (map[string]any, bool, error) {
	one, ok := k.Find(id, key)
	if !ok {
		return nil, false, nil
	}
	var n notification
	if err := json.Unmarshal(body, &n); err != nil {
		return nil, true, faas.Errorf(faas.CodeInvalid, "body", "this is no notification of a topic: it is not a JSON object with a message")
	}
	if n.Type == "SubscriptionConfirmation" {
		k.cfg.Log.Warn("a topic asks to confirm its subscription; open subscribe_url in a browser to do so", "trigger", id, "subscribe_url", n.SubscribeURL)
		return nil, true, faas.Errorf(faas.CodeUnsupported, "type", "a subscription is not confirmed by this server: open subscribe_url yourself, it stands in the server's log")
	}
	switch {
	case n.Type == "UnsubscribeConfirmation":
		return map[string]any{"accepted": 0}, true, nil
	case n.Message == nil:
		return nil, true, faas.Errorf(faas.CodeInvalid, "body", "this is no notification of a topic: it has no message")
	case n.TopicURN != "" && n.TopicURN != one.Data.TopicURN:
		return nil, true, faas.Errorf(faas.CodeInvalid, "topic_urn", "this trigger is for topic %.255q, and the notification is not", one.Data.TopicURN)
	}
	job, err := k.job(one, n)
	if err != nil {
		return nil, true, err
	}
	return map[string]any{"accepted": 1}, true, k.cfg.Sink.Enqueue(ctx, job)
}

func (k *Kind) job(one trigger.Hooking[data], n notification) (faas.Job, error) {
	if string(n.Attributes) == "" || string(n.Attributes) == "null" {
		n.Attributes = json.RawMessage("{}")
	}
	text, err := json.Marshal(event{[]record{{
		Version: "1.0", Source: "smn", Subscription: one.Trigger.URN(k.cfg.Region).String(),
		SMN: message{
			TopicURN: one.Data.TopicURN, Timestamp: cmp.Or(n.Timestamp, k.cfg.Now().UTC().Format(time.RFC3339)), Attributes: n.Attributes,
			Message: *n.Message, Type: "notification", MessageID: cmp.Or(n.MessageID, uuid.NewString()), Subject: n.Subject,
		},
	}}})
	return trigger.NewJob(one.Trigger, faas.SourceSMN, text, n.MessageID), err
}
