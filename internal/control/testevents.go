package control

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// TestEventStore keeps test events. Each method is one whole transaction; what it acknowledges is on disk.
type TestEventStore interface {
	// CreateTestEvent errors: CodeNotFound (field "function"), CodeExists (field "event"), CodeQuota (field "events").
	CreateTestEvent(ctx context.Context, e *faas.TestEvent, most int) error
	TestEvents(ctx context.Context, f faas.FunctionKey) ([]*faas.TestEvent, error)
	// UpdateTestEvent lets change alter the content. An error of change is returned and changes nothing. Error: CodeNotFound, field "event".
	UpdateTestEvent(ctx context.Context, f faas.FunctionKey, id string, change func(*faas.TestEvent) error) (*faas.TestEvent, error)
	DeleteTestEvent(ctx context.Context, f faas.FunctionKey, id string) error
}

// TestEvents are the use cases on the events that are kept to call a function with. A version or alias in the URN must exist, and all
// have the same events.
//
// Errors of all: CodeNotFound with field "function", "version", "alias" or "event".
type TestEvents struct {
	store     TestEventStore
	functions *Functions
	now       func() time.Time
}

// NewTestEvents makes the use cases; now is nil for time.Now.
func NewTestEvents(store TestEventStore, functions *Functions, now func() time.Time) *TestEvents {
	if now == nil {
		now = time.Now
	}
	return &TestEvents{store, functions, now}
}

// whole resolves a URN to its function, without the version.
func (s *Functions) whole(ctx context.Context, project string, urn faas.URN) (faas.FunctionKey, error) {
	f, err := s.Get(ctx, project, urn)
	if err != nil {
		return faas.FunctionKey{}, err
	}
	key := f.Key()
	key.Version = ""
	return key, nil
}

// Create keeps an event. Errors: those of faas.TestEvent.Check and TestEventStore.CreateTestEvent.
func (s *TestEvents) Create(ctx context.Context, project string, urn faas.URN, name string, content []byte) (*faas.TestEvent, error) {
	key, err := s.functions.whole(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	e := &faas.TestEvent{ID: uuid.NewString(), Function: key, Name: name, Content: content, CreatedAt: now, ChangedAt: now}
	if err := e.Check(); err != nil {
		return nil, err
	}
	return e, s.store.CreateTestEvent(ctx, e, faas.MaxTestEvents)
}

// List gives a function's events, the oldest first.
func (s *TestEvents) List(ctx context.Context, project string, urn faas.URN) ([]*faas.TestEvent, error) {
	key, err := s.functions.whole(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	return s.store.TestEvents(ctx, key)
}

// Get gives one event.
func (s *TestEvents) Get(ctx context.Context, project string, urn faas.URN, id string) (*faas.TestEvent, error) {
	all, err := s.List(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if e.ID == id {
			return e, nil
		}
	}
	return nil, faas.NotFound("event", id)
}

// Update gives an event other content. Errors: as Create.
func (s *TestEvents) Update(ctx context.Context, project string, urn faas.URN, id string, content []byte) (*faas.TestEvent, error) {
	key, err := s.functions.whole(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	return s.store.UpdateTestEvent(ctx, key, id, func(e *faas.TestEvent) error {
		e.Content, e.ChangedAt = content, s.now().UTC().Truncate(time.Millisecond)
		return e.Check()
	})
}

// Delete forgets an event.
func (s *TestEvents) Delete(ctx context.Context, project string, urn faas.URN, id string) error {
	key, err := s.functions.whole(ctx, project, urn)
	if err != nil {
		return err
	}
	return s.store.DeleteTestEvent(ctx, key, id)
}
