package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// TagStore keeps tags. Each method is one whole transaction; what it acknowledges is on disk.
type TagStore interface {
	// SetTags errors: CodeNotFound (field "function"), CodeQuota (field "tags").
	SetTags(ctx context.Context, f faas.FunctionKey, tags []faas.Tag, most int) error
	// DeleteTags passes over keys that are not there.
	DeleteTags(ctx context.Context, f faas.FunctionKey, keys []string) error
	// Tags gives those of a project, or of one function where f names one, by function and key.
	Tags(ctx context.Context, f faas.FunctionKey) ([]faas.FunctionTag, error)
}

// Tags are the use cases on tags. A version or alias in the URN must exist, and all have the tags of their function.
//
// Errors of all: CodeNotFound with field "function", "version" or "alias".
type Tags struct {
	store     TagStore
	functions *Functions
}

// NewTags makes the use cases.
func NewTags(store TagStore, functions *Functions) *Tags { return &Tags{store, functions} }

// checkTags holds tags to their rules, and refuses two of one key.
func checkTags(tags []faas.Tag) error {
	seen := map[string]bool{}
	for _, t := range tags {
		if err := t.Check(); err != nil {
			return err
		}
		if seen[t.Key] {
			return faas.Errorf(faas.CodeInvalid, "tags", "the key %q is given twice", t.Key)
		}
		seen[t.Key] = true
	}
	if len(tags) > faas.MaxTags {
		return faas.Errorf(faas.CodeQuota, "tags", "a function may have %d tags", faas.MaxTags)
	}
	return nil
}

// Set gives a function tags; those of a key that it has get the new value. Errors: CodeInvalid and CodeQuota, field "tags".
func (s *Tags) Set(ctx context.Context, project string, urn faas.URN, tags []faas.Tag) error {
	key, err := s.functions.whole(ctx, project, urn)
	if err != nil {
		return err
	}
	if err := checkTags(tags); err != nil {
		return err
	}
	return s.store.SetTags(ctx, key, tags, faas.MaxTags)
}

// Remove takes tags away by their keys; one that is not there is passed over.
func (s *Tags) Remove(ctx context.Context, project string, urn faas.URN, keys []string) error {
	key, err := s.functions.whole(ctx, project, urn)
	if err != nil {
		return err
	}
	return s.store.DeleteTags(ctx, key, keys)
}

// Of gives the tags of a function, by key.
func (s *Tags) Of(ctx context.Context, project string, urn faas.URN) ([]faas.Tag, error) {
	key, err := s.functions.whole(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	found, err := s.store.Tags(ctx, key)
	tags := make([]faas.Tag, 0, len(found))
	for _, t := range found {
		tags = append(tags, t.Tag)
	}
	return tags, err
}

// TagValues is a key with its values.
type TagValues struct {
	Key    string
	Values []string
}

// All gives the keys that a project's functions carry, with the values of each, in order.
func (s *Tags) All(ctx context.Context, project string) ([]TagValues, error) {
	found, err := s.store.Tags(ctx, faas.FunctionKey{Project: project})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b faas.FunctionTag) int {
		if c := strings.Compare(a.Tag.Key, b.Tag.Key); c != 0 {
			return c
		}
		return strings.Compare(a.Tag.Value, b.Tag.Value)
	})
	var all []TagValues
	for _, t := range found {
		if n := len(all); n == 0 || all[n-1].Key != t.Tag.Key {
			all = append(all, TagValues{Key: t.Tag.Key})
		}
		last := &all[len(all)-1]
		if !slices.Contains(last.Values, t.Tag.Value) {
			last.Values = append(last.Values, t.Tag.Value)
		}
	}
	return all, nil
}

// TagQuery chooses functions by their tags and names.
type TagQuery struct {
	NamePart string      // anywhere in the name; "" for all
	With     []TagValues // each key is there, with one of its values, or any where it names none
	Untagged bool        // no tag at all; With is passed over
	Offset   int
	Limit    int // at least 1
}

// TaggedFunction is a function with its tags.
type TaggedFunction struct {
	Function *faas.Function
	Tags     []faas.Tag
}

// Find gives the functions of a project that a query chooses, oldest first, and how many there are in all.
func (s *Tags) Find(ctx context.Context, project string, q TagQuery) (found []TaggedFunction, total int, err error) {
	tags, err := s.store.Tags(ctx, faas.FunctionKey{Project: project})
	if err != nil {
		return nil, 0, err
	}
	of := map[faas.FunctionKey][]faas.Tag{}
	for _, t := range tags {
		of[t.Function] = append(of[t.Function], t.Tag)
	}
	const step = 400
	for offset := int64(0); ; offset += step {
		page, all, err := s.functions.List(ctx, project, ListQuery{NamePart: q.NamePart, Offset: offset, Limit: step})
		if err != nil {
			return nil, 0, err
		}
		for _, f := range page {
			key := f.Key()
			key.Version = ""
			if !q.chooses(of[key]) {
				continue
			}
			if total++; total > q.Offset && len(found) < q.Limit {
				found = append(found, TaggedFunction{f, of[key]})
			}
		}
		if offset+step >= all {
			return found, total, nil
		}
	}
}

func (q *TagQuery) chooses(tags []faas.Tag) bool {
	if q.Untagged {
		return len(tags) == 0
	}
	for _, want := range q.With {
		if !slices.ContainsFunc(tags, func(t faas.Tag) bool {
			return t.Key == want.Key && (len(want.Values) == 0 || slices.Contains(want.Values, t.Value))
		}) {
			return false
		}
	}
	return true
}

// firstTags gives a function that was just made its tags. Without them it goes again, as a create is whole or not at all.
func (s *Functions) firstTags(ctx context.Context, f *faas.Function, tags []faas.Tag) error {
	if len(tags) == 0 {
		return nil
	}
	err := s.cfg.Tags.SetTags(ctx, f.Key(), tags, faas.MaxTags)
	if err == nil {
		return nil
	}
	if gone := s.cfg.Store.DeleteFunction(context.WithoutCancel(ctx), f.Key()); gone != nil {
		return fmt.Errorf("take back a function (%w) whose tags could not be stored: %w", gone, err)
	}
	return err
}
