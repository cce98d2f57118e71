package control

import (
	"context"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// aliasKey is the key that tells of a changed alias.
func aliasKey(key faas.FunctionKey, name string) faas.FunctionKey {
	key.Version = faas.Qualifier("", name)
	return key
}

// SetAlias is what an owner sets of an alias.
type SetAlias struct {
	Version     string
	Description *string // nil leaves it
	Additional  *faas.Additional
}

func (set *SetAlias) apply(a *faas.Alias) error {
	a.Key.Version, a.Additional = set.Version, set.Additional
	assign(&a.Description, set.Description)
	return a.Check()
}

// CreateAlias makes an alias of a function; a version in the URN is passed over. Errors: those of faas.Alias.Check; CodeInvalid, field
// "additional_version", for one that does not exist; CodeExists, field "alias"; CodeConflict, field "version", for a version that has an
// alias already; CodeQuota, field "aliases".
func (s *Versions) CreateAlias(ctx context.Context, project string, urn faas.URN, name string, set SetAlias) (*faas.Alias, error) {
	key, err := s.functions.key(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	now := s.functions.now()
	a := &faas.Alias{Key: key, Name: name, CreatedAt: now, ModifiedAt: now}
	if err := set.apply(a); err != nil {
		return nil, err
	}
	if err := s.store.CreateAlias(ctx, a, faas.MaxAliases); err != nil {
		return nil, err
	}
	s.functions.cfg.Changes.FunctionChanged(aliasKey(key, name))
	return a, nil
}

// UpdateAlias leads an alias elsewhere: the next call on this server goes there. What is not set is taken away, but for the description.
// Errors: as CreateAlias.
func (s *Versions) UpdateAlias(ctx context.Context, project string, urn faas.URN, name string, set SetAlias) (*faas.Alias, error) {
	key, err := s.functions.key(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	left := key
	a, err := s.store.UpdateAlias(ctx, key, name, func(a *faas.Alias) error {
		left.Version, a.ModifiedAt = a.Key.Version, s.functions.now()
		return set.apply(a)
	})
	if err != nil {
		return nil, err
	}
	changes := s.functions.cfg.Changes
	if left != a.Key { // what the alias keeps loaded is warm there before it leads there, and goes here when it no longer does
		changes.FunctionChanged(a.Key)
	}
	changes.FunctionChanged(aliasKey(key, name))
	if left != a.Key {
		changes.FunctionChanged(left)
	}
	return a, nil
}

// Alias gives an alias of a function.
func (s *Versions) Alias(ctx context.Context, project string, urn faas.URN, name string) (*faas.Alias, error) {
	key, err := s.functions.key(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	return s.store.Alias(ctx, key, name)
}

// Aliases lists the aliases of a function by name.
func (s *Versions) Aliases(ctx context.Context, project string, urn faas.URN) ([]*faas.Alias, error) {
	key, err := s.functions.key(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	if _, err := s.functions.cfg.Store.Function(ctx, key); err != nil {
		return nil, err
	}
	return s.store.Aliases(ctx, key)
}

// DeleteAlias removes an alias, and not the version. Error: CodeConflict, field "alias.triggers", while triggers call it.
func (s *Versions) DeleteAlias(ctx context.Context, project string, urn faas.URN, name string) error {
	key, err := s.functions.key(ctx, project, urn)
	if err != nil {
		return err
	}
	led, err := s.store.DeleteAlias(ctx, key, name)
	if err != nil {
		return err
	}
	s.functions.cfg.Changes.FunctionChanged(aliasKey(key, name))
	key.Version = led
	s.functions.cfg.Changes.FunctionChanged(key) // as its reserved instances may be fewer
	return nil
}
