// Package trigger turns what happens elsewhere into calls: each kind of trigger is one folder below, and one line in the
// catalogue (package all). This package holds what they share: the rules of event data, the engine that keeps the active
// triggers acting, and the supervision of those that listen to a broker.
//
// An event is acknowledged to its source only after Sink.Enqueue has returned nil, which means that it is on disk.
//
// It must not know HTTP, SQL, processes or any dialect's words beyond the names of its own fields.
package trigger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Kind is one sort of trigger: what it wants set, and how it acts. Its methods may be called from many goroutines.
type Kind interface {
	// Codes are the names of the kind in requests, such as "KAFKA" and "OPENSOURCEKAFKA".
	Codes() []string
	// Check holds what an owner set to the rules. secrets are those from before, which an empty text keeps. Errors:
	// CodeInvalid or CodeUnsupported, field "event_data.<code>".
	Check(t *faas.Trigger, set map[string]any, secrets map[string]string) (faas.TriggerData, error)
	// Show adds what the server made (addresses, ids) to the data of a trigger.
	Show(t *faas.Trigger, secrets map[string]string, data map[string]any)
	// Put makes a trigger act as it now is, instead of what it was. It has taken effect when Put returns.
	Put(t *faas.Trigger, secrets map[string]string) error
	// Drop ends a trigger, if it acts. Nothing is handed over for it once Drop has returned.
	Drop(id string)
}

// Sink takes events over. nil means that the job is on disk and will run. A job with a Dedup that is known is accepted again.
type Sink interface {
	Enqueue(ctx context.Context, job faas.Job) error
}

// namespace keeps ids of jobs that are made of a text apart from all others.
var namespace = uuid.MustParse("5b0ab2a9-52a5-4d2c-9c1b-0a4a6f6c9d11")

// NewJob makes the job of an event. dedup, when not "", names the event among all of its trigger: the same event seen twice, or
// by two servers, becomes one job.
func NewJob(t *faas.Trigger, source string, event []byte, dedup string) faas.Job {
	job := faas.Job{Key: t.Key, Alias: t.Alias, Source: source, Event: event}
	if dedup == "" {
		job.ID = uuid.NewString()
		return job
	}
	job.Dedup = "trigger/" + t.ID + "/" + dedup
	job.ID = uuid.NewSHA1(namespace, []byte(job.Dedup)).String()
	return job
}

// Digest shortens a text that names many things.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// Hopeless tells of a refusal that another attempt would meet as well: the event is at fault, or what it is for went.
func Hopeless(err error) bool {
	switch faas.CodeOf(err) {
	case faas.CodeInvalid, faas.CodeNotFound, faas.CodeTooLarge:
		return true
	}
	return false
}
